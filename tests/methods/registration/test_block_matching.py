r"""Block matching: moves that are known are found again, among noise and outliers, within what is known."""

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
    looked_for,
    matches,
    most_alike,
    trimmed_fit,
    warped,
)

SHAPE = (32, 28, 37)
AFFINE = np.array([[-2.0, 0, 0, 36], [0, 2.0, 0, -28], [0, 0, 2.0, -32], [0, 0, 0, 1]])
CORNERS = torch.tensor([[x, y, z, 1.0] for x in (-25, 25) for y in (-25, 25) for z in (-25, 25)], dtype=torch.float64)
EYE = torch.eye(4, dtype=torch.float64)


def move(angles: tuple[float, float, float], shift: tuple[float, float, float]) -> torch.Tensor:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return torch.from_numpy(matrix)


TRUE = move((4.0, -6.0, 5.0), (7.0, -4.0, 5.0))


def scene(points: np.ndarray, seed: int = 5) -> np.ndarray:
    r"""A smooth random field at places `(..., 3)` in mm."""
    generator, value = np.random.default_rng(seed), np.zeros(points.shape[:-1])
    for _ in range(30):
        apart = ((points - generator.uniform(-50, 50, 3)) ** 2).sum(-1)
        value += generator.uniform(-1, 1) * np.exp(-0.5 * apart / generator.uniform(6, 14) ** 2)
    return value


