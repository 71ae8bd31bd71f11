r"""A path to an image and back: written and read unchanged, refused where it cannot be, and real scans in place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from scipy.spatial.transform import Rotation

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.reading import nifti_bytes, read_image, read_labels, write_image

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
    assert (tmp_path / "a.nii.gz").read_bytes()[4:8] == bytes(4)  # where gzip keeps the time (RFC 1952)


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


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for name in ("none.nii.gz", "none.xyz", "none"):
        with pytest.raises(InputError, match=f"{name}: no such file"):
            read_image(tmp_path / name)


def test_bytes_for_a_viewer_are_the_image_uncompressed() -> None:
    image = Image(noise((3, 7, 5)), AFFINE)
    shown = nib.Nifti1Image.from_bytes(nifti_bytes(image))
    np.testing.assert_array_equal(shown.get_fdata(dtype=np.float32), image.data.numpy().T)
    np.testing.assert_allclose(shown.affine, AFFINE, atol=1e-5)


# --- permissions and refusals ---


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[None]:
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


def test_sunnybrook(
    real_scans: Path,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = real_scans / "sunnybrook" / "SCD0000101"
    image = read_image(folder)
    assert image.data.shape == (20, 12, 256, 256)
    assert image.spacing == pytest.approx((1.367188, 1.367188, 10), abs=1e-3)
    assert image.frame_duration == pytest.approx(0.038, abs=1e-3)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    assert not caplog.records
    # Every file, put through the affine on its own, is found in the image where its header says it is.
    to_voxel = np.linalg.inv(image.affine)
    for number in (1, 19, 20, 48, 133, 240):
        ds = pydicom.dcmread(folder / f"{number}.dcm")
        xyz = (to_voxel @ (*(np.array(ds.ImagePositionPatient, float) * (-1, -1, 1)), 1))[:3]
        np.testing.assert_allclose(xyz[:2], 0, atol=0.01)
        z = round(xyz[2])
        assert xyz[2] == pytest.approx(z, abs=0.01)
        assert z == 11 - (number - 1) // 20  # the first slice is the most basal, and the last along the normal
        np.testing.assert_array_equal(image.data[(number - 1) % 20, z].numpy(), ds.pixel_array)


@pytest.mark.parametrize(("series", "rr_ms"), [("Se2", 829), ("Se6", 876)])
def test_bivme(real_scans: Path, series: str, rr_ms: float) -> None:
    image = read_image(real_scans / "bivme" / series)
    assert image.data.shape == (25, 1, 208, 256)
    assert image.spacing == pytest.approx((1.40625, 1.40625, 6.0))
    assert image.frame_duration == pytest.approx(rr_ms / 25e3, rel=0.01)


def test_bivme_mesh_lies_on_the_blood_border(real_scans: Path) -> None:
    r"""The authors' LV mesh (LPS), moved through our affine, encloses blood: brighter inside than just outside."""
    words = (real_scans / "bivme" / "patient1_LV_ENDOCARDIAL_000.vtk").read_text().split()
    start = words.index("POINTS")
    points = np.array(words[start + 3 : start + 3 + 3 * int(words[start + 1])], float).reshape(-1, 3)
    image = read_image(real_scans / "bivme" / "Se2")
    voxel = (np.c_[points * (-1, -1, 1), np.ones(len(points))] @ np.linalg.inv(image.affine).T)[:, :3]
    ring = voxel[np.abs(voxel[:, 2]) < 0.3, :2]
    centre = ring.mean(axis=0)
    frame = image.data[0, 0].numpy()

    def at(scale: float) -> float:
        x, y = np.rint(centre + scale * (ring - centre)).astype(int).T
        return float(frame[y, x].mean())

    assert len(ring) > 20
    assert at(0.6) > 1.5 * at(1.25)


def test_a_folder_of_other_things(real_scans: Path) -> None:
    with pytest.raises(InputError, match="expected a DICOM file"):
        read_image(real_scans / "imperial_autofd" / "A")
