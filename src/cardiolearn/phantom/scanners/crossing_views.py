r"""A long-axis picture brought onto the grid of a short-axis volume: what it shows, and where it shows anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.phantom.scanners.long_axis import THICKNESS, Plane
from cardiolearn.phantom.scanners.thick_slices import BREATH_HOLD

_PROFILE = (-1.0 / 3.0, 0.0, 1.0 / 3.0)  # of the thickness: where through the slice its signal is sampled
PLANE_REACH = 1.0  # mm: voxels nearer than this to the plane show it


@dataclass(frozen=True)
class Crossing:
    r"""A plane through a volume: a `point` on it and unit directions `right`, `down` `(3,)`, in mm along the tensor's
    axes `(z, y, x)` from the middle of the first voxel."""

    point: Tensor
    right: Tensor
    down: Tensor

    @property
    def normal(self) -> Tensor:
        return torch.linalg.cross(self.right, self.down)


def crossing(plane: Plane, affine: np.ndarray) -> Crossing:
    r"""`plane` of the patient frame as it lies in a volume with this `affine` (axes at right angles)."""
    matrix = torch.from_numpy(np.array(affine[:3])).float().to(plane.middle.device)
    axes = matrix[:, :3] / matrix[:, :3].norm(dim=0)
    point, right, down = plane.middle - matrix[:, 3], plane.right, plane.down
    return Crossing(*((vector @ axes).flip(0) for vector in (point, right, down)))


def long_axis_picture(
    volume: Tensor, spacing: Sequence[float], where: Crossing, generator: torch.Generator, *,
    breath_hold: float = BREATH_HOLD, noise: float = 0.02,
) -> Tensor:  # fmt: skip
    r"""What the plane `where` shows of `volume` `(Z, Y, X)`, on the volume's grid: `(2, Z, Y, X)`.

    The first channel holds the picture's signal near the plane and 0 elsewhere, the second 1 where there is a signal.

    Args:
        spacing: mm, `(dx, dy, dz)` as `Image.spacing`.
        generator: of the breath-hold and the noise, on the volume's device.
        breath_hold: standard deviation in mm of the picture's shift within its plane, along either axis.
        noise: standard deviation of its Rician noise, as a share of the volume's brightest signal.
    """
    steps = where.point.new_tensor(spacing).flip(0)
    axes = [torch.arange(n, device=volume.device) * s for n, s in zip(volume.shape, steps, strict=True)]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    away = (places - where.point) @ where.normal
    near = away.abs() < PLANE_REACH
    foot = places[near] - away[near][:, None] * where.normal
    shift = breath_hold * torch.randn(2, generator=generator, device=generator.device)
    foot = foot - shift[0] * where.right - shift[1] * where.down
    samples = foot + foot.new_tensor(_PROFILE)[:, None, None] * THICKNESS * where.normal
    signal = _sampled(volume, samples / steps).mean(0)
    grain = noise * volume.max() * torch.randn((2, len(signal)), generator=generator, device=generator.device)
    picture = torch.zeros((2, *volume.shape), device=volume.device)
    picture[0, near] = torch.hypot(signal + grain[0], grain[1])
    picture[1, near] = 1.0
    return picture


def _sampled(volume: Tensor, voxels: Tensor) -> Tensor:
    # The volume at fractional voxels (..., 3), (z, y, x); the border repeats.
    unit = (2.0 * voxels + 1.0) / voxels.new_tensor(volume.shape) - 1.0
    grid = unit.flip(-1).reshape(1, 1, 1, -1, 3)
    found = F.grid_sample(volume[None, None], grid, padding_mode="border", align_corners=False)
    return found.reshape(voxels.shape[:-1])
