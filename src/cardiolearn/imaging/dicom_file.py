r"""One DICOM file as its pictures: one of a classic file, one for each frame of a multi-frame file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cardiolearn.errors import InputError
from cardiolearn.imaging.dicom_attributes import Attributes
from cardiolearn.imaging.dicom_pixels import StoredPixels, decoded, pixel_format, stored_pixels
from cardiolearn.imaging.files import silenced

#: Sequences with what differs, or not, between the frames of a multi-frame file (PS3.3 C.7.6.16, C.8.13.5).
_FRAME_GROUPS = (
    "FrameContentSequence", "PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence",
    "PixelValueTransformationSequence", "CardiacSynchronizationSequence", "MRImageFrameTypeSequence",
)  # fmt: skip
#: Words by which ImageType and FrameType say what a picture shows of the complex signal; scanners differ.
_COMPONENTS = {
    "magnitude": {"M", "MAGNITUDE"},
    "phase": {"P", "PHASE", "PHASE MAP"},
    "real": {"R", "REAL"},
    "imaginary": {"I", "IMAGINARY"},
}
_TIME_DIMENSIONS = ("TemporalPositionIndex", "NominalCardiacTriggerDelayTime", "TriggerTime")
_FRAMES_IN_A_FILE = 1_000_000


@dataclass(frozen=True, eq=False)
class Picture:
    r"""What is taken of one picture; nothing that says whose it is. Optional numbers are NaN where absent."""

    name: str  # the file, and the frame in it
    study: str
    series: str
    series_number: float
    component: str  # magnitude, phase, real, imaginary, or nothing where the file does not say
    position: np.ndarray  # (3,) of the first pixel, mm in LPS
    orientation: np.ndarray  # (6,) directions in which the column and the row index grow, LPS
    spacing: np.ndarray  # (2,) between rows, between columns, mm
    pixels: StoredPixels
    signed: bool
    inverted: bool
    thickness: float  # mm
    slice_distance: float  # mm
    slice_location: float  # mm
    trigger_time: float  # ms
    number: float  # grows, or falls, with time
    rr_interval: float  # ms
    remarks: tuple[str, ...]  # on what was chosen where the file says something unusual

    @property
    def normal(self) -> np.ndarray:
        r"""Direction `(3,)` across the slice."""
        return np.cross(self.orientation[:3], self.orientation[3:])


def is_dicom(path: Path) -> bool:
    r"""Does a file begin like DICOM, or like the DICOM of old without its preamble?"""
    with path.open("rb") as file:
        start = file.read(132)
    # Old files begin with an element of group 2 or 8; its length or its type shows that it is one.
    old = (
        start[:2] in (b"\x02\0", b"\x08\0") and start[3:4] == b"\0" and (start[4:6].isupper() or start[6:8] == b"\0\0")
    )
    return start[128:] == b"DICM" or old


def read_pictures(path: Path) -> list[Picture]:
    r"""The pictures of one file.

    Raises:
        InputError: one line naming the file: another or a damaged kind of file, no place in space, pixels that cannot
            be decoded or whose meaning is not known.
    """
    import pydicom

    # Anonymised headers hold invalid dates and UIDs, of which a strict reader complains; none of them is used here.
    with warnings.catch_warnings(), silenced("pydicom"), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        try:
            return list(_pictures(path, _dataset(path)))
        except (InputError, PermissionError):
            raise
        except Exception as error:  # pydicom raises nearly anything on a damaged file
            raise InputError(f"{path}: expected a DICOM file, got another or a damaged kind of file") from error


def _dataset(path: Path) -> Any:
    import pydicom

    dataset = pydicom.dcmread(path, force=True)  # also without the preamble, if it is one of old
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        names = pydicom.uid.ExplicitVRLittleEndian if little else pydicom.uid.ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian if implicit else names
    return dataset


def _pictures(path: Path, dataset: Any) -> Iterator[Picture]:
    file = Attributes(str(path), [dataset])
    frames = file.whole("NumberOfFrames", range(1, _FRAMES_IN_A_FILE), absent=1)
    if not file.values("PixelData"):
        raise InputError(f"{path}: expected a DICOM image, it lacks PixelData: move it out of the folder")
    headers = _headers(file, frames)
    form = pixel_format(file, frames)
    for header in headers:  # a wrong place is said before pixels are decoded in vain
        header.numbers("ImagePositionPatient", 3)
    for index, (header, values) in enumerate(zip(headers, decoded(str(path), dataset, form), strict=True)):
        pixels, remarks = stored_pixels(header, values, form)
        yield Picture(
            name=header.name,
            study="".join(header.words("StudyInstanceUID")),
            series="".join(header.words("SeriesInstanceUID")),
            series_number=header.number("SeriesNumber"),
            component=_component(header),
            position=header.numbers("ImagePositionPatient", 3),
            orientation=header.numbers("ImageOrientationPatient", 6),
            spacing=header.numbers("PixelSpacing", 2),
            pixels=pixels,
            signed=form.signed,
            inverted=form.inverted,
            thickness=header.number("SliceThickness"),
            slice_distance=header.number("SpacingBetweenSlices"),
            slice_location=header.number("SliceLocation"),
            trigger_time=header.number("TriggerTime" if header is file else "NominalCardiacTriggerDelayTime"),
            number=_number(header, index, classic=header is file),
            rr_interval=header.number("NominalInterval" if header is file else "RRIntervalTimeNominal"),
            remarks=tuple(remarks),
        )


def _headers(file: Attributes, frames: int) -> list[Attributes]:
    r"""The attributes of each frame: those of the file in a classic one, else of its functional groups too."""
    per_frame, shared = file.values("PerFrameFunctionalGroupsSequence"), file.values("SharedFunctionalGroupsSequence")
    if frames == 1 and file.values("ImagePositionPatient"):
        return [file]  # some classic files hold empty groups
    if not per_frame and frames == 1:
        file.numbers("ImagePositionPatient", 3)  # which is missing, and this says so
    if len(per_frame) != frames:
        found = f"{len(per_frame)} items" if per_frame else "none: export it as single pictures or as Enhanced MR"
        raise InputError(
            f"{file.name}: expected the place of each of its {frames} frames in a PerFrameFunctionalGroupsSequence, "
            f"got {found}"
        )
    common = _groups(shared[0]) if shared else []
    return [
        Attributes(f"{file.name}: frame {i + 1}", [*_groups(item), *common, *file.places])
        for i, item in enumerate(per_frame)
    ]


def _groups(item: Any) -> list[Any]:
    return [group for name in _FRAME_GROUPS for group in Attributes("", [item]).values(name)[:1]]


def _component(picture: Attributes) -> str:
    r"""What a picture shows of the complex signal, by ComplexImageComponent and the words of FrameType or ImageType."""
    own = {word.lower() for word in picture.words("ComplexImageComponent")} & set(_COMPONENTS)
    words = (picture.words("FrameType") or picture.words("ImageType"))[2:]
    said = {name for name, known in _COMPONENTS.items() for word in words if {word, word.split("_")[0]} & known}
    found = sorted(own | said)
    if len(found) > 1:
        raise InputError(
            f"{picture.name}: ImageType and ComplexImageComponent contradict each other: {', '.join(found)}"
        )
    if not found and {"VELOCITY", "VELOCITY MAP"} & set(words):  # beside MAGNITUDE it names the kind of scan
        return "phase"
    return found[0] if found else ""


def _number(picture: Attributes, index: int, classic: bool) -> float:
    r"""What orders the frames of a slice where times do not: InstanceNumber, or what a multi-frame file has for it."""
    number = picture.number("InstanceNumber")
    if classic:
        return number
    in_file = np.nan_to_num(number) * _FRAMES_IN_A_FILE + index
    return picture.number("TemporalPositionIndex", absent=_time_dimension(picture, in_file))


def _time_dimension(picture: Attributes, absent: float) -> float:
    r"""The frame's index in the dimension of time, where the file names its dimensions."""
    from pydicom.tag import Tag

    pointers = [
        Attributes("", [item]).values("DimensionIndexPointer") for item in picture.values("DimensionIndexSequence")
    ]
    indices = picture.values("DimensionIndexValues")
    for keyword in _TIME_DIMENSIONS:
        if len(indices) == len(pointers) and [Tag(keyword)] in pointers:
            return float(indices[pointers.index([Tag(keyword)])])
    return absent
