r"""Exercises of lesson 2, answered by numpy, scipy and torch: the residual join, a gradient step, a displacement."""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import BSpline

from cardiolearn import checks as check


def test_a_thin_slice_is_numpys_interpolation_and_needs_residual_and_ends() -> None:
    def right(stack: torch.Tensor, residual: torch.Tensor, i: int, first: float = 2.0, share: float = 1.0) -> float:
        middles = first + 5 * np.arange(len(stack))  # `np.interp` repeats the end slices
        return float(np.interp(i, middles, stack.numpy()) + share * residual[i].item())

    assert check.thin_slice.mistake(right) is None
    assert check.thin_slice.mistake(lambda s, r, i: right(s, r, i, share=0.0)) is not None  # no residual
    assert check.thin_slice.mistake(lambda s, r, i: right(s, r, i, first=0.0)) is not None  # half a slice off
    assert check.thin_slice.mistake(lambda s, r, i: float(s[i // 5] + r[i])) is not None  # the nearest slice
    beyond = check.thin_slice.mistake(lambda s, r, i: float(s[(i - 2) // 5 + 1] + r[i]))
    assert beyond is not None


def test_a_gradient_step_goes_downhill_on_the_mean_of_smooth_l1() -> None:
    def by_differences(w: float, *rest: torch.Tensor) -> float:
        linear, feature, wanted, rate = rest

        def loss(weight: float) -> float:
            error = np.abs((linear + weight * feature.double() - wanted).numpy())
            return float(np.where(error < 1, error**2 / 2, error - 0.5).mean())

        return w - float(rate) * (loss(w + 1e-6) - loss(w - 1e-6)) / 2e-6

    def squares(w: float, linear: torch.Tensor, feature: torch.Tensor, wanted: torch.Tensor, rate: float) -> float:
        return float(w - rate * ((linear + w * feature - wanted) * feature).mean())

    def uphill(w: float, *rest: torch.Tensor) -> float:
        return 2 * w - check.gradient_step.reference(w, *rest)

    def summed(w: float, *rest: torch.Tensor) -> float:
        return w + len(rest[0]) * (check.gradient_step.reference(w, *rest) - w)

    assert check.gradient_step.mistake(by_differences) is None
    for wrong in (squares, uphill, summed):
        assert check.gradient_step.mistake(wrong) is not None


def test_a_displacement_is_scipys_cubic_spline_between_the_middle_two_control_points() -> None:
    def right(c: torch.Tensor, t: float) -> float:
        return float(BSpline(np.arange(-3, 5), c.numpy(), 3)(t))

    assert check.displacement.mistake(right) is None
    assert check.displacement.mistake(lambda c, t: float((1 - t) * c[1] + t * c[2])) is not None  # straight between two
    assert check.displacement.mistake(lambda c, t: right(c.flip(0), t)) is not None
