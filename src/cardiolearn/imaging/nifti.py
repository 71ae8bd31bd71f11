r"""NIfTI as plain numpy: what `image.py` needs of the format, and the refusal of what is not an image of a heart."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from cardiolearn.errors import InputError
from cardiolearn.imaging.files import silenced

SPACING_LIMITS_MM = (0.01, 100.0)
FRAME_DURATION_LIMITS_S = (0.002, 0.5)
_SECONDS = {"sec": 1.0, "unknown": 1.0, "msec": 1e-3, "usec": 1e-6}
_MILLIMETRES = {"mm": 1.0, "unknown": 1.0, "meter": 1e3, "micron": 1e-3}


def plausible_frame_duration(seconds: float) -> float | None:
    r"""`seconds` where it can be the time between two frames of a cine, else `None`: headers often hold nonsense."""
    low, high = FRAME_DURATION_LIMITS_S
    return float(seconds) if low <= seconds <= high else None


def read_nifti(path: Path, dtype: Any = None) -> tuple[np.ndarray, np.ndarray, float | None]:
    r"""Values in tensor order `(T, Z, Y, X)` or `(Z, Y, X)`, affine in mm, frame duration in seconds.

    Args:
        path: `.nii` or `.nii.gz`.
        dtype: floating type of the values, `None` for the stored type (labels).

    Raises:
        InputError: not a NIfTI file, colour or complex, 2D, empty, spacing that is zero, negative or absurd. OS and
            gzip errors pass through, to be named by `files.named`.
    """
    if not path.name.endswith((".nii", ".nii.gz")):
        path.stat()  # a missing file is a missing file, whatever its name
        raise InputError("expected a NIfTI file (.nii, .nii.gz) or a folder with one DICOM series")
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)  # the whole stream, so that its checksum is looked at
    nifti = _parse(raw)
    stored = nifti.get_data_dtype()
    if stored.kind not in "iuf":
        kind = {"c": "complex", "V": "colour"}.get(stored.kind, str(stored))
        raise InputError(f"expected one real number per voxel, got {kind} values")
    shape = nifti.shape
    if len(shape) < 3:
        raise InputError(
            f"expected a 3D volume or a 4D cine, got a single 2D picture of shape {shape} without a slice axis"
        )
    if 0 in shape:
        raise InputError(f"expected a non-empty image, got shape {shape}")
    if any(n != 1 for n in shape[4:]):
        raise InputError(f"expected a 3D volume or a 4D cine, got {len(shape)} axes of shape {shape}")
    space, time = _units(nifti.header)
    _check_spacing(type(nifti.header)(raw[: type(nifti.header).sizeof_hdr], check=False)["pixdim"][1:4] * space)
    affine = np.diag([space] * 3 + [1.0]) @ np.asarray(nifti.affine, dtype=np.float64)
    _check_spacing(np.linalg.norm(affine[:3, :3], axis=0))
    frames = shape[3] if len(shape) > 3 else 1
    step = float(nifti.header["pixdim"][4]) * time
    with np.errstate(over="ignore", invalid="ignore"):  # the caller refuses what is not finite
        try:
            values = nifti.get_fdata(dtype=dtype, caching="unchanged") if dtype else np.asanyarray(nifti.dataobj)
        except (ValueError, OverflowError, OSError) as error:
            raise InputError(f"expected {np.prod(shape)} voxels of {stored}, got a file that is too short") from error
    values = values.reshape(*shape[:3], *([frames] if frames > 1 else []))
    return values.T, affine, plausible_frame_duration(step) if frames > 1 else None


def encode_nifti(
    values: np.ndarray, affine: np.ndarray, frame_duration: float | None, dtype: Any = None, compress: bool = True
) -> bytes:
    r"""The bytes of a NIfTI file for values in tensor order; sform and qform both hold the affine.

    The same image gives the same bytes: the gzip header carries no time.
    """
    import nibabel as nib

    stored = np.dtype(dtype) if dtype is not None else _smallest_dtype(values)
    _check_fits(values, stored)
    nifti = nib.Nifti1Image(values.astype(stored).T, affine)
    nifti.header.set_xyzt_units("mm", "sec")
    if values.ndim == 4:
        nifti.header["pixdim"][4] = frame_duration or 0.0
    nifti.set_sform(affine, code=1)
    nifti.set_qform(affine, code=1)
    raw: bytes = nifti.to_bytes()
    return gzip.compress(raw, 3, mtime=0) if compress else raw


def _parse(raw: bytes) -> Any:
    r"""A NIfTI-1 or NIfTI-2 image; the header's own size tells which."""
    import nibabel as nib

    kind = nib.Nifti2Image if raw[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") else nib.Nifti1Image
    damaged = (nib.filebasedimages.ImageFileError, nib.wrapstruct.WrapStructError, nib.spatialimages.HeaderDataError)
    try:
        with silenced("nibabel.global"):
            return kind.from_bytes(raw)
    except (*damaged, ValueError, TypeError) as error:
        raise InputError("expected a NIfTI image, got another or a damaged kind of file") from error


def _units(header: Any) -> tuple[float, float]:
    r"""Millimetres and seconds per unit of the header; unknown units are taken for these."""
    try:
        space, time = header.get_xyzt_units()
    except KeyError:
        return 1.0, 1.0
    return _MILLIMETRES[space], _SECONDS.get(time, np.nan)


def _check_spacing(spacing: np.ndarray) -> None:
    low, high = SPACING_LIMITS_MM
    if not all(low <= s <= high for s in spacing):
        raise InputError(
            f"expected a voxel spacing of {low:g} to {high:g} mm, got {[round(float(s), 6) for s in spacing]}"
        )


def _smallest_dtype(values: np.ndarray) -> np.dtype[Any]:
    if values.dtype.kind == "f":
        return np.dtype(np.float32)
    low, high = int(values.min()), int(values.max())
    for candidate in (np.uint8, np.int16, np.int32):
        if np.iinfo(candidate).min <= low and high <= np.iinfo(candidate).max:
            return np.dtype(candidate)
    raise InputError(f"expected integers within 32 bits, got {low} to {high}")


def _check_fits(values: np.ndarray, stored: np.dtype[Any]) -> None:
    if not np.isfinite(values).all():
        raise InputError("expected finite values to write, got NaN or infinite ones")
    if stored.kind in "iu":
        info = np.iinfo(stored)
        if values.min() < info.min or values.max() > info.max or (values.dtype.kind == "f" and (values % 1).any()):
            raise InputError(f"expected whole numbers within {stored}, got {values.min()} to {values.max()}")
    elif stored.kind != "f":
        raise InputError(f"expected an integer or floating type to store, got {stored}")
