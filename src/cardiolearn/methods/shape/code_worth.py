r"""What codes are worth: diseases told apart by them, and clinical indices read from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiolearn.errors import InputError
from cardiolearn.measures.statistics import mcnemar_exact, mcnemar_interval

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FOLDS = 10
_STRENGTHS = np.logspace(-3, 4, 15)  # of the ridge, tried within the hearts that are fitted to


class Rivals(NamedTuple):
    r"""Two ways of telling diseases apart, on the same `n` subjects.

    Args:
        first, second: shares of subjects told right.
        only_first, only_second: subjects that one of both alone told right.
        p: of McNemar's exact test: of no difference.
        low, high: 95 % interval of `first` - `second`.
    """

    first: float
    second: float
    only_first: int
    only_second: int
    p: float
    low: float
    high: float
    n: int


def told_apart(codes: ArrayLike, groups: Sequence[str], seed: int = 0, folds: int = FOLDS) -> NDArray[np.str_]:
    r"""The group of each subject as told by the others: a random forest, ten-fold cross-validated.

    Args:
        codes: `(n, k)`, a row for each subject, all of its phases in it; standardised by the fitted subjects.
        groups: of each subject.
        seed: of the folds and of the forest.
        folds: parts that are told from the others in turn; each has its share of every group.

    Raises:
        InputError: fewer than `folds` subjects in a group, or codes that are not one finite row for each subject.

    Source: the slides give the accuracies alone; forest and folds are **our choice**.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    rows, names = _rows(codes, len(groups)), np.asarray(groups, dtype=str)
    kinds, counts = np.unique(names, return_counts=True)
    if len(kinds) < 2 or counts.min() < folds:
        said = ", ".join(f"{count} {kind}" for kind, count in zip(kinds, counts, strict=True))
        raise InputError(f"classification: expected at least {folds} subjects in each group, got {said}")
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed)
    forest = _standardised(RandomForestClassifier(200, random_state=seed))
    return np.asarray(cross_val_predict(forest, rows, names, cv=splits), dtype=str)


def rivals(first: ArrayLike, second: ArrayLike, groups: Sequence[str]) -> Rivals:
    r"""Two answers of `told_apart` for the same subjects, held against the truth and each other."""
    right = [np.asarray(answer) == np.asarray(groups) for answer in (first, second)]
    only = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    low, high = mcnemar_interval(*only, n=len(groups))
    return Rivals(
        float(right[0].mean()), float(right[1].mean()), *only, mcnemar_exact(*only), low=low, high=high, n=len(groups)
    )


def read_from(codes: ArrayLike, values: ArrayLike, seed: int = 0, folds: int = FOLDS) -> NDArray[np.float64]:
    r"""A clinical index `(n,)` read from codes: the answer of a ridge regression for subjects it was not fitted to.

    Args:
        codes: `(n, k)`, a row for each subject; standardised by the fitted subjects.
        values: `(n,)`, the index.
        seed: of the folds.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, cross_val_predict

    target = np.asarray(values, dtype=np.float64).ravel()
    rows = _rows(codes, len(target))
    if len(target) < 2 * folds or not np.isfinite(target).all() or np.ptp(target) == 0:
        raise InputError(f"regression: expected {2 * folds} finite values or more that vary, got {len(target)}")
    splits = KFold(folds, shuffle=True, random_state=seed)
    found = cross_val_predict(_standardised(RidgeCV(_STRENGTHS)), rows, target, cv=splits)
    return np.asarray(found, dtype=np.float64)


def squared_errors(found: ArrayLike, values: ArrayLike) -> NDArray[np.float64]:
    r"""Of each subject, in units of the index' variance; 1 minus their mean is R^2: 1 at best, below 0 where the mean
    would have been nearer."""
    target = np.asarray(values, dtype=np.float64)
    return (np.asarray(found, dtype=np.float64) - target) ** 2 / target.var()


def share_of_oracle(ours: float, best: float) -> float:
    r"""An R^2 as a share of the oracle's: of the same regression on the true shape parameters.

    An index that no shape tells, such as age, has an oracle near 0; then the share is NaN.
    """
    return ours / best if best > 0.02 else float("nan")


def _standardised(model: object) -> Pipeline:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), model)


def _rows(codes: ArrayLike, n: int) -> NDArray[np.float64]:
    rows = np.asarray(codes, dtype=np.float64)
    if rows.ndim != 2 or len(rows) != n or not np.isfinite(rows).all():
        raise InputError(f"codes: expected {n} finite rows, got {rows.shape}")
    return rows
