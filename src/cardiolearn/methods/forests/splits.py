r"""The best split of each node of a level: random features, a random threshold for each, the lowest cost wins."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardiolearn.errors import InputError
from cardiolearn.methods.forests.objectives import Floats, Nodes, Objective

_ROUNDING = 1e-9  # of a node's cost: what falls by less does not fall
_AT_ONCE = 4_000_000  # values of samples that are looked at in one piece


class Splits(NamedTuple):
    r"""Of each node `(nodes,)`: its `feature`, -1 where none splits it, its `threshold`, and by how much the cost falls
    (`gain`). Samples whose value is below the threshold go left."""

    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    gain: Floats

    def take(self, where: NDArray[np.bool_], found: Splits) -> None:
        r"""Put what was `found` for the nodes `where` `(nodes,)` in their place."""
        self.feature[where], self.threshold[where], self.gain[where] = found


def unsplit(nodes: int) -> Splits:
    r"""So many nodes that no feature splits."""
    return Splits(np.full(nodes, -1), np.zeros(nodes, np.float32), np.zeros(nodes))


def best_splits(
    features: NDArray[np.float32], rows: NDArray[np.int64], starts: Nodes, objective: Objective, smallest: int,
    generator: np.random.Generator,
) -> Splits:  # fmt: skip
    r"""The splits of a level's nodes by an objective.

    A node for which none of the features that it tries leaves enough samples on both sides tries others, until it has
    tried all. (scikit-learn's extra-trees do so where features are constant, and else make a leaf.)

    Args:
        features: of all samples, `(f, n)`.
        rows, starts: the nodes' samples, as for `Objective.summed`.
        smallest: samples that either side has at least.

    Raises:
        InputError: there is none of the features that the objective's nodes may ask.
    """
    begin, end = objective.among
    features = _some_of(features, begin, end)
    level = _Asked(rows, starts, objective.summed(rows, starts, generator))
    best = unsplit(len(starts) - 1)
    untried = generator.random((len(starts) - 1, len(features)), np.float32)  # the smallest are tried first
    k = max(1, round(math.sqrt(len(features)) if objective.tries == 0.0 else objective.tries * len(features)))
    still = objective.cost(level.whole) > 0.0
    for first in range(0, len(features), k):
        if not still.any():
            break
        count = min(k, len(features) - first)
        tried = untried[still].argpartition(count - 1, axis=1)[:, :count]
        best.take(still, _search(features, level.some(still), objective, smallest, tried, generator))
        untried[np.flatnonzero(still)[:, None], tried] = np.inf
        still &= best.feature < 0
    best.feature[best.feature >= 0] += begin
    return best


def _some_of(features: NDArray[np.float32], begin: int, end: int | None) -> NDArray[np.float32]:
    some = features[begin:end]
    if begin < 0 or not len(some):
        raise InputError(f"objective: expected features among {len(features)}, got {begin} to {end}")
    return some


class _Asked(NamedTuple):
    # The samples of some nodes, as for `best_splits`, with the numbers (n, m) that the objective sums.
    rows: NDArray[np.int64]
    starts: Nodes
    sums: Floats

    @property
    def whole(self) -> Floats:
        return np.add.reduceat(self.sums, self.starts[:-1])

    def some(self, chosen: NDArray[np.bool_]) -> _Asked:
        sizes = np.diff(self.starts)
        samples = np.repeat(chosen, sizes)
        return _Asked(self.rows[samples], np.concatenate([[0], np.cumsum(sizes[chosen])]), self.sums[samples])


def _search(
    features: NDArray[np.float32], asked: _Asked, objective: Objective, smallest: int, tried: NDArray[np.int64],
    generator: np.random.Generator,
) -> Splits:  # fmt: skip
    # The best of the features `tried` (nodes, k) of each node, each at a random place between its extremes.
    best, chance = unsplit(len(tried)), generator.random(tried.shape, np.float32)
    for some in _pieces(tried.shape[1], len(asked.rows)):
        found = _best_of(features, asked, objective, smallest, tried[:, some], chance[:, some])
        better = found.gain > best.gain
        best.take(better, Splits(found.feature[better], found.threshold[better], found.gain[better]))
    return best


def _pieces(columns: int, samples: int) -> list[slice]:
    width = max(1, _AT_ONCE // max(1, samples))
    return [slice(first, first + width) for first in range(0, columns, width)]


def _best_of(
    features: NDArray[np.float32], asked: _Asked, objective: Objective, smallest: int, tried: NDArray[np.int64],
    chance: NDArray[np.float32],
) -> Splits:  # fmt: skip
    # Values are laid out by feature, so that a node's samples, which follow each other, are added up in one go.
    sizes, begins = np.diff(asked.starts), asked.starts[:-1]
    values = features[np.repeat(tried.T, sizes, axis=1), asked.rows]
    low, high = (edge.reduceat(values, begins, axis=1) for edge in (np.minimum, np.maximum))
    threshold = low + chance.T * (high - low)
    left = values < np.repeat(threshold, sizes, axis=1)
    many = np.add.reduceat(left, begins, axis=1, dtype=np.int64)
    on_left = _added_up(left, asked)
    before = objective.cost(asked.whole)
    gain = before - objective.cost(on_left) - objective.cost(asked.whole - on_left)
    gain[(np.minimum(many, sizes - many) < smallest) | (gain < _ROUNDING * before)] = 0.0
    pick = gain.argmax(0)
    at = np.arange(len(tried))
    return Splits(np.where(gain[pick, at] > 0, tried[at, pick], -1), threshold[pick, at], gain[pick, at])


def _added_up(left: NDArray[np.bool_], asked: _Asked) -> Floats:
    # The sums (k, nodes, m) over the samples of each node that are `left` (k, n): a product of matrices for each node,
    # many times faster than one sum for each of many numbers.
    found = np.empty((len(left), len(asked.starts) - 1, asked.sums.shape[1]))
    for node, (first, last) in enumerate(pairwise(asked.starts)):
        found[:, node] = left[:, first:last].astype(np.float64) @ asked.sums[first:last]
    return found
