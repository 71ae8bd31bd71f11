r"""Whole hearts as volumes of tissue with their true labels, sampled once and kept; `volume_rendering.py` scans them.

The grid holds both ventricles of every subject whole, the outflow of the right one as well. Measured on
200 subjects (100 of either cohort, both moments): their labels span at most 144 x 116 x 144 mm (z, y, x), and on the
grid of 160 x 140 x 180 mm none touches an outermost voxel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cardiolearn.imaging.structures import RV_CAVITY
from cardiolearn.phantom.body.disease import Cohort, Group
from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.body.subject import sample_subject
from cardiolearn.phantom.cohorts.cache import kept_in_blocks

SHAPE = (64, 56, 72)  # voxels, (Z, Y, X)
SPACING = 2.5  # mm
FINE_SHAPE, FINE_SPACING = (80, 70, 90), 2.0  # the same extent in smaller voxels
ACTIVATIONS = (0.0, 1.0)  # end-diastole, end-systole
_COARSE = 6.0  # mm between the points on which the ventricles are looked for
_OFF, _TILT, _TURN = 2.0, 0.06, 0.15  # standard deviations of the grid's place (mm), tilt and turn (rad)
# Voxels, (y, x): where the tissue of four slices in turn is sampled, so that a thick slice mixes what a voxel holds. No
# thick slices are made of fine voxels: those are sampled in their middles.
_ASIDE = ((0.25, 0.25), (-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25))


@dataclass(frozen=True)
class VolumeMaps:
    r"""Tissue codes and labels `(N, 2, Z, Y, X)` (uint8) of N subjects at end-diastole and end-systole.

    Slices lie across the LV axis, from the base (the first) to the apex, and show the RV on the left and the anterior
    wall above. Labels are the truth: 1 LV cavity, 2 LV wall, 3 RV cavity, at the voxels' middles, `spacing` mm apart.
    """

    tissue: Tensor
    label: Tensor
    spacing: float = SPACING

    def __len__(self) -> int:
        return len(self.label)


def sample_volume(
    index: int, cohort: Cohort = "train", seed: int = 0, group: Group | None = None,
    device: torch.device | str = "cpu", *, fine: bool = False,
) -> VolumeMaps:  # fmt: skip
    r"""Subject `index` of a cohort, alone, on a grid planned around its ventricles as a technician would.

    Reproducible from the arguments; the grid is the same on every `device`, in voxels of 2.5 mm or in `fine` ones of 2.
    """
    subject = sample_subject(index, cohort=cohort, seed=seed, group=group)
    scene = Scene(subject, device)
    shape, spacing = (FINE_SHAPE, FINE_SPACING) if fine else (SHAPE, SPACING)
    points = planned_grid(scene, shape, spacing)
    seen = points if fine else points + _aside(points)
    tissue = torch.stack([found.tissue for found in scene.over(seen, ACTIVATIONS)])
    label = torch.stack([scene.labels_at(points, a) for a in ACTIVATIONS])
    return VolumeMaps(tissue[None], label.masked_fill(label > RV_CAVITY, 0)[None], spacing)


def _aside(points: Tensor) -> Tensor:
    # By how much (Z, 1, 1, 3) mm the tissue of each slice is sampled aside of the voxels' middles.
    share = points.new_tensor(_ASIDE).repeat(len(points) // len(_ASIDE), 1)[:, None, None]
    right, down = points[0, 0, 1] - points[0, 0, 0], points[0, 1, 0] - points[0, 0, 0]
    return share[..., 1:] * right + share[..., :1] * down


def planned_grid(scene: Scene, shape: Sequence[int], spacing: float) -> Tensor:
    r"""The middles `(Z, Y, X, 3)` of voxels around the ventricles, mm in the patient frame; always the same ones for a
    subject."""
    generator = torch.Generator().manual_seed((scene.subject.seed * 7 + 5) % 2**62)
    n = torch.randn(6, generator=generator, device="cpu").clamp(-2.0, 2.0).to(scene.device)
    local = _grid_axes(n[:3]) @ _steps(shape, spacing, scene.device)[..., None]
    local = local[..., 0] + _middle(scene) + _OFF * n[3:]
    return local @ scene.frame.T + scene.origin


def _steps(shape: Sequence[int], spacing: float, device: torch.device) -> Tensor:
    # Places of the voxels about the middle, (x, y, z) mm: columns to the right, rows down, slices towards the apex.
    axes = ((torch.arange(count, device=device) - 0.5 * (count - 1)) * spacing for count in shape)
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack((x, -y, z), -1)


def _grid_axes(n: Tensor) -> Tensor:
    # A small turn about the LV axis, then small tilts of it: (3, 3) in the heart frame.
    skew = torch.zeros((3, 3), device=n.device)
    for (i, j), angle in zip(((0, 1), (0, 2), (1, 2)), (_TURN, _TILT, _TILT), strict=True):
        skew[i, j], skew[j, i] = -angle * n[i + j - 1], angle * n[i + j - 1]
    return torch.linalg.matrix_exp(skew)


def _middle(scene: Scene) -> Tensor:
    # Half-way between the ventricles' outermost points at end-diastole (3,), heart frame, mm.
    reach = torch.arange(-108.0, 109.0, _COARSE, device=scene.device)
    places = torch.cartesian_prod(reach, reach, reach + 0.5 * scene.heart.height)
    label = scene.labels_at(places @ scene.frame.T + scene.origin, ACTIVATIONS[0])
    ventricles = places[(label > 0) & (label <= RV_CAVITY)]
    return 0.5 * (ventricles.amin(0) + ventricles.amax(0))


def sample_volume_maps(
    n: int,
    folder: Path,
    *,
    cohort: Cohort = "train",
    seed: int = 0,
    group: Group | None = None,
    jobs: int | None = None,
    fine: bool = False,
) -> VolumeMaps:
    r"""Subjects 0 to `n` - 1 (of one `group`, or all), kept in `folder` so that an interrupted call goes on.

    `jobs` processes (by default one for each core) share the work, 25 subjects to a file. About 0.7 s of one core and
    1.0 MB of memory a subject; twice as much for `fine` voxels, which want a folder of their own.
    """
    how: dict[str, Any] = {"cohort": cohort, "seed": seed, "group": group, "jobs": jobs}
    block = partial(sample_volume_block, fine=True) if fine else sample_volume_block
    found = kept_in_blocks(block, n, folder, title="sampling whole hearts", **how)
    return VolumeMaps(found["tissue"], found["label"], FINE_SPACING if fine else SPACING)


def sample_volume_block(
    indices: range, cohort: Cohort, seed: int, group: Group | None, *, fine: bool = False
) -> dict[str, Tensor]:
    r"""What a file of `sample_volume_maps` holds: `tissue` and `label` of these subjects, one after another."""
    maps = [sample_volume(index, cohort, seed, group, fine=fine) for index in indices]
    return {"tissue": torch.cat([m.tissue for m in maps]), "label": torch.cat([m.label for m in maps])}
