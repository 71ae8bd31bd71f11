r"""What a clinical stack makes of thin slices: a profile of closed form, scipy's shifts, Rice's noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hearts import seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.stats import rice

from cardiolearn.errors import InputError
from cardiolearn.phantom.scanners.thick_slices import clinical_stack, shift_slices, slice_profile
from cardiolearn.phantom.scanners.thin_slices import SPACING


def test_a_slice_profile_is_a_gaussian_of_its_width() -> None:
    profile = slice_profile(63, 5, 10.0, 2.0)
    assert profile.shape == (12, 63)
    torch.testing.assert_close(profile.sum(1), torch.ones(12))
    middle = profile[6]
    assert int(middle.argmax()) == 32  # thick slice k stands at thin slice 5 k + 2
    sigma = 10.0 / 2.3548 / 2.0  # thin slices
    expected = np.exp(-0.5 * ((np.arange(63) - 32) / sigma) ** 2)
    np.testing.assert_allclose(middle, expected / expected.sum(), atol=1e-5)
    for bad in ((4, 5, 10.0, 2.0), (10, 5, 0.0, 2.0), (10, 5, float("nan"), 2.0)):
        with pytest.raises(InputError, match="expected 5 or more and a positive thickness"):
            slice_profile(*bad)


def test_slices_are_shifted_as_scipy_shifts() -> None:
    stack, shifts = (
        torch.rand(4, 21, 18, generator=seeded()),
        torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, -2.4], [1.5, 0.6]]),
    )
    found = shift_slices(stack, shifts, (1.5, 1.2))
    for z in range(4):
        expected = ndimage.shift(stack[z].numpy(), shifts[z].numpy() / (1.5, 1.2), order=1, mode="nearest")
        np.testing.assert_allclose(found[z, 3:-3, 3:-3], expected[3:-3, 3:-3], atol=1e-4)


@settings(max_examples=20)
@given(shape=st.tuples(st.integers(5, 23), st.integers(2, 12), st.integers(2, 12)), value=st.floats(1.0, 900.0))
def test_what_is_the_same_everywhere_stays(shape: tuple[int, int, int], value: float) -> None:
    volume = torch.full(shape, value)
    stack = clinical_stack(volume, (1.2, 1.3, 2.0), seeded(), noise=0.0)
    assert stack.shape == (shape[0] // 5, *shape[1:])
    torch.testing.assert_close(stack, torch.full_like(stack, value))


def test_noise_is_rician() -> None:
    volume = torch.zeros(50, 64, 64)
    volume[:, 32:] = 400.0
    stack = clinical_stack(volume, SPACING, seeded(), breath_hold=0.0, noise=0.05)
    for part, signal in ((stack[:, :30], 0.0), (stack[:, 34:], 400.0)):
        expected = rice(signal / 20.0, scale=20.0)  # a twentieth of the brightest signal, real and imaginary
        assert part.mean().item() == pytest.approx(expected.mean(), rel=0.01)
        assert part.std().item() == pytest.approx(expected.std(), rel=0.02)


def test_frames_of_a_slice_share_its_breath_hold_and_not_their_noise() -> None:
    still = torch.rand(20, 24, 24, generator=seeded(1)).cumsum(2)
    cine = torch.stack((still, 2 * still))
    g = [seeded(5) for _ in range(3)]
    first, second = clinical_stack(cine, SPACING, g[0], noise=0.0)
    torch.testing.assert_close(second, 2 * first)
    torch.testing.assert_close(first, clinical_stack(still, SPACING, g[1], noise=0.0))
    assert not torch.allclose(first, clinical_stack(still, SPACING, g[1], noise=0.0))  # another breath
    a, b = clinical_stack(torch.stack((still, still)), SPACING, g[2], noise=0.05)
    assert not torch.allclose(a, b)
