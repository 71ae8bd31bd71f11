r"""Structured edge forests: label patches that a forest predicts everywhere, whose borders vote for an edge map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.methods.forests.channels import SHRINK, channels
from cardiolearn.methods.forests.edge_votes import Votes, leaf_borders
from cardiolearn.methods.forests.forest import Forest
from cardiolearn.methods.forests.objectives import Structured
from cardiolearn.methods.forests.questions import Answers, Questions, every_question
from cardiolearn.methods.forests.structured_labels import medoid
from cardiolearn.methods.forests.training_patches import label_patches, sample_places
from cardiolearn.methods.forests.tree import Growth, Tree, grow


@dataclass(frozen=True)
class EdgeSettings:
    r"""How an edge forest learns: `patch` and `label` are the widths in voxels of the picture of what is seen and of
    what is predicted; `each` places near borders and as many elsewhere from each scan; each tree knows a `share` of all
    questions, and asks `pairs` pairs of voxels at a node."""

    patch: int = 24
    label: int = 12
    each: int = 400
    share: float = 0.125
    pairs: int = 256
    growth: Growth = field(default_factory=Growth)


class EdgeTree(NamedTuple):
    r"""A tree, its questions, and the label patch of each leaf `(leaves, label, ...)` in the order of its nodes."""

    tree: Tree
    questions: Questions
    patches: NDArray[np.uint8]


def grow_edge_tree(scans: Sequence[tuple[Tensor, Tensor]], settings: EdgeSettings, seed: int) -> EdgeTree:
    r"""A tree that learns from pictures and labels, both `([Z,] Y, X)`, of some scans."""
    generator = np.random.default_rng(seed)
    torches = torch.Generator().manual_seed(seed)
    axes, width = scans[0][0].ndim, settings.patch // SHRINK
    questions = every_question(width, axes)
    count = len(questions.channel)
    questions = questions.some(np.sort(generator.permutation(count)[: round(settings.share * count)]))
    seen, patches = [], []
    for picture, labels in scans:
        places, _ = sample_places(labels, settings.each, settings.label, torches)
        seen.append(Answers(channels(picture), width).to(questions, places))
        patches.append(label_patches(labels, places, settings.label))
    features, wanted = torch.cat(seen, 1).numpy(), np.concatenate(patches)
    tree = grow(features, {"edges": Structured(wanted, settings.pairs)}, {"edges": 1.0}, settings.growth, generator)
    return EdgeTree(tree, questions, _of_leaves(tree, features, wanted, settings.pairs, generator))


def _of_leaves(
    tree: Tree, features: NDArray[np.float32], patches: NDArray[np.uint8], pairs: int, generator: np.random.Generator
) -> NDArray[np.uint8]:
    # The medoid of the patches at each leaf.
    ends = tree.leaf_of(features)
    order = ends.argsort(kind="stable")
    nodes, starts = np.unique(ends[order], return_index=True)
    flat = patches.reshape(len(patches), -1)
    chosen = [part[medoid(flat[part], pairs, generator)] for part in np.split(order, starts[1:])]
    assert (nodes == np.flatnonzero(tree.feature < 0)).all()
    return patches[chosen]


class EdgeForest:
    r"""A forest that tells how likely a border of structures runs through each voxel.

    Args:
        trees: grown alike, an even number: each place asks every second one, its neighbours the others.
        settings: those that they were grown with.

    Raises:
        InputError: an odd number of trees.
    """

    def __init__(self, trees: Sequence[EdgeTree], settings: EdgeSettings) -> None:
        if len(trees) % 2 or not trees:
            raise InputError(f"edge forest: expected an even number of trees, got {len(trees)}")
        asked = [tree.questions for tree in trees]
        self.forest = Forest.of([tree.tree for tree in trees], asked, settings.patch // SHRINK)
        self.borders = leaf_borders(np.concatenate([tree.patches for tree in trees]))

    def edge_map(self, picture: Tensor) -> Tensor:
        r"""The share of votes for a border at each voxel of a picture `([Z,] Y, X)`, on its device.

        Raises:
            InputError: a picture with more or fewer axes than those that the forest learnt from.
        """
        answers = Answers(channels(picture), self.forest.width)
        places = torch.cartesian_prod(*(torch.arange(size, device=picture.device) for size in answers.shape))
        odd, votes = places.sum(1) % 2, Votes(picture, self.borders)
        for pair in range(len(self.forest.roots) // 2):
            votes.cast(places, self.forest.leaves(answers, places, 2 * pair + odd))
        return votes.shares()
