r"""A tree that is watched: cut at a level it is the tree that grew to that level."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hearts import disc, pictured

from cardiolearn.figures.alt_text import alt_of
from cardiolearn.methods.forests.edges import EdgeSettings
from cardiolearn.methods.forests.growing_seen import Grown, cut, draw_groups, grow_seen, map_of
from cardiolearn.methods.forests.objectives import Structured
from cardiolearn.methods.forests.training_patches import Labelled, borders
from cardiolearn.methods.forests.tree import Growth, grow

SETTINGS = EdgeSettings(patch=8, label=6, each=60, scans=4, share=0.2, pairs=24, growth=Growth(depth=8, smallest=3))


@pytest.fixture(scope="module")
def grown() -> list[Grown]:
    labels = torch.stack([disc((32, 35), radius, shift) for radius, shift in ((8, 0), (9, 2), (7, -2), (10, 1))])
    scans = Labelled(torch.stack([pictured(one, seed) for seed, one in enumerate(labels)]), labels)
    return [grow_seen(scans, seed, SETTINGS) for seed in (0, 1)]


@pytest.mark.parametrize("depth", [1, 3])
def test_a_cut_tree_is_the_one_that_grew_less(grown: list[Grown], depth: int) -> None:
    whole, samples, _ = grown[0]
    objective = Structured(samples.patches, SETTINGS.pairs)
    again = []
    for growth in (SETTINGS.growth, Growth(depth=depth, smallest=3)):  # the same random numbers, level by level
        generator = np.random.default_rng(7)
        again.append(grow(samples.features, {"edges": objective}, {"edges": 1.0}, growth, generator))
    for ours, theirs in zip(cut(again[0], depth), again[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert len(again[1].feature) < len(again[0].feature) and len(cut(whole, 99).feature) == len(whole.feature)


def test_a_tree_without_splits_is_its_root(grown: list[Grown]) -> None:
    root = grown[0].at(0)
    assert root.tree.feature.tolist() == [-1] and root.patches.shape == (1, 6, 6)


def test_borders_become_clearer_with_more_levels(grown: list[Grown]) -> None:
    unseen = disc((31, 34), 8.5, 1.0)
    border, picture = borders(unseen), pictured(unseen, 9)
    contrast = []
    for depth in (1, 3, 8):
        found = map_of(grown, depth, picture)
        assert found.shape == unseen.shape
        contrast.append(float(found[border].mean() - found[~border].mean()))
    assert contrast[0] < contrast[2] and contrast[2] > 0.15


def test_groups_are_drawn_with_how_often_each_place_is_a_border(grown: list[Grown]) -> None:
    patches = grown[0].samples.patches
    figure = draw_groups({"left": patches[:40], "right": patches[40:43]}, alt="Label patches in two groups")
    assert alt_of(figure) == "Label patches in two groups"
    often = figure.axes[8].images[0].get_array()
    expected = torch.stack([borders(torch.from_numpy(patch)) for patch in patches[:40]]).float().mean(0)
    np.testing.assert_allclose(np.asarray(often), expected.numpy())
    assert "left: 40 patches" in figure.axes[0].get_title(loc="left")
    plt.close(figure)
