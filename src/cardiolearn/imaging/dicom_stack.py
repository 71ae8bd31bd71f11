r"""DICOM pictures as one stack of slices, placed by what was measured; everything they say is held against the rest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from cardiolearn.errors import InputError
from cardiolearn.imaging.dicom_file import Picture
from cardiolearn.imaging.dicom_time import frame_duration, in_order_of_time
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.nifti_geometry import SPACING_LIMITS_MM

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SAME_POSITION_MM = 0.1
_WIDEST_MM = 1000.0
_FARTHEST_MM = 10_000.0  # from the scanner's centre
_THICKEST_MM = 30.0
_STEPS_IN_THICKNESS = (0.5, 3.0)  # slices that overlap by half, and gaps of twice their thickness
_EVEN = 0.02  # as far as volumes may be off in silence
_NEXT = "mixed series: put each into its own folder"


def stacked(folder: str, pictures: list[Picture], remarks: list[str]) -> Image:
    r"""The pictures as `(T, Z, Y, X)`, one frame as `(Z, Y, X)`; what was chosen on the way is added to `remarks`.

    Raises:
        InputError: one line naming the file or folder: mixed geometry, a missing slice or frame, places or times that
            contradict each other.
    """
    _check_alike(pictures)
    _check_plane(pictures[0], remarks)
    slices = _group_slices(pictures)
    _check_places(folder, slices)
    counts = sorted({len(members) for members in slices})
    if len(counts) > 1:
        raise InputError(f"{folder}: expected equally many frames for each slice, got {counts[0]} to {counts[-1]}")
    origins = np.stack([np.mean([p.position for p in members], axis=0) for members in slices])
    slice_step = _slice_step(folder, origins, pictures, remarks)
    slices = in_order_of_time(folder, slices, remarks)

    row, column = np.split(pictures[0].orientation, 2)
    row_spacing, column_spacing = pictures[0].spacing
    affine = np.eye(4)
    affine[:3] = np.stack([row * column_spacing, column * row_spacing, slice_step, origins[0]], axis=1)
    values = np.empty((counts[0], len(slices), *pictures[0].pixels.stored.shape), dtype=np.float32)
    for z, members in enumerate(slices):
        for t, picture in enumerate(members):
            values[t, z] = picture.pixels.grey()
    data = torch.from_numpy(values)
    if len(data) == 1:
        return Image(data[0], _LPS_TO_RAS @ affine)
    return Image(data, _LPS_TO_RAS @ affine, frame_duration(slices, remarks))


def _check_alike(pictures: list[Picture]) -> None:
    first = pictures[0]
    same: dict[str, Callable[[Picture], np.ndarray]] = {
        "ImageOrientationPatient": lambda p: p.orientation,
        "PixelSpacing": lambda p: p.spacing,
        "Rows and Columns": lambda p: np.array(p.pixels.stored.shape),
        "PixelRepresentation": lambda p: np.array(int(p.signed)),
        "a grey scale MONOCHROME": lambda p: np.array(1 if p.inverted else 2),
    }
    for p in pictures:
        if np.abs(p.position).max() > _FARTHEST_MM:
            raise InputError(f"{p.name}: expected ImagePositionPatient within {_FARTHEST_MM:g} mm, got {p.position}")
        for what, take in same.items():
            found, expected = take(p), take(first)
            if not np.allclose(found, expected, atol=1e-3):
                raise InputError(
                    f"{p.name}: expected {what} {expected.tolist()} as in {first.name}, got {found.tolist()}: {_NEXT}"
                )


def _check_plane(first: Picture, remarks: list[str]) -> None:
    row, column = np.split(first.orientation, 2)
    error = float(np.abs(np.array([row @ row - 1, column @ column - 1, row @ column])).max())
    if error > 1e-2:
        raise InputError(
            f"{first.name}: expected two orthogonal unit vectors in ImageOrientationPatient, got {row} {column}"
        )
    if error > 1e-3:
        remarks.append(f"ImageOrientationPatient is off orthogonal unit vectors by {error:.4f}; it was taken as it is")
    low, high = SPACING_LIMITS_MM
    size = first.spacing * first.pixels.stored.shape
    if not ((first.spacing >= low) & (first.spacing <= high) & (size <= _WIDEST_MM)).all():
        raise InputError(
            f"{first.name}: expected a PixelSpacing of {low:g} to {high:g} mm and a picture within {_WIDEST_MM:g} mm, "
            f"got {first.spacing.tolist()}"
        )
    if np.ptp(first.spacing) > _EVEN * first.spacing.min():  # scanners interpolate to square pixels
        remarks.append(f"PixelSpacing {first.spacing.tolist()} is not square; it was taken as it is")


def _group_slices(pictures: list[Picture]) -> list[list[Picture]]:
    r"""The pictures of each slice, slices in ascending distance along the normal."""
    distances = np.array([p.position @ pictures[0].normal for p in pictures])
    order = np.argsort(distances, kind="stable")
    borders = np.flatnonzero(np.diff(distances[order]) > _SAME_POSITION_MM) + 1
    return [[pictures[i] for i in members] for members in np.split(order, borders)]


def _check_places(folder: str, slices: list[list[Picture]]) -> None:
    r"""Pictures of one slice lie in one place, and are of one series."""
    for members in slices:
        other = next((p for p in members if p.series != members[0].series), None)
        if other:
            raise InputError(f"{folder}: {members[0].name} and {other.name} are of two series and in one place")
        for what, places in (
            ("ImagePositionPatient", np.stack([p.position for p in members])),
            ("SliceLocation", np.array([[p.slice_location] for p in members])),
        ):
            known = places[np.isfinite(places).all(axis=1)]
            spread = float(np.ptp(known, axis=0).max()) if len(known) else 0.0
            if spread > 2 * _SAME_POSITION_MM:
                raise InputError(
                    f"{folder}: expected one place for the {len(members)} pictures in the plane of {members[0].name}, "
                    f"got {what} that differ by {spread:.2f} mm"
                )


def _slice_step(folder: str, origins: np.ndarray, pictures: list[Picture], remarks: list[str]) -> np.ndarray:
    r"""The vector from one slice to the next, in mm."""
    thickness = _most_common("SliceThickness", [p.thickness for p in pictures], remarks)
    normal = pictures[0].normal
    if len(origins) == 1:
        low, high = SPACING_LIMITS_MM
        if not low <= thickness <= high:
            raise InputError(f"{folder}: expected a SliceThickness, as there is only one slice, got {thickness:g}")
        if thickness > _THICKEST_MM:
            remarks.append(f"a slice {thickness:g} mm thick; it was taken as it is")
        return normal * thickness
    step = _even_step(folder, origins, remarks)
    distance = float(step @ normal)
    aside = float(np.linalg.norm(step - distance * normal))
    if aside > 0.5 * distance:
        raise InputError(
            f"{folder}: expected slices in line, got steps of {distance:.2f} mm across and {aside:.2f} mm along them"
        )
    if aside > _EVEN * distance:
        remarks.append(f"each slice lies {aside:.2f} mm aside from the one before: the volume is sheared")
    low, high = (ratio * thickness for ratio in _STEPS_IN_THICKNESS)
    if thickness > 0 and not low <= distance <= high:
        remarks.append(
            f"ImagePositionPatient steps by {distance:.2f} mm, SliceThickness is {thickness:g}: positions taken"
        )
    said = _most_common("SpacingBetweenSlices", [p.slice_distance for p in pictures], remarks)
    # Some scanners write the gap instead of the distance.
    if said > 0 and min(abs(said - distance), abs(said + np.nan_to_num(thickness) - distance)) > _EVEN * distance:
        remarks.append(
            f"ImagePositionPatient steps by {distance:.2f} mm, SpacingBetweenSlices is {said:g}: positions taken"
        )
    return step


def _even_step(folder: str, origins: np.ndarray, remarks: list[str]) -> np.ndarray:
    steps = np.diff(origins, axis=0)
    typical = steps[np.argmin(np.linalg.norm(steps, axis=1))]  # a gap is a missing slice, however many there are
    errors = np.linalg.norm(steps - typical, axis=1)
    worst, length = int(np.argmax(errors)), float(np.linalg.norm(typical))
    if errors[worst] > 0.1 * length:
        raise InputError(
            f"{folder}: expected slices {length:.2f} mm apart, got {np.linalg.norm(steps[worst]):.2f} mm between "
            f"slices {worst + 1} and {worst + 2} of {len(origins)}: a slice is missing or out of line"
        )
    step: np.ndarray = (origins[-1] - origins[0]) / (len(origins) - 1)
    if errors[worst] > _EVEN * length:
        remarks.append(
            f"steps between slices differ by {errors[worst]:.2f} mm: {np.linalg.norm(step):.2f} mm taken for all"
        )
    return step


def _most_common(keyword: str, values: list[float], remarks: list[str]) -> float:
    r"""The value that most pictures give, with a remark where some give another; NaN where none gives any."""
    known = np.array([v for v in values if np.isfinite(v)])
    if known.size == 0:
        return float("nan")
    found, counts = np.unique(known, return_counts=True)
    common = float(found[np.argmax(counts)])
    if len(known) < len(values) or np.ptp(found) > _EVEN * abs(common):
        remarks.append(f"{keyword} is not the same in all pictures; {common:g} was taken")
    return common
