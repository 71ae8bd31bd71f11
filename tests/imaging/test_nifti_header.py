r"""Headers that contradict themselves or are mutated field by field: nothing is read in silence as another heart."""

from __future__ import annotations

import gzip
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from cardiolearn.errors import InputError, InputWarning
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.reading import read_image, write_image

AFFINE = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.3, -0.2, 0.9) * (1.6, 1.6, 10.0), (-30, 12, 55))
VALUES = torch.rand((2, 6, 9, 8), generator=torch.Generator().manual_seed(0))
SHEARED = AFFINE @ np.array([[1, 0, 1.5, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
PIXDIM, S_FORM, ONES = slice(80, 92), slice(280, 328), np.diag([-1.0, -1.0, 1.0])


def written(path: Path, affine: np.ndarray = AFFINE) -> bytearray:
    write_image(path, Image(VALUES[0], affine))
    return bytearray(path.read_bytes())


def floats(values: Any) -> bytes:
    return np.asarray(values, "<f4").tobytes()


def read(path: Path, raw: bytes) -> tuple[Image, list[str]]:
    r"""The image of some bytes, and what was warned of; any warning that is not ours is an error."""
    path.write_bytes(raw)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        image = read_image(path)
    assert all(issubclass(warning.category, InputWarning) for warning in said), said
    return image, [str(warning.message) for warning in said]


# --- contradictions ---


def test_the_form_that_knows_the_voxel_size_wins_and_both_are_named(tmp_path: Path) -> None:
    r"""1 mm on all axes is what is written where the size is not known: in the s-form, in pixdim, without a q-form."""
    path, s_form = tmp_path / "a.nii", np.c_[ONES, np.zeros(3)]
    raw = written(path)
    raw[S_FORM] = floats(s_form)
    image, said = read(path, raw)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-4)
    assert len(said) == 1 and "s-form says voxels of 1 x 1 x 1 mm, pixdim of 1.6 x 1.6 x 10 mm; pixdim is" in said[0]
    raw[252:254] = bytes(2)  # no q-form: the directions of the s-form, the size of pixdim
    np.testing.assert_allclose(read(path, raw)[0].affine[:3, :3], ONES * (1.6, 1.6, 10), atol=1e-6)
    raw = written(path)
    raw[PIXDIM] = floats([1, 1, 1])
    image, said = read(path, raw)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-4)
    assert len(said) == 1 and "the s-form is taken, as 1 mm" in said[0]


def test_voxel_sizes_between_which_nothing_decides_are_refused(tmp_path: Path) -> None:
    raw = written(tmp_path / "a.nii")
    raw[PIXDIM] = floats([1.6, 1.6, 8])
    with pytest.raises(InputError, match=r"voxels of 1.6 x 1.6 x 10 mm, pixdim of 1.6 x 1.6 x 8 mm, and no"):
        read(tmp_path / "a.nii", raw)


def test_an_impossible_form_leaves_the_other(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    for where, content, kept in ((S_FORM, bytes(48), "q-form"), (slice(256, 260), floats(np.nan), "s-form")):
        raw = written(path)
        raw[where] = content
        image, said = read(path, raw)
        np.testing.assert_allclose(image.affine, AFFINE, atol=1e-3)
        assert len(said) == 1 and f"the {kept} is taken" in said[0] and "is impossible" in said[0]


def test_other_directions_in_the_q_form_are_said(tmp_path: Path) -> None:
    raw = written(tmp_path / "a.nii")
    raw[76:80] = floats(-1)  # the handedness: slices run the other way
    image, said = read(tmp_path / "a.nii", raw)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-4)
    assert len(said) == 1 and "mm from where the s-form does; the s-form is taken" in said[0]


def test_a_sheared_grid_agrees_with_itself_and_its_volumes_are_right(tmp_path: Path) -> None:
    image, said = read(tmp_path / "a.nii", written(tmp_path / "a.nii", SHEARED))
    assert said == []
    np.testing.assert_allclose(image.affine, SHEARED, atol=1e-4)
    assert image.voxel_volume == pytest.approx(1.6 * 1.6 * 10, rel=1e-5)
    assert np.prod(image.spacing) > 1.01 * image.voxel_volume
    in_plane = SHEARED[:, [2, 0, 1, 3]]  # the shear runs within the slices now
    assert Image(VALUES[0], in_plane).pixel_area == pytest.approx(10 * 1.6, rel=1e-5)


@pytest.mark.parametrize(
    ("at", "content", "message"),
    [
        (108, floats(np.inf), "expected a whole vox_offset from 352, got inf"),
        (108, floats(np.nan), "expected a whole vox_offset from 352, got nan"),
        (108, floats(353), "got a file that is too short"),
        (108, floats(351), "expected a whole vox_offset from 352, got 351"),
        (46, np.array(5, "<i2").tobytes(), "got a file that is longer"),  # a slice fewer
        (46, np.array(7, "<i2").tobytes(), "got a file that is too short"),
        (70, np.array(3, "<i2").tobytes(), "expected a datatype of the NIfTI standard, got code 3"),
        (112, floats([np.inf, 0]), "expected finite scl_slope and scl_inter, got inf and 0"),
        (112, floats([1, 1e9]), "expected a scaling that keeps the picture"),
        (112, floats([1e-40, 0]), "expected a scaling that keeps the picture"),
        (292, floats(1e9), "expected an origin within 100000 mm"),
        (344, b"ni1\0", "got the header of a pair"),
    ],
)
def test_a_field_of_impossible_value_is_refused(tmp_path: Path, at: int, content: bytes, message: str) -> None:
    raw = written(tmp_path / "a.nii")
    raw[at : at + len(content)] = content
    if at == 292:  # with a q-form beside it, the s-form's place would only be warned of
        raw[252:254] = bytes(2)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "a.nii", raw)


