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
from dicoms import DIRECTIONS, ORIGIN, Datasets, cine, one_file, pixels, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.uid import generate_uid

from cardiolearn.errors import InputError, InputWarning
from cardiolearn.imaging.reading import read_image


@pytest.mark.parametrize("step", [9.0, -9.0])
def test_a_cine_is_put_together_by_geometry_and_time(tmp_path: Path, step: float) -> None:
    datasets = cine(step=step)
    for ds in datasets.values():
        ds.PixelSpacing = [1.5, 1.25]  # between rows, between columns
    with pytest.warns(InputWarning, match=r"PixelSpacing \[1.5, 1.25\] is not square"):
        image = read_image(save(tmp_path, datasets))
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
    with pytest.warns(InputWarning, match="2.00 mm aside .* sheared"):
        image = read_image(save(tmp_path, datasets))
    step = 9 * DIRECTIONS[:, 2] + 2 * DIRECTIONS[:, 0]
    np.testing.assert_allclose(image.affine[:3, 2], step * (-1, -1, 1), atol=1e-5)


def test_one_slice_is_as_thick_as_it_says(tmp_path: Path) -> None:
    image = read_image(save(tmp_path, cine(5, 1)))
    assert image.data.shape == (5, 1, 6, 8)
    assert image.spacing == pytest.approx((1.5, 1.5, 6.0))
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
    "two series": (
        setting("SeriesInstanceUID", generate_uid()),
        "got 2: 15 pictures of series 7 .first .*dcm., 1 pictures .* own folder .* two series and in one place",
    ),
    "two orientations": (setting("ImageOrientationPatient", [1, 0, 0, 0, 1, 0]), "mixed series"),
    "two spacings": (setting("PixelSpacing", [1.5, 1.25]), "PixelSpacing .* mixed series"),
    "two sizes": (smaller, r"Rows and Columns \[6, 8\].* got \[6, 7\]: mixed series"),
    "no position": (deleting("ImagePositionPatient"), "lacks ImagePositionPatient"),
    "no pixels": (deleting("PixelData"), "lacks PixelData"),
    "a broken position": (setting("ImagePositionPatient", [1, 2]), "expected 3 finite numbers in ImagePositionPatient"),
    "a position of NaN": (
        setting("ImagePositionPatient", ["nan"] * 3),
        "expected 3 finite numbers in ImagePositionPatient",
    ),
    "zero spacing": (setting("PixelSpacing", [0, 0], None), "a PixelSpacing of 0.01 to 100 mm"),
    "no orientation": (setting("ImageOrientationPatient", [0] * 6, None), "orthogonal unit vectors"),
    "the same frame twice": (
        lambda d: (setting("InstanceNumber", 1, None)(d), setting("TriggerTime", 5, None)(d)),
        "share both",
    ),
    "a position in words": (writing("ImagePositionPatient", b"a\\b\\c "), "expected 3 finite numbers"),
    "no thickness": (single_without_thickness, "expected a SliceThickness"),
    "pictures of two studies": (setting("StudyInstanceUID", "1.2.3"), "one study, got several: put each into its own"),
    "phase pictures only": (setting("ImageType", ["ORIGINAL", "PRIMARY", "P"], None), "got only 16 phase pictures"),
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


@pytest.mark.parametrize("content", [b"", b"a note", os.urandom(500)])
def test_files_that_are_no_dicom_are_passed_over_and_named(tmp_path: Path, content: bytes) -> None:
    save(tmp_path, cine(1, 2))
    for name in ("Thumbs.db", "readme.txt"):
        (tmp_path / name).write_bytes(content)
    with pytest.warns(InputWarning, match="2 files that are no DICOM were passed over, among them Thumbs.db") as caught:
        assert read_image(tmp_path).data.shape == (2, 6, 8)
    assert len(caught) == 1
    for path in tmp_path.glob("*.dcm"):
        path.unlink()
    with pytest.raises(InputError, match=r"Thumbs\.db: expected a DICOM"):
        read_image(tmp_path)


def test_damaged_dicom(tmp_path: Path) -> None:
    save(tmp_path, cine(1, 2))
    (tmp_path / "2.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x99" * 50)
    with pytest.raises(InputError, match=r"2\.dcm: expected a DICOM"):
        read_image(tmp_path)


