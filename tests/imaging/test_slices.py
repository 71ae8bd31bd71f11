r"""A scan as a stack of pictures: which axis runs across slices, which way is up, and windows as scipy samples them."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cardiolearn.imaging.image import Image
from cardiolearn.imaging.slices import PIXEL, slice_axis, stack, unwindow, window

OBLIQUE = np.array([[-1.5, 0.3, -4.0, 60.0], [0.2, -1.1, 6.0, -20.0], [0.4, -1.2, -6.0, 35.0], [0.0, 0.0, 0.0, 1.0]])
STORED = [order + signs for order in itertools.permutations("xyz") for signs in itertools.product((1, -1), repeat=3)]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def stored_otherwise(image: Image, axes: tuple[object, ...]) -> Image:
    r"""The same picture with its axes in another order and direction, as nibabel stores it."""
    turn = np.array([["xyz".index(str(axis)), sign] for axis, sign in zip(axes[:3], axes[3:], strict=True)])
    nifti = nib.Nifti1Image(image.data.numpy().T, image.affine).as_reoriented(turn)
    return Image(torch.from_numpy(nifti.get_fdata(dtype=np.float32).T.copy()), nifti.affine)


@pytest.mark.parametrize(
    ("spacing", "shape", "axis"),
    [
        ((1.8, 1.8, 10.0), (10, 200, 200), 2),
        ((8.0, 1.4, 1.4), (200, 210, 12), 0),
        ((1.8, 10.0, 1.8), (200, 9, 200), 1),
        ((1.5, 1.5, 8.0), (40, 20, 30), 2),  # coarsest, though not shortest
        ((1.5, 1.5, 2.0), (90, 20, 30), 1),  # none is much coarser: the shortest
        ((2.0, 2.0, 2.0), (90, 80, 30), 0),
    ],
)
def test_slices_lie_along_the_coarsest_axis_or_else_the_shortest(
    spacing: tuple[float, ...], shape: tuple[int, ...], axis: int
) -> None:
    assert slice_axis(Image(torch.zeros(shape), np.diag([*spacing, 1.0]))) == axis


@pytest.mark.parametrize("axes", STORED, ids=str)
def test_pictures_come_out_alike_however_they_are_stored(axes: tuple[object, ...]) -> None:
    image = Image(noise(5, 13, 11), OBLIQUE)
    expected, found = stack(image), stack(stored_otherwise(image, axes))
    assert found.pixel == pytest.approx(expected.pixel)
    mirrored = torch.equal(found.data, expected.data.flip(1))  # slices may count from the other end
    assert mirrored or torch.equal(found.data, expected.data)


@pytest.mark.parametrize("through", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)), ids=str)
def test_a_console_shows_the_patients_left_on_the_right_and_the_feet_below(
    through: str, signs: tuple[int, int, int]
) -> None:
    axis = {"sagittal": 0, "coronal": 1, "axial": 2}[through]
    spacing = np.full(3, 1.25)
    spacing[axis] = 9.0
    affine = np.diag([*(spacing * signs), 1.0])
    shape = (6, 7, 8)
    z, y, x = np.indices(shape)
    right, front, up = (affine @ np.stack([x, y, z, np.ones(shape)]).reshape(4, -1))[:3].reshape(3, *shape)
    pictures = {n: stack(Image(torch.from_numpy(v), affine)) for n, v in (("r", right), ("f", front), ("u", up))}
    across, down = {"axial": ("r", "f"), "coronal": ("r", "u"), "sagittal": ("f", "u")}[through]
    assert (pictures[across].data.diff(dim=-1) == -1.25).all()  # towards left, or towards the back in a sagittal cut
    assert (pictures[down].data.diff(dim=-2) == -1.25).all()  # towards the feet, or towards the back in an axial cut
    assert pictures["r"].pixel == pytest.approx((1.25, 1.25))


@pytest.mark.parametrize("axes", STORED[::5], ids=str)
@pytest.mark.parametrize("frames", [0, 3])
def test_what_is_found_goes_back_to_the_scans_own_grid(axes: tuple[object, ...], frames: int) -> None:
    image = stored_otherwise(Image(noise(5, 13, 11), OBLIQUE), axes)
    if frames:
        image = image.with_data(noise(frames, *image.data.shape))
    pictures = stack(image)
    assert pictures.data.ndim == 4 and len(pictures.data) == max(frames, 1)
    assert torch.equal(pictures.restore(pictures.data), image.data)


@given(
    centre=st.tuples(st.floats(-3, 25), st.floats(-3, 33)),
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    zoom=st.floats(0.5, 2.0),
    pixel=st.tuples(st.floats(0.7, 2.5), st.floats(0.7, 2.5)),
)
@settings(max_examples=40)
def test_a_window_is_what_scipy_samples(
    centre: tuple[float, float], size: tuple[int, int], zoom: float, pixel: tuple[float, float]
) -> None:
    slices = noise(2, 22, 30)
    found = window(slices, pixel, centre, size, zoom)
    assert found.shape == (2, 1, *size)
    rows, columns = (
        c + (np.arange(n) - (n - 1) / 2) * PIXEL * zoom / d for c, n, d in zip(centre, size, pixel, strict=True)
    )
    places = np.meshgrid(rows, columns, indexing="ij")
    for picture, one in zip(found[:, 0], slices, strict=True):
        padded = np.pad(one.double().numpy(), 1)  # dark beyond the last pixel's centre, half-way at its edge
        expected = ndimage.map_coordinates(padded, [p + 1 for p in places], order=1, cval=0.0)
        np.testing.assert_allclose(picture.numpy(), expected, atol=2e-5)


@given(
    centre=st.tuples(st.floats(9, 12), st.floats(13, 16)),
    zoom=st.floats(0.5, 1.0),
    pixel=st.tuples(st.floats(0.8, 2.0), st.floats(0.8, 2.0)),
)
@settings(max_examples=40)
def test_unwindow_puts_every_pixel_back_and_zero_elsewhere(
    centre: tuple[float, float], zoom: float, pixel: tuple[float, float]
) -> None:
    r"""A plane goes through linear sampling unchanged, so it comes back wherever the window reached."""
    y, x = torch.meshgrid(torch.arange(22.0), torch.arange(30.0), indexing="ij")
    plane = 3 + 0.5 * y - 0.25 * x
    size = (8, 10)  # small enough to lie within the picture
    back = unwindow(window(plane[None], pixel, centre, size, zoom), pixel, centre, (22, 30), zoom)[0, 0]
    rows, columns = ((v - c).abs() / (PIXEL * zoom / d) for v, c, d in zip((y, x), centre, pixel, strict=True))
    inside = (rows <= (size[0] - 1) / 2) & (columns <= (size[1] - 1) / 2)
    beyond = (rows >= (size[0] + 1) / 2) | (columns >= (size[1] + 1) / 2)
    assert inside.any() and beyond.any()
    torch.testing.assert_close(back[inside], plane[inside], atol=1e-4, rtol=1e-4)
    assert back[beyond].abs().max() < 1e-4
