r"""What a DICOM header says of one picture, each attribute looked at before it is believed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cardiolearn.errors import InputError

#: All that is read, and nothing else: no attribute among these says whose heart it is.
ATTRIBUTES = (
    "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber", "Modality", "ImageType",
    "ComplexImageComponent", "FrameType", "NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient",
    "PixelSpacing", "SliceThickness", "SpacingBetweenSlices", "SliceLocation", "TriggerTime",
    "NominalCardiacTriggerDelayTime", "TemporalPositionIndex", "DimensionIndexPointer", "DimensionIndexValues",
    "NominalInterval", "RRIntervalTimeNominal", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation",
    "PresentationLUTShape", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "PixelData",
)  # fmt: skip

_LARGEST = 1e12


class Attributes:
    r"""The attributes of one picture.

    Args:
        name: the file, and the frame in it, as errors name it.
        places: datasets that may hold an attribute, the most particular first: in a multi-frame file the groups of the
            frame, those shared by all frames, the file.
    """

    def __init__(self, name: str, places: Sequence[Any]) -> None:
        self.name = name
        self.places = places

    def values(self, keyword: str) -> list[Any]:
        r"""The values of an attribute, its bytes where they are no such value; an empty attribute counts as absent."""
        for place in self.places:
            try:
                value: Any = place[keyword].value if keyword in place else None
            except Exception:  # pydicom raises nearly anything where the bytes are no such value
                value = place.get_item(keyword).value
            several = not isinstance(value, str | bytes) and hasattr(value, "__len__")
            each = list(value) if several else [value]
            found = [v for v in each if v is not None and v != "" and v != b""]
            if found:
                return found
        return []

    def number(self, keyword: str, absent: float = math.nan) -> float:
        r"""A number that helps where it is there: `absent` where it is missing, not finite, no number or several."""
        values = self.values(keyword)
        number = _finite(values)
        return float(number[0]) if len(values) == 1 and number.size == 1 else absent

    def numbers(self, keyword: str, size: int) -> np.ndarray:
        r"""`size` finite numbers `(size,)` that must be there."""
        values = self.values(keyword)
        if not values:
            raise InputError(f"{self.name}: expected a DICOM image with a place in space, it lacks {keyword}")
        numbers = _finite(values)
        if len(values) != size or numbers.size != size:
            raise InputError(f"{self.name}: expected {size} finite numbers in {keyword}, got {shown(values)}")
        return numbers

    def whole(self, keyword: str, allowed: range | Sequence[int], absent: int | None = None) -> int:
        r"""A whole number among the allowed ones; `absent` where there is none, unless that is None."""
        values = self.values(keyword)
        if not values and absent is not None:
            return absent
        numbers = _finite(values)
        if len(values) != 1 or numbers.size != 1 or numbers[0] not in allowed:
            choice = f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else " or ".join(map(str, allowed))
            raise InputError(f"{self.name}: expected {keyword} {choice}, got {shown(values)}")
        return int(numbers[0])

    def words(self, keyword: str) -> tuple[str, ...]:
        r"""The words of an attribute in capitals."""
        return tuple(str(v).strip().upper() for v in self.values(keyword))


def shown(values: Sequence[Any]) -> str:
    r"""Values as a message shows them: on one line and no longer than that needs."""
    if not values:
        return "none"
    text = "\\".join(repr(v) if isinstance(v, bytes) else str(v) for v in values)
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _finite(values: Sequence[Any]) -> np.ndarray:
    r"""The values as numbers; none at all where one is no number, not finite, or so large that sums would not be."""
    try:
        numbers = np.array([float(v) for v in values], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return np.empty(0)
    return numbers if (np.abs(numbers) < _LARGEST).all() else np.empty(0)
