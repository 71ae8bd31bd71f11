r"""A forest that finds landmarks: borders are predicted everywhere, and each votes for where the landmarks are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.methods.forests.channels import SHRINK, channels
from cardiolearn.methods.forests.edge_votes import LeafBorders, Votes, leaf_borders
from cardiolearn.methods.forests.forest import Forest
from cardiolearn.methods.forests.hough_votes import HoughVotes, peaks
from cardiolearn.methods.forests.landmark_trees import LandmarkTree
from cardiolearn.methods.forests.questions import Answers, Questions

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
    r"""Trees side by side, and by leaf, numbered through all trees: the `borders` that it votes for, its `offsets` to
    the landmarks `(leaves, L, 3)`, 16-bit numbers of mm along (z, y, x), and for which it votes, `voting`
    `(leaves, L)`.

    In `forest` the nodes that sort hearts ask the first question in vain: `strata` knows what they ask.
    """

    forest: Forest
    strata: Strata
    borders: LeafBorders
    offsets: NDArray[np.float16]
    voting: NDArray[np.bool_]
    spacing: tuple[float, float, float]

    @classmethod
    def of(cls, trees: Sequence[LandmarkTree], width: int, spacing: tuple[float, float, float]) -> LandmarkForest:
        r"""Trees that were grown alike, from patches of `width` voxels of the channels and voxels of `spacing` mm.

        A leaf votes for a landmark where the trace of its offsets' covariance is below a quarter of the mean over all
        leaves that have one.

        Source: Oktay et al., IEEE TMI 2017.

        Raises:
            InputError: no trees, or no leaf that votes for one of the landmarks.
        """
        if not trees:
            raise InputError("landmark forest: expected at least one tree, got none")
        asked = [len(tree.questions.channel) for tree in trees]
        sorts = [tree.tree.feature >= first for tree, first in zip(trees, asked, strict=True)]
        plain = [one.tree._replace(feature=np.where(s, 0, one.tree.feature)) for one, s in zip(trees, sorts, strict=True)]
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
        mean = np.where(known, spread, 0.0).sum(0) / np.maximum(known.sum(0), 1)
        voting = spread < _TIGHT * mean
        if not voting.any(0).all():
            raise InputError(f"trees: expected leaves that vote for each landmark, got none for "
                             f"{np.flatnonzero(~voting.any(0)).tolist()}")  # fmt: skip
        offsets = np.concatenate([tree.offsets for tree in trees]).astype(np.float16)
        borders = leaf_borders(np.concatenate([tree.patches for tree in trees]))
        return cls(forest, strata, borders, offsets, voting, spacing)

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
        return Found(peaks(votes), edges, votes)

    def leaves(self, picture: Tensor, shape: NDArray[np.float32] | None = None) -> tuple[Tensor, Tensor]:
        r"""All places of a picture `(n, 3)`, in voxels of its channels, and the leaf at which each of them ends in each
        tree, `(trees, n)`."""
        forest = self._sorted(shape)
        answers = Answers(channels(picture), forest.width)
        places = torch.cartesian_prod(*(torch.arange(size, device=picture.device) for size in answers.shape))
        trees = torch.arange(len(forest.roots), device=picture.device)[:, None].expand(-1, len(places))
        return places, torch.stack([forest.leaves(answers, places, tree.contiguous()) for tree in trees])

    def edge_map(self, picture: Tensor, places: Tensor, leaves: Tensor) -> Tensor:
        r"""How likely a border runs through each voxel `(Z, Y, X)`: the votes of all `leaves` of a picture."""
        votes = Votes(picture, self.borders)
        for ends in leaves:
            votes.cast(places, ends)
        return votes.shares()

    def votes(self, edges: Tensor, places: Tensor, leaves: Tensor) -> Iterator[Tensor]:
        r"""The votes `(L, Z, Y, X)` for the landmarks after the first tree, the first two, and so on."""
        device = edges.device
        offsets = torch.from_numpy(self.offsets).to(device).float() / torch.tensor(self.spacing, device=device)
        votes = HoughVotes(edges, offsets, torch.from_numpy(self.voting).to(device))
        for ends in leaves:
            votes.cast(places, ends)
            yield votes.maps()

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

    def tensors(self) -> dict[str, Tensor]:
        r"""All that the forest is made of, as named tensors, small: what `of_tensors` takes."""
        forest, split = self.forest, self.forest.question >= 0
        width = self.borders.width
        inside = np.ravel_multi_index(tuple((self.borders.offsets + width // 2).T), (width,) * 3)
        questions = {name: part.astype(np.int8) for name, part in forest.questions._asdict().items()}
        arrays = questions | {
            "split": split, "threshold": forest.threshold[split], "roots": forest.roots.astype(np.int32),
            "widths": np.array([forest.width, width], np.int32), "spacing": np.array(self.spacing),
            "strata_node": self.strata.node, "strata_feature": self.strata.feature,
            "strata_threshold": self.strata.threshold, "borders": inside.astype(np.int32),
            "border_count": np.diff(self.borders.first).astype(np.int32),
            "voting": self.voting, "offsets": self.offsets[self.voting.any(1)],
        }  # fmt: skip
        return {name: torch.from_numpy(part.copy()) for name, part in arrays.items()}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> LandmarkForest:
        r"""The forest that gave these `tensors`."""
        kept = {name: part.numpy() for name, part in tensors.items()}
        split, roots, (width, label) = kept["split"], kept["roots"].astype(np.int64), kept["widths"].tolist()
        threshold = np.zeros(len(split), np.float32)
        threshold[split] = kept["threshold"]
        forest = Forest(
            question=np.where(split, split.cumsum() - 1, -1), threshold=threshold, left=_children(split, roots),
            leaf=np.where(split, -1, (~split).cumsum() - 1), roots=roots, width=width,
            questions=Questions(*(kept[name].astype(np.int64) for name in Questions._fields)),
        )  # fmt: skip
        strata = Strata(kept["strata_node"], kept["strata_feature"], kept["strata_threshold"])
        offsets = np.stack(np.unravel_index(kept["borders"].astype(np.int64), (label,) * 3), 1) - label // 2
        borders = LeafBorders(np.concatenate([[0], kept["border_count"].astype(np.int64).cumsum()]), offsets, label)
        means = np.zeros((*kept["voting"].shape, 3), np.float16)
        means[kept["voting"].any(1)] = kept["offsets"]
        z, y, x = kept["spacing"].tolist()
        return cls(forest, strata, borders, means, kept["voting"], (z, y, x))


def _children(split: NDArray[np.bool_], roots: NDArray[np.int64]) -> NDArray[np.int64]:
    # The left child of each node: a tree's nodes stand level by level, so the k-th that is split has children 2 k + 1
    # and 2 k + 2 of its tree.
    tree = np.repeat(roots, np.diff([*roots, len(split)]))
    before = split.cumsum() - split
    return np.where(split, tree + 1 + 2 * (before - before[tree]), tree)
