r"""Intervals and tests, each with the question it answers. All values are finite; one per subject, or one per seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiolearn.errors import InputError

MANY = 20  # subjects from which a bootstrap's interval is believed


class Agreement(NamedTuple):
    r"""Bland-Altman: mean difference, its SD, and the limits between which 95 % of differences fall."""

    bias: float
    sd: float
    lower: float
    upper: float


def bootstrap_interval(values: ArrayLike, level: float = 0.95, n: int = 10_000, seed: int = 0) -> tuple[float, float]:
    r"""Percentile bootstrap interval of the mean over subjects: what would other patients give?

    Args:
        values: one number per subject, at least two.
        level: confidence level.
        n: resamples.
        seed: of the resampling.

    Raises:
        InputError: fewer than two values, or one that is not finite.

    >>> low, high = bootstrap_interval([0.91, 0.93, 0.88, 0.94, 0.90])
    >>> low < 0.912 < high
    True
    """
    array = _finite(values, at_least=2)
    return _limits(array[_resamples(array.size, n, seed)].mean(axis=1), level)


def paired_bootstrap_interval(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, n: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    r"""Percentile bootstrap interval of the mean of `a - b`, both measured on the same subjects in the same order."""
    first, second = _pair(a, b)
    return bootstrap_interval(first - second, level, n, seed)


def gain_interval(
    ours: ArrayLike, theirs: ArrayLike, level: float = 0.95, n: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    r"""Percentile bootstrap interval of `1 - mean(ours) / mean(theirs)`, errors of two methods in the same subjects: by
    what share ours are smaller. With the squared errors of the mean for `theirs` it is that of R^2."""
    first, second = _pair(ours, theirs)
    picks = _resamples(first.size, n, seed)
    return _limits(1.0 - first[picks].mean(axis=1) / second[picks].mean(axis=1), level)


def t_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    r"""Student's t interval of a mean: what would other seeds, or a few other patients, give?

    Args:
        values: one per training or subject, at least two.
        level: confidence level.
    """
    from scipy import stats

    array = _finite(values, at_least=2)
    half = stats.t.ppf((1 + level) / 2, array.size - 1) * array.std(ddof=1) / np.sqrt(array.size)
    return float(array.mean() - half), float(array.mean() + half)


def mean_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    r"""Interval of the mean over subjects: Student's t of fewer than 20, the bootstrap of more.

    Of six values the bootstrap's 95 % interval covers the mean 81 to 85 times in a hundred, as it resamples a spread
    that six values understate; t makes up for that.
    """
    few = np.asarray(values).size < MANY
    return t_interval(values, level) if few else bootstrap_interval(values, level)


def mcnemar_exact(only_first: int, only_second: int) -> float:
    r"""Two-sided p of McNemar's exact test: of the subjects one method gets right and the other wrong, who wins?

    Args:
        only_first: subjects that only the first method gets right.
        only_second: subjects that only the second gets right.

    Source: McNemar 1947, in the exact binomial form.
    """
    from scipy import stats

    total = only_first + only_second
    return float(stats.binomtest(only_first, total, 0.5).pvalue) if total else 1.0


def mcnemar_interval(only_first: int, only_second: int, n: int, level: float = 0.95) -> tuple[float, float]:
    r"""Interval of the difference of two methods' shares of right answers; it excludes 0 where the exact test rejects.

    The Clopper-Pearson interval of the first method's share of the disagreements, carried over to the difference with
    the number of disagreements taken as given. Without any disagreement the limits are those of 0 cases among `n`.

    Args:
        only_first: subjects that only the first method gets right.
        only_second: subjects that only the second gets right.
        n: all subjects.
        level: confidence level.
    """
    from scipy import stats

    total = only_first + only_second
    if n < max(total, 1) or min(only_first, only_second) < 0:
        raise InputError(f"McNemar: expected at most n = {n} disagreements, got {only_first} and {only_second}")
    if total == 0:
        limit = float(stats.binomtest(0, n).proportion_ci(level, method="exact").high)
        return -limit, limit
    share = stats.binomtest(only_first, total).proportion_ci(level, method="exact")
    return (2 * float(share.low) - 1) * total / n, (2 * float(share.high) - 1) * total / n


def bland_altman(a: ArrayLike, b: ArrayLike) -> Agreement:
    r"""Agreement of two measurements of the same subjects: bias of `a - b` and 95 % limits, bias -+ 1.96 SD.

    Source: Bland and Altman 1986.
    """
    first, second = _pair(a, b)
    difference = first - second
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    return Agreement(bias, sd, bias - 1.96 * sd, bias + 1.96 * sd)


def rank_correlation_shares(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    r"""What each pair of values adds to Spearman's correlation: the mean of the shares is the coefficient.

    They are the jackknife's pseudo-values, moved to that mean: their spread is that of the coefficient, so an interval
    of their mean is one of the correlation. Ties have their mean rank. It needs five pairs, and values that vary.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11.

    >>> rank_correlation_shares([1, 2, 3, 4, 5], [10, 20, 30, 40, 50]).round(6).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    first, second = _pair(a, b, at_least=5)
    if min(_least_variety(first), _least_variety(second)) < 2:
        raise InputError("rank correlation: expected values that vary, got a constant")
    n = first.size
    without = [_spearman(np.delete(first, i), np.delete(second, i)) for i in range(n)]
    pseudo = -(n - 1) * np.asarray(without, dtype=np.float64)
    return pseudo - pseudo.mean() + _spearman(first, second)


def _least_variety(values: NDArray[np.float64]) -> int:
    r"""How many different values are left, at least, when one is taken away."""
    _, counts = np.unique(values, return_counts=True)
    return int(counts.size - (counts.min() == 1))


def _spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def auc(scores: ArrayLike, truth: Sequence[int] | NDArray[np.integer] | NDArray[np.bool_]) -> float:
    r"""Area under the ROC curve: how often a positive case scores above a negative one.

    Args:
        scores: one per case, higher for positive.
        truth: 0 or 1 per case, both present.
    """
    from sklearn.metrics import roc_auc_score

    values, labels = _finite(scores, at_least=2), np.asarray(truth).astype(int).ravel()
    if labels.size != values.size or set(labels.tolist()) != {0, 1}:
        raise InputError(f"auc: expected {values.size} labels of 0 and 1, got {labels.size} of {sorted(set(labels))}")
    return float(roc_auc_score(labels, values))


def _resamples(size: int, n: int, seed: int) -> NDArray[np.int64]:
    r"""Which subjects each of `n` resamples takes, `(n, size)`."""
    return np.random.default_rng(seed).integers(0, size, (n, size))


def _limits(draws: NDArray[np.float64], level: float) -> tuple[float, float]:
    low, high = np.quantile(draws, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def _finite(values: ArrayLike, at_least: int) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).ravel()
    if array.size < at_least:
        raise InputError(f"statistics: expected at least {at_least} values, got {array.size}")
    if not np.isfinite(array).all():
        raise InputError(f"statistics: expected finite values, got {int((~np.isfinite(array)).sum())} that are not")
    return array


def _pair(a: ArrayLike, b: ArrayLike, at_least: int = 2) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = _finite(a, at_least), _finite(b, at_least)
    if first.size != second.size:
        raise InputError(f"statistics: expected pairs of values, got {first.size} and {second.size}")
    return first, second
