r"""Alignment by intensities: known motions are found again, whatever brightness means, within a mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.methods.registration import similarity
from cardiolearn.methods.registration.intensity_alignment import AlignmentSettings, align_intensities, rigid

FIXED = np.array([[-4.0, 0, 0, 58.0], [0, 4.0, 0, -50.0], [0, 0, 4.0, -70.0], [0, 0, 0, 1]])
MOVING = np.array([[0, 4.0, 0, -50.0], [4.0, 0, 0, -64.0], [0, 0, -4.0, 66.0], [0, 0, 0, 1]])
POINTS = torch.tensor([[x, y, z, 1.0] for x in (-30, 30) for y in (-30, 30) for z in (-30, 30)], dtype=torch.float64)


def scene(places: np.ndarray) -> np.ndarray:
    r"""Smooth blobs at places `(..., 3)` in mm, 0 to 1."""
    generator, value = np.random.default_rng(3), np.zeros(places.shape[:-1])
    for _ in range(25):
        middle, width = generator.uniform(-50, 50, 3), generator.uniform(9, 16)
        value += generator.uniform(-1, 1) * np.exp(-0.5 * ((places - middle) ** 2).sum(-1) / width**2)
    return 1.0 / (1.0 + np.exp(-3.0 * value))


def pictured(shape: tuple[int, ...], affine: np.ndarray, alignment: torch.Tensor) -> Image:
    r"""The scene in an image whose world the alignment maps the scene's to."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    world = np.stack((x, y, z, np.ones_like(x)), -1) @ affine.T @ np.linalg.inv(alignment.numpy()).T
    return Image(torch.from_numpy(scene(world[..., :3])).float(), affine)


def motion(angles: tuple[float, float, float], shift: tuple[float, float, float]) -> torch.Tensor:
    found = torch.eye(4, dtype=torch.float64)
    found[:3, :3] = torch.from_numpy(Rotation.from_euler("xyz", angles, degrees=True).as_matrix())
    found[:3, 3] = torch.tensor(shift)
    return found


TRUE = motion((5.0, -6.0, 4.0), (6.0, -5.0, 4.0))


@pytest.fixture(scope="module")
def pair() -> tuple[Image, Image]:
    return pictured((34, 26, 30), FIXED, torch.eye(4)), pictured((32, 34, 27), MOVING, TRUE)


def error(found: torch.Tensor, true: torch.Tensor = TRUE) -> float:
    return (POINTS @ (found - true).T).norm(dim=1).max().item()


@pytest.mark.parametrize(
    ("unlike", "limit"),
    [
        (similarity.mean_squares, 0.1),
        (similarity.local_correlation, 0.8),  # windows that vary more look more alike, so that its least is off
        (similarity.mutual_information, 0.1),
        (similarity.self_similarity, 0.1),
    ],
)
def test_a_known_motion_is_found_again(pair: tuple[Image, Image], unlike: similarity.Unlikeness, limit: float) -> None:
    found = align_intensities(*pair, AlignmentSettings(unlike, levels=2))
    assert error(torch.eye(4)) > 10.0  # mm
    assert error(found) < limit
    torch.testing.assert_close(found[:3, :3] @ found[:3, :3].T, torch.eye(3, dtype=torch.float64))
    assert torch.linalg.det(found[:3, :3]) > 0


@pytest.mark.parametrize("unlike", [similarity.mutual_information, similarity.self_similarity])
def test_brightness_may_mean_something_else(pair: tuple[Image, Image], unlike: similarity.Unlikeness) -> None:
    fixed, moving = pair
    other = moving.with_data((moving.data - 0.45).abs())  # dark and bright of the fixed image are both bright
    assert error(align_intensities(fixed, other, AlignmentSettings(unlike, levels=2))) < 0.5
    assert error(align_intensities(fixed, other, AlignmentSettings(similarity.mean_squares, levels=2))) > 2.0


@pytest.mark.parametrize("unlike", [similarity.mutual_information, similarity.self_similarity])
def test_what_the_fixed_image_does_not_show_does_not_count(
    pair: tuple[Image, Image], unlike: similarity.Unlikeness
) -> None:
    fixed, moving = pair
    z, y, x = torch.meshgrid(*(torch.arange(n) for n in fixed.data.shape), indexing="ij")
    sector = ((x - 14.0).abs() < 0.6 * (z + 4)) & ((y - 12.0).abs() < 0.6 * (z + 4))
    black = fixed.with_data(torch.where(sector, fixed.data, 0.0))
    assert 0.3 < sector.float().mean() < 0.8
    settings = AlignmentSettings(unlike, levels=2)
    assert error(align_intensities(black, moving, settings, mask=sector)) < 0.3
    spoilt = fixed.with_data(torch.where(sector, fixed.data, 9.0))
    masked, other = (align_intensities(image, moving, settings, mask=sector) for image in (black, spoilt))
    torch.testing.assert_close(other, masked, atol=1e-2, rtol=0)


