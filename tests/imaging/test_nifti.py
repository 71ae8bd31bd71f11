r"""NIfTI headers as nibabel writes them: scaling, axes, units; and every bad file refused by name."""

from __future__ import annotations

import gzip
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cardiolearn.errors import InputError, InputWarning
from cardiolearn.imaging.image import Image, plausible_frame_duration
from cardiolearn.imaging.nifti import encode_nifti
from cardiolearn.imaging.reading import read_image, read_labels

AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xyz", [20, -40, 70], degrees=True).as_matrix() * (1.3, 2.1, 9.7)
AFFINE[:3, 3] = (-30, 12, 55)


def save(path: Path, values: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(values, np.diag([1.5, 1.5, 8, 1])), path)
    return path


# --- headers ---


def test_scaling_is_applied(tmp_path: Path) -> None:
    nifti = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(5, 4, 3), np.eye(4))
    nifti.header.set_slope_inter(0.5, -3)
    raw = bytearray(nifti.to_bytes())
    raw[112:120] = np.array([0.5, -3], "<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(raw)
    expected = np.arange(60).reshape(5, 4, 3).T * 0.5 - 3
    np.testing.assert_allclose(read_image(tmp_path / "a.nii").data.numpy(), expected)


def test_trailing_axes_of_length_one_are_dropped(tmp_path: Path) -> None:
    for shape in [(5, 4, 3, 1), (5, 4, 3, 1, 1)]:
        assert read_image(save(tmp_path / "a.nii", np.ones(shape, np.int16))).data.shape == (3, 4, 5)
    assert read_image(save(tmp_path / "b.nii", np.ones((5, 4, 3, 2, 1), np.int16))).data.shape == (2, 3, 4, 5)
    assert read_image(save(tmp_path / "c.nii", np.ones((5, 4, 1), np.int16))).data.shape == (1, 4, 5)


def test_nifti_2(tmp_path: Path) -> None:
    values = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
    nib.save(nib.Nifti2Image(values, AFFINE), tmp_path / "a.nii.gz")
    image = read_image(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(image.data.numpy(), values.T)
    np.testing.assert_allclose(image.affine, AFFINE)


@pytest.mark.parametrize(
    ("step", "unit", "expected"),
    [
        (0.03, "sec", 0.03),
        (30, "msec", 0.03),
        (30000, "usec", 0.03),
        (0.03, "unknown", 0.03),
        (1.0, "sec", None),
        (0.003, "msec", None),
    ],
)
def test_frame_duration(tmp_path: Path, step: float, unit: str, expected: float | None) -> None:
    nifti = nib.Nifti1Image(np.ones((5, 4, 3, 2), np.int16), np.eye(4))
    nifti.header["pixdim"][4] = step
    nifti.header.set_xyzt_units("mm", unit)
    nib.save(nifti, tmp_path / "a.nii")
    assert read_image(tmp_path / "a.nii").frame_duration == (expected if expected is None else pytest.approx(expected))


def test_lengths_in_metres_become_millimetres(tmp_path: Path) -> None:
    nifti = nib.Nifti1Image(np.ones((5, 4, 3), np.int16), np.diag([0.001, 0.001, 0.008, 1]))
    nifti.header.set_xyzt_units("meter", "sec")
    nib.save(nifti, tmp_path / "a.nii")
    assert read_image(tmp_path / "a.nii").spacing == pytest.approx((1, 1, 8))


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        ([0, 255], "uint8"),
        ([0, 256], "int16"),
        ([-1, 255], "int16"),
        ([0, 40_000], "int32"),
        ([0.5, 2.0], "float32"),
    ],
)
def test_values_are_stored_in_the_smallest_type_that_holds_them(values: list[float], stored: str) -> None:
    raw = encode_nifti(np.array(values).reshape(1, 1, 2), AFFINE, None, compress=False)
    found = nib.Nifti1Image.from_bytes(raw)
    assert found.get_data_dtype() == stored
    assert found.get_fdata().ravel().tolist() == values


def test_only_what_can_be_the_time_between_frames_is_believed() -> None:
    r"""500 to 2 frames a second; a scanner that writes milliseconds or seconds of something else is not believed."""
    assert [plausible_frame_duration(s) for s in (0.0019, 0.002, 0.03, 0.5, 0.51)] == [None, 0.002, 0.03, 0.5, None]
    assert plausible_frame_duration(float("nan")) is None