@pytest.mark.parametrize(
    ("at", "content", "message"),
    [
        (108, floats(0), "vox_offset is 0; the voxels are taken to follow the header, at byte 352"),
        (72, np.array(16, "<i2").tobytes(), "bitpix says 16 bits a voxel, datatype float32; the datatype is taken"),
        (112, floats([-1, 0]), "scl_slope is -1: what is stored as bright becomes dark"),
        (123, b"\x47", "xyzt_units 71 is no unit"),
        (252, bytes(4), "neither s-form nor q-form is set"),
    ],
)
def test_what_the_rest_decides_is_read_and_said(tmp_path: Path, at: int, content: bytes, message: str) -> None:
    raw = written(tmp_path / "a.nii")
    raw[at : at + len(content)] = content
    image, said = read(tmp_path / "a.nii", raw)
    assert len(said) == 1 and message in said[0] and said[0].startswith(f"{tmp_path / 'a.nii'}: ")
    torch.testing.assert_close(image.data, -VALUES[0] if at == 112 else VALUES[0])
    assert image.voxel_volume == pytest.approx(1.6 * 1.6 * 10, rel=1e-5)


def test_zeros_behind_the_voxels_are_padding_and_more_is_not(tmp_path: Path) -> None:
    raw = written(tmp_path / "a.nii")
    image, said = read(tmp_path / "a.nii", raw + bytes(100))
    assert torch.equal(image.data, VALUES[0]) and "100 zeros follow the voxels" in said[0]
    for more in (bytes(1000), b"\1"):
        for name, content in (("a.nii", raw + more), ("a.nii.gz", gzip.compress(raw + more))):
            with pytest.raises(InputError, match="got a file that is longer"):
                read(tmp_path / name, content)


def test_the_other_byte_order_is_read(tmp_path: Path) -> None:
    nifti = nib.Nifti1Image(np.arange(60, dtype=">i2").reshape(5, 4, 3), AFFINE, nib.Nifti1Header(endianness=">"))
    image, said = read(tmp_path / "a.nii", nifti.to_bytes())
    np.testing.assert_array_equal(image.data.numpy(), np.arange(60).reshape(5, 4, 3).T)
    assert said == []


# --- mutants ---


def mutants(header: type[Any], raw: bytes) -> Iterator[tuple[str, bytes]]:
    r"""Each number of each field set to 0, -1, NaN, infinity and the maximum, and each of its bits flipped."""
    for name in header.template_dtype.names:
        kind, start = header.template_dtype.fields[name][:2]
        size = kind.base.itemsize
        if kind.base.kind == "f":
            values = [0.0, -1.0, np.nan, np.inf, np.finfo(kind.base).max]
        else:
            values = [0, -1, np.iinfo(kind.base).max] if kind.base.kind in "iu" else []
        for at in range(start, start + kind.itemsize, size):
            with np.errstate(all="ignore"):
                changes = [np.array([value]).astype(kind.base.newbyteorder("<")).tobytes() for value in values]
            bits = int.from_bytes(raw[at : at + size], "little")
            changes += [(bits ^ 1 << bit).to_bytes(size, "little") for bit in range(min(8 * size, 64))]
            for content in changes:
                yield name, raw[:at] + content + raw[at + size :]


@pytest.mark.parametrize("version", [1, 2])
def test_no_mutated_field_gives_another_heart_in_silence(tmp_path: Path, version: int) -> None:
    r"""Read the same (volume within 2 %), warned of, or refused in one line. The time between frames stands alone in
    a header, so that a mutant of it cannot be told."""
    path = tmp_path / "a.nii"
    write_image(path, Image(VALUES, AFFINE, 0.03))
    header, raw = nib.Nifti1Header, path.read_bytes()
    if version == 2:
        header, first = nib.Nifti2Header, nib.Nifti1Image.from_bytes(raw)
        second = nib.Nifti2Image(first.get_fdata(dtype=np.float32), AFFINE)
        second.set_qform(AFFINE, 1)
        second.header.set_xyzt_units("mm", "sec")
        second.header["pixdim"][4] = 0.03
        raw = second.to_bytes()
    whole, said = read(path, raw)
    assert said == [] and torch.equal(whole.data, VALUES)
    fate: Counter[str] = Counter()
    for name, mutant in mutants(header, raw):
        try:
            image, said = read(path, mutant)
        except InputError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            fate["refused"] += 1
            continue
        fate["warned" if said else "same"] += 1
        if not said:
            alike = np.corrcoef(image.data.flatten() / image.data.abs().max(), whole.data.flatten())[0, 1]
            assert alike > 0.9999, name  # a slope changes nothing: pictures have no unit
            np.testing.assert_allclose(image.affine, whole.affine, atol=0.8, err_msg=name)
            assert image.voxel_volume == pytest.approx(whole.voxel_volume, rel=0.02), name
    assert min(fate["refused"], fate["warned"], fate["same"]) > 200


def test_random_bytes_never_end_in_a_traceback(tmp_path: Path) -> None:
    rng, fate = np.random.default_rng(0), Counter[str]()
    raw = bytes(written(tmp_path / "a.nii"))
    for number in range(300):
        packed = number % 2 == 1
        content = bytearray(gzip.compress(raw, 1) if packed and number % 4 == 1 else raw)
        for at in rng.integers(len(content) if number % 3 else 352, size=rng.integers(1, 40)):
            content[at] = rng.integers(256)
        try:
            read(tmp_path / ("b.nii.gz" if packed else "b.nii"), bytes(content))
            fate["read"] += 1
        except InputError as error:
            assert "\n" not in str(error)
            fate["refused"] += 1
    assert min(fate.values()) > 20
