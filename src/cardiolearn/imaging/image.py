r"""Images with their place in space: the one thing that crosses package borders as "an image".

The tensor's axes are `(T, Z, Y, X)` or `(Z, Y, X)`; the affine maps voxel indices `(x, y, z, 1)`, x being the tensor's
*last* axis, to millimetres in the RAS+ frame (right, anterior, superior).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from cardiolearn.errors import InputError

FRAME_DURATION_LIMITS_S = (0.002, 0.5)


def plausible_frame_duration(seconds: float) -> float | None:
    r"""`seconds` where it can be the time between two frames of a cine, else `None`: headers often hold nonsense."""
    low, high = FRAME_DURATION_LIMITS_S
    return float(seconds) if low <= seconds <= high else None


@dataclass(frozen=True, eq=False)
class Image:
    r"""A volume or a cine with its geometry.

    Args:
        data: `(T, Z, Y, X)` or `(Z, Y, X)`, any dtype.
        affine: 4x4, maps `(x, y, z, 1)` to mm (RAS+); kept as a read-only float64 copy.
        frame_duration: seconds between frames, `None` where unknown.

    Raises:
        InputError: wrong number of axes, an empty axis, an affine that is not finite or not invertible.

    >>> image = Image(torch.zeros(10, 64, 80), np.diag([1.8, 1.8, 10.0, 1.0]))
    >>> image.spacing, image.n_frames
    ((1.8, 1.8, 10.0), 1)
    """

    data: torch.Tensor
    affine: np.ndarray
    frame_duration: float | None = None

    def __post_init__(self) -> None:
        if self.data.ndim not in (3, 4) or self.data.numel() == 0:
            raise InputError(f"image data: expected non-empty (T, Z, Y, X) or (Z, Y, X), got {tuple(self.data.shape)}")
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or not np.allclose(affine[3], (0, 0, 0, 1)):
            raise InputError(f"image affine: expected finite 4x4 with last row 0 0 0 1, got {affine.tolist()}")
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        # The determinant of the unit directions: small voxels make no matrix singular, a lost axis does.
        if spacing.min() == 0 or abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-6:
            raise InputError(f"image affine: expected three independent directions, got {affine[:3, :3].tolist()}")
        if self.frame_duration is not None and not (math.isfinite(self.frame_duration) and self.frame_duration > 0):
            raise InputError(f"frame duration: expected positive seconds, got {self.frame_duration}")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        r"""Voxel size `(dx, dy, dz)` in mm."""
        dx, dy, dz = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(dx), float(dy), float(dz)

    @property
    def voxel_volume(self) -> float:
        r"""Volume of a voxel in mm^3; on a sheared grid it is less than the product of `spacing`."""
        return abs(float(np.linalg.det(self.affine[:3, :3])))

    @property
    def pixel_area(self) -> float:
        r"""Area of a pixel of a slice `(Y, X)` in mm^2; on a sheared grid it is less than the product of its sides."""
        return float(np.linalg.norm(np.cross(self.affine[:3, 0], self.affine[:3, 1])))

    @property
    def n_frames(self) -> int:
        r"""Number of frames, 1 for a volume."""
        return int(self.data.shape[0]) if self.data.ndim == 4 else 1

    def frame(self, t: int) -> Image:
        r"""Frame `t` as a volume `(Z, Y, X)`; a volume is its own frame 0."""
        if not -self.n_frames <= t < self.n_frames:
            raise InputError(f"frame {t}: expected below {self.n_frames}")
        return Image(self.data[t] if self.data.ndim == 4 else self.data, self.affine)

    def one_slice(self, z: int) -> Image:
        r"""Slice `z` alone, in its place: `(1, Y, X)`, of a cine `(T, 1, Y, X)`.

        Raises:
            InputError: there is no such slice.
        """
        if not 0 <= z < self.data.shape[-3]:
            raise InputError(f"slice {z}: expected 0 to {self.data.shape[-3] - 1}")
        affine = np.array(self.affine)
        affine[:, 3] = self.affine @ [0, 0, z, 1]
        return replace(self, data=self.data[..., z : z + 1, :, :], affine=affine)

    def with_data(self, data: torch.Tensor) -> Image:
        r"""Other values on the same grid: `data` keeps `(Z, Y, X)`, frames may come or go."""
        if data.shape[-3:] != self.data.shape[-3:]:
            raise InputError(f"image data: expected the grid {tuple(self.data.shape[-3:])}, got {tuple(data.shape)}")
        return replace(self, data=data, frame_duration=self.frame_duration if data.ndim == 4 else None)


def resample(image: Image, affine: np.ndarray, shape: Sequence[int], order: int = 1) -> Image:
    r"""Sample an image on another grid: trilinear (`order=1`) or nearest neighbour (`order=0`, keeps the dtype).

    A voxel is a box: within half a voxel of the outermost centres the edge value holds, beyond it is zero.

    Args:
        image: `(T, Z, Y, X)` or `(Z, Y, X)`.
        affine: of the new grid, 4x4 mm.
        shape: `(Z, Y, X)` of the new grid.
        order: 0 or 1.
    """
    if order not in (0, 1):
        raise InputError(f"order: expected 0 or 1, got {order}")
    device = image.data.device
    to_source = np.linalg.inv(image.affine) @ np.asarray(affine, dtype=np.float64)
    axes = [torch.arange(n, dtype=torch.float64, device=device) for n in shape]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    inside = torch.ones(tuple(shape), dtype=torch.bool, device=device)
    coordinates = []
    for row, size in zip(to_source[:3], reversed(image.data.shape[-3:]), strict=True):
        c = row[0] * x + row[1] * y + row[2] * z + row[3]
        inside &= (c >= -0.5 - 1e-6) & (c <= size - 0.5 + 1e-6)
        coordinates.append(c.clamp(0, size - 1))
    source = image.data if image.data.ndim == 4 else image.data[None]
    if order == 0:
        ix, iy, iz = (torch.floor(c + 0.5).long() for c in coordinates)
        values = source[:, iz, iy, ix]
    else:
        sizes = reversed(source.shape[-3:])
        unit = [2 * c / max(n - 1, 1) - 1 for c, n in zip(coordinates, sizes, strict=True)]  # grid_sample wants [-1, 1]
        grid = torch.stack(unit, dim=-1)[None].float()
        values = torch.nn.functional.grid_sample(
            source[None].float(), grid, mode="bilinear", padding_mode="border", align_corners=True
        )[0]
    values = values * inside
    return Image(values if image.data.ndim == 4 else values[0], affine, image.frame_duration)


def box_around(mask: torch.Tensor | np.ndarray, margin: Sequence[int]) -> tuple[slice, ...] | None:
    r"""The smallest box that holds a mask and `margin` voxels more on either side of each axis, within the array.

    None where the mask is empty. A margin as large as the array takes an axis whole.

    >>> box_around(torch.tensor([[0, 0, 0], [0, 1, 0], [0, 1, 0]]), margin=(0, 1))
    (slice(1, 3, None), slice(0, 3, None))
    """
    inside = mask.detach().cpu().numpy() if isinstance(mask, torch.Tensor) else mask
    box = []
    for axis, (size, extra) in enumerate(zip(inside.shape, margin, strict=True)):
        there = np.flatnonzero(inside.any(axis=tuple(a for a in range(inside.ndim) if a != axis)))
        if len(there) == 0:
            return None
        box.append(slice(max(0, int(there[0]) - extra), min(size, int(there[-1]) + extra + 1)))
    return tuple(box)