# --- bad files ---


def bad_header(position: int, content: bytes) -> bytes:
    raw = bytearray(nib.Nifti1Image(np.ones((5, 4, 3), np.int16), np.diag([1.5, 1.5, 8, 1])).to_bytes())
    raw[position : position + len(content)] = content
    return bytes(raw)


def f4(value: float) -> bytes:
    return np.array(value, "<f4").tobytes()


RNG = np.random.default_rng(0)
WHOLE = gzip.compress(nib.Nifti1Image(RNG.random((30, 30, 9)).astype(np.float32), np.eye(4)).to_bytes())
RGB = np.zeros((5, 4, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
BAD_FILES = {
    "text.nii": (b"this is no image\n" * 100, "expected a NIfTI image"),
    "text.nii.gz": (b"this is no image\n" * 100, "expected a"),
    "short.nii": (b"tiny", "expected a NIfTI image"),
    "nothing.nii.gz": (b"", "expected a"),
    "picture.png": (b"\x89PNG", "expected a NIfTI file"),
    "truncated.nii.gz": (WHOLE[: len(WHOLE) // 2], "truncated or damaged"),
    "damaged.nii.gz": (WHOLE[:5000] + b"\0" * 500 + WHOLE[5500:], "truncated or damaged"),
    "truncated.nii": (gzip.decompress(WHOLE)[:2000], "too short"),
    "zero_pixdim.nii": (bad_header(80, f4(0)), "voxel spacing"),
    "negative_pixdim.nii": (bad_header(84, f4(-1.5)), "voxel spacing"),
    "nan_pixdim.nii": (bad_header(84, f4(np.nan)), "voxel spacing"),
    "absurd_pixdim.nii": (bad_header(88, f4(1e6)), "voxel spacing"),
    "zero_sform.nii": (bad_header(280, bytes(48)), "voxel spacing"),
    "nan_sform.nii": (bad_header(292, f4(np.nan)), "finite 4x4"),
    "quaternion.nii": (bad_header(254, b"\0\0")[:252] + b"\1\0\0\0" + f4(5) + bad_header(0, b"")[260:], "NIfTI"),
    "nan.nii": (nib.Nifti1Image(np.full((5, 4, 3), np.nan, np.float32), np.eye(4)).to_bytes(), "60 NaN"),
    "infinite.nii": (nib.Nifti1Image(np.full((5, 4, 3), np.inf, np.float32), np.eye(4)).to_bytes(), "60 NaN or inf"),
    "too_big_for_float32.nii": (nib.Nifti1Image(np.full((5, 4, 3), 1e300), np.eye(4)).to_bytes(), "60 NaN or inf"),
    "flat.nii": (nib.Nifti1Image(np.ones((5, 4), np.int16), np.eye(4)).to_bytes(), "2D picture"),
    "complex.nii": (nib.Nifti1Image(np.ones((5, 4, 3), np.complex64), np.eye(4)).to_bytes(), "complex"),
    "rgb.nii": (nib.Nifti1Image(RGB, np.eye(4)).to_bytes(), "colour"),
    "vectors.nii": (nib.Nifti1Image(np.ones((5, 4, 3, 1, 3), np.int16), np.eye(4)).to_bytes(), "5 axes"),
    "empty.nii": (nib.Nifti1Image(np.ones((5, 4, 0), np.int16), np.eye(4)).to_bytes(), "non-empty|damaged"),
    "huge.nii": (bad_header(42, np.array([32767] * 3, "<i2").tobytes()), "too"),
}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("reader", [read_image, read_labels])
def test_bad_files_are_refused_in_one_line(
    tmp_path: Path,
    name: str,
    reader: Callable[[Path], Image],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    content, message = BAD_FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        reader(tmp_path / name)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / name}: ")
    assert "\n" not in text
    if reader is read_image:
        assert re.search(message, text), text
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 347), value=st.integers(0, 255))
def test_any_damaged_header_byte_is_read_or_refused(tmp_path: Path, position: int, value: int) -> None:
    (tmp_path / "a.nii").write_bytes(bad_header(position, bytes([value])))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            assert torch.isfinite(read_image(tmp_path / "a.nii").data).all()
    except InputError as error:
        assert str(error).startswith(str(tmp_path / "a.nii"))
