r"""Block matching: moves that are known are found again, among noise and outliers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.methods.registration.block_matching import (
    MatchingSettings,
    align,
    coarser,
    fit_affine,
    fit_rigid,
    most_alike,
    trimmed_fit,
    warped,
)

SHAPE, SPACING = (32, 28, 36), 2.0


def affine_of(spacing: float = SPACING) -> np.ndarray:
    matrix = np.diag([-spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = [36.0, -28.0, -32.0]
    return matrix


def move(angles: tuple[float, float, float], shift: tuple[float, float, float]) -> torch.Tensor:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return torch.from_numpy(matrix)


def scene(points: np.ndarray) -> np.ndarray:
    r"""A smooth random field at places `(..., 3)` in mm."""
    generator = np.random.default_rng(5)
    middles, widths = generator.uniform(-50, 50, (30, 3)), generator.uniform(6, 14, 30)
    heights = generator.uniform(-1, 1, 30)
    apart = ((points[..., None, :] - middles) ** 2).sum(-1)
    return (heights * np.exp(-0.5 * apart / widths**2)).sum(-1)


def pictured(shape: tuple[int, ...], affine: np.ndarray, alignment: np.ndarray) -> Image:
    r"""The scene as an image sees it whose world is carried into the scene's by the alignment's inverse."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    world = np.stack((x, y, z, np.ones_like(x)), -1) @ affine.T @ np.linalg.inv(alignment).T
    return Image(torch.from_numpy(scene(world[..., :3])).float(), affine)


@pytest.mark.parametrize("affine", [False, True])
def test_a_known_move_is_found_again(affine: bool) -> None:
    true = move((4.0, -6.0, 5.0), (7.0, -4.0, 5.0))
    if affine:
        true = true @ torch.diag(torch.tensor([1.05, 0.95, 1.0, 1.0], dtype=torch.float64))
    fixed = pictured(SHAPE, affine_of(), np.eye(4))
    moving = pictured((36, 30, 34), affine_of(), true.numpy())
    found = align(fixed, moving, MatchingSettings(affine=affine, levels=2))
    middle = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    corners = torch.tensor([[25.0, -25.0, 25.0, 1.0], [-25.0, 25.0, 25.0, 1.0]], dtype=torch.float64)
    for place in (middle, *corners):
        assert torch.dist((found @ place)[:3], (true @ place)[:3]) < 0.3  # mm; the start is 10 off


def test_an_image_is_aligned_with_itself() -> None:
    image = pictured(SHAPE, affine_of(), np.eye(4))
    torch.testing.assert_close(align(image, image, MatchingSettings(levels=1)), torch.eye(4, dtype=torch.float64))


def test_the_top_between_voxels_is_that_of_the_parabola() -> None:
    axis = torch.arange(-2.0, 3.0)
    top = torch.tensor([[0.3, -1.2, 0.0], [1.0, 0.4, -0.25]])  # (z, y, x)
    away = [(axis[:, None] - top[:, k]) ** 2 for k in range(3)]
    alike = 1.0 - 0.05 * (away[0][:, None, None] + away[1][None, :, None] + away[2][None, None])
    torch.testing.assert_close(most_alike(alike)[1], top.flip(1), atol=1e-5, rtol=0)


def test_warping_is_scipys() -> None:
    moving, fixed = pictured((20, 18, 22), affine_of(3.0), np.eye(4)), pictured((16, 15, 14), affine_of(), np.eye(4))
    alignment = move((5.0, 2.0, -3.0), (2.0, 1.0, 0.0))
    to_voxels = np.linalg.inv(moving.affine) @ alignment.numpy() @ fixed.affine
    z, y, x = np.meshgrid(*(np.arange(n) for n in fixed.data.shape), indexing="ij")
    places = np.stack((x, y, z, np.ones_like(x)), -1) @ to_voxels.T
    expected = ndimage.map_coordinates(moving.data.numpy(), places[..., 2::-1].transpose(3, 0, 1, 2), order=1)
    inside = ((places[..., :3] > 0) & (places[..., :3] < np.array(moving.data.shape[::-1]) - 1)).all(-1)
    assert inside.mean() > 0.3
    np.testing.assert_allclose(warped(moving, alignment, fixed).numpy()[inside], expected[inside], atol=1e-4)


def test_a_coarser_image_shows_the_same_place() -> None:
    image = pictured(SHAPE, affine_of(), np.eye(4))
    half = coarser(image, 1)
    assert half.data.shape == (16, 14, 18) and half.spacing == (4.0, 4.0, 4.0)
    voxel = torch.tensor([3.0, 4.0, 5.0, 1.0], dtype=torch.float64)
    between = 2.0 * voxel[:3] + 0.5
    here = half.affine @ voxel.numpy()
    np.testing.assert_allclose(here[:3], (image.affine @ np.append(between.numpy(), 1.0))[:3])


def test_a_fit_to_points_agrees_with_scipy_and_least_squares() -> None:
    generator = np.random.default_rng(0)
    places, true = generator.normal(size=(30, 3)) * 20, move((20, -30, 40), (3, 2, 1)).numpy()
    aims = places @ true[:3, :3].T + true[:3, 3] + generator.normal(size=(30, 3))
    rotation, _ = Rotation.align_vectors(aims - aims.mean(0), places - places.mean(0))
    rigid = fit_rigid(torch.from_numpy(places), torch.from_numpy(aims))
    np.testing.assert_allclose(rigid[:3, :3], rotation.as_matrix(), atol=1e-9)
    padded = np.c_[places, np.ones(30)]
    affine = fit_affine(torch.from_numpy(places), torch.from_numpy(aims))
    np.testing.assert_allclose(affine[:3], np.linalg.lstsq(padded, aims, rcond=None)[0].T, atol=1e-9)


def test_mirrored_points_are_turned_and_not_mirrored() -> None:
    places = torch.from_numpy(np.random.default_rng(1).normal(size=(20, 3)))
    found = fit_rigid(places, places * torch.tensor([-1.0, 1.0, 1.0]))
    assert torch.linalg.det(found[:3, :3]).item() == pytest.approx(1.0)


def test_what_most_pairs_agree_on_is_kept() -> None:
    generator = np.random.default_rng(2)
    places = torch.from_numpy(generator.normal(size=(50, 3)) * 20)
    true = move((5, 5, 5), (4, 0, 0))
    aims = places @ true[:3, :3].T + true[:3, 3]
    aims[:20] += torch.from_numpy(generator.normal(size=(20, 3)) * 30)
    torch.testing.assert_close(trimmed_fit(places, aims, 0.5, affine=False), true, atol=1e-6, rtol=0)


def test_images_that_show_nothing_and_films_are_refused() -> None:
    flat = Image(torch.zeros(SHAPE), affine_of())
    with pytest.raises(InputError, match="block matching: expected 8 blocks that show something, got 0"):
        align(flat, flat, MatchingSettings(levels=1))
    film = Image(torch.zeros((2, *SHAPE)), affine_of())
    with pytest.raises(InputError, match="images: expected one frame each"):
        align(film, film, MatchingSettings())
