r"""Grey values and their percentiles, against torch, numpy and what a normal distribution must give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cardiolearn.imaging.intensity import SPAN, percentiles, percentiles_of_some, to_unit_range, unit_variance


def grey_values(n: int, seed: int = 0) -> np.ndarray:
    r"""Skewed, with ties and negative ones among them, as a scanner's values after filtering."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < 0.3, rng.integers(-5, 5, n), rng.gamma(2.0, 150.0, n) - 20.0)


# --- percentiles ---


@pytest.mark.parametrize("n", [1, 2, 3, 100, 101, 99_999])
@pytest.mark.parametrize("as_tensor", [True, False])
def test_a_percentile_that_falls_on_a_value_is_that_value(n: int, as_tensor: bool) -> None:
    r"""Of the squares 0, 1, 4 ... (n - 1)^2 in any order the k-th is k^2, and half-way between are means."""
    tensor = torch.randperm(n, generator=torch.Generator().manual_seed(n)).double() ** 2
    values = tensor if as_tensor else tensor.numpy()
    last = n - 1
    assert percentiles(values, 0, 100) == [0.0, last**2]
    assert percentiles(values, 50) == [(last // 2) ** 2 if n % 2 else ((last // 2) ** 2 + (last // 2 + 1) ** 2) / 2]
    assert percentiles(values.reshape(1, n, 1), 100) == [last**2]


@given(n=st.integers(1, 5000), percents=st.lists(st.floats(0, 100), min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_percentiles_of_few_values_are_those_of_all(n: int, percents: list[float], seed: int) -> None:
    values = torch.from_numpy(grey_values(n, seed)).float()
    span = float(values.max() - values.min())
    np.testing.assert_allclose(
        percentiles_of_some(values, *percents),
        stats.scoreatpercentile(values.numpy(), percents),
        atol=1e-3 * span + 1e-6,
    )  # torch counts ranks in single precision


@pytest.mark.parametrize("n", [200_000, 399_999, 400_000, 2_000_001, 20_000_003])
def test_percentiles_of_many_values_are_those_of_evenly_spread_ones(n: int) -> None:
    low, high = percentiles_of_some(torch.arange(n, dtype=torch.int32), 1, 99)
    assert (low, high) == pytest.approx((0.01 * n, 0.99 * n), abs=2e-5 * n + 2)


# --- to a range of 0 to 1 ---


def test_the_unit_range_lies_between_percentiles_of_what_is_not_empty() -> None:
    values = grey_values(6000).astype(np.float32)
    values[::3] = 0  # outside the patient
    low, high = np.percentile(values[values != 0].astype(np.float64), (1, 99))
    data = torch.from_numpy(values).reshape(10, 20, 30)
    before = data.clone()
    expected = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1).reshape(10, 20, 30)
    np.testing.assert_allclose(to_unit_range(data).numpy(), expected, atol=1e-6)
    assert torch.equal(data, before)


def test_the_unit_range_by_hand() -> None:
    data = torch.arange(1.0, 1002.0).reshape(7, 11, 13)[torch.arange(7).flip(0)]
    torch.testing.assert_close(to_unit_range(data), ((data - 11) / 980).clamp(0, 1))
    torch.testing.assert_close(to_unit_range(data.short()), to_unit_range(data))
    padded = torch.nn.functional.pad(data, (40, 40, 40, 40))
    torch.testing.assert_close(to_unit_range(padded)[:, 40:-40, 40:-40], to_unit_range(data))


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0])
def test_a_constant_image_becomes_zeros(value: float) -> None:
    assert torch.equal(to_unit_range(torch.full((2, 3, 4), value)), torch.zeros(2, 3, 4))


def test_the_unit_range_takes_large_cines() -> None:
    n = 2**24 + 1  # torch.quantile stops at 2**24 values
    scaled = to_unit_range(torch.linspace(1, 2, n))
    assert (scaled.min(), scaled.max()) == (0, 1)
    assert scaled[n // 2].item() == pytest.approx(0.5, abs=1e-4)


# --- to unit variance ---


@given(
    n=st.integers(2, 3000), seed=st.integers(0, 100), dtype=st.sampled_from([torch.float32, torch.float64, torch.int16])
)
def test_unit_variance_is_numpys_mean_and_percentiles(n: int, seed: int, dtype: torch.dtype) -> None:
    stack = torch.from_numpy(grey_values(n, seed)).to(dtype)
    low, high = np.percentile(stack.double().numpy(), (1, 99))
    middle, width = unit_variance(stack)
    assert middle == pytest.approx(stack.double().numpy().mean(), rel=1e-5, abs=1e-3)
    digits = 1e-6 if dtype == torch.float32 else 1e-12  # numpy computes in the precision of the values
    assert width == pytest.approx(max(high - low, 1e-6) / 4.0, rel=digits)
    if high > low:
        scaled = (stack.double().numpy() - middle) / width
        assert np.percentile(scaled, 99) - np.percentile(scaled, 1) == pytest.approx(SPAN)
        assert scaled.mean() == pytest.approx(0, abs=1e-3 / width + 1e-5)


def test_unit_variance_of_a_normal_distribution_is_about_one() -> None:
    values = 300 + 40 * torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    middle, width = unit_variance(values)
    assert middle == pytest.approx(300, abs=0.3)
    spread = stats.norm.ppf(0.99) - stats.norm.ppf(0.01)  # in standard deviations: 4.65
    assert ((values - middle) / width).std().item() == pytest.approx(SPAN / spread, rel=0.01)


def test_unit_variance_of_a_constant_does_not_divide_by_zero() -> None:
    assert unit_variance(torch.full((2, 3, 4), 7.0)) == (7.0, 2.5e-7)
