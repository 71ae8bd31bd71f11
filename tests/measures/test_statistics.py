r"""Intervals and tests against scipy, scikit-learn, and cases counted by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from cardiolearn.errors import InputError
from cardiolearn.measures.statistics import (
    auc,
    bland_altman,
    bootstrap_interval,
    gain_interval,
    mcnemar_exact,
    mcnemar_interval,
    mean_interval,
    paired_bootstrap_interval,
    rank_correlation_shares,
    t_interval,
)

RNG = np.random.default_rng(0)
VALUES = RNG.gamma(2.0, 1.0, 40)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_bootstrap_equals_scipy(level: float) -> None:
    expected = stats.bootstrap(
        (VALUES,), np.mean, n_resamples=40_000, confidence_level=level, method="percentile", rng=1
    ).confidence_interval
    low, high = bootstrap_interval(VALUES, level, 40_000, seed=0)
    width = expected.high - expected.low
    assert low == pytest.approx(expected.low, abs=0.02 * width)
    assert high == pytest.approx(expected.high, abs=0.02 * width)


def test_bootstrap_of_two_values_by_hand() -> None:
    # Four resamples of (0, 1): means 0, 1/2, 1/2, 1; a quarter of all lies at each end.
    assert bootstrap_interval([0, 1], level=0.4) == (0.5, 0.5)
    assert bootstrap_interval([0, 1], level=0.6) == (0.0, 1.0)


def test_bootstrap_is_reproducible_and_seeded() -> None:
    assert bootstrap_interval(VALUES, seed=3) == bootstrap_interval(VALUES, seed=3)
    assert bootstrap_interval(VALUES, seed=3) != bootstrap_interval(VALUES, seed=4)


def test_few_subjects_have_an_interval_of_t_and_many_one_of_the_bootstrap() -> None:
    values = np.random.default_rng(0).normal(size=20) ** 2
    expected = stats.t.interval(0.95, 18, values[:19].mean(), stats.sem(values[:19]))
    assert mean_interval(values[:19]) == pytest.approx(expected)
    assert mean_interval(values) == bootstrap_interval(values)


def test_the_paired_bootstrap_sees_what_the_unpaired_hides() -> None:
    better = VALUES + 0.1 + RNG.normal(0, 0.01, 40)
    low, high = paired_bootstrap_interval(better, VALUES)
    assert 0.09 < low < 0.1 < high < 0.11
    assert (low, high) == bootstrap_interval(better - VALUES)
    assert bootstrap_interval(better)[0] < bootstrap_interval(VALUES)[1]


def test_t_interval_equals_scipy() -> None:
    expected = stats.ttest_1samp(VALUES[:6], 0).confidence_interval(0.9)
    assert t_interval(VALUES[:6], 0.9) == pytest.approx((expected.low, expected.high))
    low, high = t_interval([1, 3])
    assert (low, high) == pytest.approx((2 - 12.7062047, 2 + 12.7062047))  # t of one degree of freedom, SE 1


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_equals_a_sum_of_binomials(first: int, second: int) -> None:
    total = first + second
    tail = sum(math.comb(total, k) for k in range(min(first, second) + 1)) / 2**total
    assert mcnemar_exact(first, second) == pytest.approx(min(1.0, 2 * tail))


def test_mcnemar_interval_agrees_with_the_test() -> None:
    for first, second in itertools.product(range(12), repeat=2):
        low, high = mcnemar_interval(first, second, 50)
        assert low <= (first - second) / 50 <= high
        assert (low > 0 or high < 0) == (mcnemar_exact(first, second) < 0.05)
        assert (-high, -low) == pytest.approx(mcnemar_interval(second, first, 50))


def test_mcnemar_interval_without_disagreement_is_not_certain() -> None:
    low, high = mcnemar_interval(0, 0, 20)
    assert high == -low == pytest.approx(1 - 0.025 ** (1 / 20))
    with pytest.raises(InputError, match="at most n = 5"):
        mcnemar_interval(3, 3, 5)


def test_bland_altman_by_hand() -> None:
    result = bland_altman([10, 12, 14], [9, 12, 11])  # differences 1, 0, 3
    sd = math.sqrt(((1 - 4 / 3) ** 2 + (4 / 3) ** 2 + (3 - 4 / 3) ** 2) / 2)
    assert result == pytest.approx((4 / 3, sd, 4 / 3 - 1.96 * sd, 4 / 3 + 1.96 * sd))


def test_bland_altman_limits_hold_95_percent() -> None:
    a, b = RNG.normal(100, 10, 20_000), RNG.normal(0, 3, 20_000)
    result = bland_altman(a + b, a)
    assert np.mean((b > result.lower) & (b < result.upper)) == pytest.approx(0.95, abs=0.005)


def test_auc_counts_ordered_pairs() -> None:
    scores, truth = RNG.integers(0, 10, 60), RNG.integers(0, 2, 60)
    positive, negative = scores[truth == 1], scores[truth == 0]
    pairs = np.sign(positive[:, None] - negative[None]) / 2 + 0.5
    assert auc(scores, truth) == pytest.approx(pairs.mean())
    assert auc(scores, truth.astype(bool)) == pytest.approx(roc_auc_score(truth, scores))
    with pytest.raises(InputError, match="labels of 0 and 1"):
        auc([1, 2], [1, 1])


@pytest.mark.parametrize("function", [bootstrap_interval, t_interval])
def test_values_that_cannot_be_averaged_are_refused(function: Callable[..., object]) -> None:
    for values, message in [([], "at least 2"), ([1.0], "at least 2"), ([1, 2, np.inf], "1 that are not")]:
        with pytest.raises(InputError, match=message):
            function(values)


@pytest.mark.parametrize("function", [paired_bootstrap_interval, bland_altman])
def test_pairs_must_be_pairs(function: Callable[..., object]) -> None:
    with pytest.raises(InputError, match="5 and 4"):
        function([1, 2, 3, 4, 5], [1, 2, 3, 4])


def test_the_shares_of_a_rank_correlation_have_its_mean_and_its_spread() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    y = np.exp(x + rng.normal(size=200)).round(1)  # with ties
    shares = rank_correlation_shares(x, y)
    assert shares.mean() == pytest.approx(stats.spearmanr(x, y).statistic)

    def rho(a: np.ndarray, b: np.ndarray) -> float:
        return float(stats.spearmanr(a, b).statistic)

    spread = stats.bootstrap((x, y), rho, paired=True, vectorized=False, n_resamples=999, rng=1).standard_error
    assert stats.sem(shares) == pytest.approx(spread, rel=0.15)
    for constant in ([1.0] * 6, [1.0] * 5 + [2.0]):  # the second is one without its last value
        with pytest.raises(InputError, match="vary"):
            rank_correlation_shares(range(6), constant)
    with pytest.raises(InputError, match="at least 5"):
        rank_correlation_shares(range(4), range(4))


def test_the_interval_of_a_gain_is_scipys_of_the_ratio() -> None:
    rng = np.random.default_rng(3)
    theirs = rng.exponential(size=80)
    ours = 0.3 * theirs + 0.1 * rng.exponential(size=80)
    low, high = gain_interval(ours, theirs)

    def gain(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
        return 1.0 - a.mean(axis=axis) / b.mean(axis=axis)

    found = stats.bootstrap((ours, theirs), gain, paired=True, method="percentile", rng=1).confidence_interval
    width = found.high - found.low
    assert low == pytest.approx(found.low, abs=0.05 * width) and high == pytest.approx(found.high, abs=0.05 * width)
    assert gain_interval(theirs, theirs) == (0.0, 0.0)
