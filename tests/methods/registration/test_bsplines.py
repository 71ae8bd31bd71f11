r"""Cubic B-splines as scipy's; a field is the same on a grid, at points and refined; its bending and its squeezing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hearts import random_field, seeded
from scipy.interpolate import BSpline
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.methods.registration.bsplines import FreeForm, grid_places, spline_matrix

SHAPE, SPACING = (24, 30, 28), (3.0, 2.0, 2.0)


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
    points = torch.rand(200, 3, generator=seeded(1)) * torch.tensor([69.0, 58.0, 54.0])
    torch.testing.assert_close(finer.at(points), field.at(points), atol=1e-5, rtol=0)


def test_far_from_its_control_points_a_field_is_scipys_tensor_product_and_then_zero() -> None:
    r"""Beyond the last control points it fades, and two knots farther there is none."""
    field = random_field(3.0, extent=(30.0, 40.0), seed=4)
    points = (torch.rand(300, 2, generator=seeded()) * 140.0 - 50.0).double()
    basis = []
    for axis, (count, knot) in enumerate(zip(field.coefficients.shape[1:], field.knots, strict=True)):
        knots = (np.arange(count + 4) - 3.0) * knot  # spline j is centred at (j - 1) knots
        values = [
            np.nan_to_num(BSpline.basis_element(knots[j : j + 5], extrapolate=False)(points[:, axis]))
            for j in range(count)
        ]
        basis.append(np.stack(values, 1))
    expected = np.einsum("dij,pi,pj->pd", field.coefficients.double().numpy(), *basis)
    np.testing.assert_allclose(doubled(field).at(points), expected, atol=1e-10)
    away = torch.tensor([[90.0, 20.0], [10.0, -60.0]], dtype=torch.float64)
    assert not doubled(field).at(away).any()


@pytest.mark.parametrize("extent", [(69.0, 58.0, 54.0), (10.0, 41.0), (0.0, 7.0)])
def test_control_points_are_evenly_spread_and_at_most_as_far_apart_as_asked(extent: tuple[float, ...]) -> None:
    flat = FreeForm.identity(extent, 10.0)
    assert not flat.coefficients.any() and len(flat.coefficients) == len(extent)
    for length, knot, count in zip(extent, flat.knots, flat.coefficients.shape[1:], strict=True):
        assert knot <= 10.0 + 1e-6 and (count - 3) * knot == pytest.approx(max(length, 1e-3))


def doubled(field: FreeForm) -> FreeForm:
    return FreeForm(field.coefficients.double(), field.knots)


def numeric_jacobian(field: FreeForm, points: Tensor) -> Tensor:
    step = 1e-3
    columns = [
        (field.at(points + step * axis) - field.at(points - step * axis)) / (2 * step)
        for axis in torch.eye(3, dtype=torch.float64)
    ]
    return torch.linalg.det(torch.eye(3, dtype=torch.float64) + torch.stack(columns, -1))


def test_the_jacobian_is_that_of_small_differences() -> None:
    points = (5.0 + 45.0 * torch.rand(50, 3, generator=seeded(2))).double()
    field = doubled(random_field(2.0))
    torch.testing.assert_close(field.jacobian(points), numeric_jacobian(field, points), atol=1e-6, rtol=0)


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


def test_points_of_another_space_are_refused() -> None:
    with pytest.raises(InputError, match="expected 3 coordinates"):
        random_field(1.0).at(torch.zeros(5, 2))
