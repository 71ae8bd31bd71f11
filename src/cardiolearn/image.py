r"""Images with their place in space: the one thing that crosses module borders as "an image".

The tensor's axes are `(T, Z, Y, X)` or `(Z, Y, X)`; the affine maps voxel indices `(x, y, z, 1)`, x being the tensor's
*last* axis, to millimetres in the RAS+ frame (right, anterior, superior).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cardiolearn.errors import InputError
from cardiolearn.files import named, write_atomically
from cardiolearn.nifti import encode_nifti, read_nifti


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
    def n_frames(self) -> int:
        r"""Number of frames, 1 for a volume."""
        return int(self.data.shape[0]) if self.data.ndim == 4 else 1

    def frame(self, t: int) -> Image:
        r"""Frame `t` as a volume `(Z, Y, X)`; a volume is its own frame 0."""
        if not -self.n_frames <= t < self.n_frames:
            raise InputError(f"frame {t}: expected below {self.n_frames}")
        return Image(self.data[t] if self.data.ndim == 4 else self.data, self.affine)

    def with_data(self, data: torch.Tensor) -> Image:
        r"""Other values on the same grid: `data` keeps `(Z, Y, X)`, frames may come or go."""
        if data.shape[-3:] != self.data.shape[-3:]:
            raise InputError(f"image data: expected the grid {tuple(self.data.shape[-3:])}, got {tuple(data.shape)}")
        return replace(self, data=data, frame_duration=self.frame_duration if data.ndim == 4 else None)


def read_image(path: str | Path) -> Image:
    r"""Read a NIfTI file (`.nii`, `.nii.gz`) or a folder holding one DICOM cine series, as float32.

    A single frame comes back as `(Z, Y, X)`. Oblique affines are kept as they are.

    Raises:
        InputError: one line naming the file and what is wrong with it.
    """
    path = Path(path)
    with named(path):
        if path.is_dir():
            from cardiolearn.dicom import read_dicom_folder

            image = read_dicom_folder(path)
        else:
            values, affine, frame_duration = read_nifti(path, dtype=np.float32)
            image = Image(torch.from_numpy(np.ascontiguousarray(values)), affine, frame_duration)
        bad = int((~torch.isfinite(image.data)).sum())
        if bad:
            raise InputError(f"expected finite values, got {bad} NaN or infinite ones")
        return image


def read_labels(path: str | Path, allowed: Iterable[int] = range(6)) -> Image:
    r"""Read a NIfTI label map as uint8 (int64 where labels exceed 255), refusing labels that are not `allowed`."""
    path = Path(path)
    with named(path):
        values, affine, frame_duration = read_nifti(path)
        found = np.unique(values)
        unknown = sorted(set(found.tolist()) - set(allowed))
        if unknown:
            raise InputError(f"expected labels {sorted(set(allowed))}, got also {unknown[:5]}")
        dtype = np.uint8 if found.min() >= 0 and found.max() <= 255 else np.int64
        return Image(torch.from_numpy(np.ascontiguousarray(values, dtype=dtype)), affine, frame_duration)


def write_image(path: str | Path, image: Image, dtype: str | np.dtype[Any] | type | None = None) -> None:
    r"""Write NIfTI (`.nii`, `.nii.gz`), whole or not at all; sform and qform both hold the affine.

    Args:
        path: file in an existing folder.
        image: what to write.
        dtype: stored type; by default float32 for floating data, else the smallest integer type that holds the values.
            Integers are stored without scaling, so they come back as they were.

    Raises:
        InputError: values that `dtype` cannot hold, non-finite values, a folder that is missing or not writable.
    """
    path = Path(path)
    with named(path):
        if not path.name.endswith((".nii", ".nii.gz")):
            raise InputError("expected a name ending in .nii or .nii.gz")
        values = image.data.detach().cpu().numpy()
        content = encode_nifti(values, image.affine, image.frame_duration, dtype, compress=path.name.endswith(".gz"))
    write_atomically(path, content)


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


def reorient(image: Image, codes: str = "RAS") -> Image:
    r"""Permute and flip the axes so that x, y, z point as closely as possible along `codes`; no interpolation."""
    from nibabel import orientations as nio

    try:
        target = nio.axcodes2ornt(codes)
        transform = nio.ornt_transform(nio.io_orientation(image.affine), target)
    except (ValueError, KeyError) as error:
        raise InputError(f"orientation codes: expected three such as 'RAS', got {codes!r}") from error
    size = image.data.shape[-3:][::-1]
    affine = image.affine @ nio.inv_ornt_aff(transform, size)
    flipped = image.data.flip([-1 - axis for axis, (_, sign) in enumerate(transform) if sign < 0])
    order = np.argsort(transform[:, 0])  # new x, y, z axis <- old axis
    lead = image.data.ndim - 3
    spatial = [lead + 2 - int(axis) for axis in order[::-1]]
    return replace(image, data=flipped.permute(*range(lead), *spatial).contiguous(), affine=affine)


def crop_or_pad(image: Image, centre_mm: Sequence[float], shape: Sequence[int]) -> Image:
    r"""Cut out `shape` `(Z, Y, X)` whole voxels about a point `(x, y, z)` in mm, zeros where the image ends."""
    centre = (np.linalg.inv(image.affine) @ (*centre_mm, 1.0))[:3]
    wanted = np.asarray(shape)[::-1]
    start = np.floor(centre - (wanted - 1) / 2 + 0.5).astype(int)
    result = image.data.new_zeros((*image.data.shape[:-3], *shape))
    source: list[slice] = []
    target: list[slice] = []
    for first, n_wanted, n_here in zip(start[::-1], shape, image.data.shape[-3:], strict=True):
        low, high = max(int(first), 0), min(int(first) + n_wanted, n_here)
        high = max(low, high)
        source.append(slice(low, high))
        target.append(slice(low - int(first), high - int(first)))
    (tz, ty, tx), (sz, sy, sx) = target, source
    result[..., tz, ty, tx] = image.data[..., sz, sy, sx]
    affine = image.affine.copy()
    affine[:3, 3] = (image.affine @ (*start, 1.0))[:3]
    return replace(image, data=result, affine=affine)


def normalise(
    data: torch.Tensor, low: float = 1.0, high: float = 99.0, mask: torch.Tensor | None = None
) -> torch.Tensor:
    r"""Clip to the percentiles `low` and `high` (of the voxels in `mask`) and scale to [0, 1]; a new float tensor.

    A constant image becomes zeros. The input is never changed, unlike in the authors' `rescale_intensity`.

    Source: Bai et al. 2018, code `image_utils.rescale_intensity` (1st and 99th percentile).
    """
    chosen = data if mask is None else data[mask.expand_as(data).bool()]
    if chosen.numel() == 0:
        raise InputError("normalise: expected a mask with at least one voxel, got none")
    bottom, top = (float(p) for p in np.percentile(chosen.detach().cpu().numpy(), (low, high)))
    if top <= bottom:
        return torch.zeros_like(data, dtype=torch.float32)
    return ((data.float() - bottom) / (top - bottom)).clamp_(0, 1)
