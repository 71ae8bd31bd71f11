r"""Edge forests: they find a border in slices and volumes, whatever the number of workers, and come back from files."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hearts import disc, here, pictured

from cardiolearn.errors import InputError
from cardiolearn.imaging.files import read_tensors, write_tensors
from cardiolearn.methods.forests import edges
from cardiolearn.methods.forests.edges import EdgeForest, EdgeSettings, grow_edge_forest, grow_edge_tree, leaf_patches
from cardiolearn.methods.forests.kept_forests import edges_of, tensors_of_edges
from cardiolearn.methods.forests.training_patches import Labelled, borders, sample
from cardiolearn.methods.forests.tree import Growth

SETTINGS = EdgeSettings(patch=8, label=6, each=60, scans=4, share=0.2, pairs=24, growth=Growth(depth=10, smallest=3))
SIZES = {2: (32, 35), 3: (22, 24, 20)}
both = pytest.mark.parametrize("axes", [2, 3])


def balls(axes: int) -> Labelled:
    radii = ((8, 0), (9, 1), (7, -1), (8.5, 1))
    labels = torch.stack([disc(SIZES[axes], radius, shift) for radius, shift in radii])
    return Labelled(torch.stack([pictured(one, seed) for seed, one in enumerate(labels)]), labels)


@cache
def forest(axes: int) -> EdgeForest:
    return EdgeForest.of([grow_edge_tree(balls(axes), SETTINGS, seed) for seed in range(4)], SETTINGS)


@both
def test_a_border_that_was_never_seen_is_found(axes: int) -> None:
    unseen = disc(tuple(size - 1 for size in SIZES[axes]), 7.7, 0.5)
    found = forest(axes).edge_map(pictured(unseen, 9))
    border = borders(unseen)
    assert found.shape == unseen.shape and found.min() >= 0.0
    assert found[border].mean() > 4.0 * found[~border].mean()


def test_a_tree_predicts_a_patch_that_its_leaf_has_seen() -> None:
    samples = sample(balls(2), SETTINGS, np.random.default_rng(0))
    tree = edges.grow(samples.features, {"e": edges.Structured(samples.patches, 24)}, {"e": 1.0}, SETTINGS.growth,
                      np.random.default_rng(1))  # fmt: skip
    patches = leaf_patches(tree, samples, 24, np.random.default_rng(2))
    ends = tree.leaf_of(samples.features)
    for leaf, patch in zip(np.flatnonzero(tree.feature < 0), patches, strict=True):
        assert (samples.patches[ends == leaf] == patch).all((1, 2)).any()


def test_a_forest_is_the_same_whatever_grows_its_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    few = EdgeSettings(**(vars(SETTINGS) | {"each": 20, "growth": Growth(depth=4, smallest=3)}))
    alone = grow_edge_forest(balls(2), few, 2, seed=3, jobs=2)
    monkeypatch.setattr(edges, "in_processes", here)
    for ours, theirs in zip(alone.forest, grow_edge_forest(balls(2), few, 2, seed=3, jobs=1).forest, strict=True):
        np.testing.assert_equal(ours, theirs)
    other = grow_edge_forest(balls(2), few, 2, seed=4, jobs=1)
    assert not np.array_equal(alone.forest.threshold, other.forest.threshold)


@both
def test_a_forest_comes_back_from_a_small_file_as_it_was(axes: int, tmp_path: Path) -> None:
    write_tensors(tmp_path / "forest.safetensors", tensors_of_edges(forest(axes)), {})
    back = edges_of(read_tensors(tmp_path / "forest.safetensors")[0])
    np.testing.assert_array_equal(back.patches, forest(axes).patches)
    for ours, theirs in zip(back.forest, forest(axes).forest, strict=True):
        np.testing.assert_equal(ours, theirs)
    mixed = int((np.ptp(forest(axes).patches.reshape(len(back.patches), -1), axis=1) > 0).sum())
    packed = 40 * len(back.forest.question) + mixed * SETTINGS.label**axes / 4 + 4000
    assert (tmp_path / "forest.safetensors").stat().st_size < packed


@both
def test_pictures_with_other_axes_and_odd_forests_are_refused(axes: int) -> None:
    with pytest.raises(InputError, match=f"picture: expected {axes} axes, as the forest learnt from, got {5 - axes}"):
        forest(axes).edge_map(torch.rand((12,) * (5 - axes)))
    with pytest.raises(InputError, match="edge forest: expected an even number of trees, got 1"):
        EdgeForest.of([grow_edge_tree(balls(2), SETTINGS, 0)], SETTINGS)
    with pytest.raises(InputError, match="edge forest: expected an even number of trees, got 0"):
        EdgeForest.of([], SETTINGS)
