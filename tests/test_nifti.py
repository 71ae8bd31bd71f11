r"""NIfTI files: written and read back, as nibabel sees them; and every bad file refused by name."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cardiolearn.errors import InputError
from cardiolearn.image import Image, read_image, read_labels, write_image

AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xyz", [20, -40, 70], degrees=True).as_matrix() * (1.3, 2.1, 9.7)
AFFINE[:3, 3] = (-30, 12, 55)


def noise(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def save(path: Path, values: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(values, np.diag([1.5, 1.5, 8, 1])), path)
    return path


# --- reading and writing ---


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64, torch.float32])
def test_round_trip_is_exact(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    data = (noise((4, 3, 7, 5)) * 200).to(dtype)
    image = Image(data, AFFINE, 0.0312)
    write_image(tmp_path / name, image)
    back = read_image(tmp_path / name)
    assert torch.equal(back.data, data.float())
    np.testing.assert_allclose(back.affine, image.affine, atol=1e-5)
    assert back.frame_duration == pytest.approx(0.0312)
    assert os.listdir(tmp_path) == [name]


def test_nibabel_sees_what_was_written(tmp_path: Path) -> None:
    data = noise((3, 7, 5))
    write_image(tmp_path / "a.nii.gz", Image(data, AFFINE))
    other = nib.load(tmp_path / "a.nii.gz")
    assert other.shape == (5, 7, 3)
    np.testing.assert_array_equal(other.get_fdata(dtype=np.float32), data.numpy().T)
    for form, code in (other.get_sform(coded=True), other.get_qform(coded=True)):
        assert code == 1
        np.testing.assert_allclose(form, AFFINE, atol=1e-4)


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_image(tmp_path / f"{name}.nii.gz", Image(noise((3, 7, 5)), AFFINE))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


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


def test_labels(tmp_path: Path) -> None:
    values = np.array([0, 1, 2, 3, 4, 5] * 10).reshape(5, 4, 3)
    for dtype in (np.uint8, np.int16, np.float32):
        labels = read_labels(save(tmp_path / "a.nii", values.astype(dtype)))
        assert labels.data.dtype == torch.uint8
        np.testing.assert_array_equal(labels.data.numpy(), values.T)
    with pytest.raises(InputError, match=r"a\.nii: expected labels \[0, 1, 2\], got also \[3.0, 4.0, 5.0\]"):
        read_labels(tmp_path / "a.nii", allowed=(0, 1, 2))
    with pytest.raises(InputError, match=r"got also \[0\.5\]"):
        read_labels(save(tmp_path / "b.nii", np.full((5, 4, 3), 0.5, np.float32)))
    many = read_labels(save(tmp_path / "c.nii", np.full((5, 4, 3), 1000, np.int16)), allowed=(0, 1000))
    assert many.data.dtype == torch.int64
    assert int(many.data.max()) == 1000


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
    tmp_path: Path, name: str, reader, capfd: pytest.CaptureFixture[str], caplog
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


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for name in ("none.nii.gz", "none.xyz", "none"):
        with pytest.raises(InputError, match=f"{name}: no such file"):
            read_image(tmp_path / name)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 347), value=st.integers(0, 255))
def test_any_damaged_header_byte_is_read_or_refused(tmp_path: Path, position: int, value: int) -> None:
    (tmp_path / "a.nii").write_bytes(bad_header(position, bytes([value])))
    try:
        assert torch.isfinite(read_image(tmp_path / "a.nii").data).all()
    except InputError as error:
        assert str(error).startswith(str(tmp_path / "a.nii"))


@pytest.fixture
def unprivileged(tmp_path: Path):
    r"""Run the test as a user who has to ask for permission (root never has to)."""
    if not hasattr(os, "geteuid"):
        pytest.skip("needs POSIX permissions")
    is_root = os.geteuid() == 0
    parents = [p for p in (tmp_path, *tmp_path.parents) if is_root and p.stat().st_mode & 0o005 != 0o005]
    modes = [p.stat().st_mode for p in parents]
    for p in parents:
        p.chmod(0o755)
    if is_root:
        os.seteuid(65534)
    yield
    if is_root:
        os.seteuid(0)
    for p, mode in zip(parents, modes, strict=True):
        p.chmod(mode)


def test_no_permission_to_read(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = save(tmp_path / "secret.nii", np.ones((5, 4, 3), np.int16))
    path.chmod(0)
    request.getfixturevalue("unprivileged")
    for reader in (read_image, read_labels):
        with pytest.raises(InputError, match=r"secret\.nii: no permission"):
            reader(path)


def test_no_permission_to_write(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = tmp_path / "read_only"
    folder.mkdir()
    folder.chmod(0o555)
    request.getfixturevalue("unprivileged")
    with pytest.raises(InputError, match=r"a\.nii\.gz: no permission"):
        write_image(folder / "a.nii.gz", Image(torch.ones(3, 4, 5), np.eye(4)))
    assert not list(folder.iterdir())


def test_writing_refuses_and_leaves_nothing(tmp_path: Path) -> None:
    image = Image(torch.full((3, 4, 5), 300.5), np.eye(4))
    cases = [
        (tmp_path / "no" / "a.nii", image, None, "expected an existing folder"),
        (tmp_path / "a.png", image, None, "ending in .nii"),
        (tmp_path / "a.nii", image, np.uint8, "whole numbers within uint8, got 300.5"),
        (tmp_path / "a.nii", image, np.int16, "whole numbers within int16"),
        (tmp_path / "a.nii", image.with_data(image.data.long()), np.uint8, "whole numbers within uint8, got 300"),
        (tmp_path / "a.nii", image.with_data(image.data.long() * 2**40), None, "within 32 bits"),
        (tmp_path / "a.nii", image, np.complex64, "integer or floating"),
        (tmp_path / "a.nii", image.with_data(image.data * torch.nan), None, "expected finite values"),
    ]
    for path, what, dtype, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            write_image(path, what, dtype)
        assert str(caught.value).startswith(str(path))
    assert not list(tmp_path.iterdir())


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.nii"
    write_image(path, Image(torch.ones(3, 4, 5), np.eye(4)))
    before = path.read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(InputError, match=r"a\.nii: No space left"):
        write_image(path, Image(torch.zeros(3, 4, 5), np.eye(4)))
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii"]
    assert path.read_bytes() == before


# --- real scans ---


@pytest.mark.parametrize("subject", ["A", "D"])
def test_imperial(real_scans: Path, subject: str) -> None:
    folder = real_scans / "imperial_autofd" / subject
    image = read_image(folder / "sa_ED.nii.gz")
    assert image.data.ndim == 3
    assert image.frame_duration is None
    assert image.spacing == pytest.approx((1.2308, 1.2308, 10), abs=1e-3)
    labels = read_labels(folder / "seg_sa_ED.nii.gz", allowed=(0, 1, 2, 4))
    assert labels.affine[2, 3] == pytest.approx(image.affine[2, 3] - 30, abs=1e-3)
    cavity_ml = float((labels.data == 1).sum()) * np.prod(labels.spacing) / 1000
    assert cavity_ml == pytest.approx({"A": 188, "D": 150}[subject], abs=0.6)
    with pytest.raises(InputError, match=r"expected labels \[0, 1, 2, 3\], got also \[4\]"):
        read_labels(folder / "seg_sa_ED.nii.gz", allowed=range(4))


def test_ct(real_scans: Path) -> None:
    image = read_image(real_scans / "totalsegmentator_ct" / "example_ct_sm.nii.gz")
    assert (image.data.min(), image.data.max()) == (-1100, 1207)
    assert image.data.shape == (30, 101, 122)
