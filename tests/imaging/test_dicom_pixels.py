r"""What stored numbers mean: whatever the header says, the picture is the same, or it is refused by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicoms import Datasets, cine, pixels, save
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import JPEGLSLossless, RLELossless

from cardiolearn.errors import InputError, InputWarning
from cardiolearn.imaging.reading import read_image


def read(folder: Path, datasets: Datasets) -> np.ndarray:
    return read_image(save(folder, datasets)).data.numpy()


def true_volume(n_slices: int = 3) -> np.ndarray:
    return np.stack([pixels(0, z) for z in range(n_slices)]).astype(np.float32)


def test_rescaling_of_each_picture(tmp_path: Path) -> None:
    datasets = cine(1, 2)
    for ds in datasets.values():
        ds.RescaleSlope, ds.RescaleIntercept = 2, 10
    np.testing.assert_array_equal(read(tmp_path, datasets), true_volume(2) * 2 + 10)
    datasets[0, 1].RescaleSlope = 4
    with pytest.warns(InputWarning, match=r"RescaleSlope is not the same in all pictures \(2 to 4\)"):
        found = read(tmp_path, datasets)
    np.testing.assert_array_equal(found, true_volume(2) * [[[2]], [[4]]] + 10)


def test_empty_rescaling_is_none(tmp_path: Path) -> None:
    datasets = cine(1, 3)
    for ds in datasets.values():
        ds.RescaleSlope = ds.RescaleIntercept = None
    np.testing.assert_array_equal(read(tmp_path, datasets), true_volume())


@pytest.mark.parametrize("signed", [False, True])
def test_inverted_grey_scale(tmp_path: Path, signed: bool) -> None:
    datasets = cine(1, 3)
    for (_, z), ds in datasets.items():
        ds.PhotometricInterpretation, ds.RescaleSlope, ds.RescaleIntercept = "MONOCHROME1", 2, 7
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation = (13, 12, 1) if signed else (12, 11, 0)
        inverted = (-1 if signed else 4095) - pixels(0, z).astype(int)
        ds.PixelData = inverted.astype(np.int16 if signed else np.uint16).tobytes()
    np.testing.assert_array_equal(read(tmp_path, datasets), true_volume() * 2 + 7)


@pytest.mark.parametrize(("value", "limit"), [(4095, None), (4000, 4095)])
def test_bright_padding_becomes_dark(tmp_path: Path, value: int, limit: int | None) -> None:
    datasets = cine(1, 3)
    expected = true_volume()
    expected[:, :2] = expected[:, 2:].min(axis=(1, 2), keepdims=True)
    for (_, z), ds in datasets.items():
        padded = pixels(0, z)
        padded[:2] = np.linspace(value, limit or value, 16).reshape(2, 8)
        ds.PixelPaddingValue, ds.PixelData = value, padded.tobytes()
        if limit:
            ds.PixelPaddingRangeLimit = limit
    with pytest.warns(InputWarning, match=r"padding .* lowest value of the rest \(in 3 of 3 pictures\)") as caught:
        found = read(tmp_path, datasets)
    assert len(caught) == 1
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("signed", [True, False])
def test_padding_written_in_the_other_sign(tmp_path: Path, signed: bool) -> None:
    datasets = cine(1, 3)
    expected = true_volume()
    expected[:, :2] = expected[:, 2:].min(axis=(1, 2), keepdims=True)
    for (_, z), ds in datasets.items():
        padded = pixels(0, z)
        padded[:2] = 0x8000 if signed else 0xFFFF
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation, ds.PixelData = 16, 15, int(signed), padded.tobytes()
        ds.add_new("PixelPaddingValue", "US" if signed else "SS", 0x8000 if signed else -1)
    save(tmp_path, datasets)
    with pytest.warns(InputWarning, match="lowest value of the rest"):
        np.testing.assert_array_equal(read_image(tmp_path).data.numpy(), expected)


def test_padding_among_the_values_is_no_padding(tmp_path: Path) -> None:
    datasets = cine(1, 3)
    datasets[0, 1].PixelPaddingValue = 1020
    with pytest.warns(InputWarning, match="PixelPaddingValue lies among the values"):
        np.testing.assert_array_equal(read(tmp_path, datasets), true_volume())


@pytest.mark.parametrize(("allocated", "packed"), [(16, False), (16, True), (32, False)])
def test_bits_above_those_stored(tmp_path: Path, allocated: int, packed: bool) -> None:
    r"""An overlay that the header declares is dropped; bits that nothing explains are refused."""
    datasets = cine(1, 3)
    for (_, z), ds in datasets.items():
        ds.BitsAllocated = allocated
        ds.PixelData = (pixels(0, z).astype(f"u{allocated // 8}") | 1 << 12).tobytes()
        if packed:
            ds.compress(RLELossless, generate_instance_uid=False)
    with pytest.raises(InputError, match="BitsStored 12 contradicts its pixels, which use more bits"):
        read(tmp_path, datasets)
    for ds in datasets.values():
        ds.add_new((0x6000, 0x0102), "US", 12)
    np.testing.assert_array_equal(read(tmp_path, datasets), true_volume())


@pytest.mark.parametrize("carried", [True, False])
def test_negative_values_in_fewer_bits_than_allocated(tmp_path: Path, carried: bool) -> None:
    r"""The sign may be carried into the unused bits, or not."""
    datasets = cine(1, 3)
    for (_, z), ds in datasets.items():
        stored = pixels(0, z).astype(np.int16) - 2048
        ds.PixelRepresentation, ds.RescaleIntercept = 1, 2048
        ds.PixelData = (stored if carried else stored & 0xFFF).astype(np.int16).tobytes()
    np.testing.assert_array_equal(read(tmp_path, datasets), true_volume())


def test_magnitude_below_zero_is_told(tmp_path: Path) -> None:
    datasets = cine(1, 3)
    for ds in datasets.values():  # up to 1023 in 11 bits with a sign: the second slice turns negative
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 11, 10, 1
    datasets.pop((0, 2))
    with pytest.warns(InputWarning, match=r"grey values below zero, .* kept \(in 1 of 2 pictures\)"):
        assert read(tmp_path, datasets).min() < 0


def setting(**values: object) -> Callable[[FileDataset], None]:
    def change(ds: FileDataset) -> None:
        with warnings.catch_warnings(action="ignore"):
            for keyword, value in values.items():
                setattr(ds, keyword, value)

    return change


REFUSED: dict[str, tuple[Callable[[FileDataset], None], str]] = {
    "colour": (setting(SamplesPerPixel=3, PhotometricInterpretation="RGB"), "SamplesPerPixel 1, got 3"),
    "a palette": (setting(PhotometricInterpretation="PALETTE COLOR"), "grey values .* got PALETTE COLOR"),
    "no grey scale": (lambda ds: delattr(ds, "PhotometricInterpretation"), "grey values .* got none"),
    "two grey scales": (setting(PresentationLUTShape="INVERSE"), "PresentationLUTShape INVERSE contradicts"),
    "one inverted": (setting(PhotometricInterpretation="MONOCHROME1"), "MONOCHROME .* mixed series"),
    "a lookup table": (setting(ModalityLUTSequence=[Dataset()]), "got a lookup table .ModalityLUTSequence"),
    "a slope of zero": (setting(RescaleSlope=0), "a RescaleSlope of .* got 0"),
    "a negative slope": (setting(RescaleSlope=-1), "a RescaleSlope of .* got -1"),
    "an infinite slope": (setting(RescaleSlope="inf"), "a RescaleSlope of .* got inf"),
    "a slope in words": (setting(RescaleSlope="nan"), "a RescaleSlope of .* got nan"),
    "two slopes": (setting(RescaleSlope=[1, 2]), r"a RescaleSlope of .* got 1.0\\2.0"),
    "an absurd intercept": (setting(RescaleIntercept="1e30"), "a RescaleIntercept within"),
    "too many bits stored": (setting(BitsStored=17), "BitsStored 1 to 16, got 17"),
    "a high bit elsewhere": (setting(HighBit=15), "HighBit 11, got 15"),
    "an odd allocation": (setting(BitsAllocated=12), "BitsAllocated 8 or 16 or 32, got 12"),
    "a sign of two": (setting(PixelRepresentation=2), "PixelRepresentation 0 or 1, got 2"),
    "one signed": (setting(PixelRepresentation=1), "PixelRepresentation .* mixed series"),
    "no rows": (setting(Rows=0), "Rows 1 to 8192, got 0"),
    "huge": (setting(Rows=65535, Columns=65535), "Rows 1 to 8192, got 65535"),
    "fewer rows than pixels": (setting(Rows=5), "80 bytes of PixelData for 1 x 5 x 8 pixels of 16 bits, got 96"),
    "more rows than pixels": (setting(Rows=8000), "of PixelData for 1 x 8000 x 8 pixels"),
    "truncated": (setting(PixelData=b"\0\0"), "96 bytes of PixelData .* got 2: truncated"),
    "no frames": (setting(NumberOfFrames=0), "NumberOfFrames 1 to .* got 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_pixels_whose_meaning_is_not_known_are_refused(tmp_path: Path, name: str) -> None:
    change, message = REFUSED[name]
    datasets = cine(1, 3)
    change(datasets[0, 1])
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, datasets)
    assert "\n" not in str(caught.value)


def test_compressed_pictures_are_read_or_the_way_out_is_said(tmp_path: Path) -> None:
    datasets = cine(1, 3)
    for ds in datasets.values():
        ds.compress(RLELossless, generate_instance_uid=False)
    np.testing.assert_array_equal(read(tmp_path, datasets), true_volume())
    datasets[0, 1].file_meta.TransferSyntaxUID = JPEGLSLossless  # no decoder of which is among our dependencies
    with pytest.raises(InputError, match=r"compressed as JPEG-LS.*: decompress the files first, .* gdcmconv"):
        read(tmp_path, datasets)


@pytest.mark.parametrize("name", ["MR_small_RLE", "MR_small_jp2klossless"])
@pytest.mark.parametrize(("side", "pixels"), [("Rows", 63), ("Columns", 128)])
def test_compressed_pictures_have_the_size_their_header_says(tmp_path: Path, name: str, side: str, pixels: int) -> None:
    ds = pydicom.dcmread(get_testdata_file(f"{name}.dcm", download=False))
    setattr(ds, side, pixels)
    ds.save_as(tmp_path / "picture")
    with pytest.raises(InputError, match="its pixels cannot be decoded"):
        read_image(tmp_path)


@pytest.mark.parametrize("name", ["MR_small_implicit", "MR_small_bigendian", "MR_small_RLE", "MR_small_jp2klossless"])
def test_one_picture_in_several_encodings(tmp_path: Path, name: str) -> None:
    r"""pydicom ships one MR picture in many encodings."""
    path = get_testdata_file(f"{name}.dcm", download=False)
    plain = pydicom.dcmread(get_testdata_file("MR_small.dcm", download=False))
    (tmp_path / "picture").write_bytes(Path(path).read_bytes())
    np.testing.assert_array_equal(read_image(tmp_path).data[0].numpy(), plain.pixel_array)
