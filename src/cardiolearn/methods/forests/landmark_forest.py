r"""A forest that finds landmarks: borders are predicted everywhere, and each votes for where the landmarks are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.methods.forests.channels import channels
from cardiolearn.methods.forests.edge_votes import Votes
from cardiolearn.methods.forests.forest import Forest
from cardiolearn.methods.forests.hough_votes import HoughVotes, peaks
from cardiolearn.methods.forests.landmark_trees import LandmarkTree
from cardiolearn.methods.forests.questions import Answers

_TIGHT = 0.25  # of the leaves' mean spread: those below vote


class Strata(NamedTuple):
    r"""The nodes `(k,)` of a forest that sort hearts: their number, the feature of a heart's shape that each asks, and
    its threshold."""

    node: NDArray[np.int32]
    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]


class Found(NamedTuple):
    r"""What a forest finds in a picture: the `landmarks` `(L, 3)` in voxels (z, y, x), the map of `edges` `(Z, Y, X)`
    and the `votes` for each landmark `(L, Z, Y, X)`."""

    landmarks: Tensor
    edges: Tensor
    votes: Tensor


class LandmarkForest(NamedTuple):
    r"""Trees side by side, and by leaf, numbered through all trees: its label patch in `patches`, its `offsets` to
    the landmarks `(leaves, L, 3)`, 16-bit numbers of mm along (z, y, x), and for which it votes, `voting`
    `(leaves, L)`.

    In `forest` the nodes that sort hearts ask the first question in vain: `strata` knows what they ask.
    """

    forest: Forest
    strata: Strata
    patches: NDArray[np.uint8]
    offsets: NDArray[np.float16]
    voting: NDArray[np.bool_]
    spacing: tuple[float, float, float]

    @classmethod
    def of(cls, trees: Sequence[LandmarkTree], width: int, spacing: tuple[float, float, float]) -> LandmarkForest:
        r"""Trees that were grown alike, from patches of `width` voxels of the channels and voxels of `spacing` mm.

        A leaf votes for a landmark where the trace of its offsets' covariance is below a quarter of the mean over all
        leaves that have one.

        Source: Oktay et al., IEEE TMI 2017 (deviation: where no leaf is below, as in small forests, all of them vote).

        Raises:
            InputError: no trees, or none that has seen two places near a border in one leaf.
        """
        if not any(np.isfinite(tree.spread).any() for tree in trees):
            raise InputError(f"trees: expected some that have seen landmarks from borders, got {len(trees)} without")
        asked = [len(tree.questions.channel) for tree in trees]
        sorts = [tree.tree.feature >= first for tree, first in zip(trees, asked, strict=True)]
        plain = [
            one.tree._replace(feature=np.where(s, 0, one.tree.feature)) for one, s in zip(trees, sorts, strict=True)
        ]
        strata = Strata(
            node=np.flatnonzero(np.concatenate(sorts)).astype(np.int32),
            feature=np.concatenate(
                [one.shape[one.tree.feature[s] - n] for one, s, n in zip(trees, sorts, asked, strict=True)]
            ).astype(np.int16),
            threshold=np.concatenate([one.tree.threshold[s] for one, s in zip(trees, sorts, strict=True)]),
        )
        forest = Forest.of(plain, [tree.questions for tree in trees], width)
        spread = np.concatenate([tree.spread for tree in trees])
        known = np.isfinite(spread)
        mean = np.where(known, spread, 0.0).sum(0) / known.sum(0)
        voting = spread < _TIGHT * mean
        voting |= known & ~voting.any(0)
        offsets = np.concatenate([tree.offsets for tree in trees]).astype(np.float16)
        offsets[~voting.any(1)] = 0.0
        patches = np.concatenate([tree.patches for tree in trees])
        return cls(forest, strata, patches, offsets, voting, spacing)

    def find(self, picture: Tensor, shape: NDArray[np.float32] | None = None) -> Found:
        r"""The landmarks, edges and votes of a picture `(Z, Y, X)` in [0, 1], on its device.

        Args:
            shape: the features of the heart's shape `(f,)`, where the forest asks for them.

        Raises:
            InputError: a picture with another number of axes or no votes for a landmark; features that are missing, too
                few or not finite.
        """
        places, leaves = self.leaves(picture, shape)
        edges = self.edge_map(picture, places, leaves)
        *_, votes = self.votes(edges, places, leaves)
        maps = votes.maps()
        return Found(peaks(maps), edges, maps)

    def leaves(self, picture: Tensor, shape: NDArray[np.float32] | None = None) -> tuple[Tensor, Tensor]:
        r"""All places of a picture `(n, 3)`, in voxels of its channels, and the leaf at which each of them ends in each
        tree, `(trees, n)`."""
        forest = self._sorted(shape)
        answers = Answers(channels(picture.float()), forest.width)
        places = torch.cartesian_prod(*(torch.arange(size, device=picture.device) for size in answers.shape))
        trees = torch.arange(len(forest.roots), device=picture.device)[:, None].expand(-1, len(places))
        return places, torch.stack([forest.leaves(answers, places, tree.contiguous()) for tree in trees])

    def edge_map(self, picture: Tensor, places: Tensor, leaves: Tensor) -> Tensor:
        r"""How likely a border runs through each voxel `(Z, Y, X)`: the votes of all `leaves` of a picture."""
        votes = Votes(picture.float(), self.patches)
        for ends in leaves:
            votes.cast(places, ends)
        return votes.shares()

    def votes(self, edges: Tensor, places: Tensor, leaves: Tensor) -> Iterator[HoughVotes]:
        r"""The votes for the landmarks after the first tree, the first two, and so on: one object, which grows."""
        device = edges.device
        offsets = torch.from_numpy(self.offsets).to(device).float() / torch.tensor(self.spacing, device=device)
        votes = HoughVotes(edges, offsets, torch.from_numpy(self.voting).to(device))
        for ends in leaves:
            votes.cast(places, ends)
            yield votes

    def _sorted(self, shape: NDArray[np.float32] | None) -> Forest:
        # The forest for one heart. Each node that sorts hearts gives all of its places the same way: its question has
        # the answer of no picture below a threshold of minus infinity, and that of any below one of plus infinity.
        if not len(self.strata.node):
            return self.forest
        needed = int(self.strata.feature.max()) + 1
        if shape is None or len(shape) < needed or not np.isfinite(shape).all():
            raise InputError(f"shape: expected {needed} finite features at least, got "
                             f"{'none' if shape is None else len(shape)}")  # fmt: skip
        threshold = self.forest.threshold.copy()
        left = shape[self.strata.feature] < self.strata.threshold
        threshold[self.strata.node] = np.where(left, np.inf, -np.inf)
        return self.forest._replace(threshold=threshold)
