r"""Free-form deformation: splines as scipy's, fields that are found again, nothing folded, bad input named."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from scipy.ndimage import map_coordinates, uniform_filter
from scipy.stats import entropy

from cardiolearn.errors import InputError
from cardiolearn.phantom.noise import Noise
from cardiolearn.registration import similarity
from cardiolearn.registration.bsplines import Chain, FreeForm, grid_places, spline_matrix
from cardiolearn.registration.ffd import Settings, register, warp

SHAPE, SPACING = (24, 30, 28), (3.0, 2.0, 2.0)


def texture(points: torch.Tensor) -> torch.Tensor:
    r"""A smooth pattern at any point `(..., 3)` mm."""
    return Noise(3).at(points, 9.0) + 0.6 * Noise(4).at(points, 20.0)


def random_field(scale: float, extent: tuple[float, ...] = (69.0, 58.0, 54.0), seed: int = 0) -> FreeForm:
    flat = FreeForm.identity(extent, 18.0)
    noise = torch.randn(flat.coefficients.shape, generator=torch.Generator().manual_seed(seed))
    return FreeForm(scale * noise, flat.knots)


@pytest.mark.parametrize("derivative", [0, 1, 2])
def test_splines_are_scipys(derivative: int) -> None:
    positions = torch.linspace(-3.0, 33.0, 200, dtype=torch.float64)
    knots = np.arange(-3, 10) * 5.0
    ours = spline_matrix(positions, 5.0, 9, derivative)
    for j in range(9):
        spline = BSpline.basis_element(knots[j : j + 5], extrapolate=False)
        expected = np.nan_to_num(spline.derivative(derivative)(positions) if derivative else spline(positions))
        np.testing.assert_allclose(ours[:, j], expected, atol=1e-12)


def test_a_field_at_points_is_that_on_the_grid() -> None:
    field = random_field(1.0)
    axes = [torch.arange(n) * s for n, s in zip(SHAPE, SPACING, strict=True)]
    on_grid = field.on_grid(field.matrices(axes))
    torch.testing.assert_close(field.at(grid_places(SHAPE, SPACING)), on_grid.movedim(0, -1))


def test_a_refined_field_is_the_same() -> None:
    field = random_field(2.0)
    finer = field.refined()
    assert finer.knots == tuple(k / 2 for k in field.knots)
    points = torch.rand(200, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor([69.0, 58.0, 54.0])
    torch.testing.assert_close(finer.at(points), field.at(points), atol=1e-5, rtol=0)


def numeric_jacobian(field: FreeForm | Chain, points: torch.Tensor) -> torch.Tensor:
    step = 1e-3
    columns = [
        (field.at(points + step * axis) - field.at(points - step * axis)) / (2 * step)
        for axis in torch.eye(3, dtype=torch.float64)
    ]
    return torch.linalg.det(torch.eye(3, dtype=torch.float64) + torch.stack(columns, -1))


def doubled(field: FreeForm) -> FreeForm:
    return FreeForm(field.coefficients.double(), field.knots)


def test_jacobians_of_a_field_and_of_a_chain() -> None:
    points = (5.0 + 45.0 * torch.rand(50, 3, generator=torch.Generator().manual_seed(2))).double()
    one, two = doubled(random_field(2.0)), doubled(random_field(1.5, seed=5))
    torch.testing.assert_close(one.jacobian(points), numeric_jacobian(one, points), atol=1e-6, rtol=0)
    chain = Chain((one, two))
    torch.testing.assert_close(chain.jacobian(points), numeric_jacobian(chain, points), atol=1e-6, rtol=0)
    moved = points + one.at(points)
    torch.testing.assert_close(chain.at(points), moved + two.at(moved) - points)
    assert torch.equal(Chain(()).at(points), torch.zeros_like(points))


def test_bending_of_a_parabola() -> None:
    r"""u_y = x^2 is a cubic spline with coefficients x_j^2 - knot^2 / 3; its second derivative is 2 everywhere."""
    flat = FreeForm.identity((40.0, 30.0), 10.0)
    x = (torch.arange(6) - 1.0) * 10.0
    coefficients = flat.coefficients.clone()
    coefficients[0] = x**2 - 100.0 / 3.0
    field = FreeForm(coefficients, flat.knots)
    points = torch.tensor([[3.0, 7.0], [20.0, 25.0]])
    torch.testing.assert_close(field.at(points)[:, 0], points[:, 1] ** 2, atol=1e-3, rtol=0)
    assert field.bending().item() == pytest.approx(4.0, rel=1e-4)
    mixed = FreeForm(
        coefficients.flip(0) * 0 + (torch.arange(7)[:, None] - 1.0) * x * 10.0, flat.knots
    )  # u = z x, twice
    assert mixed.bending().item() == pytest.approx(2 * 2 * 1.0, rel=1e-4)  # 2 (d2u / dz dx)^2 for each component


@pytest.mark.parametrize("d", [2, 3])
def test_a_squeeze_counts_what_the_volume_lacks(d: int) -> None:
    field = FreeForm.identity((40.0,) * d, 10.0)
    places = (torch.arange(field.coefficients.shape[1]) - 1.0) * 10.0
    field.coefficients[0] = -0.9 * places.reshape(-1, *[1] * (d - 1))  # space keeps a tenth
    assert field.squeeze(0.5).item() == pytest.approx(0.4**2, rel=1e-4)
    assert field.squeeze(0.05).item() == 0.0


def test_nothing_folds_where_unlike_pictures_pull() -> None:
    places = grid_places(SHAPE, SPACING)
    fixed, moving = (3.0 * Noise(seed).at(places, 9.0) for seed in (3, 8))
    fields = [register(fixed, moving, SPACING, Settings(squeeze=weight)) for weight in (0.0, Settings().squeeze)]
    folded = [float((field.jacobian(places) < 0.0).float().mean()) for field in fields]
    assert folded[0] > 0.05 and folded[1] == 0.0


@pytest.mark.parametrize(
    "unlike", [similarity.mean_squares, similarity.local_correlation, similarity.mutual_information]
)
def test_a_known_field_is_found_again(unlike: similarity.Unlikeness) -> None:
    truth, places = random_field(1.5), grid_places(SHAPE, SPACING)
    moved = places + truth.at(places)
    fixed, moving = texture(moved), texture(places)
    found = register(fixed, moving, SPACING, Settings(unlike, knot=18.0, levels=2, bending=0.1))
    error = ((found.at(places) - truth.at(places)) / torch.tensor(SPACING)).norm(dim=-1)[3:-3, 3:-3, 3:-3]
    assert error.mean() < 0.2  # voxels
    assert found.jacobian(places).min() > 0.0
    displacement = found.at(places).movedim(-1, 0)
    assert (warp(moving, displacement, SPACING) - fixed).abs().mean() < 0.25 * (moving - fixed).abs().mean()


def test_other_contrast_needs_mutual_information() -> None:
    truth, places = random_field(1.5), grid_places(SHAPE, SPACING)
    fixed, moving = texture(places + truth.at(places)), -texture(places).abs()
    found = register(fixed, moving, SPACING, Settings(similarity.mutual_information, knot=18.0, levels=2, bending=0.1))
    error = ((found.at(places) - truth.at(places)) / torch.tensor(SPACING)).norm(dim=-1)[3:-3, 3:-3, 3:-3]
    assert error.mean() < 0.35


def test_a_shift_in_the_plane_within_a_mask() -> None:
    places = torch.cat((grid_places((40, 50), (1.5, 1.0)), torch.zeros(40, 50, 1)), -1)
    fixed, moving = texture(places + torch.tensor([2.0, -1.5, 0.0])), texture(places)
    fixed[:, :10] = 9.0  # something that is not in the other image
    mask = torch.ones(40, 50)
    mask[:, :10] = 0.0
    found = register(fixed, moving, (1.5, 1.0), Settings(knot=15.0, levels=2, iterations=60), mask=mask)
    inside = found.at(grid_places((40, 50), (1.5, 1.0)))[5:-5, 15:-5]
    assert (inside - torch.tensor([2.0, -1.5])).norm(dim=-1).mean() < 0.2
    again = register(fixed, moving, (1.5, 1.0), Settings(knot=15.0, levels=2, iterations=10), mask=mask, start=found)
    assert (again.at(places[..., :2]) - found.at(places[..., :2])).norm(dim=-1).mean() < 0.1


def test_equal_images_stay_where_they_are() -> None:
    image = texture(grid_places((9, 12, 17), (8.0, 1.5, 1.5)))  # odd, anisotropic
    found = register(image, image, (8.0, 1.5, 1.5), Settings(levels=3, iterations=5))
    assert found.at(grid_places((9, 12, 17), (8.0, 1.5, 1.5))).abs().max() < 0.05


def test_a_warp_is_scipys() -> None:
    g = torch.Generator().manual_seed(0)
    image, field = torch.rand(8, 9, 10, generator=g), 2.0 * torch.randn(3, 8, 9, 10, generator=g)
    voxels = torch.stack(torch.meshgrid(*(torch.arange(n) for n in (8, 9, 10)), indexing="ij"))
    places = voxels + field / torch.tensor(SPACING)[:, None, None, None]
    expected = map_coordinates(image.numpy(), places.numpy(), order=1, mode="nearest")
    np.testing.assert_allclose(warp(image, field, SPACING), expected, atol=1e-4)


def test_similarities_against_references() -> None:
    g = torch.Generator().manual_seed(0)
    a, b = torch.rand(12, 13, 14, generator=g), torch.rand(12, 13, 14, generator=g)
    ones = torch.ones_like(a)
    expected = ((a - b) ** 2).mean() / a.var(correction=0)
    assert similarity.mean_squares(a, b, ones).item() == pytest.approx(expected.item(), rel=1e-5)
    means = [uniform_filter(v.double().numpy(), 5) for v in (a, b, a * a, b * b, a * b)]
    squared = (means[4] - means[0] * means[1]) ** 2 / ((means[2] - means[0] ** 2) * (means[3] - means[1] ** 2))
    inner = torch.zeros_like(a)
    inner[2:-2, 2:-2, 2:-2] = 1.0
    found = 1.0 - similarity.local_correlation(a, b, inner).item()
    assert found == pytest.approx(squared[2:-2, 2:-2, 2:-2].mean(), abs=1e-3)
    f, w = (torch.randint(0, 32, (12, 13, 14), generator=g) for _ in range(2))  # values in the middle of their bins
    joint = np.histogram2d(f.flatten(), w.flatten(), bins=np.arange(33) - 0.5)[0]
    expected_nmi = (entropy(joint.sum(1)) + entropy(joint.sum(0))) / entropy(joint.ravel())
    assert 2.0 - similarity.mutual_information(f.float(), w.float(), ones).item() == pytest.approx(
        expected_nmi, abs=1e-4
    )


@settings(deadline=None)
@given(
    shape=st.lists(st.integers(2, 11), min_size=2, max_size=3),
    spacing=st.lists(st.floats(0.3, 12.0), min_size=3, max_size=3),
)
def test_any_shape_and_spacing(shape: list[int], spacing: list[float]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    found = register(image, image.flip(0), spacing[: len(shape)], Settings(iterations=2))
    points = grid_places(shape, spacing[: len(shape)])
    assert found.at(points).shape == points.shape and torch.isfinite(found.at(points)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"moving": torch.zeros(4, 5)}, "expected fixed, moving and mask of one shape"),
        ({"fixed": torch.zeros(3), "moving": torch.zeros(3)}, "expected fixed, moving and mask of one shape"),
        ({"fixed": torch.zeros(1, 4), "moving": torch.zeros(1, 4)}, "at least 2 voxels"),
        ({"spacing": (1.0,)}, "expected 2 positive numbers"),
        ({"spacing": (1.0, 0.0)}, "expected 2 positive numbers"),
        ({"moving": torch.full((4, 4), torch.nan)}, "expected finite intensities"),
        ({"mask": torch.zeros(4, 4)}, "mask: expected at least one voxel"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], message: str) -> None:
    arguments = {"fixed": torch.zeros(4, 4), "moving": torch.zeros(4, 4), "spacing": (1.0, 1.0)} | change
    with pytest.raises(InputError, match=message):
        register(**arguments)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected 3 coordinates"):
        random_field(1.0).at(torch.zeros(5, 2))
