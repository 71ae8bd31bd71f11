r"""Costs against scipy, scikit-learn and the variance itself."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cardiolearn.errors import InputError
from cardiolearn.methods.forests.objectives import Classes, Spread, Structured, entropy, gini

COUNTS = arrays(np.float64, (3, 4), elements=st.integers(0, 50).map(float))


@given(COUNTS)
def test_entropy_is_scipys_times_the_number_of_samples(counts: np.ndarray) -> None:
    for row, ours in zip(counts, entropy(counts), strict=True):
        expected = scipy.stats.entropy(row) * row.sum() if row.sum() else 0.0
        assert ours == pytest.approx(expected, abs=1e-9)


@given(COUNTS)
def test_gini_is_the_chance_that_two_draws_differ_times_the_number_of_samples(counts: np.ndarray) -> None:
    for row, ours in zip(counts, gini(counts), strict=True):
        total = row.sum()
        differ = sum(a * b for i, a in enumerate(row) for j, b in enumerate(row) if i != j)
        assert ours == pytest.approx(differ / total if total else 0.0)


@given(arrays(np.float64, (12, 3), elements=st.floats(-50, 50)))
def test_the_cost_of_a_spread_is_the_squared_distance_from_the_mean(values: np.ndarray) -> None:
    weights, rows = np.array([1.0, 2.0, 0.5]), np.array([0, 3, 4, 7, 11])
    spread = Spread(values, weights)
    sums = spread.summed(rows, np.array([0, 5]), np.random.default_rng(0)).sum(0)
    chosen = values[rows] * weights
    assert spread.cost(sums) == pytest.approx(((chosen - chosen.mean(0)) ** 2).sum(), abs=1e-6)


def test_of_no_samples_nothing_is_spread() -> None:
    assert Spread(np.ones((2, 1)), np.ones(1)).cost(np.zeros((4, 3))).tolist() == [0.0] * 4


def test_each_node_tells_its_own_label_patches_apart() -> None:
    generator = np.random.default_rng(0)
    patches = np.zeros((40, 4, 4), np.uint8)
    patches[:10, :2] = 1  # the first node: a border across, or none
    patches[20:30, :, :2] = 2  # the second: a border along, or none
    sums = Structured(patches, pairs=60).summed(np.arange(40), np.array([0, 20, 40]), generator)
    classes = sums.argmax(1)
    for node in (classes[:20], classes[20:]):
        assert len(set(node[:10])) == len(set(node[10:])) == 1 and node[0] != node[-1]


@pytest.mark.parametrize("labels", [np.array([0, 3]), np.array([-1, 0]), np.array([0.5, 1.0])])
def test_labels_are_numbers_of_classes(labels: np.ndarray) -> None:
    with pytest.raises(InputError, match="labels: expected whole numbers from 0 to 2, got"):
        Classes(labels, 3)
