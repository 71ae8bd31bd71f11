r"""Trees of landmarks: what their nodes ask, what their leaves keep, and what they cannot learn from."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from turned_hearts import SHAPE, SMALL, SPACING, turned_hearts

from cardiolearn.errors import InputError
from cardiolearn.methods.forests import landmark_trees as trees
from cardiolearn.methods.forests.channels import SHRINK
from cardiolearn.methods.forests.landmark_trees import Shares, Subjects, grow_landmark_tree
from cardiolearn.methods.forests.training_patches import sample_places
from cardiolearn.methods.forests.tree import Growth

HEARTS = turned_hearts(range(4))
SHAPES = np.random.default_rng(0).random((4, 30), np.float32)
ROOT = replace(SMALL, growth=Growth(smallest=10**6))  # a tree that is one leaf


def test_mean_and_spread_are_numpys() -> None:
    generator = np.random.default_rng(0)
    leaf, offsets = generator.integers(4, size=30), generator.normal(size=(30, 2, 3))
    leaf[leaf == 1] = 0
    leaf[leaf == 2] = 3
    leaf[7] = 1  # one offset; leaf 2 has none
    mean, spread = trees.mean_and_spread(leaf, offsets, 5)
    for k in (0, 3):
        for mark in range(2):
            mine = offsets[leaf == k, mark]
            np.testing.assert_allclose(mean[k, mark], mine.mean(0))
            assert spread[k, mark] == pytest.approx(np.trace(np.cov(mine.T)))
    np.testing.assert_allclose(mean[1], offsets[7])
    assert np.isinf(spread[[1, 2, 4]]).all() and not mean[[2, 4]].any()


def test_a_leaf_keeps_the_offsets_of_places_near_a_border_alone() -> None:
    every = replace(ROOT, each=10**6)
    tree = grow_landmark_tree(HEARTS, None, trees.CLASSIFICATION, every, 0)
    offsets = []
    for labels, marks in zip(HEARTS.labels, HEARTS.landmarks, strict=True):
        places, positive = sample_places(labels, 10**6, SMALL.label, torch.Generator())
        offsets.append((marks.numpy() - places[positive].numpy()[:, None] * SHRINK) * SPACING)
        assert 0 < positive.sum() < len(positive)
    expected = np.concatenate(offsets)
    assert tree.tree.feature.tolist() == [-1] and tree.patches.shape == (1, 6, 6, 6)
    np.testing.assert_allclose(tree.offsets[0], expected.mean(0))
    np.testing.assert_allclose(tree.spread[0], expected.var(0, ddof=1).sum(-1))


def test_landmarks_elsewhere_are_expected_elsewhere() -> None:
    moved = replace(HEARTS, landmarks=HEARTS.landmarks + torch.tensor([1.0, -2.0, 0.5]))
    one, other = (grow_landmark_tree(part, None, trees.CLASSIFICATION, SMALL, 3) for part in (HEARTS, moved))
    seen = np.isfinite(one.spread[:, 0])
    assert seen.sum() > 4 and len(one.tree.feature) == len(other.tree.feature) > 20
    np.testing.assert_allclose(
        (other.offsets - one.offsets)[seen], np.array([[[3.0, -4.0, 1.25]]]) + 0 * one.offsets[seen]
    )
    np.testing.assert_allclose(other.spread, one.spread)


def test_nodes_that_sort_hearts_ask_for_their_shape_and_the_others_for_patches() -> None:
    for shares, sorts, asks in (
        (Shares(1.0, 0.0, 0.0), True, False),
        (trees.UNSTRATIFIED, False, True),
        (Shares(0.5, 0.25, 0.25), True, True),
    ):
        tree = grow_landmark_tree(HEARTS, SHAPES, shares, SMALL, 0)
        asked, split = tree.tree.feature[tree.tree.feature >= 0], len(tree.questions.channel)
        assert ((asked >= split).any(), (asked < split).any()) == (sorts, asks)
        assert len(tree.shape) == 9 and asked.max() < split + 9


def test_whole_hearts_go_one_way_where_hearts_are_sorted() -> None:
    # One feature of shape tells two hearts from the others; sorting can tell no more.
    two, every = np.array([[0.0], [0.0], [1.0], [1.0]], np.float32), replace(SMALL, each=10**6)
    tree = grow_landmark_tree(HEARTS, two, Shares(1.0, 0.0, 0.0), every, 0)
    assert tree.tree.feature.tolist() == [len(tree.questions.channel), -1, -1]
    for leaf, mine in enumerate((torch.tensor([0, 1]), torch.tensor([2, 3]))):
        alone = grow_landmark_tree(HEARTS.some(mine), None, trees.CLASSIFICATION, replace(ROOT, each=10**6), 0)
        np.testing.assert_allclose(tree.offsets[leaf], alone.offsets[0])
        np.testing.assert_allclose(tree.spread[leaf], alone.spread[0])


def test_offsets_come_together_where_nodes_ask_for_that() -> None:
    tight = [
        np.median(tree.spread[np.isfinite(tree.spread)])
        for tree in (grow_landmark_tree(HEARTS, None, s, SMALL, 0) for s in (trees.REGRESSION, trees.CLASSIFICATION))
    ]
    assert tight[0] < tight[1]


def test_a_tree_is_the_same_from_the_same_seed() -> None:
    one, same, other = (grow_landmark_tree(HEARTS, SHAPES, trees.STRATIFIED, SMALL, seed) for seed in (1, 1, 2))
    for a, b in zip(one, same, strict=True):
        np.testing.assert_equal(a, b)
    assert len(one.tree.feature) != len(other.tree.feature) or (one.tree.threshold != other.tree.threshold).any()


def test_subjects_travel_to_another_process_whole() -> None:
    for hearts in (HEARTS, turned_hearts([5, 6], [1, 0])):
        back = pickle.loads(pickle.dumps(hearts))
        assert back.spacing == SPACING and (back.persons is None) == (hearts.persons is None)
        for name in ("pictures", "labels", "landmarks"):
            assert torch.equal(getattr(back, name), getattr(hearts, name))
    assert back.persons.tolist() == [1, 0]


def test_one_heart_and_one_label_are_learnt_from() -> None:
    tree = grow_landmark_tree(HEARTS.some(torch.tensor([0])), SHAPES[:1], trees.STRATIFIED, SMALL, 0)
    assert (tree.tree.feature[tree.tree.feature >= 0] < len(tree.questions.channel)).all()
    plain = replace(HEARTS, labels=torch.zeros_like(HEARTS.labels))
    found = grow_landmark_tree(plain, None, trees.UNSTRATIFIED, SMALL, 0)
    assert np.isinf(found.spread).all() and not found.patches.any()


def test_bad_input_is_named() -> None:
    picture, labels, marks = torch.zeros(2, *SHAPE), torch.zeros(2, *SHAPE, dtype=torch.uint8), torch.ones(2, 6, 3)
    with pytest.raises(InputError, match=r"subjects: expected pictures and labels \(N, Z, Y, X\), got \(2, 24, 28\)"):
        Subjects(picture[:, 0], labels, marks, SPACING)
    with pytest.raises(InputError, match=r"landmarks: expected finite numbers \(2, L, 3\), got \(1, 6, 3\)"):
        Subjects(picture, labels, marks[:1], SPACING)
    with pytest.raises(InputError, match="landmarks: expected finite numbers"):
        Subjects(picture, labels, marks * float("nan"), SPACING)
    with pytest.raises(InputError, match=r"persons: expected \(2,\), got \(3,\)"):
        Subjects(picture, labels, marks, SPACING, torch.zeros(3))
    with pytest.raises(InputError, match="shapes: expected features of 4 subjects, got those of 3"):
        grow_landmark_tree(HEARTS, SHAPES[:3], trees.STRATIFIED, SMALL, 0)
    with pytest.raises(InputError, match="shares: expected some for a type of node that can be had"):
        grow_landmark_tree(HEARTS, None, Shares(1.0, 0.0, 0.0), SMALL, 0)
    with pytest.raises(InputError, match="picture: expected finite numbers"):
        grow_landmark_tree(replace(HEARTS, pictures=HEARTS.pictures / 0.0), None, trees.REGRESSION, SMALL, 0)
