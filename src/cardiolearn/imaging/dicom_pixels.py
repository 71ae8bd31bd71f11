r"""What the numbers stored in a DICOM file mean: bits, sign, inverted grey scale, padding, rescaling."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from cardiolearn.errors import InputError
from cardiolearn.imaging.dicom_attributes import Attributes, shown

_LARGEST_SIDE = 8192
_SLOPES = (1e-6, 1e6)
_INTERCEPT_IN_SLOPES = 1e6  # single precision holds differences of one step up to 1.6e7
_NOTICEABLE = 0.05  # of a picture's range of values


@dataclass(frozen=True, eq=False)
class StoredPixels:
    r"""A picture `(Y, X)` as integers that grow with brightness, and how they become grey values."""

    stored: np.ndarray
    slope: float
    intercept: float

    def grey(self) -> np.ndarray:
        r"""Grey values `(Y, X)`, float32."""
        return self.stored.astype(np.float32) * np.float32(self.slope) + np.float32(self.intercept)


@dataclass(frozen=True)
class PixelFormat:
    r"""How pixels are stored; the same for all pictures of a file."""

    rows: int
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    inverted: bool

    @property
    def n_bytes(self) -> int:
        r"""Length of the uncompressed pixels."""
        return self.frames * self.rows * self.columns * self.bits_allocated // 8


def pixel_format(file: Attributes, frames: int) -> PixelFormat:
    r"""The file's pixel format.

    Raises:
        InputError: one line: colour, a lookup table, bits that contradict each other, an absurd size.
    """
    file.whole("SamplesPerPixel", [1], absent=1)
    photometric = file.words("PhotometricInterpretation")
    if photometric not in (("MONOCHROME1",), ("MONOCHROME2",)):
        raise InputError(
            f"{file.name}: expected grey values (PhotometricInterpretation MONOCHROME1 or MONOCHROME2), got "
            f"{shown(photometric)}"
        )
    inverted = photometric == ("MONOCHROME1",)
    if file.words("PresentationLUTShape") == ("INVERSE",) and not inverted:
        raise InputError(
            f"{file.name}: PresentationLUTShape INVERSE contradicts PhotometricInterpretation MONOCHROME2, so what is "
            "bright is not known"
        )
    if file.values("ModalityLUTSequence"):
        raise InputError(
            f"{file.name}: expected RescaleSlope and RescaleIntercept, got a lookup table (ModalityLUTSequence)"
        )
    sides = [file.whole(side, range(1, _LARGEST_SIDE + 1)) for side in ("Rows", "Columns")]
    allocated = file.whole("BitsAllocated", (8, 16, 32))
    stored = file.whole("BitsStored", range(1, allocated + 1))
    file.whole("HighBit", [stored - 1])
    signed = bool(file.whole("PixelRepresentation", (0, 1)))
    return PixelFormat(sides[0], sides[1], frames, allocated, stored, signed, inverted)


def decoded(name: str, dataset: Any, form: PixelFormat) -> np.ndarray:
    r"""The integers of a file `(frames, Y, X)` as they are stored, all allocated bits.

    Raises:
        InputError: one line: a length that is not what the header says, a compression no installed decoder knows.
    """
    from pydicom.pixels.utils import pixel_array
    from pydicom.uid import RLELossless

    syntax = dataset.file_meta.TransferSyntaxUID
    plain = not syntax.is_compressed or syntax.is_deflated
    length = len(dataset.PixelData)
    if plain and length not in (form.n_bytes, form.n_bytes + form.n_bytes % 2):
        raise InputError(
            f"{name}: expected {form.n_bytes} bytes of PixelData for {form.frames} x {form.rows} x {form.columns} "
            f"pixels of {form.bits_allocated} bits, got {length}: truncated, or its header is wrong"
        )
    if plain or syntax == RLELossless:
        # Otherwise pydicom drops the bits above BitsStored without a word, whatever they hold.
        dataset.BitsStored, dataset.HighBit = form.bits_allocated, form.bits_allocated - 1
    try:
        with warnings.catch_warnings():
            # A picture smaller than what is stored would be cut out of it.
            warnings.filterwarnings("error", message="The decoded RLE segment")
            pixels = np.asarray(pixel_array(dataset))
        del dataset.PixelData  # pydicom's datasets refer to themselves in a circle, and so would keep it for long
        return pixels.reshape(form.frames, form.rows, form.columns)
    except Exception as error:  # damaged pixels, or a compression no installed decoder knows
        way_out = "decompress the files first, for example with gdcmconv --raw or dcmdjpeg"
        reason = f"compressed as {shown([syntax.name])}: {way_out}" if not plain else "damaged"
        raise InputError(f"{name}: its pixels cannot be decoded ({reason})") from error


def stored_pixels(picture: Attributes, pixels: np.ndarray, form: PixelFormat) -> tuple[StoredPixels, list[str]]:
    r"""One picture's integers `(Y, X)` brought to grow with brightness, and remarks on what was chosen."""
    slope, intercept = _rescaling(picture)
    padding, remarks = _padding(picture, pixels, form)
    values = _within_bits_stored(picture, pixels, padding, form)
    if form.inverted:
        values = (-1 if form.signed else 2**form.bits_stored - 1) - values
    if padding.any() and not padding.all():
        values = np.where(padding, values[~padding].min(), values)
    low, high = (slope * float(v) + intercept for v in (values.min(), values.max()))
    if picture.words("Modality") == ("MR",) and low < -0.1 * abs(high):
        remarks.append("grey values below zero, which MR magnitude pictures do not have; they are kept")
    return StoredPixels(values, slope, intercept), remarks


