r"""Diseases told apart and indices read from codes: by other subjects alone, and chance is chance."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, StratifiedKFold

from cardiolearn.errors import InputError
from cardiolearn.methods.shape.code_worth import read_from, rivals, share_of_oracle, squared_errors, told_apart

GROUPS = ["NOR"] * 20 + ["DCM"] * 20 + ["HCM"] * 20


def rows_that_tell(spread: float, n: int = 6, seed: int = 0) -> NDArray[np.float64]:
    r"""Codes `(60, n)`: the groups lie around three places, on axes of very different scales."""
    rng = np.random.default_rng(seed)
    places = rng.normal(size=(3, n))
    return np.asarray((places.repeat(20, 0) + spread * rng.normal(size=(60, n))) * 10.0 ** np.arange(n) + 5)


@pytest.mark.slow
def test_it_is_scikit_learns_forest_told_by_the_others_fold_by_fold() -> None:
    codes, names = rows_that_tell(1.5), np.array(GROUPS)
    expected = np.empty(60, dtype=object)
    for others, here in StratifiedKFold(10, shuffle=True, random_state=3).split(codes, names):
        assert all((names[here] == group).sum() == 2 for group in ("NOR", "DCM", "HCM"))
        mean, sd = codes[others].mean(0), codes[others].std(0)
        forest = RandomForestClassifier(200, random_state=3).fit((codes[others] - mean) / sd, names[others])
        expected[here] = forest.predict((codes[here] - mean) / sd)
    found = told_apart(codes, GROUPS, seed=3)
    assert (found == expected).all() and 0.4 < (found == names).mean() < 1.0


def test_clear_groups_are_told_and_noise_is_guessed() -> None:
    assert (told_apart(rows_that_tell(0.05), GROUPS, folds=5) == np.array(GROUPS)).all()
    noise = np.random.default_rng(1).normal(size=(60, 6))
    right = int((told_apart(noise, GROUPS, folds=5) == np.array(GROUPS)).sum())
    assert binomtest(right, 60, 1 / 3).pvalue > 0.01


def test_the_slides_difference_of_five_subjects_is_none() -> None:
    truth = np.array(GROUPS)
    first, second = truth.copy(), truth.copy()
    first[:10] = "wrong"
    second[:5] = "wrong"
    found = rivals(second, first, GROUPS)
    assert (found.first, found.second, found.n) == (pytest.approx(55 / 60), pytest.approx(50 / 60), 60)
    assert (found.only_first, found.only_second) == (5, 0)
    assert found.p == pytest.approx(0.0625) and found.low < 0 < found.high
    even = rivals(first, first, GROUPS)
    assert even.p == 1.0 and even.low < 0 < even.high


def test_an_index_is_explained_as_scikit_learns_ridge_does_fold_by_fold() -> None:
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(80, 5)) * np.array([1, 10, 100, 0.1, 1])
    values = codes @ np.array([1, 0.1, 0.0, 10, 0]) + rng.normal(size=80)
    found = np.empty(80)
    for others, here in KFold(10, shuffle=True, random_state=2).split(codes):
        mean, sd = codes[others].mean(0), codes[others].std(0)
        ridge = RidgeCV(np.logspace(-3, 4, 15)).fit((codes[others] - mean) / sd, values[others])
        found[here] = ridge.predict((codes[here] - mean) / sd)
    assert read_from(codes, values, seed=2) == pytest.approx(found, rel=1e-9)
    expected = r2_score(values, found)
    assert 1 - squared_errors(found, values).mean() == pytest.approx(expected, rel=1e-9) and 0.5 < expected < 0.95


def test_the_share_of_the_oracle() -> None:
    rng = np.random.default_rng(0)
    shapes = rng.normal(size=(200, 3))
    codes = shapes @ rng.normal(size=(3, 8)) + 0.7 * rng.normal(size=(200, 8))
    index, age = shapes[:, 0] + 0.5 * rng.normal(size=200), rng.normal(size=200)
    ours, best, alike = (
        r2_score(index, read_from(rows, index)) for rows in (codes, shapes, shapes @ rng.normal(size=(3, 3)))
    )
    assert 0 < share_of_oracle(ours, best) < 1
    assert share_of_oracle(alike, best) == pytest.approx(1.0, abs=0.02) and alike > ours
    assert np.isnan(share_of_oracle(ours, r2_score(age, read_from(shapes, age))))


def test_what_cannot_be_judged_is_refused() -> None:
    codes = rows_that_tell(1.0)
    with pytest.raises(InputError, match="at least 10 subjects in each group, got 3 DCM, 57 NOR"):
        told_apart(codes, ["NOR"] * 57 + ["DCM"] * 3)
    with pytest.raises(InputError, match="in each group, got 60 NOR"):
        told_apart(codes, ["NOR"] * 60)
    with pytest.raises(InputError, match=r"expected 59 finite rows, got \(60, 6\)"):
        told_apart(codes, GROUPS[:59])
    with pytest.raises(InputError, match=r"expected 60 finite rows, got \(60, 6\)"):
        read_from(np.where(codes > codes.max() - 1, np.nan, codes), np.arange(60.0))
    for values in (np.ones(60), np.full(60, np.nan), np.arange(19.0)):
        with pytest.raises(InputError, match=r"expected 20 finite values or more that vary, got"):
            read_from(codes[: len(values)], values)
