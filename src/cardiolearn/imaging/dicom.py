r"""A folder with one DICOM cine series as an `Image`, placed by what the headers measure rather than by file order."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cardiolearn.errors import InputError
from cardiolearn.imaging.files import silenced
from cardiolearn.imaging.image import Image, plausible_frame_duration

_NEEDED = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "PixelData")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SAME_POSITION_MM = 0.1


@dataclass(frozen=True)
class _Picture:
    r"""What is taken from one file; nothing that says whose it is. Optional numbers are NaN where absent."""

    path: Path
    series: str
    position: np.ndarray  # (3,) of the first pixel, mm in LPS
    orientation: np.ndarray  # (6,) directions in which the column and the row index grow, LPS
    spacing: np.ndarray  # (2,) between rows, between columns, mm
    pixels: np.ndarray  # (Y, X), rescaled
    thickness: float
    trigger_time: float
    instance: float
    rr_interval: float

    @property
    def normal(self) -> np.ndarray:
        return np.cross(self.orientation[:3], self.orientation[3:])


def read_dicom_folder(folder: Path) -> Image:
    r"""Read every file of a folder as one series: `(T, Z, Y, X)`, a single frame as `(Z, Y, X)`, float32.

    Slices are ordered along the normal (row x column direction) by ImagePositionPatient, frames by TriggerTime, or by
    InstanceNumber where trigger times do not tell frames apart. The affine runs through the measured positions, so it
    is right whichever way the slices were numbered. Hidden files, a DICOMDIR and folders inside are passed over.

    Raises:
        InputError: one line naming the file or folder: no or unreadable DICOM, several series, mixed geometry, a
            missing slice or frame.
    """
    paths = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".") and p.name != "DICOMDIR")
    if not paths:
        raise InputError(f"{folder}: expected DICOM files, got a folder without files")
    pictures = [_read_file(path) for path in paths]
    _check_one_series(folder, pictures)
    slices = _group_slices(pictures)
    counts = sorted({len(members) for members in slices})
    if len(counts) > 1:
        raise InputError(f"{folder}: expected equally many frames for each slice, got {counts[0]} to {counts[-1]}")
    origins = np.stack([np.mean([p.position for p in members], axis=0) for members in slices])
    slice_step = _slice_step(folder, origins, pictures[0])
    slices = [_order_frames(folder, members) for members in slices]

    row, column = np.split(pictures[0].orientation, 2)
    row_spacing, column_spacing = pictures[0].spacing
    affine = np.eye(4)
    affine[:3] = np.stack([row * column_spacing, column * row_spacing, slice_step, origins[0]], axis=1)
    volume = torch.from_numpy(np.stack([np.stack([p.pixels for p in members]) for members in slices], axis=1))
    one_frame = len(volume) == 1
    return Image(volume[0] if one_frame else volume, _LPS_TO_RAS @ affine, None if one_frame else _duration(slices))


def _read_file(path: Path) -> _Picture:
    import pydicom

    # Anonymised headers hold invalid dates and UIDs, of which a strict reader complains; none of them is used here.
    with warnings.catch_warnings(), silenced("pydicom"), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        try:
            return _take(path, pydicom.dcmread(path))
        except (InputError, PermissionError):
            raise
        except Exception as error:  # pydicom raises nearly anything on a damaged file
            raise InputError(f"{path}: expected a DICOM file, got another or a damaged kind of file") from error


def _take(path: Path, dataset: Any) -> _Picture:
    missing = [tag for tag in _NEEDED if tag not in dataset]
    if missing:
        raise InputError(f"{path}: expected a DICOM image with a position in space, it lacks {', '.join(missing)}")
    if _number(dataset, "NumberOfFrames") > 1 or _number(dataset, "SamplesPerPixel") > 1:
        raise InputError(f"{path}: expected one grey-scale frame per DICOM file, got a multi-frame or colour file")
    return _Picture(
        path,
        str(dataset.get("SeriesInstanceUID", "")),
        _vector(path, dataset, "ImagePositionPatient", 3),
        _vector(path, dataset, "ImageOrientationPatient", 6),
        _vector(path, dataset, "PixelSpacing", 2),
        _pixels(path, dataset),
        *(_number(dataset, tag) for tag in ("SliceThickness", "TriggerTime", "InstanceNumber", "NominalInterval")),
    )


def _pixels(path: Path, dataset: Any) -> np.ndarray:
    try:
        pixels = np.asarray(dataset.pixel_array, dtype=np.float32)
    except Exception as error:  # truncated pixels, or a compression no installed decoder knows
        raise InputError(f"{path}: its pixels cannot be decoded (truncated, or compressed)") from error
    slope = _number(dataset, "RescaleSlope") if "RescaleSlope" in dataset else 1.0
    intercept = _number(dataset, "RescaleIntercept") if "RescaleIntercept" in dataset else 0.0
    return pixels * np.float32(slope) + np.float32(intercept)


def _number(dataset: Any, tag: str) -> float:
    try:
        return float(dataset[tag].value)
    except (KeyError, TypeError, ValueError):
        return math.nan


def _vector(path: Path, dataset: Any, tag: str, size: int) -> np.ndarray:
    try:
        values = np.array([float(v) for v in dataset[tag].value])
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.size != size or not np.isfinite(values).all():
        raise InputError(f"{path}: expected {size} finite numbers in {tag}, got {values.tolist()}")
    return values


def _check_one_series(folder: Path, pictures: list[_Picture]) -> None:
    n_series = len({p.series for p in pictures})
    if n_series > 1:
        raise InputError(f"{folder}: expected one DICOM series, got {n_series}; put each into its own folder")
    first = pictures[0]
    for p in pictures:
        for what, found, expected in (
            ("ImageOrientationPatient", p.orientation, first.orientation),
            ("PixelSpacing", p.spacing, first.spacing),
            ("rows and columns", np.array(p.pixels.shape), np.array(first.pixels.shape)),
        ):
            if found.shape != expected.shape or not np.allclose(found, expected, atol=1e-3):
                raise InputError(
                    f"{p.path}: expected {what} {expected.tolist()} as in {first.path.name}, got {found.tolist()}: "
                    "mixed series"
                )
    row, column = np.split(first.orientation, 2)
    if not np.allclose([row @ row, column @ column, row @ column], [1, 1, 0], atol=1e-2):
        raise InputError(
            f"{first.path}: expected two orthogonal unit vectors in ImageOrientationPatient, got {row} {column}"
        )
    if not (first.spacing > 0).all():
        raise InputError(f"{first.path}: expected a positive PixelSpacing, got {first.spacing.tolist()}")


def _group_slices(pictures: list[_Picture]) -> list[list[_Picture]]:
    r"""The pictures of each slice, slices in ascending distance along the normal."""
    distances = np.array([p.position @ pictures[0].normal for p in pictures])
    order = np.argsort(distances, kind="stable")
    borders = np.flatnonzero(np.diff(distances[order]) > _SAME_POSITION_MM) + 1
    return [[pictures[i] for i in members] for members in np.split(order, borders)]


def _slice_step(folder: Path, origins: np.ndarray, first: _Picture) -> np.ndarray:
    r"""The vector from one slice to the next, in mm."""
    if len(origins) == 1:
        if not first.thickness > 0:
            raise InputError(
                f"{folder}: expected a SliceThickness, as there is only one slice, got {first.thickness:g}"
            )
        return first.normal * first.thickness
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


def _order_frames(folder: Path, members: list[_Picture]) -> list[_Picture]:
    r"""The pictures of one slice in the order of time."""
    for keys in ([p.trigger_time for p in members], [p.instance for p in members]):
        if np.isfinite(keys).all() and len(set(keys)) == len(keys):
            return [members[i] for i in np.argsort(keys)]
    if len(members) == 1:
        return members
    raise InputError(
        f"{folder}: expected one file for each slice and TriggerTime or InstanceNumber, "
        f"{members[0].path.name} and others share both"
    )


def _duration(slices: list[list[_Picture]]) -> float | None:
    r"""Seconds between frames: the median step of the trigger times, else the RR interval over the frames."""
    steps = np.diff([[p.trigger_time for p in members] for members in slices], axis=1)
    interval = slices[0][0].rr_interval / len(slices[0])
    return plausible_frame_duration(float(np.median(steps)) / 1e3) or plausible_frame_duration(interval / 1e3)
