r"""Whole hearts as volumes of tissue with their true labels, sampled once and kept; `volume_rendering.py` scans them.

The grid holds both ventricles of every subject whole, the outflow of the right one as well. Measured on
200 subjects (100 of either cohort, both moments): their labels span at most 144 x 116 x 144 mm (z, y, x), and on the
grid of 160 x 140 x 180 mm none touches an outermost voxel.
"""

from __future__ import annotations

from dataclasses import dataclass
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
ACTIVATIONS = (0.0, 1.0)  # end-diastole, end-systole
_COARSE = 6.0  # mm between the points on which the ventricles are looked for
_OFF, _TILT, _TURN = 2.0, 0.06, 0.15  # standard deviations of the grid's place (mm), tilt and turn (rad)
# Voxels, (y, x): where the tissue of four slices in turn is sampled, so that a thick slice mixes what a voxel holds.
_ASIDE = ((0.25, 0.25), (-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25))


@dataclass(frozen=True)
class VolumeMaps:
    r"""Tissue codes and labels `(N, 2, Z, Y, X)` (uint8) of N subjects at end-diastole and end-systole.

    Slices lie across the LV axis, from the base (the first) to the apex, and show the RV on the left and the anterior
    wall above. Labels are the truth: 1 LV cavity, 2 LV wall, 3 RV cavity, at the voxels' middles.
    """

    tissue: Tensor
    label: Tensor

    def __len__(self) -> int:
        return len(self.label)


def sample_volume(
    index: int, cohort: Cohort = "train", seed: int = 0, group: Group | None = None, device: torch.device | str = "cpu"
) -> VolumeMaps:
    r"""Subject `index` of a cohort, alone, on a grid planned around its ventricles as a technician would.

    Reproducible from the arguments; the grid is the same on every `device`.
    """
    subject = sample_subject(index, cohort=cohort, seed=seed, group=group)
    scene = Scene(subject, device)
    points = _grid(scene, torch.Generator().manual_seed((subject.seed * 7 + 5) % 2**62))
    aside = points.new_tensor(_ASIDE).repeat(SHAPE[0] // len(_ASIDE), 1)[:, None, None] * SPACING
    right, down = points[0, 0, 1] - points[0, 0, 0], points[0, 1, 0] - points[0, 0, 0]
    offsets = (aside[..., 1:] * right + aside[..., :1] * down) / SPACING
    tissue = torch.stack([found.tissue for found in scene.over(points + offsets, ACTIVATIONS)])
    label = torch.stack([scene.labels_at(points, a) for a in ACTIVATIONS])
    return VolumeMaps(tissue[None], label.masked_fill(label > RV_CAVITY, 0)[None])


def _grid(scene: Scene, generator: torch.Generator) -> Tensor:
    # The voxels' middles (Z, Y, X, 3) in mm, patient frame.
    n = torch.randn(6, generator=generator, device="cpu").clamp(-2.0, 2.0).to(scene.device)
    local = _grid_axes(n[:3]) @ _steps(scene.device)[..., None]
    local = local[..., 0] + _middle(scene) + _OFF * n[3:]
    return local @ scene.frame.T + scene.origin


def _steps(device: torch.device) -> Tensor:
    # Places of the voxels about the middle, (x, y, z) mm: columns to the right, rows down, slices towards the apex.
    axes = ((torch.arange(count, device=device) - 0.5 * (count - 1)) * SPACING for count in SHAPE)
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
) -> VolumeMaps:
    r"""Subjects 0 to `n` - 1 (of one `group`, or all), kept in `folder` so that an interrupted call goes on.

    `jobs` processes (by default one for each core) share the work, 25 subjects to a file. About 0.7 s of one core and
    1.0 MB of memory a subject.
    """
    how: dict[str, Any] = {"cohort": cohort, "seed": seed, "group": group, "jobs": jobs}
    found = kept_in_blocks(sample_volume_block, n, folder, title="sampling whole hearts", **how)
    return VolumeMaps(found["tissue"], found["label"])


def sample_volume_block(indices: range, cohort: Cohort, seed: int, group: Group | None) -> dict[str, Tensor]:
    r"""What a file of `sample_volume_maps` holds: `tissue` and `label` of these subjects, one after another."""
    maps = [sample_volume(index, cohort, seed, group) for index in indices]
    return {"tissue": torch.cat([m.tissue for m in maps]), "label": torch.cat([m.label for m in maps])}
