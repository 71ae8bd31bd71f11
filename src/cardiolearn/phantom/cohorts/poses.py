r"""Where the volumes of a cohort lie in the patient, and where known points of each heart are.

A subject's MR and CT volumes share a grid, an ultrasound volume has that of its probe; both lie in one patient, so that
what is seen in one is known in the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cardiolearn.phantom.body.disease import Cohort, Group
from cardiolearn.phantom.body.landmarks import landmarks, to_patient
from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.body.subject import sample_subject
from cardiolearn.phantom.cohorts.cache import kept_in_blocks
from cardiolearn.phantom.cohorts.ultrasound_volumes import own_probe
from cardiolearn.phantom.cohorts.volume_maps import ACTIVATIONS, planned_grid
from cardiolearn.phantom.scanners.sector import NEAREST

#: The order of `Poses.landmarks`.
LANDMARKS = (
    "apex", "mitral_valve", "rv_insertion_anterior", "rv_insertion_inferior", "lv_lateral_wall", "rv_lateral_wall",
)  # fmt: skip
_CORNERS = (2, 2, 2)  # voxels of a grid that tells how all grids around its middle lie


@dataclass(frozen=True)
class Poses:
    r"""Of N subjects, mm in the patient frame (RAS+): `hearts` `(N, 4, 4)`, from mm about the middle of the grid of
    their MR and CT volumes along its axes (x, y, z); `probes` `(N, 4, 4)`, from the probe frame; and `landmarks`
    `(N, 2, 6, 3)`, the points `LANDMARKS` at end-diastole and end-systole (float64)."""

    hearts: Tensor
    probes: Tensor
    landmarks: Tensor

    def heart_affine(self, subject: int, shape: Sequence[int], spacing: float) -> np.ndarray:
        r"""The affine of a subject's MR or CT volume of this shape `(Z, Y, X)` in voxels of `spacing` mm."""
        first = [-0.5 * (count - 1) * spacing for count in reversed(shape)]
        return _affine(self.hearts[subject], spacing, first)

    def box_affine(self, subject: int, shape: Sequence[int], spacing: float) -> np.ndarray:
        r"""The affine of a subject's ultrasound volume on a box of this shape `(Z, Y, X)` and `spacing`, mm."""
        first = [-0.5 * (count - 1) * spacing for count in reversed(shape[1:])]
        return _affine(self.probes[subject], spacing, [*first, NEAREST + 0.5 * spacing])


def _affine(frame: Tensor, spacing: float, first: Sequence[float]) -> np.ndarray:
    steps = np.diag([spacing, spacing, spacing, 1.0])
    steps[:3, 3] = first
    return np.asarray(frame.double().numpy() @ steps)


def find_poses(index: int, cohort: Cohort = "train", seed: int = 0, group: Group | None = None) -> Poses:
    r"""Those of subject `index` of a cohort, alone."""
    scene = Scene(sample_subject(index, cohort=cohort, seed=seed, group=group))
    corners = planned_grid(scene, _CORNERS, 1.0).double()
    columns = [corners[0, 0, 1] - corners[0, 0, 0], corners[0, 1, 0] - corners[0, 0, 0]]
    hearts = _frame([*columns, corners[1, 0, 0] - corners[0, 0, 0]], corners.flatten(0, 2).mean(0))
    probe = own_probe(scene)
    probes = _frame(list(probe.axes.double().unbind(1)), probe.origin.double())
    marks = [landmarks(scene.heart, a) for a in ACTIVATIONS]
    known = torch.stack([torch.stack([to_patient(scene, found[name]) for name in LANDMARKS]) for found in marks])
    return Poses(hearts[None], probes[None], known.double()[None])


def _frame(columns: Sequence[Tensor], origin: Tensor) -> Tensor:
    frame = torch.eye(4, dtype=torch.float64)
    frame[:3] = torch.stack((*columns, origin), 1)
    return frame


def sample_poses(
    n: int,
    folder: Path,
    *,
    cohort: Cohort = "train",
    seed: int = 0,
    group: Group | None = None,
    jobs: int | None = None,
) -> Poses:
    r"""Subjects 0 to `n` - 1 (of one `group`, or all), kept in `folder`; about 0.1 s of one core a subject."""
    how: dict[str, Any] = {"cohort": cohort, "seed": seed, "group": group, "jobs": jobs}
    return Poses(**kept_in_blocks(find_poses_block, n, folder, title="finding landmarks", **how))


def find_poses_block(indices: range, cohort: Cohort, seed: int, group: Group | None) -> dict[str, Tensor]:
    r"""What a file of `sample_poses` holds: the fields of :class:`Poses` of these subjects, one after another."""
    found = [find_poses(index, cohort, seed, group) for index in indices]
    return {key: torch.cat([getattr(one, key) for one in found]) for key in ("hearts", "probes", "landmarks")}
