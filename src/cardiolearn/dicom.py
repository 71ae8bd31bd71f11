r"""A folder with one DICOM cine series as an `Image`, placed by what the headers measure rather than by file order."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cardiolearn.errors import InputError
from cardiolearn.files import silenced
from cardiolearn.image import Image
from cardiolearn.nifti import plausible_frame_duration

_NEEDED = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "PixelData")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SAME_POSITION_MM = 0.1


def read_dicom_folder(folder: Path) -> Image:
    r"""Read every file of a folder as one series: `(T, Z, Y, X)`, a single frame as `(Z, Y, X)`, float32.

    Slices are ordered along the normal (row x column direction) by ImagePositionPatient, frames by TriggerTime, or by
    InstanceNumber where trigger times do not tell frames apart. The affine runs through the measured positions, so it
    is right whichever way the slices were numbered. Only pixels and geometry leave this function.

    Raises:
        InputError: one line naming the file or folder: no or unreadable DICOM, several series, mixed geometry, a
            missing slice or frame.
    """
    paths = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".") and p.name != "DICOMDIR")
    if not paths:
        raise InputError(f"{folder}: expected DICOM files, got a folder without files")
    with warnings.catch_warnings(), silenced("pydicom"):
        warnings.simplefilter("ignore")  # anonymised headers hold invalid dates and UIDs; none of them is used here
        return _assemble(folder, [(path, _read_file(path)) for path in paths])


def _read_file(path: Path) -> Any:
    import pydicom

    try:
        with pydicom.config.disable_value_validation():
            dataset = pydicom.dcmread(path)
    except PermissionError as error:
        raise InputError(f"{path}: no permission") from error
    except Exception as error:  # pydicom raises nearly anything on a damaged file
        raise InputError(f"{path}: expected a DICOM file, got another or a damaged kind of file") from error
    missing = [tag for tag in _NEEDED if tag not in dataset]
    if missing:
        raise InputError(f"{path}: expected a DICOM image with a position in space, it lacks {', '.join(missing)}")
    if int(dataset.get("NumberOfFrames") or 1) > 1 or int(dataset.get("SamplesPerPixel") or 1) > 1:
        raise InputError(f"{path}: expected one grey-scale frame per DICOM file, got a multi-frame or colour file")
    return dataset


def _assemble(folder: Path, files: list[tuple[Path, Any]]) -> Image:
    _check_one_series(folder, files)
    first = files[0][1]
    orientation = _numbers(files[0], "ImageOrientationPatient", 6)
    row, column = orientation[:3], orientation[3:]  # directions in which the column and the row index grow
    positions = np.stack([_numbers(file, "ImagePositionPatient", 3) for file in files])
    slices = _group_slices(positions @ np.cross(row, column))
    counts = sorted({len(members) for members in slices})
    if len(counts) > 1:
        raise InputError(f"{folder}: expected equally many frames for each slice, got {counts[0]} to {counts[-1]}")
    origins = np.stack([positions[members].mean(axis=0) for members in slices])
    slice_step = _slice_step(folder, origins, np.cross(row, column), first)
    slices = [_order_frames(folder, files, members) for members in slices]

    volume = np.stack([np.stack([_pixels(files[i]) for i in members]) for members in slices], axis=1)
    row_spacing, column_spacing = _numbers(files[0], "PixelSpacing", 2)
    affine = np.eye(4)
    affine[:3] = np.stack([row * column_spacing, column * row_spacing, slice_step, origins[0]], axis=1)
    data = torch.from_numpy(volume if len(volume) > 1 else volume[0])
    return Image(data, _LPS_TO_RAS @ affine, _frame_duration(files, slices) if len(volume) > 1 else None)


def _check_one_series(folder: Path, files: list[tuple[Path, Any]]) -> None:
    series = {str(dataset.get("SeriesInstanceUID", "")) for _, dataset in files}
    if len(series) > 1:
        raise InputError(f"{folder}: expected one DICOM series, got {len(series)}; put each into its own folder")
    for tag, size in (("ImageOrientationPatient", 6), ("PixelSpacing", 2), ("Rows", 1), ("Columns", 1)):
        expected = _numbers(files[0], tag, size)
        for file in files[1:]:
            found = _numbers(file, tag, size)
            if not np.allclose(found, expected, atol=1e-3):
                raise InputError(
                    f"{file[0]}: expected {tag} {expected.tolist()} as in {files[0][0].name}, "
                    f"got {found.tolist()}: mixed series"
                )
    orientation = _numbers(files[0], "ImageOrientationPatient", 6)
    row, column = orientation[:3], orientation[3:]
    if not np.allclose([row @ row, column @ column, row @ column], [1, 1, 0], atol=1e-2):
        raise InputError(
            f"{files[0][0]}: expected ImageOrientationPatient with two orthogonal unit vectors, "
            f"got {orientation.tolist()}"
        )
    if not (_numbers(files[0], "PixelSpacing", 2) > 0).all():
        raise InputError(f"{files[0][0]}: expected a positive PixelSpacing, got {files[0][1].PixelSpacing}")


def _group_slices(distances: np.ndarray) -> list[np.ndarray]:
    r"""Indices of the files of each slice, slices in ascending distance along the normal."""
    order = np.argsort(distances, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(distances[order]) > _SAME_POSITION_MM) + 1)


def _slice_step(folder: Path, origins: np.ndarray, normal: np.ndarray, first: Any) -> np.ndarray:
    r"""The vector from one slice to the next, in mm."""
    if len(origins) == 1:
        thickness = float(first.get("SliceThickness") or 0)
        if not thickness > 0:
            raise InputError(f"{folder}: expected a SliceThickness, as there is only one slice, got {thickness:g}")
        return normal * thickness
    steps = np.diff(origins, axis=0)
    typical = steps[np.argmin(np.linalg.norm(steps, axis=1))]  # a gap is a missing slice, however many there are
    worst = int(np.argmax(np.linalg.norm(steps - typical, axis=1)))
    if np.linalg.norm(steps[worst] - typical) > 0.1 * np.linalg.norm(typical):
        raise InputError(
            f"{folder}: expected slices {np.linalg.norm(typical):.2f} mm apart, got "
            f"{np.linalg.norm(steps[worst]):.2f} mm between slices {worst + 1} and {worst + 2} of "
            f"{len(origins)}: a slice is missing or out of line"
        )
    step: np.ndarray = (origins[-1] - origins[0]) / (len(origins) - 1)
    return step


def _order_frames(folder: Path, files: list[tuple[Path, Any]], members: np.ndarray) -> np.ndarray:
    r"""The files of one slice in the order of time."""
    for tag in ("TriggerTime", "InstanceNumber"):
        keys = [files[i][1].get(tag) for i in members]
        if None not in keys and len({float(k) for k in keys}) == len(keys):
            return members[np.argsort([float(k) for k in keys])]
    raise InputError(
        f"{folder}: expected one file for each slice and TriggerTime or InstanceNumber, "
        f"{files[members[0]][0].name} and others share both"
    )


def _pixels(file: tuple[Path, Any]) -> np.ndarray:
    path, dataset = file
    try:
        pixels = np.asarray(dataset.pixel_array, dtype=np.float32)
    except Exception as error:  # truncated pixels, or a compression no installed decoder knows
        raise InputError(f"{path}: its pixels cannot be decoded (truncated, or compressed)") from error
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    return pixels * np.float32(1 if slope is None else slope) + np.float32(0 if intercept is None else intercept)


def _frame_duration(files: list[tuple[Path, Any]], slices: Sequence[np.ndarray]) -> float | None:
    r"""Seconds between frames: the median step of the trigger times, else the RR interval over the frames."""
    times = np.array([[float(files[i][1].get("TriggerTime") or 0) for i in members] for members in slices])
    interval = float(files[0][1].get("NominalInterval") or 0) / times.shape[1]
    return plausible_frame_duration(float(np.median(np.diff(times, axis=1))) / 1e3) or plausible_frame_duration(
        interval / 1e3
    )


def _numbers(file: tuple[Path, Any], tag: str, size: int) -> np.ndarray:
    try:
        values = np.atleast_1d(np.asarray(file[1][tag].value, dtype=np.float64))
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.size != size or not np.isfinite(values).all():
        raise InputError(f"{file[0]}: expected {size} numbers in {tag}, got {str(file[1][tag].value)[:60]!r}")
    return values
