r"""A folder with one DICOM cine as an `Image`, placed by what the headers measure rather than by file order."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

from cardiolearn.errors import InputError
from cardiolearn.imaging.dicom_file import Picture, is_dicom, read_pictures
from cardiolearn.imaging.dicom_stack import stacked
from cardiolearn.imaging.files import warn
from cardiolearn.imaging.image import Image

_LISTED = 6
_LOOKED_AT = 2000


def read_dicom(folder: Path) -> Image:
    r"""Read a DICOM file, or all in a folder, as one stack: `(T, Z, Y, X)`, a single frame as `(Z, Y, X)`, float32.

    A file holds one picture, or many (Enhanced MR). Slices are ordered along the normal (row x column direction) by
    ImagePositionPatient, frames by TriggerTime, or by InstanceNumber where trigger times do not tell frames apart. The
    affine runs through the measured positions, so it is right whichever way the slices were numbered. Several series
    are one stack where each holds slices of its own and together they are evenly spaced. Of magnitude and phase
    pictures the magnitude ones are taken. Hidden files, a DICOMDIR and folders inside are passed over.

    Warns:
        InputWarning: one line for each thing that the files contradict themselves in, or that is unusual, and what was
            chosen.

    Raises:
        InputError: one line naming the file or folder: no or unreadable DICOM, series that are no single stack, mixed
            geometry, a missing slice or frame, pixels whose meaning is not known.
    """
    remarks: list[str] = []
    paths = _dicom_files(folder, remarks)
    pictures = [picture for path in paths for picture in read_pictures(path)]
    if len({p.study for p in pictures}) > 1:
        raise InputError(f"{folder}: expected pictures of one study, got several: put each into its own folder")
    pictures = _magnitude(folder, pictures, remarks)
    n_pictures = Counter(remark for picture in pictures for remark in picture.remarks)
    remarks += [f"{remark} (in {n} of {len(pictures)} pictures)" for remark, n in n_pictures.items()]
    remarks += _different_rescaling(pictures)
    image = _one_stack(folder, pictures, remarks)
    for remark in dict.fromkeys(remarks):
        warn(folder, remark)
    return image


def _dicom_files(folder: Path, remarks: list[str]) -> list[Path]:
    if folder.is_file():
        return [folder]
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".") and not _is_directory(p))
    found = [p for p in files if is_dicom(p)]
    if found:
        others = [p for p in files if p not in set(found)]
        if others:
            remarks.append(f"{len(others)} files that are no DICOM were passed over, among them {others[0].name}")
        return found
    inside = _folders_inside(folder)
    if inside:
        raise InputError(f"{folder}: expected DICOM files, they lie in folders inside it; name one of them: {inside}")
    if files:
        raise InputError(f"{files[0]}: expected a DICOM file, got another kind of file")
    raise InputError(f"{folder}: expected DICOM files, got a folder without files")


def _is_directory(path: Path) -> bool:
    r"""Is it the list of contents of an exported disc?"""
    return path.name.upper() == "DICOMDIR"


def _folders_inside(folder: Path) -> str:
    r"""Names of folders below this one that hold DICOM files; the folder may be a whole archive."""
    below = (p for p in folder.rglob("*") if p.is_file() and not _is_directory(p) and p.parent != folder)
    names = sorted({str(p.parent.relative_to(folder)) for p in islice(below, _LOOKED_AT) if is_dicom(p)})
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")


def _different_rescaling(pictures: list[Picture]) -> list[str]:
    ranges = {
        "RescaleSlope": {p.pixels.slope for p in pictures},
        "RescaleIntercept": {p.pixels.intercept for p in pictures},
    }
    return [
        f"{keyword} is not the same in all pictures ({min(values):g} to {max(values):g}); each was rescaled by its own"
        for keyword, values in ranges.items()
        if len(values) > 1
    ]


def _magnitude(folder: Path, pictures: list[Picture], remarks: list[str]) -> list[Picture]:
    r"""The pictures that show the magnitude of the signal; those that say nothing of it are taken for such."""
    magnitude = [p for p in pictures if p.component in ("", "magnitude")]
    others = Counter(p.component for p in pictures if p.component not in ("", "magnitude"))
    listed = ", ".join(f"{n} {component}" for component, n in others.items())
    if not magnitude:
        raise InputError(
            f"{folder}: expected magnitude pictures, got only {listed} pictures: take the magnitude series"
        )
    if others:
        remarks.append(f"{listed} pictures were passed over, {len(magnitude)} magnitude pictures taken")
    return magnitude


def _one_stack(folder: Path, pictures: list[Picture], remarks: list[str]) -> Image:
    series: dict[str, list[Picture]] = {}
    for picture in pictures:
        series.setdefault(picture.series, []).append(picture)
    if len(series) == 1:
        return stacked(str(folder), pictures, remarks)
    try:
        image = stacked(str(folder), pictures, remarks)
    except InputError as error:
        reason = str(error).removeprefix(f"{folder}: ")
        raise InputError(
            f"{folder}: expected one DICOM series, or series that are slices of one stack, got {_listed(series)}; put "
            f"each into its own folder ({reason})"
        ) from error
    remarks.append(f"{len(series)} series, each with slices of its own, were read as one stack")
    return image


def _listed(series: dict[str, list[Picture]]) -> str:
    r"""Series as a person finds them again: number, pictures and first file; a description may hold a name."""
    words = [
        f"{len(pictures)} pictures of series {pictures[0].series_number:g} (first {Path(pictures[0].name).name})"
        for pictures in list(series.values())[:_LISTED]
    ]
    return f"{len(series)}: " + ", ".join(words) + (", ..." if len(series) > _LISTED else "")
