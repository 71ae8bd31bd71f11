r"""Free-form registration: known fields are found again, nothing folds, a warp as scipy's, bad input named."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hearts import random_field, seeded, texture
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from cardiolearn.errors import InputError
from cardiolearn.methods.registration import ffd, similarity
from cardiolearn.methods.registration.bsplines import grid_places
from cardiolearn.methods.registration.ffd import RegistrationSettings, register, warp
from cardiolearn.phantom.body.noise import Noise

SHAPE, SPACING = (24, 30, 28), (3.0, 2.0, 2.0)


def test_nothing_folds_where_unlike_pictures_pull() -> None:
    places = grid_places(SHAPE, SPACING)
    fixed, moving = (3.0 * Noise(seed).at(places, 9.0) for seed in (3, 8))
    fields = [
        register(fixed, moving, SPACING, RegistrationSettings(squeeze=weight))
        for weight in (0.0, RegistrationSettings().squeeze)
    ]
    folded = [float((field.jacobian(places) < 0.0).float().mean()) for field in fields]
    assert folded[0] > 0.05 and folded[1] == 0.0


@pytest.mark.parametrize(
    "unlike", [similarity.mean_squares, similarity.local_correlation, similarity.mutual_information]
)
def test_a_known_field_is_found_again(unlike: similarity.Unlikeness) -> None:
    truth, places = random_field(1.5), grid_places(SHAPE, SPACING)
    moved = places + truth.at(places)
    fixed, moving = texture(moved), texture(places)
    found = register(fixed, moving, SPACING, RegistrationSettings(unlike, knot=18.0, levels=2, bending=0.1))
    error = ((found.at(places) - truth.at(places)) / torch.tensor(SPACING)).norm(dim=-1)[3:-3, 3:-3, 3:-3]
    assert error.mean() < 0.2  # voxels
    assert found.jacobian(places).min() > 0.0
    displacement = found.at(places).movedim(-1, 0)
    assert (warp(moving, displacement, SPACING) - fixed).abs().mean() < 0.25 * (moving - fixed).abs().mean()


def test_other_contrast_needs_mutual_information() -> None:
    truth, places = random_field(1.5), grid_places(SHAPE, SPACING)
    fixed, moving = texture(places + truth.at(places)), -texture(places).abs()
    found = register(
        fixed, moving, SPACING, RegistrationSettings(similarity.mutual_information, knot=18.0, levels=2, bending=0.1)
    )
    error = ((found.at(places) - truth.at(places)) / torch.tensor(SPACING)).norm(dim=-1)[3:-3, 3:-3, 3:-3]
    assert error.mean() < 0.35


@pytest.mark.parametrize(
    ("shape", "spacing"), [((24, 30, 28), (3.0, 2.0, 2.0)), ((12, 40, 41), (8.0, 1.5, 1.5)), ((33, 18), (1.0, 2.5))]
)
def test_a_coarser_level_lies_where_the_finer_one_does(shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    r"""Images that hold the place of every voxel along an axis: means of places are the places of the coarse voxels."""
    places = grid_places(shape, spacing) + torch.tensor([5.0, -3.0, 2.0][: len(shape)])
    for axis, start in enumerate((5.0, -3.0, 2.0)[: len(shape)]):
        level = ffd._Level(places[..., axis], places[..., axis], spacing, (5.0, -3.0, 2.0)[: len(shape)])
        for _ in range(2):
            level = ffd._coarser(level)
            steps = torch.arange(level.fixed.shape[axis]).reshape([-1 if k == axis else 1 for k in range(len(shape))])
            expected = level.start[axis] + level.spacing[axis] * steps
            torch.testing.assert_close(level.fixed, expected.expand_as(level.fixed), atol=1e-3, rtol=0)
        assert level.start[axis] >= start and min(level.spacing) > min(spacing)


def test_a_shift_in_the_plane_and_a_start_from_it() -> None:
    spacing, shift = (1.5, 1.0), torch.tensor([2.0, -1.5])
    places = torch.cat((grid_places((40, 50), spacing), torch.zeros(40, 50, 1)), -1)
    fixed, moving = texture(places + torch.tensor([*shift, 0.0])), texture(places)
    found = register(fixed, moving, spacing, RegistrationSettings(knot=15.0, levels=2, iterations=60))
    inside = found.at(grid_places((40, 50), spacing))[5:-5, 5:-5]
    assert (inside - shift).norm(dim=-1).mean() < 0.2
    again = register(fixed, moving, spacing, RegistrationSettings(knot=15.0, levels=2, iterations=10), start=found)
    assert again.knots == found.knots
    assert (again.at(places[..., :2]) - found.at(places[..., :2])).norm(dim=-1).mean() < 0.1


def test_without_iterations_a_start_is_what_comes_back() -> None:
    image = texture(grid_places(SHAPE, SPACING))
    start = random_field(2.0, seed=3)
    still = register(image, image, SPACING, RegistrationSettings(iterations=0), start=start)
    assert torch.equal(still.coefficients, start.coefficients) and still.knots == start.knots


def test_equal_images_stay_where_they_are() -> None:
    image = texture(grid_places((9, 12, 17), (8.0, 1.5, 1.5)))  # odd, anisotropic
    found = register(image, image, (8.0, 1.5, 1.5), RegistrationSettings(levels=3, iterations=5))
    assert found.at(grid_places((9, 12, 17), (8.0, 1.5, 1.5))).abs().max() < 0.05


def test_a_warp_is_scipys() -> None:
    g = seeded()
    image, field = torch.rand(8, 9, 10, generator=g), 2.0 * torch.randn(3, 8, 9, 10, generator=g)
    voxels = torch.stack(torch.meshgrid(*(torch.arange(n) for n in (8, 9, 10)), indexing="ij"))
    places = voxels + field / torch.tensor(SPACING)[:, None, None, None]
    expected = map_coordinates(image.numpy(), places.numpy(), order=1, mode="nearest")
    np.testing.assert_allclose(warp(image, field, SPACING), expected, atol=1e-4)


@given(
    shape=st.lists(st.integers(2, 11), min_size=2, max_size=3),
    spacing=st.lists(st.floats(0.3, 12.0), min_size=3, max_size=3),
)
def test_any_shape_and_spacing(shape: list[int], spacing: list[float]) -> None:
    image = torch.rand(shape, generator=seeded())
    found = register(image, image.flip(0), spacing[: len(shape)], RegistrationSettings(iterations=2))
    points = grid_places(shape, spacing[: len(shape)])
    assert found.at(points).shape == points.shape and torch.isfinite(found.at(points)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"moving": torch.zeros(4, 5)}, "expected fixed and moving of one shape"),
        ({"fixed": torch.zeros(3), "moving": torch.zeros(3)}, "expected fixed and moving of one shape"),
        ({"fixed": torch.zeros(1, 4), "moving": torch.zeros(1, 4)}, "at least 2 voxels"),
        ({"spacing": (1.0,)}, "expected 2 positive numbers"),
        ({"spacing": (1.0, 0.0)}, "expected 2 positive numbers"),
        ({"moving": torch.full((4, 4), torch.nan)}, "expected finite intensities"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], message: str) -> None:
    arguments = {"fixed": torch.zeros(4, 4), "moving": torch.zeros(4, 4), "spacing": (1.0, 1.0)} | change
    with pytest.raises(InputError, match=message):
        register(**arguments)  # type: ignore[arg-type]