def test_dicom_of_old_without_its_preamble(tmp_path: Path) -> None:
    save(tmp_path, cine(1, 2))
    expected = read_image(tmp_path).data
    for path in tmp_path.iterdir():
        ds = pydicom.dcmread(path)
        ds.preamble = None
        del ds.file_meta
        with warnings.catch_warnings(action="ignore"):
            ds.save_as(path, implicit_vr=True, little_endian=True)
        assert path.read_bytes()[128:132] != b"DICM"
    assert torch.equal(read_image(tmp_path).data, expected)


def test_series_in_folders_inside_are_named(tmp_path: Path) -> None:
    for name in ("b/deep", "a"):
        (tmp_path / name).mkdir(parents=True)
        save(tmp_path / name, cine(1, 2))
    (tmp_path / "dicomdir").write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(InputError, match=f"folders inside it; name one of them: a, b{re.escape(os.sep)}deep$"):
        read_image(tmp_path)


@pytest.mark.parametrize("per_series", [1, 2])
def test_series_with_slices_of_their_own_are_one_stack(tmp_path: Path, per_series: int) -> None:
    datasets = cine(3, 4)
    expected = read_image(save(tmp_path, datasets))
    for (_, z), ds in datasets.items():
        ds.SeriesInstanceUID = f"1.2.{z // per_series}"
    save(tmp_path, datasets)
    with pytest.warns(InputWarning, match=f"{4 // per_series} series, .* read as one stack") as caught:
        image = read_image(tmp_path)
    assert len(caught) == 1
    assert torch.equal(image.data, expected.data)
    np.testing.assert_array_equal(image.affine, expected.affine)


@pytest.mark.parametrize(
    ("apart", "reason"),
    [(0.0, "two series and in one place"), (4.0, "slice is missing"), (36.0, "slice is missing")],
)
def test_series_that_are_no_stack_are_listed(tmp_path: Path, apart: float, reason: str) -> None:
    datasets = cine(2, 3)
    for (t, z), ds in cine(2, 3).items():
        ds.SeriesInstanceUID, ds.SeriesNumber = "1.2", 9
        ds.ImagePositionPatient = list(np.array(ds.ImagePositionPatient, float) + apart * DIRECTIONS[:, 2])
        datasets[t, z + 10] = ds
    listed = r"got 2: 6 pictures of series \d \(first 0.dcm\), 6 pictures of series \d \(first \d+.dcm\); put each into"
    with pytest.raises(InputError, match=f"{listed} its own folder .*{reason}") as caught:
        read_image(save(tmp_path, datasets))
    assert "SECRET" not in str(caught.value)


PHASE = [["ORIGINAL", "PRIMARY", "P", "RETRO"], ["ORIGINAL", "PRIMARY", "PHASE MAP", "NONE"],
         ["DERIVED", "PRIMARY", "VELOCITY MAP", "P", "PCA"], ["DERIVED", "PRIMARY", "R_IR"],
         ["ORIGINAL", "PRIMARY", "I"]]  # fmt: skip


@pytest.mark.parametrize("image_type", PHASE, ids=lambda words: words[2])
def test_magnitude_is_taken_where_phase_lies_beside_it(tmp_path: Path, image_type: list[str]) -> None:
    datasets = cine(3, 2)
    expected = read_image(save(tmp_path, datasets))
    for (t, z), ds in cine(3, 2).items():
        ds.ImageType, ds.InstanceNumber = image_type, ds.InstanceNumber + 500
        ds.PixelData = (4095 - pixels(t, z)).tobytes()
        datasets[t, z + 10] = ds
    save(tmp_path, datasets)
    with pytest.warns(InputWarning, match=r"6 \w+ pictures were passed over, 6 magnitude pictures taken") as caught:
        image = read_image(tmp_path)
    assert len(caught) == 1
    assert torch.equal(image.data, expected.data)


def test_a_truncated_file(tmp_path: Path) -> None:
    save(tmp_path, cine(1, 2))
    whole = (tmp_path / "0.dcm").read_bytes()
    for length in (140, 300, len(whole) - 10):
        (tmp_path / "0.dcm").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"0\.dcm: "):
            read_image(tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(128, 660), value=st.integers(0, 255))
def test_any_damaged_byte_is_read_or_refused(tmp_path: Path, position: int, value: int) -> None:
    for p in tmp_path.iterdir():
        p.unlink()
    save(tmp_path, cine(1, 2))
    raw = bytearray((tmp_path / "0.dcm").read_bytes())
    raw[position] = value
    (tmp_path / "0.dcm").write_bytes(raw)
    try:
        with warnings.catch_warnings(action="ignore", category=InputWarning):
            assert torch.isfinite(read_image(tmp_path).data).all()
    except InputError as error:
        assert str(error).startswith(str(tmp_path))
