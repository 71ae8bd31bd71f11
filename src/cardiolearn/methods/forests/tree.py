r"""A decision tree, grown a level at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardiolearn.errors import InputError
from cardiolearn.methods.forests.objectives import Nodes, Objective
from cardiolearn.methods.forests.splits import Splits, best_splits, unsplit


class Tree(NamedTuple):
    r"""Nodes `(m,)`: their `feature` (-1 at a leaf), `threshold` and `left` child; the right one is the next after it.
    Node 0 is the root. A sample goes left if its feature is below the threshold."""

    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]

    def leaf_of(self, features: NDArray[np.float32]) -> NDArray[np.int64]:
        r"""The node at which each sample ends, `(n,)`; `features` `(f, n)`."""
        node = np.zeros(features.shape[1], np.int64)
        going = np.arange(len(node))
        while len(going := going[self.feature[node[going]] >= 0]):
            at = node[going]
            node[going] = self.left[at] + (features[self.feature[at], going] >= self.threshold[at])
        return node


@dataclass(frozen=True)
class Growth:
    r"""How a tree grows: to `depth` levels of splits at most, with at least `smallest` samples on either side of each.

    Raises:
        InputError: a depth or a size below 1.
    """

    depth: int = 64
    smallest: int = 8

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise InputError(f"{name}: expected 1 at least, got {value}")


class _Nodes(NamedTuple):
    # The nodes (k,) that may be split, and their samples, node after node: those of node i are rows[starts[i]:...].
    nodes: NDArray[np.int64]
    rows: NDArray[np.int64]
    starts: Nodes


def grow(
    features: NDArray[np.float32], objectives: Mapping[str, Objective], shares: Mapping[str, float], growth: Growth,
    generator: np.random.Generator,
) -> Tree:  # fmt: skip
    r"""A tree for samples with these `features` `(f, n)`: each feature of all samples, then the next.

    Each node takes one of the `objectives` at random, by its share; where it finds no split, the others are tried.

    Source: extremely randomised trees (Geurts, Ernst, Wehenkel, 2006) with node types as in Oktay et al., IEEE TMI 2017
    (deviation: those try every threshold; here one at random for each feature).

    Raises:
        InputError: no samples, or features that are not finite.
    """
    _check(features)
    tree = Tree(np.full(1, -1, np.int32), np.zeros(1, np.float32), np.zeros(1, np.int32))
    level = _Nodes(np.zeros(1, np.int64), np.arange(features.shape[1]), np.array([0, features.shape[1]]))
    for _ in range(growth.depth):
        level = _some(level, np.diff(level.starts) >= 2 * growth.smallest)
        if not len(level.nodes):
            break
        splits = _split(features, level, objectives, shares, growth, generator)
        tree, level = _divided(tree, features, level, splits)
    return tree


def _check(features: NDArray[np.float32]) -> None:
    if features.ndim != 2 or not features.size:
        raise InputError(f"features: expected (features, samples), at least one of each, got {features.shape}")
    if not np.isfinite(features).all():
        raise InputError(f"features: expected finite numbers, got {np.count_nonzero(~np.isfinite(features))} others")


def _starts(sizes: NDArray[np.int64]) -> Nodes:
    return np.concatenate([[0], np.cumsum(sizes)])


def _some(level: _Nodes, chosen: NDArray[np.bool_]) -> _Nodes:
    sizes = np.diff(level.starts)
    return _Nodes(level.nodes[chosen], level.rows[np.repeat(chosen, sizes)], _starts(sizes[chosen]))


def _split(
    features: NDArray[np.float32], level: _Nodes, objectives: Mapping[str, Objective], shares: Mapping[str, float],
    growth: Growth, generator: np.random.Generator,
) -> Splits:  # fmt: skip
    # The splits of a level: each node by the objective that was drawn for it, or by the next that finds one.
    splits = unsplit(len(level.nodes))
    order = _drawn(list(shares.values()), len(level.nodes), generator)
    for turn in range(len(shares)):
        still = splits.feature < 0
        for number, name in enumerate(shares):
            here = still & (order[:, turn] == number)
            if here.any():
                part = _some(level, here)
                found = best_splits(features, part.rows, part.starts, objectives[name], growth.smallest, generator)
                splits.take(here, found)
    return splits


def _drawn(shares: list[float], count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    # For each node the objectives in the order in which they are tried, (count, objectives): the first with the
    # probability of its share, each next one by the shares of those that are left.
    weights = np.asarray(shares) / np.sum(shares)
    with np.errstate(divide="ignore"):
        waiting = generator.exponential(size=(count, len(shares))) / weights
    return waiting.argsort(1)


def _divided(tree: Tree, features: NDArray[np.float32], level: _Nodes, splits: Splits) -> tuple[Tree, _Nodes]:
    # The tree with the children of the nodes that were split, and these children as the next level.
    split = splits.feature >= 0
    level = _some(level, split)
    feature, threshold = splits.feature[split], splits.threshold[split]
    place = np.repeat(np.arange(len(level.nodes)), np.diff(level.starts))
    right = features[feature[place], level.rows] >= threshold[place]
    child = 2 * place + right
    first = len(tree.feature) + 2 * np.arange(len(level.nodes))
    tree.feature[level.nodes], tree.threshold[level.nodes], tree.left[level.nodes] = feature, threshold, first
    new = 2 * len(level.nodes)
    ends = (np.full(new, -1, np.int32), np.zeros(new, np.float32), np.zeros(new, np.int32))
    tree = Tree(*(np.concatenate(pair) for pair in zip(tree, ends, strict=True)))
    rows = level.rows[child.argsort(kind="stable")]
    sizes = np.bincount(child, minlength=new)
    return tree, _Nodes(len(tree.feature) - new + np.arange(new), rows, _starts(sizes))
