r"""A NIfTI header under cross-examination: what it says twice must agree, what it says once must be possible.

Headers in the wild contradict themselves: ACDC's own files state 1 mm voxels in the s-form and the true ones elsewhere.
Each statement is held against the others and against the file's size. Where the rest decides, a warning names the
contradiction and the choice; where nothing does, the file is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cardiolearn.errors import InputError
from cardiolearn.imaging.files import warn
from cardiolearn.imaging.image import plausible_frame_duration
from cardiolearn.imaging.nifti_geometry import agreed_affine, check_spacing

_SECONDS = {8: 1.0, 16: 1e-3, 24: 1e-6, 0: 1.0}  # xyzt_units, bits 3 to 5; unknown units are taken for seconds
_MILLIMETRES = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}  # bits 0 to 2; unknown units are taken for millimetres
SIZES = {1: 348, 2: 540}  # bytes of a header by version
_MAGIC = {1: b"n+1", 2: b"n+2"}


@dataclass(frozen=True)
class NiftiHeader:
    r"""What is needed to read the voxels and to place them.

    Args:
        shape: `(X, Y, Z)` or `(X, Y, Z, T)`, as stored, without trailing axes of length one.
        stored: type of a voxel in the file, with its byte order.
        offset: bytes before the first voxel.
        scaling: `(slope, intercept)` of the values, None where they are stored as they are.
        affine: 4x4, `(x, y, z, 1)` to mm.
        frame_duration: seconds, None where unknown or for one frame.
    """

    shape: tuple[int, ...]
    stored: np.dtype[Any]
    offset: int
    scaling: tuple[float, float] | None
    affine: np.ndarray
    frame_duration: float | None

    @property
    def n_bytes(self) -> int:
        r"""Of all voxels."""
        return math.prod(self.shape) * self.stored.itemsize


def version_of(raw: bytes) -> int:
    r"""1 or 2, as the header's own size says; `InputError` where it is neither."""
    for version, size in SIZES.items():
        if int.from_bytes(raw[:4], "little") == size or int.from_bytes(raw[:4], "big") == size:
            return version
    raise InputError("expected a NIfTI image, got another or a damaged kind of file")


def examine(path: Path, raw: bytes) -> NiftiHeader:
    r"""What the header `raw` (348 or 540 bytes) says, where it makes sense.

    Warns (`InputWarning`, beginning with `path`) of a contradiction that the rest of the header decides.

    Raises:
        InputError: not the header of a single-file NIfTI image, colour or complex voxels, other than three or four
            axes, a field of impossible value, a contradiction that nothing decides.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # NaNs and absurd numbers are found where they matter
        return _examined(path, _fields(raw))


def _examined(path: Path, header: Any) -> NiftiHeader:
    shape, stored = _shape(header), _stored(header)
    if int(header["bitpix"]) != 8 * stored.itemsize:
        warn(path, f"bitpix says {int(header['bitpix'])} bits a voxel, datatype {stored.name}; the datatype is taken")
    space, time = _units(path, header)
    check_spacing(header["pixdim"][1:4].astype(float) * space)
    frames = shape[3] if len(shape) > 3 else 1
    duration = plausible_frame_duration(float(header["pixdim"][4]) * time) if frames > 1 else None
    affine = agreed_affine(header, space, shape[:3], lambda text: warn(path, text))
    return NiftiHeader(shape, stored, _offset(path, header), _scaling(path, header), affine, duration)


def _fields(raw: bytes) -> Any:
    r"""The header's fields by name, in this machine's or the other byte order."""
    import nibabel as nib

    version = version_of(raw)
    kind = nib.Nifti2Header if version == 2 else nib.Nifti1Header
    if len(raw) < SIZES[version]:
        raise InputError("expected a NIfTI image, got a file that ends within its header")
    order = "<" if int.from_bytes(raw[:4], "little") == SIZES[version] else ">"
    header = kind(raw, endianness=order, check=False)
    magic = bytes(header["magic"].tobytes())[:3]
    if magic in (b"ni1", b"ni2"):
        raise InputError("expected header and voxels in one NIfTI file, got the header of a pair (.hdr, .img)")
    if magic != _MAGIC[version] or (version == 2 and header["eol_check"].tolist() not in ([13, 10, 26, 10], [0] * 4)):
        raise InputError("expected a NIfTI image, got another or a damaged kind of file")
    return header


def _shape(header: Any) -> tuple[int, ...]:
    n_axes = int(header["dim"][0])
    if not 1 <= n_axes <= 7:
        raise InputError(f"expected a NIfTI image of 3 or 4 axes, got dim[0] = {n_axes}")
    shape = tuple(int(n) for n in header["dim"][1 : n_axes + 1])
    if min(shape) < 1:
        raise InputError(f"expected a non-empty image, got shape {shape}")
    if n_axes < 3:
        raise InputError(
            f"expected a 3D volume or a 4D cine, got a single 2D picture of shape {shape} without a slice axis"
        )
    if any(n != 1 for n in shape[4:]):
        raise InputError(f"expected a 3D volume or a 4D cine, got {n_axes} axes of shape {shape}")
    return shape[: 4 if shape[3:4] > (1,) else 3]


def _stored(header: Any) -> np.dtype[Any]:
    import nibabel as nib

    try:
        stored: np.dtype[Any] = header.get_data_dtype()
    except (nib.spatialimages.HeaderDataError, KeyError) as error:
        code = int(header["datatype"])
        raise InputError(f"expected a datatype of the NIfTI standard, got code {code}") from error
    if stored.kind not in "iuf" or stored.itemsize == 0:
        kind = {"c": "complex", "V": "colour"}.get(stored.kind, str(stored))
        raise InputError(f"expected one real number per voxel, got {kind} values")
    return stored


def _units(path: Path, header: Any) -> tuple[float, float]:
    r"""Millimetres and seconds per unit of the header."""
    code = int(header["xyzt_units"])
    space, time = code & 7, code & 56
    if space not in _MILLIMETRES or code not in range(64):
        warn(path, f"xyzt_units {code} is no unit of the NIfTI standard; lengths are taken for millimetres")
    return _MILLIMETRES.get(space, 1.0) if code in range(64) else 1.0, _SECONDS.get(time, math.nan)


def _offset(path: Path, header: Any) -> int:
    r"""Where the voxels begin; 0 is how some writers say "right after the header"."""
    offset, first = float(header["vox_offset"]), {348: 352, 540: 544}[int(header["sizeof_hdr"])]
    if offset == 0:
        warn(path, f"vox_offset is 0; the voxels are taken to follow the header, at byte {first}")
        return first
    if not (math.isfinite(offset) and offset >= first and offset % 1 == 0):
        raise InputError(f"expected a whole vox_offset from {first}, got {offset:g}")
    return int(offset)


def _scaling(path: Path, header: Any) -> tuple[float, float] | None:
    r"""Slope and intercept; a slope of 0 or NaN means none (NIfTI standard, and nibabel's way to say so)."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return None
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise InputError(f"expected finite scl_slope and scl_inter, got {slope:g} and {intercept:g}")
    if slope < 0:
        warn(path, f"scl_slope is {slope:g}: what is stored as bright becomes dark")
    return None if (slope, intercept) == (1.0, 0.0) else (slope, intercept)
