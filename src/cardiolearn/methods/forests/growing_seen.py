r"""A tree of slices that is watched as it grows, level by level, and the edges that it finds by then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cardiolearn.figures.alt_text import describe
from cardiolearn.figures.slices import in_colours
from cardiolearn.imaging.structures import LV_CAVITY
from cardiolearn.methods.forests.edges import EdgeForest, EdgeSettings, EdgeTree, leaf_patches
from cardiolearn.methods.forests.hearts import HeartScan
from cardiolearn.methods.forests.objectives import Structured
from cardiolearn.methods.forests.training_patches import Labelled, Samples, borders, sample
from cardiolearn.methods.forests.tree import Growth, Tree, grow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: A forest of slices that grows within seconds.
FLAT = EdgeSettings(patch=24, label=12, each=60, scans=40, share=0.25, pairs=128, growth=Growth(depth=16, smallest=4))
_SHOWN = 8  # label patches of a group
_WIDTH = 6.4  # inches of a row of them


def slices_of(scans: Sequence[HeartScan]) -> Labelled:
    r"""Of each scan the slice across the heart in the middle of its left ventricle, all of one shape."""
    middles = [int(torch.nonzero(scan.labels.data == LV_CAVITY)[:, 0].float().mean()) for scan in scans]
    pictures, labels = (
        torch.stack([getattr(scan, name).data[z] for scan, z in zip(scans, middles, strict=True)])
        for name in ("picture", "labels")
    )
    return Labelled(pictures, labels)


class Grown(NamedTuple):
    r"""A tree with what it learnt from: it can be looked at as it was when it had fewer levels."""

    tree: Tree
    samples: Samples
    settings: EdgeSettings

    def at(self, depth: int) -> EdgeTree:
        r"""The tree with its first `depth` levels of splits only; its leaves predict what their samples say."""
        young, generator = cut(self.tree, depth), np.random.default_rng(depth)
        patches = leaf_patches(young, self.samples, self.settings.pairs, generator)
        return EdgeTree(young, self.samples.questions, patches)


def grow_seen(slices: Labelled, seed: int, settings: EdgeSettings = FLAT) -> Grown:
    r"""A tree that learns from slices, the same one from the same `seed`."""
    generator = np.random.default_rng(seed)
    samples = sample(slices, settings, generator)
    objective = Structured(samples.patches, settings.pairs)
    tree = grow(samples.features, {"edges": objective}, {"edges": 1.0}, settings.growth, generator)
    return Grown(tree, samples, settings)


def cut(tree: Tree, depth: int) -> Tree:
    r"""A tree with its first `depth` levels of splits only. Nodes stand level by level, so the first ones are kept."""
    level = np.zeros(len(tree.feature), np.int64)
    for node in np.flatnonzero(tree.feature >= 0):
        level[tree.left[node] : tree.left[node] + 2] = level[node] + 1
    kept = np.count_nonzero(level <= depth)
    splits = (level < depth) & (tree.feature >= 0)
    feature = np.where(splits, tree.feature, -1).astype(np.int32)
    threshold = np.where(splits, tree.threshold, 0.0).astype(np.float32)
    left = np.where(splits, tree.left, 0).astype(np.int32)
    return Tree(feature[:kept], threshold[:kept], left[:kept])


def map_of(trees: Sequence[Grown], depth: int, picture: Tensor) -> Tensor:
    r"""The edge map of a slice by an even number of trees, cut to `depth` levels."""
    return EdgeForest.of([tree.at(depth) for tree in trees], trees[0].settings).edge_map(picture)


def draw_groups(groups: dict[str, NDArray[np.uint8]], *, alt: str) -> Figure:
    r"""Label patches `(n, width, width)` in groups, a row each: some of them, and on the right how often each place
    has a border."""
    import matplotlib.pyplot as plt

    size = (1.15 * _WIDTH, 0.82 * len(groups) + 0.4)
    figure, axes = plt.subplots(len(groups), _SHOWN + 1, figsize=size, squeeze=False)
    for row, (name, patches) in zip(axes, groups.items(), strict=True):
        shown = patches[np.linspace(0, len(patches) - 1, _SHOWN).astype(int)] if len(patches) else patches
        for ax in row:
            ax.set_axis_off()
        for ax, patch in zip(row, shown, strict=False):
            ax.imshow(in_colours(patch))
        row[0].set_title(f"{name}: {len(patches)} patches", loc="left")
        often = torch.stack([borders(torch.from_numpy(patch)) for patch in patches]).float().mean(0)
        row[-1].imshow(often, cmap="gray", vmin=0.0, vmax=1.0)
        row[-1].set_title("borders")
    return describe(figure, alt)
