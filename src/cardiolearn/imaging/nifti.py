r"""NIfTI as plain numpy: what `reading.py` needs of the format, and the refusal of what is not an image of a heart."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from cardiolearn.errors import InputError
from cardiolearn.imaging.files import warn
from cardiolearn.imaging.nifti_header import SIZES, NiftiHeader, examine, version_of

_BEST_COMPRESSION = 1032  # zlib's: a smaller file cannot hold more
_PIECE = 2**24  # bytes at a time
_PADDING = 512  # bytes of zeros that some writers leave behind the voxels


def read_nifti(path: Path, as_float: bool) -> tuple[np.ndarray, np.ndarray, float | None]:
    r"""Values in tensor order `(T, Z, Y, X)` or `(Z, Y, X)`, affine in mm, frame duration in seconds.

    Nothing but the voxels is held in memory, and they once.

    Args:
        path: `.nii` or `.nii.gz`.
        as_float: float32; else the stored type, in this machine's byte order, and values with a scaling as float32.

    Raises:
        InputError: a header that makes no sense (see :func:`~cardiolearn.imaging.nifti_header.examine`), a file
            shorter or longer than its header says, a scaling that leaves nothing of the picture. OS and gzip errors
            pass through, to be named by `files.named`.
    """
    if not path.name.endswith((".nii", ".nii.gz")):
        path.stat()  # a missing file is a missing file, whatever its name
        raise InputError("expected a NIfTI file (.nii, .nii.gz), a DICOM file, or a folder with one DICOM cine")
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream = cast(IO[bytes], gzip.GzipFile(fileobj=file)) if packed else file
        start = stream.read(4)
        header = examine(path, start + stream.read(SIZES[version_of(start)] - 4))
        at_most = path.stat().st_size * (_BEST_COMPRESSION if packed else 1)
        values = _voxels(path, stream, header, at_most)
    if as_float or header.scaling:
        values = _as_float32(values, header.scaling)
    elif not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    return values.reshape(header.shape[::-1]), header.affine, header.frame_duration


def _voxels(path: Path, stream: IO[bytes], header: NiftiHeader, at_most: int) -> np.ndarray:
    r"""All voxels, flat; the file must hold these and no more."""
    said = f"expected {header.n_bytes // header.stored.itemsize} voxels of {header.stored.name} from byte"
    said += f" {header.offset}, as dim, datatype and vox_offset say"
    if header.offset + header.n_bytes > at_most:
        raise InputError(f"{said}, got a file that is too short")
    stream.seek(header.offset)
    values = np.empty(header.n_bytes // header.stored.itemsize, header.stored)
    if _fill(stream, values.data.cast("B")) < header.n_bytes:
        raise InputError(f"{said}, got a file that is too short")
    behind = stream.read(_PADDING + 1)  # reads to the end of a gzip stream, so that its checksum is looked at
    if len(behind) > _PADDING or behind.strip(b"\0"):
        while stream.read(_PIECE):  # a damaged gzip stream may yield too much; its checksum at the end says so
            pass
        raise InputError(f"{said}, got a file that is longer")
    if behind:
        warn(path, f"{len(behind)} zeros follow the voxels; they are taken for padding")
    return values


def _fill(stream: IO[bytes], buffer: memoryview) -> int:
    r"""Read until the buffer is full or the file ends; returns the bytes read."""
    done = 0
    while done < len(buffer):
        count = stream.readinto(buffer[done : done + _PIECE])  # type: ignore[attr-defined]
        if not count:
            break
        done += count
    return done


def _as_float32(values: np.ndarray, scaling: tuple[float, float] | None) -> np.ndarray:
    r"""`slope * values + intercept`; refused where single precision keeps less than a thousandth of the picture."""
    with np.errstate(over="ignore", invalid="ignore"):  # the caller refuses what is not finite
        scaled = values.astype(np.float32, copy=False)
        if scaling is None:
            return scaled
        slope, intercept = scaling
        span = abs(slope) * (float(scaled.max()) - float(scaled.min()))
        single = np.finfo(np.float32)
        if max(1e3 * single.eps * abs(intercept), 1e3 * single.tiny) > span > 0:
            raise InputError(f"expected a scaling that keeps the picture, got slope {slope:g}, intercept {intercept:g}")
        scaled *= np.float32(slope)
        scaled += np.float32(intercept)
    return scaled


def encode_nifti(
    values: np.ndarray, affine: np.ndarray, frame_duration: float | None, dtype: Any = None, compress: bool = True
) -> bytes:
    r"""The bytes of a NIfTI file for values in tensor order; sform and qform both hold the affine.

    The same image gives the same bytes: the gzip header carries no time.
    """
    stored = np.dtype(dtype) if dtype is not None else _smallest_dtype(values)
    _check_fits(values, stored)
    head = _header_bytes(values.shape, affine, frame_duration, stored)
    voxels = np.ascontiguousarray(values, stored).data.cast("B")
    if not compress:
        return b"".join((head, voxels))
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=3, mtime=0) as file:
        file.write(head)
        for start in range(0, len(voxels), _PIECE):
            file.write(voxels[start : start + _PIECE])
    return packed.getvalue()


def _header_bytes(
    shape: tuple[int, ...], affine: np.ndarray, frame_duration: float | None, stored: np.dtype[Any]
) -> bytes:
    import nibabel as nib

    nifti = nib.Nifti1Image(np.broadcast_to(np.zeros(1, stored), shape[::-1]), affine)  # no voxels are held for it
    header = nifti.header
    header.set_xyzt_units("mm", "sec")
    if len(shape) == 4:
        header["pixdim"][4] = frame_duration or 0.0
    nifti.set_sform(affine, code=1)
    nifti.set_qform(affine, code=1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    return header.binaryblock + bytes(4)  # no extensions follow


def _smallest_dtype(values: np.ndarray) -> np.dtype[Any]:
    if values.dtype.kind == "f":
        return np.dtype(np.float32)
    low, high = int(values.min()), int(values.max())
    for candidate in (np.uint8, np.int16, np.int32):
        if np.iinfo(candidate).min <= low and high <= np.iinfo(candidate).max:
            return np.dtype(candidate)
    raise InputError(f"expected integers within 32 bits, got {low} to {high}")


def _check_fits(values: np.ndarray, stored: np.dtype[Any]) -> None:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError("expected finite values to write, got NaN or infinite ones")
    if stored.kind in "iu":
        info = np.iinfo(stored)
        if values.min() < info.min or values.max() > info.max or (values.dtype.kind == "f" and (values % 1).any()):
            raise InputError(f"expected whole numbers within {stored}, got {values.min()} to {values.max()}")
    elif stored.kind != "f":
        raise InputError(f"expected an integer or floating type to store, got {stored}")