def _rescaling(picture: Attributes) -> tuple[float, float]:
    values = {key: picture.values(key) for key in ("RescaleSlope", "RescaleIntercept")}
    slope, intercept = (picture.number(key) if given else default
                        for (key, given), default in zip(values.items(), (1.0, 0.0), strict=True))  # fmt: skip
    if not _SLOPES[0] <= slope <= _SLOPES[1]:
        raise InputError(
            f"{picture.name}: expected a RescaleSlope of {_SLOPES[0]:g} to {_SLOPES[1]:g}, got "
            f"{shown(values['RescaleSlope'])}"
        )
    if not abs(intercept) <= _INTERCEPT_IN_SLOPES * slope:
        raise InputError(
            f"{picture.name}: expected a RescaleIntercept within {_INTERCEPT_IN_SLOPES:g} times RescaleSlope, got "
            f"{shown(values['RescaleIntercept'])}"
        )
    return slope, intercept


def _padding(picture: Attributes, pixels: np.ndarray, form: PixelFormat) -> tuple[np.ndarray, list[str]]:
    r"""Where a picture was padded out to a rectangle `(Y, X)`. Padding lies beyond the values of the rest."""
    value = picture.number("PixelPaddingValue")
    limit = picture.number("PixelPaddingRangeLimit", absent=value)
    lowest, highest = sorted(_as_stored(v, form) for v in (value, limit))
    padding = (pixels >= lowest) & (pixels <= highest)  # nowhere, where there is no padding value
    rest = pixels[~padding]
    if not padding.any() or rest.size == 0:
        return padding, []
    bottom, top = int(rest.min()), int(rest.max())
    padded = pixels[padding]
    if ((padded > bottom) & (padded < top)).any():
        return np.zeros_like(padding), ["PixelPaddingValue lies among the values of the picture: not taken for padding"]
    worst = max(bottom - int(padded.min()), int(padded.max()) - bottom)
    seen = worst > _NOTICEABLE * max(top - bottom, 1)
    return padding, ["padding (PixelPaddingValue) was given the lowest value of the rest"] if seen else []


def _as_stored(value: float, form: PixelFormat) -> float:
    r"""A padding value in the sign of the pixels: it is often written in the other one."""
    turn = 2.0**form.bits_allocated
    if form.signed and value >= turn / 2:
        return value - turn
    return value + turn if value < 0 and not form.signed else value


def _within_bits_stored(picture: Attributes, pixels: np.ndarray, padding: np.ndarray, form: PixelFormat) -> np.ndarray:
    r"""The values of BitsStored bits; further bits may hold zeros, the sign, or an overlay that the header declares."""
    unused = form.bits_allocated - form.bits_stored
    if unused == 0:
        return pixels
    if form.signed:
        values = (pixels << unused) >> unused  # carries the sign upwards
        expected = (values == pixels) | ((pixels >= 0) & (pixels < 1 << form.bits_stored))
    else:
        values = pixels & ((1 << form.bits_stored) - 1)
        expected = values == pixels
    if not (expected | padding).all() and not _has_overlay_in_pixels(picture, form):
        raise InputError(
            f"{picture.name}: BitsStored {form.bits_stored} contradicts its pixels, which use more bits of the "
            f"{form.bits_allocated}"
        )
    return values


def _has_overlay_in_pixels(picture: Attributes, form: PixelFormat) -> bool:
    r"""Does a (retired) overlay lie in the bits above the picture's?"""
    file = picture.places[-1]
    positions = [file[group, 0x0102].value for group in range(0x6000, 0x6020, 2) if (group, 0x0102) in file]
    return any(isinstance(p, int) and form.bits_stored <= p < form.bits_allocated for p in positions)
