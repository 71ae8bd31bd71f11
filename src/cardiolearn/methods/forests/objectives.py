r"""What a node of a tree is good for: its samples' cost, which a split shall lower.

All costs here are sums over samples of a few numbers each (how many there are of a class; their sum, their squares).
So one search serves every objective: it adds the numbers up on both sides of a threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cardiolearn.errors import InputError
from cardiolearn.methods.forests.structured_labels import two_classes

Floats = NDArray[np.float64]
Nodes = NDArray[np.int64]  # where the samples of each node begin, and after the last their number
Among = tuple[int, int | None]  # features from one number to before another; None stands for the end


class Objective(Protocol):
    r"""What the samples of a node are judged by."""

    @property
    def tries(self) -> float:
        r"""Share of the features that a node tries; 0 stands for their square root."""

    @property
    def among(self) -> Among:
        r"""Which features its nodes may ask."""

    def summed(self, rows: NDArray[np.int64], starts: Nodes, generator: np.random.Generator) -> Floats:
        r"""The numbers `(n, m)` that are summed over samples; the first is 1 for a sample that counts.

        Args:
            rows: the samples `(n,)` of a level's nodes, node after node.
            starts: `(nodes + 1,)`.
        """

    def cost(self, sums: Floats) -> Floats:
        r"""The cost `(...)` of nodes whose samples' numbers add up to `sums` `(..., m)`; 0 at best."""


def entropy(counts: Floats) -> Floats:
    r"""Entropy (nats) of `counts` `(..., C)` of classes, times their sum.

    Source: Criminisi, Shotton, Konukoglu, Decision Forests (2012), eq. 3.2.

    >>> entropy(np.array([[2.0, 2.0], [4.0, 0.0]])).round(3).tolist()
    [2.773, 0.0]
    """
    total = counts.sum(-1, keepdims=True)
    times = np.divide(total, counts, out=np.ones_like(counts), where=counts > 0)
    return (counts * np.log(times)).sum(-1)


def gini(counts: Floats) -> Floats:
    r"""Gini impurity of `counts` `(..., C)` of classes, times their sum.

    >>> gini(np.array([[2.0, 2.0], [4.0, 0.0]])).tolist()
    [2.0, 0.0]
    """
    total = counts.sum(-1)
    return total - np.divide((counts**2).sum(-1), total, out=np.zeros_like(total), where=total > 0)


@dataclass(frozen=True)
class Classes:
    r"""Samples of classes `labels` `(n,)`, 0 to `count` - 1, kept apart by entropy, or by Gini impurity.

    Raises:
        InputError: labels outside 0 to `count` - 1, or that are no whole numbers.
    """

    labels: NDArray[np.int64]
    count: int
    by_gini: bool = False
    tries: float = 0.0
    among: Among = (0, None)

    def __post_init__(self) -> None:
        whole = np.issubdtype(self.labels.dtype, np.integer)
        if not whole or (len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < self.count):
            raise InputError(f"labels: expected whole numbers from 0 to {self.count - 1}, got {np.unique(self.labels)}")

    def summed(self, rows: NDArray[np.int64], starts: Nodes, generator: np.random.Generator) -> Floats:
        return np.eye(self.count)[self.labels[rows]]

    def cost(self, sums: Floats) -> Floats:
        return gini(sums) if self.by_gini else entropy(sums)


@dataclass(frozen=True)
class Structured:
    r"""Label patches `patches` `(n, ...)`: each node turns its own into two classes, and keeps these apart.

    See :func:`~cardiolearn.methods.forests.structured_labels.two_classes`.

    Source: Dollár, Zitnick, ICCV 2013; entropy, k-means and 600 pairs as in Oktay et al., MICCAI 2015.
    """

    patches: NDArray[np.uint8]
    pairs: int = 600
    tries: float = 0.0
    among: Among = (0, None)

    def summed(self, rows: NDArray[np.int64], starts: Nodes, generator: np.random.Generator) -> Floats:
        flat = self.patches.reshape(len(self.patches), -1)
        classes = np.empty(len(rows), np.int64)
        for first, last in pairwise(starts):
            classes[first:last] = two_classes(flat[rows[first:last]], self.pairs, generator)
        return np.eye(2)[classes]

    def cost(self, sums: Floats) -> Floats:
        return entropy(sums)


@dataclass(frozen=True)
class Spread:
    r"""Vectors `values` `(n, d)`, kept together: the cost is the sum of squared distances from the node's mean.

    Args:
        weights: `(d,)`, how much each number counts: voxel sizes in mm, or 1 / standard deviation.
    """

    values: Floats
    weights: Floats
    tries: float = 1.0 / 3.0
    among: Among = (0, None)

    def summed(self, rows: NDArray[np.int64], starts: Nodes, generator: np.random.Generator) -> Floats:
        weighed = self.values[rows] * self.weights
        return np.concatenate([np.ones((len(rows), 1)), (weighed**2).sum(1, keepdims=True), weighed], 1)

    def cost(self, sums: Floats) -> Floats:
        many, squares, vector = sums[..., 0], sums[..., 1], sums[..., 2:]
        mean = np.divide((vector**2).sum(-1), many, out=np.zeros_like(many), where=many > 0)
        return np.maximum(squares - mean, 0.0)
