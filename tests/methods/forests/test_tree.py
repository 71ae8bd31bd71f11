r"""Trees: what is learnt, against scikit-learn's extremely randomised trees; and what cannot be learnt from."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from cardiolearn.errors import InputError
from cardiolearn.methods.forests.objectives import Classes, Objective, Spread
from cardiolearn.methods.forests.tree import Growth, Tree, grow

TREES = 20


def many(features: np.ndarray, objectives: dict[str, Objective], growth: Growth, count: int = TREES) -> list[Tree]:
    shares = dict.fromkeys(objectives, 1.0)
    return [grow(features, objectives, shares, growth, np.random.default_rng(seed)) for seed in range(count)]


def means(trees: list[Tree], features: np.ndarray, values: np.ndarray, asked: np.ndarray) -> np.ndarray:
    r"""The mean over trees of the mean value at the leaf where what is asked ends."""
    found = []
    for tree in trees:
        leaf, size = tree.leaf_of(features), len(tree.feature)
        total = np.bincount(leaf, weights=values, minlength=size)
        found.append((total / np.maximum(np.bincount(leaf, minlength=size), 1))[tree.leaf_of(asked)])
    return np.mean(found, 0)


def moons(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(12, n)).astype(np.float32)
    return features, (features[0] * features[1] + 0.5 * features[2] > 0.3 * generator.normal(size=n)).astype(np.int64)


def test_classes_are_told_as_well_as_by_extra_trees() -> None:
    ours, theirs = [], []
    for seed in range(3):
        (features, labels), (asked, truth) = moons(3000, 2 * seed), moons(3000, 2 * seed + 1)
        trees = many(features, {"classes": Classes(labels, 2)}, Growth(smallest=4))
        ours.append(((means(trees, features, labels, asked) > 0.5) == truth).mean())
        extra = ExtraTreesClassifier(TREES, criterion="entropy", min_samples_leaf=4, random_state=seed)
        theirs.append(extra.fit(features.T, labels).score(asked.T, truth))
    assert np.mean(ours) > np.mean(theirs) - 0.02 and np.mean(ours) > 0.75


def test_numbers_are_read_as_well_as_by_extra_trees() -> None:
    ours, theirs = [], []
    for seed in range(3):
        (features, _), (asked, _) = moons(2000, 2 * seed), moons(2000, 2 * seed + 1)
        values, truth = (part[0] * part[1] + part[3] for part in (features, asked))
        spread = Spread(values[:, None].astype(np.float64), np.ones(1), tries=1.0)
        found = means(many(features, {"spread": spread}, Growth(smallest=4)), features, values, asked)
        extra = ExtraTreesRegressor(TREES, min_samples_leaf=4, max_features=1.0, random_state=seed)
        ours.append(np.square(found - truth).mean())
        theirs.append(np.square(extra.fit(features.T, values).predict(asked.T) - truth).mean())
    assert np.mean(ours) < 1.1 * np.mean(theirs) and np.mean(ours) < 0.6 * truth.var()


def test_a_sample_ends_where_a_walk_by_hand_ends() -> None:
    features, labels = moons(400, 2)
    tree = many(features, {"classes": Classes(labels, 2)}, Growth(), 1)[0]
    for sample, leaf in enumerate(tree.leaf_of(features)):
        node = 0
        while tree.feature[node] >= 0:
            node = tree.left[node] + int(features[tree.feature[node], sample] >= tree.threshold[node])
        assert node == leaf


def test_leaves_have_their_smallest_size_and_depth_ends_growth() -> None:
    features, labels = moons(2000, 3)
    tree = many(features, {"classes": Classes(labels, 2)}, Growth(smallest=30), 1)[0]
    sizes = np.bincount(tree.leaf_of(features))
    assert sizes[sizes > 0].min() >= 30 and len(tree.feature) > 21
    flat = many(features, {"classes": Classes(labels, 2)}, Growth(depth=2), 1)[0]
    assert len(flat.feature) == 7 and (flat.feature >= 0).sum() == 3


def test_a_tree_is_the_same_from_the_same_seed() -> None:
    features, labels = moons(500, 4)
    objectives: dict[str, Objective] = {"classes": Classes(labels, 2)}
    one, other = (many(features, objectives, Growth(), 3) for _ in range(2))
    assert all((a == b).all() for tree, same in zip(one, other, strict=True) for a, b in zip(tree, same, strict=True))
    assert len({tree.threshold.tobytes() for tree in one}) == 3


def test_a_node_takes_another_objective_where_its_own_finds_no_split() -> None:
    features, labels = moons(500, 5)
    nothing = Classes(np.zeros(500, np.int64), 2)
    generator = np.random.default_rng(0)
    objectives: dict[str, Objective] = {"nothing": nothing, "classes": Classes(labels, 2)}
    tree = grow(features, objectives, {"nothing": 0.9, "classes": 0.1}, Growth(depth=1), generator)
    assert tree.feature[0] >= 0
    assert len(grow(features, objectives, {"nothing": 1.0}, Growth(), generator).feature) == 1


def test_objectives_are_taken_by_their_shares() -> None:
    # One feature for each objective, the only one it can split by: what the roots ask tells who was asked.
    generator = np.random.default_rng(0)
    features = np.stack([np.arange(64) % 2, np.arange(64) // 32]).astype(np.float32)
    objectives: dict[str, Objective] = {
        "odd": Classes(np.arange(64) % 2, 2, tries=1.0), "late": Classes(np.arange(64) // 32, 2, tries=1.0)
    }  # fmt: skip
    shares = {"odd": 0.75, "late": 0.25}
    roots = [grow(features, objectives, shares, Growth(depth=1), generator).feature[0] for _ in range(400)]
    assert np.mean(np.equal(roots, 0)) == pytest.approx(0.75, abs=0.07)


def test_a_node_asks_only_what_its_objective_may() -> None:
    # What the other objective may ask would tell its classes perfectly.
    generator = np.random.default_rng(0)
    odd, late = np.arange(200) % 2, np.arange(200) // 100
    features = generator.random((6, 200), np.float32)
    features[0], features[5] = late, odd
    for among, mine in (((0, 3), {0, 1, 2}), ((3, None), {3, 4, 5}), ((2, 4), {2, 3})):
        for labels in (odd, late):
            one = Classes(labels, 2, tries=1.0, among=among)
            tree = grow(features, {"one": one}, {"one": 1.0}, Growth(smallest=4), generator)
            asked = set(tree.feature[tree.feature >= 0].tolist())
            assert asked and asked <= mine
            told = {0: late, 5: odd}.get(tree.feature[0])
            best = (labels is late and 0 in mine) or (labels is odd and 5 in mine)
            assert best == (told is labels)


@pytest.mark.parametrize("among", [(3, None), (2, 2), (-1, None)])
def test_an_objective_without_features_is_refused(among: tuple[int, int | None]) -> None:
    one = Spread(np.arange(20.0)[:, None], np.ones(1), among=among)
    with pytest.raises(InputError, match=r"objective: expected features among 3, got"):
        grow(np.random.default_rng(0).random((3, 20), np.float32), {"one": one}, {"one": 1.0}, Growth(),
             np.random.default_rng(0))  # fmt: skip


@pytest.mark.parametrize("labels", [np.zeros(50, np.int64), np.arange(50) % 2])
def test_constant_features_and_one_class_give_a_single_leaf(labels: np.ndarray) -> None:
    features = np.ones((3, 50), np.float32) if labels.any() else np.random.default_rng(0).random((3, 50), np.float32)
    tree = many(features, {"classes": Classes(labels, 2)}, Growth(), 1)[0]
    assert tree.feature.tolist() == [-1] and tree.leaf_of(features).tolist() == [0] * 50


def test_one_sample_is_a_leaf() -> None:
    tree = many(np.ones((3, 1), np.float32), {"classes": Classes(np.array([1]), 2)}, Growth(), 1)[0]
    assert len(tree.feature) == 1


def test_bad_input_is_named() -> None:
    one, generator = {"classes": Classes(np.zeros(4, np.int64), 2)}, np.random.default_rng(0)
    with pytest.raises(InputError, match=r"features: expected \(features, samples\).*got \(0, 4\)"):
        grow(np.ones((0, 4), np.float32), one, {"classes": 1.0}, Growth(), generator)
    holed = np.ones((2, 4), np.float32)
    holed[0, 1] = np.nan
    with pytest.raises(InputError, match="features: expected finite numbers, got 1 others"):
        grow(holed, one, {"classes": 1.0}, Growth(), generator)
    with pytest.raises(InputError, match="smallest: expected 1 at least, got 0"):
        Growth(smallest=0)
