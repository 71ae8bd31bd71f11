r"""Images and their place in space: voxel sizes and volumes, boxes, and sampling on other grids as scipy does it."""

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
from cardiolearn.imaging.image import Image, box_around, resample

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


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_voxel_is_as_large_as_its_box_however_it_lies(mirrored: bool) -> None:
    image = Image(torch.zeros(3, 4, 5), oblique(3, mirrored=mirrored))
    assert image.voxel_volume == pytest.approx(1.3 * 2.1 * 9.7)


@given(shear=st.tuples(*[st.floats(-3, 3)] * 3), seed=st.integers(0, 20))
def test_shearing_moves_slices_past_each_other_and_keeps_the_volume(shear: tuple[float, ...], seed: int) -> None:
    r"""A prism has the volume of its base times its height (Cavalieri), while its edges grow longer."""
    turn = oblique(seed, np.ones(3), mirrored=seed % 2 == 0)
    box = np.eye(4)
    box[:3, :3] = np.diag(SPACING)
    box[0, 1], box[0, 2], box[1, 2] = shear  # columns along y and z lean; base and height stay
    image = Image(torch.zeros(3, 4, 5), turn @ box)
    assert image.voxel_volume == pytest.approx(1.3 * 2.1 * 9.7)
    edges = (1.3, np.hypot(2.1, shear[0]), np.sqrt(9.7**2 + shear[1] ** 2 + shear[2] ** 2))
    assert image.spacing == pytest.approx(edges)


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
def test_the_constructor_refuses(
    shape: tuple[int, ...], affine: np.ndarray, duration: float | None, message: str
) -> None:
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
def test_resample_onto_turned_axes_equals_nibabel(seed: int, codes: str) -> None:
    image = Image(noise((4, 3, 7, 5), seed), oblique(seed, mirrored=seed % 2 == 0), 0.04)
    nifti = nib.Nifti1Image(image.data.numpy().T, image.affine)
    start = nib.io_orientation(image.affine)
    expected = nifti.as_reoriented(nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(codes)))
    result = resample(image, expected.affine, expected.shape[2::-1], order=0)
    np.testing.assert_array_equal(result.data.numpy().T, expected.get_fdata(dtype=np.float32))
    assert result.frame_duration == 0.04


@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    wanted=st.tuples(*[st.integers(1, 12)] * 3),
    shift=st.tuples(*[st.integers(-10, 10)] * 3),
    seed=st.integers(0, 5),
)
@settings(max_examples=60)
def test_resample_by_whole_voxels_crops_and_pads(
    shape: tuple[int, int, int], wanted: tuple[int, int, int], shift: tuple[int, int, int], seed: int
) -> None:
    image = Image(noise(shape, seed), oblique(seed, mirrored=seed % 2 == 0))
    step = np.eye(4)
    step[:3, 3] = shift  # the new grid begins at this voxel (x, y, z)
    room = 22  # more than a new grid can lie beside the old one
    padded = torch.nn.functional.pad(image.data, (room,) * 6)
    expected = padded[
        tuple(slice(room + first, room + first + n) for first, n in zip(shift[::-1], wanted, strict=True))
    ]
    assert torch.equal(resample(image, image.affine @ step, wanted, order=0).data, expected)


# --- boxes ---


@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_a_box_around_a_cross_by_hand(kind: str) -> None:
    mask = np.zeros((5, 9, 12), dtype=bool)
    mask[2, 3:7, 8], mask[2, 4, 6:11] = True, True
    given = torch.from_numpy(mask) if kind == "torch" else mask
    assert box_around(given, (0, 0, 0)) == (slice(2, 3), slice(3, 7), slice(6, 11))
    assert box_around(given, (1, 2, 3)) == (slice(1, 4), slice(1, 9), slice(3, 12))  # the last axis ends there
    assert box_around(given, (5, 9, 12)) == (slice(0, 5), slice(0, 9), slice(0, 12))
    assert box_around(given & False, (1, 2, 3)) is None


@given(
    shape=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    fill=st.sampled_from([0.02, 0.2, 0.9]),
    margin=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_a_box_holds_the_mask_and_nothing_that_it_need_not(
    shape: list[int], fill: float, margin: int, seed: int
) -> None:
    mask = noise(tuple(shape), seed) < fill
    box = box_around(mask, (margin,) * len(shape))
    if box is None:
        assert not mask.any()
        return
    outside = mask.clone()
    outside[box] = False
    assert not outside.any()
    (tight,) = ndimage.find_objects(mask.numpy().astype(int))  # scipy's bounding box
    assert box == tuple(
        slice(max(side.start - margin, 0), min(side.stop + margin, n)) for side, n in zip(tight, shape, strict=True)
    )


def test_a_box_needs_a_margin_for_each_axis() -> None:
    with pytest.raises(ValueError, match="zip"):
        box_around(torch.ones(3, 4, 5), (1, 1))


def test_one_slice_stays_in_its_place() -> None:
    affine = np.array([[0.0, 1.5, 0.1, -40.0], [1.5, 0.0, 0.2, 7.0], [0.3, 0.1, 9.0, 3.0], [0.0, 0.0, 0.0, 1.0]])
    cine = Image(torch.rand(2, 5, 6, 7), affine, 0.04)
    alone = cine.one_slice(3)
    assert alone.data.shape == (2, 1, 6, 7) and alone.frame_duration == 0.04
    np.testing.assert_array_equal(alone.data[:, 0], cine.data[:, 3])
    for x, y in ((0, 0), (6, 5)):
        np.testing.assert_allclose(alone.affine @ [x, y, 0, 1], affine @ [x, y, 3, 1])
    with pytest.raises(InputError, match="slice 5: expected 0 to 4"):
        cine.one_slice(5)
