r"""Endless training slices: tissue maps are drawn once and kept, every batch scans them anew.

What stays fixed is anatomy. Contrast, blur, bias, texture, noise, grey scale, position, rotation, mirror image, size
and field of view are drawn for every slice of every batch, so no network ever meets the same picture twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from cardiolearn.phantom.drawn import keep_drawn
from cardiolearn.phantom.mri import ANY_VENDOR, TEXTURE, Vendor, magnitude, signal_table, smooth_field, uniform
from cardiolearn.phantom.observers import ANNOTATORS, Observer, observe
from cardiolearn.phantom.scene import Scene
from cardiolearn.phantom.subject import Cohort, sample_subject

PIXEL = 1.5  # mm, of the stored maps
SIZE = 208  # pixels: 312 mm
SLICES_PER_SUBJECT = 7
SUB_SLICES = (-2.5, 0.0, 2.5)  # mm from the mid-plane; together the slice profile


@dataclass(frozen=True)
class SliceMaps:
    r"""Tissue codes `(N, 3, Y, X)` (sub-slices) and labels `(N, Y, X)` at the mid-plane, both uint8."""

    tissue: torch.Tensor
    label: torch.Tensor

    def __len__(self) -> int:
        return int(self.label.shape[0])


#: What draws the slices of one subject: index, cohort, seed.
Draw = Callable[[int, Cohort, int], SliceMaps]


def sample_moment(index: int, cohort: Cohort, seed: int) -> tuple[torch.Generator, Scene, float]:
    r"""Subject `index` and the activation training sees it at; the generator goes on for the planes.

    The moment is end-diastole, end-systole or any between, one per subject.
    """
    g = torch.Generator().manual_seed(seed * 1_000_003 + index)
    scene = Scene(sample_subject(index, cohort=cohort, seed=seed))
    moment = torch.rand(2, generator=g).tolist()
    a = 0.0 if moment[0] < 0.35 else 1.0 if moment[0] < 0.72 else moment[1]
    return g, scene, a


def draw_slices(
    index: int, cohort: Cohort = "train", seed: int = 0, annotators: Sequence[Observer] = ANNOTATORS
) -> SliceMaps:
    r"""Short-axis slices of subject `index`, from above the valves to below the apex, drawn by one of `annotators`.

    The planes tilt by a few degrees as a technician's would. Without annotators the labels are the truth. Reproducible
    from the arguments alone.
    """
    g, scene, a = sample_moment(index, cohort, seed)
    top, bottom = -20.0, scene.heart.height + 9.0
    n = SLICES_PER_SUBJECT
    level = top + (bottom - top) * (torch.arange(n) + torch.rand(n, generator=g)) / n
    centre = torch.stack((*(15.0 * torch.randn((2, n), generator=g)).clamp(-35, 35), level), -1)
    centre[:, :2] += torch.tensor([-8.0, -10.0])
    tilt = 0.09 * torch.randn((n, 2), generator=g)
    grid = (torch.arange(SIZE) - (SIZE - 1) / 2) * PIXEL
    y, x = torch.meshgrid(-grid, grid, indexing="ij")
    slant = tilt[:, 0, None, None] * x + tilt[:, 1, None, None] * y
    z = torch.tensor(SUB_SLICES)[None, :, None, None] + slant[:, None]
    points = torch.stack((x.expand_as(z), y.expand_as(z), z), -1) + centre[:, None, None, None]
    found = scene.at(points @ scene.frame.T + scene.origin, a)
    truth = found.label[:, SUB_SLICES.index(0.0)]
    if not annotators:
        return SliceMaps(found.tissue, truth)
    who = annotators[int(torch.randint(len(annotators), (1,), generator=g))]
    return SliceMaps(found.tissue, observe(truth, (PIXEL, PIXEL, (bottom - top) / n), who, seed * 1_000_003 + index))


def _draw_block(indices: range, cohort: Cohort, seed: int, draw: Draw) -> dict[str, torch.Tensor]:
    drawn = [draw(index, cohort, seed) for index in indices]
    return {"tissue": torch.cat([d.tissue for d in drawn]), "label": torch.cat([d.label for d in drawn])}


def draw_cohort(
    n_subjects: int, folder: Path, *, cohort: Cohort = "train", seed: int = 0, jobs: int = 2, draw: Draw = draw_slices
) -> SliceMaps:
    r"""The slices of subjects 0 to `n_subjects` - 1, kept in `folder` so that an interrupted drawing goes on.

    `jobs` processes share the work, 25 subjects to a file. About 1.5 s of one core and 1.4 MB of memory a subject.
    Every `draw` needs a folder of its own.
    """
    blocks = [range(i, min(i + 25, n_subjects)) for i in range(0, n_subjects, 25)]
    names = [f"{cohort}-{seed}-{b.start:05d}-{b.stop:05d}.safetensors" for b in blocks]
    files = {
        folder / name: partial(_draw_block, block, cohort, seed, draw)
        for name, block in zip(names, blocks, strict=True)
    }
    parts = keep_drawn(files, jobs, "drawing hearts", "file")
    return SliceMaps(torch.cat([p["tissue"] for p in parts]), torch.cat([p["label"] for p in parts]))


def _poses(n: int, generator: torch.Generator, size: int, pixel: float) -> torch.Tensor:
    # Affine maps (n, 2, 3) from an output of `size` pixels of `pixel` mm to the stored map, in grid_sample's units.
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    scale = torch.exp(uniform(n, (math.log(0.72), math.log(1.36)), generator))
    flip = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    half = SIZE * PIXEL / 2
    zoom = scale * size * pixel / 2 / half
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    shift = (25.0 * torch.randn((n, 2), generator=generator)).clamp(-65, 65) / half
    aspect = torch.exp(0.06 * torch.randn(n, generator=generator))  # hearts are rounder or flatter than the cohort's
    row0 = torch.stack((cos * flip, -sin, shift[:, 0]), -1) * aspect[:, None]
    row1 = torch.stack((sin * flip, cos, shift[:, 1]), -1) / aspect[:, None]
    return torch.stack((row0, row1), 1)


def _upright_poses(n: int, generator: torch.Generator, size: int, pixel: float) -> torch.Tensor:
    # As `_poses`, but the heart near the middle and as it lies in the patient: turned by 10 degrees, scaled by 0.2 and
    # shifted by 10 mm (standard deviations, at most three of them).
    draw = torch.randn((n, 4), generator=generator).clamp(-3, 3)
    angle, zoom = math.radians(10.0) * draw[:, 0], (1.0 + 0.2 * draw[:, 1]) * size / SIZE * pixel / PIXEL
    cos, sin, shift = torch.cos(angle) * zoom, torch.sin(angle) * zoom, 10.0 * draw[:, 2:] / (SIZE * PIXEL / 2)
    return torch.stack((torch.stack((cos, -sin, shift[:, 0]), -1), torch.stack((sin, cos, shift[:, 1]), -1)), 1)


def _field_of_view(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    # Some scanners blank a disc's outside, some images are cropped: part of the picture is then exactly nothing.
    n, height, width = images.shape
    y = torch.linspace(-1, 1, height)[None, :, None]
    x = torch.linspace(-1, 1, width)[None, None, :]
    shift = 0.4 * torch.randn((n, 2, 1, 1), generator=generator)
    disc = ((x - shift[:, 0]) ** 2 + (y - shift[:, 1]) ** 2).sqrt() < uniform(n, (0.9, 1.4), generator)[:, None, None]
    edges = uniform(4 * n, (0.42, 1.4), generator).reshape(4, n, 1, 1)
    frame = (x < edges[0]) & (x > -edges[1]) & (y < edges[2]) & (y > -edges[3])
    pick = torch.rand(n, generator=generator)[:, None, None]
    return torch.where(pick < 0.12, disc, torch.where(pick < 0.45, frame, torch.ones_like(frame)))


def normalise_batch(images: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    r"""Clip `(n, Y, X)` images at their own quantiles `low`, `high` `(n,)` and scale to [0, 1]."""
    flat = images.flatten(1).sort(dim=1).values
    last = flat.shape[1] - 1
    bottom = flat.gather(1, (low * last).long()[:, None])[..., None]
    top = flat.gather(1, (high * last).long()[:, None])[..., None]
    return ((images - bottom) / (top - bottom).clamp_min(1e-6)).clamp(0.0, 1.0)


def render_batch(
    maps: SliceMaps, picks: torch.Tensor, generator: torch.Generator, *,
    size: int = 128, pixel: float = 1.5, vendor: Vendor = ANY_VENDOR, n_classes: int = 4, upright: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    r"""Images `(n, 1, size, size)` in [0, 1] and labels `(n, size, size)` (int64) of slices `picks`.

    Labels from `n_classes` on become background: by default the atria, which short-axis networks do not know. Hearts
    lie anywhere, turned and mirrored at will; with `upright` only as far as in the augmentation of Bai et al. (turned
    with a standard deviation of 10 degrees, scaled with one of 0.2; the shift of 10 mm is ours).
    """
    n = len(picks)
    table = signal_table(n, vendor, generator)
    tissue = maps.tissue[picks].int()
    weights = torch.softmax(0.7 * torch.randn((n, 3), generator=generator) + torch.tensor([0.0, 0.5, 0.0]), 1)
    rows = torch.arange(n)[:, None, None, None] * table.shape[1]
    both = F.embedding(tissue + rows, torch.cat((table, TEXTURE[None, :, None].expand(n, -1, -1)), -1).flatten(0, 1))
    mixed = (both * weights[:, :, None, None, None]).sum(1).permute(0, 3, 1, 2)
    label = maps.label[picks].float()[:, None]
    poses = (_upright_poses if upright else _poses)(n, generator, size, pixel)
    grid = F.affine_grid(poses, [n, 1, size, size], align_corners=False)
    bend = torch.stack([smooth_field(n, (size, size), 24, generator) for _ in range(2)], -1)
    grid = grid + bend * uniform(n, (0.0, 5.0), generator)[:, None, None, None] / (SIZE * PIXEL / 2)
    mixed = F.grid_sample(mixed, grid, mode="bilinear", align_corners=False)
    label = F.grid_sample(label, grid, mode="nearest", align_corners=False)[:, 0].long()
    image = magnitude(mixed[:, 0], mixed[:, 1], mixed[:, 2], vendor, generator)
    seen = _field_of_view(image, generator)
    low = uniform(n, (0.0, 0.03), generator)
    high = 1.0 - torch.exp(uniform(n, (math.log(0.001), math.log(0.08)), generator))
    image = normalise_batch(image * seen, low, high)
    return image[:, None], torch.where((label >= n_classes) | ~seen, 0, label)
