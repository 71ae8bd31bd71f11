r"""Landmark forests: where places end, who votes, and what is found; and the same forest kept as tensors."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from turned_hearts import SMALL, SPACING, turned_heart, turned_hearts

from cardiolearn.errors import InputError
from cardiolearn.imaging.files import read_tensors, write_tensors
from cardiolearn.methods.forests.channels import SHRINK, channels
from cardiolearn.methods.forests.kept_forests import landmarks_of, tensors_of_landmarks
from cardiolearn.methods.forests.landmark_forest import LandmarkForest
from cardiolearn.methods.forests.landmark_trees import (
    CLASSIFICATION,
    UNSTRATIFIED,
    LandmarkTree,
    Shares,
    grow_landmark_tree,
)
from cardiolearn.methods.forests.questions import Answers

WIDTH = SMALL.patch // SHRINK
SHAPES = np.random.default_rng(0).random((6, 30), np.float32)


@cache
def grown(shares: Shares = UNSTRATIFIED) -> list[LandmarkTree]:
    return [grow_landmark_tree(turned_hearts(range(6)), SHAPES, shares, SMALL, seed) for seed in range(2)]


@cache
def forest(shares: Shares = UNSTRATIFIED) -> LandmarkForest:
    return LandmarkForest.of(grown(shares), WIDTH, SPACING)


SORTING = Shares(0.4, 0.3, 0.3)


@pytest.mark.parametrize("shares", [UNSTRATIFIED, SORTING])
def test_places_end_where_the_trees_send_them(shares: Shares) -> None:
    picture, answers = turned_heart(50)[0], None
    shape = np.random.default_rng(9).random(30, np.float32)
    places, leaves = forest(shares).leaves(picture, shape)
    answers, begun = Answers(channels(picture), WIDTH), 0
    assert len(places) == np.prod([(size + 1) // 2 for size in picture.shape])
    assert (len(forest(shares).strata.node) > 3) == (shares == SORTING)
    for tree, found in zip(grown(shares), leaves, strict=True):
        features = np.concatenate(
            [answers.to(tree.questions, places).numpy(), shape[tree.shape][:, None].repeat(len(places), 1)]
        )
        number = np.cumsum(tree.tree.feature < 0) - 1
        assert (found.numpy() == begun + number[tree.tree.leaf_of(features)]).all()
        begun += number[-1] + 1


def test_leaves_vote_whose_spread_is_below_a_quarter_of_the_mean() -> None:
    trees = [one._replace(spread=one.spread.copy()) for one in grown()]
    for one in trees:
        one.spread[:, 1] = np.where(np.isfinite(one.spread[:, 1]), 7.0, np.inf)  # none is below
        one.spread[0, 0] = 0.01  # and here at least one is
    spread = np.concatenate([one.spread for one in trees])
    voting = LandmarkForest.of(trees, WIDTH, SPACING).voting
    for mark in range(6):
        known = np.isfinite(spread[:, mark])
        below = spread[:, mark] < spread[known, mark].mean() / 4
        assert (voting[:, mark] == (below if below.any() else known)).all() and 0 < known.sum() < len(known)


@pytest.mark.parametrize("shares", [CLASSIFICATION, UNSTRATIFIED])
def test_landmarks_of_a_heart_that_was_learnt_from_are_found(shares: Shares) -> None:
    every = replace(SMALL, each=150)
    hearts = turned_hearts([3, 4, 5])
    trees = [grow_landmark_tree(hearts, None, shares, every, seed) for seed in range(6)]
    found = LandmarkForest.of(trees, WIDTH, SPACING).find(hearts.pictures[0])
    off = ((found.landmarks - hearts.landmarks[0]) * torch.tensor(SPACING)).norm(dim=1)
    assert off.median() < 5.0 and off.max() < 12.0
    assert found.edges.shape == found.votes.shape[1:] == hearts.pictures.shape[1:]
    assert found.edges.min() >= 0.0 and found.edges.max() > 0.3


def test_votes_grow_tree_by_tree_to_those_of_the_forest() -> None:
    picture = turned_heart(50)[0]
    places, leaves = forest().leaves(picture)
    edges = forest().edge_map(picture, places, leaves)
    maps = [votes.maps() for votes in forest().votes(edges, places, leaves)]
    assert len(maps) == 2 and 0 < maps[0].sum() < maps[1].sum()
    found = forest().find(picture)
    assert torch.equal(found.votes, maps[1]) and torch.equal(found.edges, edges)
    one = LandmarkForest.of(grown()[:1], WIDTH, SPACING)._replace(voting=forest().voting)
    *_, alone = one.votes(edges, places, leaves[:1])
    torch.testing.assert_close(alone.maps(), maps[0])


def test_bad_input_is_named() -> None:
    picture, sorting = turned_heart(50)[0], forest(SORTING)
    needed = sorting.strata.feature.max() + 1
    with pytest.raises(InputError, match=f"shape: expected {needed} finite features at least, got none"):
        sorting.find(picture)
    with pytest.raises(InputError, match=f"shape: expected {needed} finite features at least, got 3"):
        sorting.find(picture, SHAPES[0, :3])
    with pytest.raises(InputError, match=r"shape: expected .* finite features"):
        sorting.find(picture, SHAPES[0] * np.nan)
    with pytest.raises(InputError, match="picture: expected 3 axes, as the forest learnt from, got 2"):
        forest().find(picture[0])
    with pytest.raises(InputError, match="trees: expected some that have seen landmarks from borders, got 0 without"):
        LandmarkForest.of([], WIDTH, SPACING)


@pytest.mark.parametrize("shares", [UNSTRATIFIED, SORTING])
def test_a_forest_comes_back_from_a_file_as_it_was(shares: Shares, tmp_path) -> None:
    one = forest(shares)
    write_tensors(tmp_path / "forest.safetensors", tensors_of_landmarks(one), {})
    back = landmarks_of(read_tensors(tmp_path / "forest.safetensors")[0])
    for name, ours, theirs in zip(one._fields, one, back, strict=True):
        whole = name in ("offsets", "patches")
        np.testing.assert_equal(theirs if whole else tuple(theirs), ours if whole else tuple(ours))
    picture, shape = turned_heart(51)[0], SHAPES[2]
    assert all(torch.equal(a, b) for a, b in zip(one.find(picture, shape), back.find(picture, shape), strict=True))


def test_a_file_without_a_tensor_is_refused() -> None:
    tensors = tensors_of_landmarks(forest())
    del tensors["roots"]
    with pytest.raises(InputError, match="tensors: expected those of a forest, got none called roots"):
        landmarks_of(tensors)
