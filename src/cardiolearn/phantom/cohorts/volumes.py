r"""A cohort of thin-slice volumes, scanned once and kept: what super-resolution learns from and is tested on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from cardiolearn.learning.device import at_once
from cardiolearn.phantom.body.disease import Cohort, Group
from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.body.subject import sample_subject
from cardiolearn.phantom.cohorts.cache import kept
from cardiolearn.phantom.scanners.crossing_views import Crossing, crossing
from cardiolearn.phantom.scanners.long_axis import LONG_AXIS_VIEWS, plan_long_axis
from cardiolearn.phantom.scanners.mri import ANY_VENDOR, UNSEEN_VENDOR, Vendor
from cardiolearn.phantom.scanners.thin_slices import SHAPE, scan_high_resolution

_ACTIVATIONS = (0.0, 1.0)


@dataclass(frozen=True)
class Volumes:
    r"""Thin-slice scans of subjects at end-diastole and end-systole.

    `image` (int16) and `label` (uint8) are `(N, 2, Z, Y, X)`; `planes` `(N, 2, 3, 3)` holds point, right, down of the
    two- and the four-chamber plane, as :class:`~cardiolearn.phantom.scanners.crossing_views.Crossing` has them.
    """

    image: Tensor
    label: Tensor
    planes: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def crossings(self, subject: int) -> list[Crossing]:
        r"""The long-axis planes of a subject."""
        return [Crossing(*plane.unbind(0)) for plane in self.planes[subject]]


def quiet(vendor: Vendor) -> Vendor:
    r"""The scanner with the little noise of thin slices: they are the reference, a stack adds its own."""
    return replace(vendor, noise=(0.005, 0.015))


def scan_volume(
    index: int, cohort: Cohort = "train", seed: int = 0, group: Group | None = None, shape: Sequence[int] = SHAPE
) -> Volumes:
    r"""Subject `index` of a cohort, alone; the test cohort on the unseen scanner. Reproducible from the arguments."""
    subject = sample_subject(index, cohort=cohort, seed=seed, group=group)
    scene = Scene(subject)
    vendor = quiet(ANY_VENDOR if cohort == "train" else UNSEEN_VENDOR)
    scan_seed = (subject.seed * 7 + 6) % 2**62
    z, y, x = shape
    scan = scan_high_resolution(scene, vendor, _ACTIVATIONS, seed=scan_seed, shape=(z, y, x))
    planes = []
    for view in LONG_AXIS_VIEWS:
        where = crossing(plan_long_axis(scene, view, torch.Generator().manual_seed(scan_seed)), scan.image.affine)
        planes.append(torch.stack((where.point, where.right, where.down)))
    image = scan.image.data.clamp(0, 2**15 - 1).to(torch.int16)
    return Volumes(image[None], scan.labels.data[None], torch.stack(planes)[None])


def _tensors_of(index: int, cohort: Cohort, seed: int, group: Group | None) -> dict[str, Tensor]:
    scanned = scan_volume(index, cohort, seed, group)
    return {"image": scanned.image, "label": scanned.label, "planes": scanned.planes}


def scan_volumes(
    n: int,
    folder: Path,
    *,
    cohort: Cohort = "train",
    seed: int = 0,
    group: Group | None = None,
    jobs: int | None = None,
) -> Volumes:
    r"""Subjects 0 to `n` - 1 (of one `group`, or all), a file each in `folder`, so that an interrupted call goes on.

    About 4 s of one core and 4.5 MB of memory a subject.
    """
    name = f"{cohort}-{seed}" + (f"-{group}" if group else "")
    files = {folder / f"{name}-{i:05d}.safetensors": partial(_tensors_of, i, cohort, seed, group) for i in range(n)}
    parts = kept(files, jobs or at_once(), "scanning thin slices", "subject")
    return Volumes(*(torch.cat([part[key] for part in parts]) for key in ("image", "label", "planes")))
