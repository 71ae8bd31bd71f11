r"""A path to an `Image` and back: the only room that knows which formats there are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cardiolearn.errors import InputError
from cardiolearn.imaging.dicom import read_dicom
from cardiolearn.imaging.dicom_file import is_dicom
from cardiolearn.imaging.files import named, warn, write_atomically
from cardiolearn.imaging.frames import are_frames, check_axes
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.nifti import encode_nifti, read_nifti


def read_image(path: str | Path, as_float: bool = True) -> Image:
    r"""Read a NIfTI file (`.nii`, `.nii.gz`) or a DICOM cine, a folder or one file, as float32.

    A single frame comes back as `(Z, Y, X)`. Oblique affines are kept as they are. With `as_float=False` whole numbers
    of a NIfTI file keep their type where torch can compute with it: half the memory of a large cine.

    Warns (`InputWarning`) where the file contradicts itself and the rest of it decides.

    Raises:
        InputError: one line naming the file and what is wrong with it.
    """
    path = Path(path)
    with named(path):
        image = read_dicom(path) if _looks_like_dicom(path) else _read_pictures(path, as_float)
        if bad := sum(int((~torch.isfinite(part)).sum()) for part in image.data if part.is_floating_point()):
            raise InputError(f"expected finite values, got {bad} NaN or infinite ones")
        return image


def _looks_like_dicom(path: Path) -> bool:
    return path.is_dir() or (path.is_file() and not path.name.endswith((".nii", ".nii.gz")) and is_dicom(path))


def _read_pictures(path: Path, as_float: bool) -> Image:
    r"""A NIfTI image; the frames of one slice that are stored as slices become what they are, with a warning."""
    values, affine, frame_duration = read_nifti(path, as_float)
    if values.dtype not in (np.uint8, np.int8, np.int16, np.int32):
        values = values.astype(np.float32, copy=False)
    if values.ndim == 4:
        check_axes(values)
    elif are_frames(values):
        warn(path, f"its {len(values)} slices follow each other like frames of a film; read as a cine of one slice")
        values = values[:, None]
    return Image(torch.from_numpy(values), affine, frame_duration)


def read_labels(path: str | Path, allowed: Iterable[int] = range(6)) -> Image:
    r"""Read a NIfTI label map as uint8 (int64 where labels exceed 255), refusing labels that are not `allowed`."""
    path = Path(path)
    with named(path):
        values, affine, frame_duration = read_nifti(path, as_float=False)
        found = np.unique(values)
        unknown = sorted(set(found.tolist()) - set(allowed))
        if unknown:
            raise InputError(f"expected labels {sorted(set(allowed))}, got also {unknown[:5]}")
        dtype = np.uint8 if found.min() >= 0 and found.max() <= 255 else np.int64
        return Image(torch.from_numpy(values.astype(dtype, copy=False)), affine, frame_duration)


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


def nifti_bytes(image: Image) -> bytes:
    r"""An image as an uncompressed NIfTI file in memory, for a viewer."""
    return encode_nifti(image.data.detach().cpu().numpy(), image.affine, None, compress=False)
