r"""The free-form deformation in lesson 2's cells is the library's: equal in double precision, gradients too."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from cells import method_cell
from torch import Tensor

from cardiolearn.methods.registration import ffd, similarity
from cardiolearn.methods.registration.bsplines import FreeForm, spline_matrix

pytestmark = pytest.mark.usefixtures("double_precision")
NOTEBOOK = Path(__file__).resolve().parents[3] / "notebooks" / "02_super_resolution.ipynb"
CLOSE = {"rtol": 1e-6, "atol": 1e-9}
KNOT, SPACING = (9.0, 11.0), (1.5, 1.25)  # mm


def lesson(name: str) -> SimpleNamespace:
    return method_cell(NOTEBOOK, name)


def control_points() -> Tensor:
    return (3 * torch.randn(2, 6, 7, generator=torch.Generator().manual_seed(0))).requires_grad_()


def places() -> list[Tensor]:
    return [torch.arange(n) * d for n, d in zip((19, 36), SPACING, strict=True)]


def assert_equal_with_slopes(found: Tensor, expected: Tensor, by: Tensor) -> None:
    torch.testing.assert_close(found, expected, **CLOSE)
    slopes = [torch.autograd.grad(value.square().sum(), by, retain_graph=True)[0] for value in (found, expected)]
    assert slopes[0].abs().max() > 0
    torch.testing.assert_close(slopes[0], slopes[1], **CLOSE)


@pytest.mark.parametrize("derivative", [0, 1, 2])
def test_the_spline_and_its_derivatives(derivative: int) -> None:
    t = torch.linspace(-2.5, 2.5, 41)
    expected = spline_matrix(t, 1.0, 3, derivative)[:, 1]  # the spline that is centred at 0
    torch.testing.assert_close(lesson("spline").spline(t, derivative), expected, **CLOSE)


def test_the_displacement_is_the_sum_of_the_librarys_splines() -> None:
    c = control_points()
    library = FreeForm(c, KNOT)
    found = lesson("displacement").displacement(c, places(), KNOT)
    assert_equal_with_slopes(found, library.on_grid(library.matrices(places())), c)


def test_the_penalty_is_the_librarys_bending_energy() -> None:
    c = control_points()
    assert_equal_with_slopes(lesson("bending").bending(c, KNOT), FreeForm(c, KNOT).bending(), c)


def test_the_warp_and_the_similarity_are_the_librarys() -> None:
    g = torch.Generator().manual_seed(1)
    fixed, moving = torch.rand(2, 19, 36, generator=g)
    u = (2 * torch.randn(2, 19, 36, generator=g)).requires_grad_()
    cell = lesson("register")
    warped, expected = cell.warp(moving, u, SPACING), ffd.warp(moving, u, SPACING)
    assert_equal_with_slopes(warped, expected, u)
    likeness = cell.mean_squares(fixed, warped), similarity.mean_squares(fixed, expected)
    assert_equal_with_slopes(*likeness, u)


def test_a_registration_finds_a_shift() -> None:
    y, x = torch.meshgrid(*places(), indexing="ij")
    disc = lambda cy, cx: torch.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 40)  # noqa: E731
    register = lesson("register").register
    fields = register(disc(13.0, 22.0), disc(15.0, 21.0), SPACING, steps=60)
    assert len(fields) == 61 and not fields[0].any()  # it begins with no displacement
    middle = fields[-1][:, 9, 17]
    assert middle.tolist() == pytest.approx([2.0, -1.0], abs=0.3)
