r"""Slices of training hearts as maps of tissue, sampled once and kept; `rendering.py` pictures them.

Labels in short axis are an annotator's. In long axis they are the truth: the simulated annotators close the wall all
round the LV cavity, as it is in a short-axis slice, and know no atria; they would wall up the mitral valve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from cardiolearn.learning.device import at_once
from cardiolearn.phantom.body.disease import Cohort
from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.body.subject import sample_subject
from cardiolearn.phantom.cohorts.cache import kept
from cardiolearn.phantom.cohorts.observers import ANNOTATORS, Observer, outline
from cardiolearn.phantom.scanners.long_axis import LONG_AXIS_VIEWS, plan_long_axis

PIXEL = 1.5  # mm, of the stored maps
SIZE = 208  # pixels: 312 mm
SLICES_PER_SUBJECT = 7
SUB_SLICES = (-2.5, 0.0, 2.5)  # mm from the mid-plane; together the slice profile
IN_PLANE = (0.3, 0.0, -0.3)  # pixels, how far a sub-slice lies aside: what is thinner than a pixel is not lost
PLANES_PER_VIEW = 2  # in long axis
LONG_AXIS_SUB_SLICES = (-2.0, 0.0, 2.0)  # together the profile of a slice of 6 mm
_SCATTER = 2.0  # long-axis planes scatter twice as much as a technician's


@dataclass(frozen=True)
class SliceMaps:
    r"""Tissue codes `(N, 3, Y, X)` (sub-slices) and labels `(N, Y, X)` at the mid-plane, both uint8."""

    tissue: torch.Tensor
    label: torch.Tensor

    def __len__(self) -> int:
        return int(self.label.shape[0])


#: What samples the slices of one subject: index, cohort, seed.
Sampler = Callable[[int, Cohort, int], SliceMaps]


def sample_moment(
    index: int, cohort: Cohort, seed: int, device: torch.device | str = "cpu"
) -> tuple[torch.Generator, Scene, float]:
    r"""Subject `index` on `device` and the activation training sees it at; the generator (the CPU's) goes on for the
    planes.

    The moment is end-diastole, end-systole or any between, one per subject.
    """
    g = torch.Generator("cpu").manual_seed(seed * 1_000_003 + index)
    scene = Scene(sample_subject(index, cohort=cohort, seed=seed), device)
    moment = torch.rand(2, generator=g, device="cpu").tolist()
    a = 0.0 if moment[0] < 0.35 else 1.0 if moment[0] < 0.72 else moment[1]
    return g, scene, a


def sample_slices(
    index: int, cohort: Cohort = "train", seed: int = 0, annotators: Sequence[Observer] = ANNOTATORS,
    device: torch.device | str = "cpu",
) -> SliceMaps:  # fmt: skip
    r"""Short-axis slices of subject `index`, from above the valves to below the apex, outlined by one of `annotators`.

    The planes tilt by a few degrees as a technician's would. Without annotators the labels are the truth. Reproducible
    from the arguments alone; the planes are the same on every `device`.
    """
    g, scene, a = sample_moment(index, cohort, seed, device)
    top, bottom = -20.0, scene.heart.height + 9.0
    n = SLICES_PER_SUBJECT
    level = top + (bottom - top) * (torch.arange(n, device="cpu") + torch.rand(n, generator=g, device="cpu")) / n
    aside = (15.0 * torch.randn((2, n), generator=g, device="cpu")).clamp(-35, 35)
    centre = torch.stack((aside[0] - 8.0, aside[1] - 10.0, level), -1).to(device)
    tilt = (0.09 * torch.randn((n, 2), generator=g, device="cpu")).to(device)
    grid = (torch.arange(SIZE, device=device) - (SIZE - 1) / 2) * PIXEL
    y, x = torch.meshgrid(-grid, grid, indexing="ij")
    slant = tilt[:, 0, None, None] * x + tilt[:, 1, None, None] * y
    z = grid.new_tensor(SUB_SLICES)[None, :, None, None] + slant[:, None]
    off = (PIXEL * grid.new_tensor(IN_PLANE))[:, None, None]
    points = torch.stack(((x + off).expand_as(z), (y - off).expand_as(z), z), -1) + centre[:, None, None, None]
    found = scene.at(points @ scene.frame.T + scene.origin, a)
    truth = found.label[:, SUB_SLICES.index(0.0)]
    if not annotators:
        return SliceMaps(found.tissue, truth)
    annotator = annotators[int(torch.randint(len(annotators), (1,), generator=g, device="cpu"))]
    spacing = (PIXEL, PIXEL, (bottom - top) / n)
    return SliceMaps(found.tissue, outline(truth, spacing, annotator, seed * 1_000_003 + index))


def sample_long_axis_slices(
    index: int, cohort: Cohort = "train", seed: int = 0, device: torch.device | str = "cpu"
) -> SliceMaps:
    r"""Two planes each of the two- and the four-chamber view of subject `index`, in this order, with labels 0 to 5.

    The subject, its right ventricle and the moment are those of :func:`sample_slices`; the planes turn by some 6
    degrees and miss the ends of the axis by some 3 mm. Reproducible from the arguments alone.
    """
    g, scene, a = sample_moment(index, cohort, seed, device)
    grid = (torch.arange(SIZE, device=device) - (SIZE - 1) / 2) * PIXEL
    y, x, z = torch.meshgrid(grid, grid, grid.new_tensor(LONG_AXIS_SUB_SLICES), indexing="ij")
    off = PIXEL * grid.new_tensor(IN_PLANE)  # of the sub-slices, the last axis
    tissue, label = [], []
    for view in LONG_AXIS_VIEWS:
        for _ in range(PLANES_PER_VIEW):
            plane = plan_long_axis(scene, view, g, scatter=_SCATTER)
            across, along = (x + off)[..., None] * plane.right, (y - off)[..., None] * plane.down
            points = across + along + z[..., None] * plane.normal + plane.middle
            found = scene.at(points.movedim(2, 0), a)
            tissue.append(found.tissue)
            label.append(found.label[LONG_AXIS_SUB_SLICES.index(0.0)])
    return SliceMaps(torch.stack(tissue), torch.stack(label))


def sample_slice_maps(
    n_subjects: int, folder: Path, *, cohort: Cohort = "train", seed: int = 0, jobs: int | None = None,
    sample: Sampler = sample_slices,
) -> SliceMaps:  # fmt: skip
    r"""The slices of subjects 0 to `n_subjects` - 1, kept in `folder` so that an interrupted call goes on.

    `jobs` processes (by default one for each core) share the work, 25 subjects to a file. About 1.5 s of one core and
    1.4 MB of memory a subject. Every `sample` needs a folder of its own.
    """
    blocks = [range(i, min(i + 25, n_subjects)) for i in range(0, n_subjects, 25)]
    names = [f"{cohort}-{seed}-{b.start:05d}-{b.stop:05d}.safetensors" for b in blocks]
    files = {
        folder / name: partial(sample_block, block, cohort, seed, sample)
        for name, block in zip(names, blocks, strict=True)
    }
    parts = kept(files, jobs or at_once(), "sampling hearts", "file")
    return SliceMaps(torch.cat([p["tissue"] for p in parts]), torch.cat([p["label"] for p in parts]))


def sample_block(indices: range, cohort: Cohort, seed: int, sample: Sampler) -> dict[str, torch.Tensor]:
    r"""What a file of `sample_slice_maps` holds: `tissue` and `label` of these subjects' slices, one after another."""
    maps = [sample(index, cohort, seed) for index in indices]
    return {"tissue": torch.cat([m.tissue for m in maps]), "label": torch.cat([m.label for m in maps])}
