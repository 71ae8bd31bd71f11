r"""DICOM cine folders: made ones with a known answer, and every way they go wrong."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation

from cardiolearn.errors import InputError
from cardiolearn.imaging.reading import read_image

DIRECTIONS = Rotation.from_euler("xyz", [20, -40, 70], degrees=True).as_matrix()  # columns: row, column, normal (LPS)
ORIGIN = np.array([-30.0, 12.0, 55.0])
SERIES = generate_uid()
Datasets = dict[tuple[int, int], FileDataset]


def one_file(t: int, z: int, step: float = 9.0, size: tuple[int, int] = (6, 8)) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.PatientName = "SECRET"
    ds.SeriesInstanceUID = SERIES
    ds.Rows, ds.Columns = size
    ds.PixelSpacing = [1.5, 1.25]  # between rows, between columns
    ds.SliceThickness = 6.0
    ds.ImageOrientationPatient = [*DIRECTIONS[:, 0], *DIRECTIONS[:, 1]]
    ds.ImagePositionPatient = [f"{v:.9f}" for v in ORIGIN + z * step * DIRECTIONS[:, 2]]
    ds.TriggerTime = 40.0 * t + 0.3 * z
    ds.InstanceNumber = 1000 - 20 * z - t  # against the order of time
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = pixels(t, z, size).tobytes()
    return ds


def pixels(t: int, z: int, size: tuple[int, int] = (6, 8)) -> np.ndarray:
    return (np.arange(size[0] * size[1]).reshape(size) + 100 * t + 1000 * z).astype(np.uint16)


def cine(n_frames: int = 4, n_slices: int = 3, step: float = 9.0) -> Datasets:
    return {(t, z): one_file(t, z, step) for t in range(n_frames) for z in range(n_slices)}


def save(folder: Path, datasets: Datasets) -> Path:
    rng = np.random.default_rng(0)  # file names in an order that means nothing
    names = rng.permutation(len(datasets))
    for name, ds in zip(names, datasets.values(), strict=True):
        ds.save_as(folder / f"{name}.dcm", enforce_file_format=False)
    return folder


@pytest.mark.parametrize("step", [9.0, -9.0])
def test_a_cine_is_put_together_by_geometry_and_time(tmp_path: Path, step: float) -> None:
    image = read_image(save(tmp_path, cine(step=step)))
    assert image.data.shape == (4, 3, 6, 8)
    assert image.frame_duration == pytest.approx(0.04)
    order = range(3) if step > 0 else range(2, -1, -1)
    expected = np.stack([np.stack([pixels(t, z) for z in order]) for t in range(4)])
    np.testing.assert_array_equal(image.data.numpy(), expected)
    assert image.spacing == pytest.approx((1.25, 1.5, 9.0))
    for z, y, x in [(0, 0, 0), (2, 5, 7), (1, 3, 2)]:
        patient = ORIGIN + order[z] * step * DIRECTIONS[:, 2] + 1.25 * x * DIRECTIONS[:, 0] + 1.5 * y * DIRECTIONS[:, 1]
        np.testing.assert_allclose((image.affine @ (x, y, z, 1))[:3], patient * (-1, -1, 1), atol=1e-5)


def test_slices_out_of_line_with_the_normal_shear_the_affine(tmp_path: Path) -> None:
    datasets = cine()
    for (_, z), ds in datasets.items():
        ds.ImagePositionPatient = list(np.array(ds.ImagePositionPatient, float) + z * 2.0 * DIRECTIONS[:, 0])
    image = read_image(save(tmp_path, datasets))
    step = 9 * DIRECTIONS[:, 2] + 2 * DIRECTIONS[:, 0]
    np.testing.assert_allclose(image.affine[:3, 2], step * (-1, -1, 1), atol=1e-5)


def test_rescaling(tmp_path: Path) -> None:
    datasets = cine(1, 2)
    for ds in datasets.values():
        ds.RescaleSlope, ds.RescaleIntercept = 2, -1024
    image = read_image(save(tmp_path, datasets))
    assert image.data.shape == (2, 6, 8)
    np.testing.assert_array_equal(image.data[0].numpy(), pixels(0, 0) * 2.0 - 1024)


@pytest.mark.parametrize("times", ["absent", "equal"])
def test_instance_numbers_order_frames_without_trigger_times(tmp_path: Path, times: str) -> None:
    datasets = cine()
    for ds in datasets.values():
        if times == "absent":
            del ds.TriggerTime
        else:
            ds.TriggerTime = 0
        ds.NominalInterval = 800
    image = read_image(save(tmp_path, datasets))
    assert image.data[:, 0, 0, 0].tolist() == [300, 200, 100, 0]
    assert image.frame_duration == pytest.approx(0.2)


def test_one_slice_is_as_thick_as_it_says(tmp_path: Path) -> None:
    image = read_image(save(tmp_path, cine(5, 1)))
    assert image.data.shape == (5, 1, 6, 8)
    assert image.spacing == pytest.approx((1.25, 1.5, 6.0))
    np.testing.assert_allclose(image.affine[:3, 2], 6 * DIRECTIONS[:, 2] * (-1, -1, 1), atol=1e-5)


def test_invalid_dates_pass_without_a_word(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    datasets = cine(1, 2)
    for ds in datasets.values():
        with warnings.catch_warnings(action="ignore"):
            ds.StudyDate, ds.PatientBirthDate, ds.SOPInstanceUID = "20120000", "00000000", "1.02.003"
    save(tmp_path, datasets)
    caplog.clear()
    assert read_image(tmp_path).data.shape == (2, 6, 8)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    assert not caplog.records


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    save(tmp_path, cine(1, 2))
    (tmp_path / ".DS_Store").write_bytes(b"junk")
    (tmp_path / "DICOMDIR").write_bytes(b"junk")
    (tmp_path / "contours").mkdir()
    assert read_image(tmp_path).data.shape == (2, 6, 8)


def without(*keys: tuple[int, int]) -> Callable[[Datasets], None]:
    def change(datasets: Datasets) -> None:
        for key in keys:
            del datasets[key]

    return change


def setting(tag: str, value: object, key: tuple[int, int] | None = (1, 1)) -> Callable[[Datasets], None]:
    def change(datasets: Datasets) -> None:
        with warnings.catch_warnings(action="ignore"):
            for ds in datasets.values() if key is None else [datasets[key]]:
                setattr(ds, tag, value)

    return change


def writing(tag: str, raw: bytes) -> Callable[[Datasets], None]:
    r"""Put bytes into the file that are no number, as only a broken exporter would."""

    def change(datasets: Datasets) -> None:
        number = pydicom.datadict.tag_for_keyword(tag)
        datasets[1, 1][number] = RawDataElement(pydicom.tag.Tag(number), "DS", len(raw), raw, 0, False, True)

    return change


def deleting(tag: str) -> Callable[[Datasets], None]:
    return lambda datasets: delattr(datasets[1, 1], tag)


def smaller(datasets: Datasets) -> None:
    datasets[1, 1] = one_file(1, 1, size=(6, 7))


def single_without_thickness(datasets: Datasets) -> None:
    for key in [k for k in datasets if k[1]]:
        del datasets[key]
    for ds in datasets.values():
        del ds.SliceThickness


BAD = {
    "a missing frame": (without((1, 1)), "equally many frames for each slice, got 3 to 4"),
    "a missing slice": (without(*[(t, 1) for t in range(4)]), "9.00 mm apart, got 18.00 mm .* slice is missing"),
    "two series": (setting("SeriesInstanceUID", generate_uid()), "one DICOM series, got 2"),
    "two orientations": (setting("ImageOrientationPatient", [1, 0, 0, 0, 1, 0]), "mixed series"),
    "two spacings": (setting("PixelSpacing", [1.5, 1.5]), "PixelSpacing .* mixed series"),
    "two sizes": (smaller, r"rows and columns \[6, 8\].* got \[6, 7\]: mixed series"),
    "no position": (deleting("ImagePositionPatient"), "lacks ImagePositionPatient"),
    "no pixels": (deleting("PixelData"), "lacks PixelData"),
    "a broken position": (setting("ImagePositionPatient", [1, 2]), "expected 3 finite numbers in ImagePositionPatient"),
    "a position of NaN": (
        setting("ImagePositionPatient", ["nan"] * 3),
        "expected 3 finite numbers in ImagePositionPatient",
    ),
    "zero spacing": (setting("PixelSpacing", [0, 0], None), "positive PixelSpacing"),
    "no orientation": (setting("ImageOrientationPatient", [0] * 6, None), "orthogonal unit vectors"),
    "the same frame twice": (
        lambda d: (setting("InstanceNumber", 1, None)(d), setting("TriggerTime", 5, None)(d)),
        "share both",
    ),
    "many frames in a file": (setting("NumberOfFrames", 4), "one grey-scale frame per DICOM file"),
    "colour": (setting("SamplesPerPixel", 3), "one grey-scale frame per DICOM file"),
    "truncated pixels": (setting("PixelData", b"\0\0"), "cannot be decoded"),
    "a slope in words": (writing("RescaleSlope", b"two "), "expected finite values"),
    "a position in words": (writing("ImagePositionPatient", b"a\\b\\c "), "expected 3 finite numbers"),
    "no thickness": (single_without_thickness, "expected a SliceThickness"),
    "a slope that is none": (setting("RescaleSlope", "nan"), "expected finite values"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_folders_are_refused_in_one_line(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    change, message = BAD[name]
    datasets = cine(4, 4)
    change(datasets)
    save(tmp_path, datasets)
    with pytest.raises(InputError) as caught:
        read_image(tmp_path)
    text = str(caught.value)
    assert text.startswith(str(tmp_path))
    assert "\n" not in text
    assert "SECRET" not in text
    assert re.search(message, text), text
    assert capfd.readouterr() == ("", "")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder without files"):
        read_image(tmp_path)


@pytest.mark.parametrize("content", [b"", b"a note", os.urandom(500), b"\0" * 128 + b"DICM" + b"\x99" * 50])
def test_a_file_that_is_no_dicom(tmp_path: Path, content: bytes) -> None:
    save(tmp_path, cine(1, 2))
    (tmp_path / "notes.txt").write_bytes(content)
    with pytest.raises(InputError, match=r"notes\.txt: expected a DICOM"):
        read_image(tmp_path)


def test_a_truncated_file(tmp_path: Path) -> None:
    save(tmp_path, cine(1, 2))
    whole = (tmp_path / "0.dcm").read_bytes()
    for length in (140, 300, len(whole) - 10):
        (tmp_path / "0.dcm").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"0\.dcm: "):
            read_image(tmp_path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(128, 660), value=st.integers(0, 255))
def test_any_damaged_byte_is_read_or_refused(tmp_path: Path, position: int, value: int) -> None:
    for p in tmp_path.iterdir():
        p.unlink()
    save(tmp_path, cine(1, 2))
    raw = bytearray((tmp_path / "0.dcm").read_bytes())
    raw[position] = value
    (tmp_path / "0.dcm").write_bytes(raw)
    try:
        assert torch.isfinite(read_image(tmp_path).data).all()
    except InputError as error:
        assert str(error).startswith(str(tmp_path))
