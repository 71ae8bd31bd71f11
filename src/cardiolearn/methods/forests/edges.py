r"""Structured edge forests: label patches that a forest predicts everywhere, whose borders vote for an edge map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.learning.device import at_once, in_processes
from cardiolearn.methods.forests.channels import SHRINK, channels
from cardiolearn.methods.forests.edge_votes import Votes
from cardiolearn.methods.forests.forest import Forest
from cardiolearn.methods.forests.objectives import Structured
from cardiolearn.methods.forests.questions import Answers, Questions
from cardiolearn.methods.forests.structured_labels import medoid
from cardiolearn.methods.forests.training_patches import Labelled, PatchSettings, Samples, sample
from cardiolearn.methods.forests.tree import Growth, Tree, grow


@dataclass(frozen=True)
class EdgeSettings(PatchSettings):
    r"""How an edge forest learns: what its trees are shown, their `growth`, and how many `pairs` of voxels a node
    asks for.

    Source: Oktay et al., MICCAI 2015, for the widths of patches, 8 samples on either side of a split, depth, share of
    questions and at most 40 scans a tree (deviation: some 40,000 places a tree for 1.4 million; 256 pairs for 600).
    """

    growth: Growth = field(default_factory=Growth)
    pairs: int = 256


class EdgeTree(NamedTuple):
    r"""A tree, its questions, and the label patch of each leaf `(leaves, label, ...)` in the order of its nodes."""

    tree: Tree
    questions: Questions
    patches: NDArray[np.uint8]


def grow_edge_tree(scans: Labelled, settings: EdgeSettings, seed: int) -> EdgeTree:
    r"""A tree that learns from some scans; the same one from the same `seed`."""
    generator = np.random.default_rng(seed)
    samples = sample(scans, settings, generator)
    objective = Structured(samples.patches, settings.pairs)
    tree = grow(samples.features, {"edges": objective}, {"edges": 1.0}, settings.growth, generator)
    return EdgeTree(tree, samples.questions, leaf_patches(tree, samples, settings.pairs, generator))


def leaf_patches(tree: Tree, samples: Samples, pairs: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    r"""The label patch `(leaves, width, ...)` of each leaf, in the order of the nodes: the medoid of its samples'."""
    ends = tree.leaf_of(samples.features)
    order = ends.argsort(kind="stable")
    starts = np.flatnonzero(np.diff(ends[order])) + 1
    flat = samples.patches.reshape(len(samples.patches), -1)
    return samples.patches[[part[medoid(flat[part], pairs, generator)] for part in np.split(order, starts)]]


class EdgeForest(NamedTuple):
    r"""A forest that tells how likely a border of structures runs through each voxel.

    Args:
        forest: of an even number of trees: each place asks every second one, its neighbours the others.
        patches: the label patch `(leaves, label, ...)` of each leaf.
    """

    forest: Forest
    patches: NDArray[np.uint8]

    @classmethod
    def of(cls, trees: Sequence[EdgeTree], settings: EdgeSettings) -> EdgeForest:
        r"""Trees that were grown alike, with these settings.

        Raises:
            InputError: an odd number of trees.
        """
        if len(trees) % 2 or not trees:
            raise InputError(f"edge forest: expected an even number of trees, got {len(trees)}")
        forest = Forest.of([tree.tree for tree in trees], [tree.questions for tree in trees], settings.patch // SHRINK)
        return cls(forest, np.concatenate([tree.patches for tree in trees]))

    def edge_map(self, picture: Tensor) -> Tensor:
        r"""The share of votes for a border at each voxel of a picture `([Z,] Y, X)` in [0, 1], on its device.

        Raises:
            InputError: a picture with more or fewer axes than those that the forest learnt from.
        """
        answers = Answers(channels(picture), self.forest.width)
        places = torch.cartesian_prod(*(torch.arange(size, device=picture.device) for size in answers.shape))
        odd, votes = places.sum(1) % 2, Votes(picture, self.patches)
        for pair in range(len(self.forest.roots) // 2):
            votes.cast(places, self.forest.leaves(answers, places, 2 * pair + odd))
        return votes.shares()


def grow_edge_forest(
    scans: Labelled, settings: EdgeSettings, trees: int, seed: int, jobs: int | None = None
) -> EdgeForest:
    r"""A forest of so many trees that learn from the same scans; they grow in `jobs` processes, by default one for each
    core, and are the same whatever their number."""
    tasks = [partial(grow_edge_tree, scans, settings, tree_seed(seed, tree)) for tree in range(trees)]
    grown = dict(in_processes(tasks, jobs or at_once()))
    return EdgeForest.of([grown[tree] for tree in range(trees)], settings)


def tree_seed(*numbers: int) -> int:
    r"""The seed of a tree, another one for all other numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