def pictured(
    shape: tuple[int, ...] = SHAPE, alignment: torch.Tensor = EYE, affine: np.ndarray = AFFINE, seed: int = 5
) -> Image:
    r"""The scene in an image whose world the alignment maps the scene's to."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    world = np.stack((x, y, z, np.ones_like(x)), -1) @ affine.T @ np.linalg.inv(alignment.numpy()).T
    return Image(torch.from_numpy(scene(world[..., :3], seed)).float(), affine)


def error(found: torch.Tensor, true: torch.Tensor = EYE) -> float:
    r"""The largest distance at the corners of a cube of 5 cm, mm."""
    return (CORNERS @ (found - true).T).norm(dim=1).max().item()


@pytest.mark.parametrize("seed", [5, 6])
@pytest.mark.parametrize("affine", [False, True])
def test_a_known_move_is_found_again(affine: bool, seed: int) -> None:
    scale = torch.tensor([1.05, 0.95, 1.0, 1.0] if affine else [1.0] * 4, dtype=torch.float64)
    true = TRUE @ torch.diag(scale)
    fixed, moving = pictured(seed=seed), pictured((36, 31, 34), true, seed=seed)
    found = align(fixed, moving, MatchingSettings(affine=affine, levels=2))
    assert error(true) > 10.0
    assert error(found, true) < 0.3  # mm; voxels are of 2 mm
    if not affine:
        torch.testing.assert_close(found[:3, :3] @ found[:3, :3].T, EYE[:3, :3])


@pytest.mark.parametrize("affine", [False, True])
def test_an_image_is_aligned_with_itself(affine: bool) -> None:
    image = pictured()
    assert error(align(image, image, MatchingSettings(levels=1, affine=affine))) < 0.05
    assert error(align(image, image, MatchingSettings(levels=2, affine=affine))) < 0.05


def test_grids_may_be_turned_and_voxels_may_be_longer_than_wide() -> None:
    turned = np.array([[0, 2.0, 0, -32], [0, 0, -3.0, 38], [2.0, 0, 0, -34], [0, 0, 0, 1]])
    longer = AFFINE @ np.diag([1, 1, 1.5, 1])
    fixed, moving = pictured((22, 28, 37), affine=longer), pictured((26, 33, 35), TRUE, turned)
    assert error(align(fixed, moving, MatchingSettings(levels=2)), TRUE) < 0.5


def test_dark_may_be_bright_and_scale_does_not_matter() -> None:
    fixed, moving = pictured(), pictured((36, 31, 34), TRUE)
    settings = MatchingSettings(levels=2)
    found = align(fixed, moving, settings)
    other = align(fixed.with_data(500.0 * fixed.data), moving.with_data(-0.01 * moving.data), settings)
    assert error(found, TRUE) < 0.3 and error(other, TRUE) < 0.3


def test_what_is_not_known_attracts_nothing() -> None:
    fixed, moving = pictured(), pictured((36, 31, 34), TRUE)
    z, y, x = torch.meshgrid(*(torch.arange(n) for n in SHAPE), indexing="ij")
    sector = ((x - 18.0).abs() < 0.6 * (z + 8)) & ((y - 14.0).abs() < 0.6 * (z + 8))
    black = fixed.with_data(torch.where(sector, fixed.data, -3.0))  # at its border the picture varies most
    settings = MatchingSettings(levels=2)
    assert 0.3 < sector.float().mean() < 0.8
    found = align(black, moving, settings, mask=sector)
    assert error(found, TRUE) < 0.5
    spoilt = fixed.with_data(torch.where(sector, fixed.data, 7.0))
    torch.testing.assert_close(align(spoilt, moving, settings, mask=sector), found, rtol=0, atol=0)
    seen = pictured(alignment=TRUE)  # by a second probe, held alike
    dark, unknown = (seen.with_data(torch.where(sector, seen.data, value)) for value in (-3.0, torch.nan))
    left_out = error(align(black, unknown, settings, mask=sector), TRUE)
    assert left_out < 0.3 and error(align(black, dark, settings), TRUE) > 2.0 * left_out
    affine = moving.affine @ np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 8], [0, 0, 0, 1]])
    assert error(align(fixed, Image(moving.data[8:], affine), settings), TRUE) < 0.5


def test_an_alignment_goes_on_from_its_start() -> None:
    fixed, moving = pictured(), pictured((36, 31, 34), TRUE)
    near = TRUE @ move((1.0, 0.0, -1.0), (2.0, 1.0, 0.0))
    assert error(align(fixed, moving, MatchingSettings(levels=1), near), TRUE) < 0.3


def test_blocks_are_looked_for_where_values_vary_and_found_where_they_went() -> None:
    one = torch.zeros(16, 18, 20)
    one[6:10, 8:12, 4:8] = torch.rand((4, 4, 4), generator=torch.Generator().manual_seed(0))
    other = one.roll((2, -1, 3), (0, 1, 2))
    middles, places = looked_for(one, other, MatchingSettings(textured=0.02), 3)
    at = [i for i, middle in enumerate(middles.tolist()) if middle == [5.5, 9.5, 7.5]]  # (x, y, z)
    assert len(middles) == round(0.02 * 7 * 8 * 9) and len(at) == 1
    np.testing.assert_allclose(places[at[0]] - middles[at[0]], [3.0, -1.0, 2.0], atol=0.2)
    inside = (middles >= torch.tensor([2.5, 6.5, 4.5])) & (middles <= torch.tensor([9.5, 13.5, 11.5]))
    assert inside.all()  # no other block holds anything
    unknown = torch.full_like(one, torch.nan)
    assert len(looked_for(unknown, other, MatchingSettings(), 2)[0]) == 0
    assert len(looked_for(one, unknown, MatchingSettings(), 2)[0]) == 0


def test_correlations_are_numpys() -> None:
    generator = torch.Generator().manual_seed(1)
    one, other = torch.rand((2, 6, 6, 6), generator=generator)
    middles, places = looked_for(one, other, MatchingSettings(textured=1.0), 1)
    assert len(middles) == 8
    for middle, place in zip(middles.tolist(), places.tolist(), strict=True):
        first = [round(m - 1.5) for m in reversed(middle)]
        block = one.numpy()[tuple(slice(i, i + 4) for i in first)]
        alike = {}
        for step in np.ndindex(3, 3, 3):
            begin = [i + d - 1 for i, d in zip(first, step, strict=True)]
            seen = other.numpy()[tuple(slice(max(i, 0), i + 4) for i in begin)]
            if seen.shape == block.shape:
                alike[tuple(d - 1 for d in reversed(step))] = abs(np.corrcoef(block.ravel(), seen.ravel())[0, 1])
        best = max(alike, key=lambda step: alike[step])
        assert np.abs(np.subtract(place, middle) - best).max() <= 0.5 + 1e-6


def test_the_top_between_voxels_is_that_of_the_parabola() -> None:
    axis = torch.arange(-2.0, 3.0)
    top = torch.tensor([[0.3, -1.2, 0.0], [1.0, 0.4, -0.25]])  # (z, y, x)
    away = [(axis - top[:, k, None]) ** 2 for k in range(3)]
    alike = 1.0 - 0.05 * (away[0][:, :, None, None] + away[1][:, None, :, None] + away[2][:, None, None])
    best, steps = most_alike(alike)
    torch.testing.assert_close(steps, top.flip(1), atol=1e-5, rtol=0)
    torch.testing.assert_close(best, alike.flatten(1).max(1).values)


def test_what_is_not_known_is_not_the_most_alike() -> None:
    alike = torch.full((3, 3, 3, 3), 0.5)  # all alike: the nearest
    alike[1, 2, 0, 1] = torch.nan
    alike[1, 1, 1, 1], alike[1, 1, 1, 2] = torch.nan, 0.9
    alike[2] = torch.nan
    best, steps = most_alike(alike)
    assert best[:2].tolist() == [0.5, pytest.approx(0.9)] and best[2].isnan()
    assert steps[:2].tolist() == [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]


def test_both_images_are_looked_for_in_each_other() -> None:
    fixed, moving = pictured(), pictured((36, 31, 34), TRUE)
    settings = MatchingSettings()
    places, aims = matches(fixed, moving, TRUE, settings, 2)
    back, forth = matches(Image(warped(moving, TRUE, fixed), AFFINE), fixed, EYE, settings, 2)
    assert places.shape == aims.shape and len(places) > 100
    aims = aims @ torch.linalg.inv(TRUE)[:3, :3].T + torch.linalg.inv(TRUE)[:3, 3]
    torch.testing.assert_close(places.T @ aims, forth.T @ back, rtol=1e-3, atol=10.0)


def test_warping_is_scipys() -> None:
    moving, fixed = pictured((20, 18, 22), affine=AFFINE @ np.diag([1.5, 1.2, 1, 1])), pictured((16, 15, 14))
    alignment = move((5.0, 2.0, -3.0), (2.0, 1.0, 0.0))
    to_voxels = np.linalg.inv(moving.affine) @ alignment.numpy() @ fixed.affine
    z, y, x = np.meshgrid(*(np.arange(n) for n in fixed.data.shape), indexing="ij")
    places = np.stack((x, y, z, np.ones_like(x)), -1) @ to_voxels.T
    expected = ndimage.map_coordinates(moving.data.numpy(), places[..., 2::-1].transpose(3, 0, 1, 2), order=1)
    inside = ((places[..., :3] > 0) & (places[..., :3] < np.array(moving.data.shape[::-1]) - 1)).all(-1)
    assert 0.3 < inside.mean() < 0.9
    found = warped(moving, alignment, fixed).numpy()
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-4)
    assert np.isnan(found[~inside]).all()


def test_a_coarser_image_shows_the_same_place_as_far_as_it_is_known() -> None:
    image = pictured((32, 28, 37))
    half = coarser(image, 1)
    assert half.data.shape == (16, 14, 18) and half.spacing == (4.0, 4.0, 4.0)
    voxel, between = np.array([3.0, 4.0, 5.0, 1.0]), np.array([6.5, 8.5, 10.5, 1.0])
    np.testing.assert_allclose(half.affine @ voxel, image.affine @ between)
    np.testing.assert_allclose(half.data[5, 4, 3], image.data[10:12, 8:10, 6:8].mean(), rtol=1e-5)
    data = image.data.clone()
    data[10, 8:10, 6:8] = torch.nan  # half of this one,
    data[20, 10:12, 20:22] = data[21, 10, 20] = torch.nan  # and more than half of that one
    known = coarser(image.with_data(data), 1).data
    np.testing.assert_allclose(known[5, 4, 3], image.data[11, 8:10, 6:8].mean(), rtol=1e-5)
    assert known.isnan().nonzero().tolist() == [[10, 5, 10]]


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
    torch.testing.assert_close(trimmed_fit(places, aims, 0.5, 1.0, affine=False), true, atol=1e-6, rtol=0)


def test_an_affine_fit_that_folds_or_flattens_is_refused() -> None:
    places = torch.from_numpy(np.random.default_rng(3).normal(size=(40, 3)))
    for scale in ([1.0, 1.0, -1.0], [1.0, 1.0, 0.0], [0.7, 0.7, 0.7], [1.5, 1.2, 1.2]):
        with pytest.raises(InputError, match="block matching: expected volumes that become"):
            trimmed_fit(places, places * torch.tensor(scale), 0.5, 1.0, affine=True)
        assert torch.linalg.det(trimmed_fit(places, places * torch.tensor(scale), 0.5, 1.0, affine=False)) > 0.99
    flat = places * torch.tensor([1.0, 1.0, 0.0])
    with pytest.raises(InputError, match="block matching: expected volumes that become"):
        trimmed_fit(flat, flat, 0.5, 1.0, affine=True)


def test_an_alignment_stays_where_the_images_are() -> None:
    fixed, moving = pictured(), pictured((36, 31, 34), TRUE)
    with torch.device("meta"):
        found = align(fixed, moving, MatchingSettings(affine=True, levels=1, iterations=1))
    assert found.device.type == "cpu" and found.dtype == torch.float64


def test_bad_input_is_refused() -> None:
    image, one = pictured(), MatchingSettings(levels=1)
    for value in (0.0, 1000.0):
        flat = Image(torch.full(SHAPE, value), AFFINE)
        with pytest.raises(InputError, match="block matching: expected 8 blocks that show something, got 0"):
            align(flat, flat, one)
    with pytest.raises(InputError, match="block matching: expected 8 blocks that show something, got 0"):
        align(image, image, one, move((0, 0, 0), (500.0, 0, 0)))
    with pytest.raises(InputError, match="block matching: expected 8 blocks that show something, got 0"):
        align(image, image, one, mask=torch.zeros(SHAPE, dtype=torch.bool))
    for mask in (torch.ones((3, 3, 3), dtype=torch.bool), torch.ones(SHAPE)):
        with pytest.raises(InputError, match=r"mask: expected bool \(32, 28, 37\), got torch"):
            align(image, image, one, mask=mask)
    with pytest.raises(InputError, match="images: expected at least 32 voxels along every axis"):
        align(image, image, MatchingSettings(levels=4))
    film = Image(torch.zeros((2, *SHAPE)), AFFINE)
    with pytest.raises(InputError, match="images: expected one frame each"):
        align(film, film, MatchingSettings())
