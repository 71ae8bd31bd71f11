r"""Trees side by side, in one row of nodes, so that a picture is asked on any device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cardiolearn.methods.forests.questions import Answers, Questions
from cardiolearn.methods.forests.tree import Tree


class Forest(NamedTuple):
    r"""Nodes `(m,)` of all trees, one tree after the other: `question` (-1 at a leaf), `threshold`, `left` child and,
    at a leaf, its number; `roots` are the trees' first nodes. Leaves are numbered through all trees.

    Args:
        questions: those that nodes ask, each once for every node that asks it.
        width: of the patches that they ask about, in voxels of the channels.
    """

    question: NDArray[np.int64]
    threshold: NDArray[np.float32]
    left: NDArray[np.int64]
    leaf: NDArray[np.int64]
    roots: NDArray[np.int64]
    questions: Questions
    width: int

    @classmethod
    def of(cls, trees: Sequence[Tree], asked: Sequence[Questions], width: int) -> Forest:
        r"""`trees` whose features are the questions `asked`, of each tree its own."""
        nodes = np.cumsum([0, *(len(tree.feature) for tree in trees)])
        splits = [tree.feature >= 0 for tree in trees]
        used = [
            questions.some(tree.feature[split]) for tree, questions, split in zip(trees, asked, splits, strict=True)
        ]
        split = np.concatenate(splits)
        return cls(
            question=np.where(split, split.cumsum() - 1, -1),
            threshold=np.concatenate([tree.threshold for tree in trees]),
            left=np.concatenate([tree.left + start for tree, start in zip(trees, nodes, strict=False)]),
            leaf=np.where(split, -1, (~split).cumsum() - 1),
            roots=nodes[:-1],
            questions=Questions(*(np.concatenate(parts) for parts in zip(*used, strict=True))),
            width=width,
        )

    def leaves(self, answers: Answers, places: Tensor, trees: Tensor) -> Tensor:
        r"""The number of the leaf at which each of `places` `(n, axes)` ends in the tree with its number in `trees`
        `(n,)`; both on the device of the answers.

        Raises:
            InputError: a picture with more or fewer axes than the forest learnt from.
        """
        device = answers.flat.device
        question, threshold, left, leaf, roots = (torch.from_numpy(part).to(device) for part in self[:5])
        first, second, counts = answers.steps(self.questions)
        at, node = answers.at(places), roots[trees]
        going = torch.arange(len(node), device=device)
        while len(going := going[question[node[going]] >= 0]):
            here, asks = at[going], question[node[going]]
            value = answers.flat[here + first[asks]] - counts[asks] * answers.flat[here + second[asks]]
            node[going] = left[node[going]] + (value >= threshold[node[going]]).long()
        return leaf[node]
