r"""The smooth step against scipy's Hermite spline, and one heart beat."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicHermiteSpline

from cardiolearn.phantom.body.curves import activation, smoothstep


def test_the_smooth_step_is_scipys_spline_that_is_flat_at_both_ends() -> None:
    x = torch.linspace(-0.5, 1.5, 81, dtype=torch.float64)
    spline = CubicHermiteSpline([0.0, 1.0], [0.0, 1.0], [0.0, 0.0])
    np.testing.assert_allclose(smoothstep(x), spline(x.clamp(0.0, 1.0)), atol=1e-12)


def test_activation_is_one_smooth_cycle() -> None:
    assert activation(0.0) == pytest.approx(0.0, abs=1e-12)
    assert activation(0.36) == pytest.approx(1.0)
    assert activation(0.30, systole=0.30) == pytest.approx(1.0)
    values = torch.tensor([activation(i / 2000) for i in range(2001)])
    assert values.min() >= 0.0
    assert values.max() <= 1.0 + 1e-6
    assert values.diff().abs().max() < 0.01  # continuous, through the seam too: 2000 steps of 0.0005
    systole, diastole = values[: int(0.36 * 2000)], values[int(0.36 * 2000) + 1 :]
    assert (systole.diff() >= 0).all()
    assert (diastole.diff() <= 1e-6).all()  # filling never turns back into contraction


@given(st.floats(-3, 3), st.floats(0.25, 0.45))
def test_activation_repeats_every_cycle(phase: float, systole: float) -> None:
    assert activation(phase, systole) == pytest.approx(activation(phase + 1.0, systole), abs=1e-6)
    assert 0.0 <= activation(phase, systole) <= 1.0 + 1e-9
