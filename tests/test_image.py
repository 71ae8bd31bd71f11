r"""Images between grids, against nibabel and scipy."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from cardiolearn.errors import InputError
from cardiolearn.image import (
    Image,
    crop_or_pad,
    normalise,
    reorient,
    resample,
)

SPACING = np.array([1.3, 2.1, 9.7])


def oblique(seed: int = 0, spacing: np.ndarray = SPACING, mirrored: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    directions = Rotation.random(rng=rng).as_matrix()
    if mirrored:
        directions[:, 2] *= -1
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = rng.uniform(-100, 100, 3)
    return affine


def noise(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# --- the class ---


def test_spacing_is_the_length_of_the_affine_columns() -> None:
    assert Image(torch.zeros(3, 4, 5), oblique()).spacing == pytest.approx(SPACING)


def test_the_affine_is_a_read_only_copy() -> None:
    affine = np.eye(4)
    image = Image(torch.zeros(3, 4, 5), affine)
    affine[0, 3] = 7
    assert image.affine[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        image.affine[0, 0] = 2


def test_frames() -> None:
    cine = Image(noise((6, 3, 4, 5)), oblique(), 0.03)
    assert cine.n_frames == 6
    assert torch.equal(cine.frame(4).data, cine.data[4])
    assert cine.frame(4).n_frames == 1
    assert torch.equal(cine.frame(2).frame(0).data, cine.data[2])
    assert cine.with_data(cine.data * 2).frame_duration == 0.03
    assert cine.with_data(cine.data[0]).frame_duration is None
    with pytest.raises(InputError, match="frame 6"):
        cine.frame(6)
    with pytest.raises(InputError, match="expected the grid"):
        cine.with_data(torch.zeros(6, 3, 5, 4))


@pytest.mark.parametrize(
    ("shape", "affine", "duration", "message"),
    [
        ((4, 5), np.eye(4), None, "T, Z, Y, X"),
        ((1, 1, 3, 4, 5), np.eye(4), None, "T, Z, Y, X"),
        ((3, 0, 5), np.eye(4), None, "non-empty"),
        ((3, 4, 5), np.full((4, 4), np.nan), None, "finite 4x4"),
        ((3, 4, 5), np.eye(3), None, "finite 4x4"),
        ((3, 4, 5), np.diag([1.0, 1, 0, 1]), None, "independent directions"),
        ((3, 4, 5), np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), None, "independent directions"),
        ((3, 4, 5), np.eye(4), 0.0, "positive seconds"),
        ((3, 4, 5), np.eye(4), float("nan"), "positive seconds"),
    ],
)
def test_the_constructor_refuses(shape: tuple[int, ...], affine: np.ndarray, duration: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Image(torch.zeros(shape), affine, duration)


# --- moving between grids ---


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_resample_equals_scipy(seed: int, mirrored: bool) -> None:
    image = Image(noise((4, 13, 11), seed), oblique(seed, np.array([2.0, 1.5, 6.0]), mirrored))
    affine = image.affine @ np.array(
        [[0.5, 0.05, 0, -2.013], [-0.03, 0.6, 0.1, 9.017], [0, 0.02, 0.4, 0.3071], [0, 0, 0, 1]]
    )
    shape = (5, 9, 10)
    matrix = np.linalg.inv(image.affine) @ affine
    flip = np.eye(3)[::-1]  # scipy counts (z, y, x)
    for order in (0, 1):
        expected = ndimage.affine_transform(
            image.data.double().numpy(),
            flip @ matrix[:3, :3] @ flip,
            flip @ matrix[:3, 3],
            shape,
            order=order,
            mode="nearest",
        )
        result = resample(image, affine, shape, order)
        xyz = np.indices(shape)[::-1].reshape(3, -1)
        c = (matrix[:3, :3] @ xyz + matrix[:3, 3:]).reshape(3, *shape)
        inside = np.all([(c[i] > -0.5) & (c[i] < n - 0.5) for i, n in enumerate(image.data.shape[::-1])], axis=0)
        assert 0.2 < inside.mean() < 1
        np.testing.assert_allclose(result.data.numpy(), expected * inside, atol=2e-6)
        np.testing.assert_array_equal(result.affine, affine)


def test_resample_onto_its_own_grid_changes_nothing() -> None:
    for shape in [(4, 5, 13, 11), (1, 7, 9), (3, 1, 6)]:
        image = Image(noise(shape), oblique(1), 0.03 if len(shape) == 4 else None)
        same = resample(image, image.affine, shape[-3:])
        torch.testing.assert_close(same.data, image.data, atol=1e-5, rtol=0)
        assert same.frame_duration == image.frame_duration
        labels = image.with_data((image.data * 5).long())
        assert torch.equal(resample(labels, image.affine, shape[-3:], order=0).data, labels.data)


def test_resample_keeps_labels_and_is_zero_outside() -> None:
    labels = Image(torch.full((2, 3, 4), 5, dtype=torch.uint8), np.diag([1.0, 1, 10, 1]))
    moved = np.diag([1.0, 1, 10, 1])
    moved[0, 3] = 2.0
    result = resample(labels, moved, (2, 3, 4), order=0)
    assert result.data.dtype == torch.uint8
    assert result.data.unique(dim=1).tolist() == [[[5, 5, 0, 0]]] * 2
    with pytest.raises(InputError, match="order"):
        resample(labels, moved, (2, 3, 4), order=3)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAR", "PIL"])
@pytest.mark.parametrize("seed", range(5))
def test_reorient_equals_nibabel(seed: int, codes: str) -> None:
    image = Image(noise((4, 3, 7, 5), seed), oblique(seed, mirrored=seed % 2 == 0), 0.04)
    nifti = nib.Nifti1Image(image.data.numpy().T, image.affine)
    start = nib.io_orientation(image.affine)
    expected = nifti.as_reoriented(nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(codes)))
    result = reorient(image, codes)
    np.testing.assert_array_equal(result.data.numpy().T, expected.get_fdata(dtype=np.float32))
    np.testing.assert_allclose(result.affine, expected.affine, atol=1e-9)
    assert nib.aff2axcodes(result.affine) == tuple(codes)
    assert result.frame_duration == 0.04


def test_reorient_refuses_nonsense() -> None:
    with pytest.raises(InputError, match="orientation codes"):
        reorient(Image(torch.ones(3, 4, 5), np.eye(4)), "XYZ")


@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    wanted=st.tuples(*[st.integers(1, 12)] * 3),
    shift=st.tuples(*[st.floats(-15, 15)] * 3),
    seed=st.integers(0, 5),
)
@settings(deadline=None, max_examples=60)
def test_crop_or_pad_keeps_every_voxel_in_its_place(shape, wanted, shift, seed) -> None:
    image = Image(noise(shape, seed), oblique(seed, mirrored=seed % 2 == 0))
    centre = (image.affine @ ((np.array(shape[::-1]) - 1) / 2 + shift).tolist().__add__([1.0]))[:3]
    result = crop_or_pad(image, centre, wanted)
    assert result.data.shape == wanted
    # The middle of the new grid is the point, to within half a voxel along each axis ...
    middle = np.linalg.inv(result.affine) @ (*centre, 1)
    assert (np.abs(middle[:3] - (np.array(wanted[::-1]) - 1) / 2) <= 0.5 + 1e-6).all()
    # ... and the voxels are those nearest-neighbour sampling finds there.
    torch.testing.assert_close(result.data, resample(image, result.affine, wanted, order=0).data)


def test_crop_or_pad_by_hand() -> None:
    image = Image(torch.arange(5)[None, None] + 10, np.diag([2.0, 1, 1, 1]))
    assert crop_or_pad(image, (4.0, 0, 0), (1, 1, 3)).data.tolist() == [[[11, 12, 13]]]
    assert crop_or_pad(image, (0.0, 0, 0), (1, 1, 3)).data.tolist() == [[[0, 10, 11]]]
    assert crop_or_pad(image, (100.0, 0, 0), (1, 1, 3)).data.tolist() == [[[0, 0, 0]]]
    assert crop_or_pad(image, (4.0, 0, 0), (1, 1, 3)).affine[0, 3] == 2.0


# --- intensities ---


def test_normalise_clips_to_percentiles() -> None:
    data = torch.arange(1001.0).reshape(7, 11, 13)[torch.arange(7).flip(0)]
    before = data.clone()
    result = normalise(data)
    torch.testing.assert_close(result, ((data - 10) / 980).clamp(0, 1))
    assert torch.equal(data, before)
    assert torch.equal(normalise(data.short()), result)
    torch.testing.assert_close(normalise(data, 0, 100), data / 1000)


def test_normalise_within_a_mask() -> None:
    data = torch.cat([torch.linspace(5, 6, 101), torch.full((50,), 1e4)])
    result = normalise(data, 0, 100, mask=data < 100)
    torch.testing.assert_close(result[:101], torch.linspace(0, 1, 101), atol=1e-5, rtol=0)
    assert (result[101:] == 1).all()
    with pytest.raises(InputError, match="mask"):
        normalise(data, mask=data < 0)


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0])
def test_a_constant_image_becomes_zeros(value: float) -> None:
    assert torch.equal(normalise(torch.full((2, 3, 4), value)), torch.zeros(2, 3, 4))


def test_normalise_takes_large_cines() -> None:
    data = torch.zeros(2**24 + 1)  # torch.quantile stops at 2**24 values
    data[-(2**20) :] = 1
    assert normalise(data).max() == 1