def test_what_the_moving_image_does_not_show_does_not_count(pair: tuple[Image, Image]) -> None:
    fixed, moving = pair
    affine = MOVING.copy()
    affine[:3, 3] = (MOVING @ [0, 0, 11, 1])[:3]
    part = Image(moving.data[11:], affine)  # two thirds of it
    assert error(align_intensities(fixed, part, AlignmentSettings(similarity.mean_squares, levels=2))) < 0.3


def test_an_alignment_goes_on_from_its_start(pair: tuple[Image, Image]) -> None:
    near = TRUE @ motion((1.0, 0.0, -1.0), (0.5, -1.0, 0.0))
    settings = AlignmentSettings(similarity.mean_squares, levels=1)
    assert error(near) > 1.0
    assert error(align_intensities(*pair, settings, near)) < 0.1
    stretched = torch.diag(torch.tensor([1.1, 1.0, 1.0, 1.0], dtype=torch.float64))
    found = align_intensities(*pair, settings, stretched)
    rest = torch.linalg.inv(stretched) @ found  # the start stays as it is, a rigid motion comes before it
    torch.testing.assert_close(rest[:3, :3] @ rest[:3, :3].T, torch.eye(3, dtype=torch.float64))


def test_levels_end_at_the_finest(pair: tuple[Image, Image]) -> None:
    sizes = []

    def seen(fixed: torch.Tensor, warped: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        sizes.append(fixed.shape[0])
        return similarity.mean_squares(fixed, warped, mask)

    align_intensities(*pair, AlignmentSettings(seen, levels=2, finest=1))
    assert list(dict.fromkeys(sizes)) == [8, 17]
    assert error(align_intensities(*pair, AlignmentSettings(similarity.mean_squares, levels=2, finest=1))) < 0.5


def test_a_rigid_motion_is_scipys() -> None:
    turn, middle, radius = torch.tensor([0.3, -0.2, 0.5]), torch.tensor([10.0, 20.0, 30.0]), 25.0
    found = rigid(torch.cat((radius * turn, torch.tensor([1.0, 2.0, 3.0]))).double(), middle.double(), radius).numpy()
    expected = Rotation.from_rotvec(turn.numpy()).apply([5.0, -3.0, 8.0]) + middle.numpy() + [1.0, 2.0, 3.0]
    np.testing.assert_allclose((found @ [15.0, 17.0, 38.0, 1.0])[:3], expected, rtol=1e-6)
    assert (rigid(torch.zeros(6), middle, radius) == torch.eye(4)).all()


def test_an_alignment_stays_where_the_images_are(pair: tuple[Image, Image]) -> None:
    with torch.device("meta"):
        found = align_intensities(*pair, AlignmentSettings(levels=1, iterations=2))
    assert found.device.type == "cpu"


def test_bad_input_is_refused(pair: tuple[Image, Image]) -> None:
    fixed, moving = pair
    film = Image(fixed.data[None].expand(2, -1, -1, -1), FIXED)
    with pytest.raises(InputError, match="images: expected one frame each"):
        align_intensities(film, moving, AlignmentSettings())
    with pytest.raises(InputError, match="images: expected at least 32 voxels along every axis"):
        align_intensities(fixed, moving, AlignmentSettings(levels=4))
    holed = fixed.with_data(torch.where(fixed.data > 0.9, torch.nan, fixed.data))
    with pytest.raises(InputError, match="images: expected finite intensities"):
        align_intensities(holed, moving, AlignmentSettings(levels=2))
    for mask in (torch.ones(3, 3, 3, dtype=torch.bool), torch.ones(fixed.data.shape)):
        with pytest.raises(InputError, match=r"mask: expected bool \(34, 26, 30\), got torch"):
            align_intensities(fixed, moving, AlignmentSettings(levels=2), mask=mask)
    with pytest.raises(InputError, match="mask: expected voxels that count, got none"):
        align_intensities(fixed, moving, AlignmentSettings(levels=2), mask=fixed.data > 2.0)
    with pytest.raises(InputError, match="images: expected some that overlap"):
        align_intensities(fixed, moving, AlignmentSettings(levels=2), motion((0, 0, 0), (500.0, 0, 0)))
