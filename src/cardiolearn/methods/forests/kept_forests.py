r"""A landmark forest as named tensors, as small as it can be kept in a file, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.methods.forests.edge_votes import LeafBorders
from cardiolearn.methods.forests.forest import Forest
from cardiolearn.methods.forests.landmark_forest import LandmarkForest, Strata
from cardiolearn.methods.forests.questions import Questions

_NAMES = (
    "split", "threshold", "roots", "widths", "spacing", "strata_node", "strata_feature", "strata_threshold", "borders",
    "border_count", "voting", "offsets", *Questions._fields,
)  # fmt: skip


def tensors_of(forest: LandmarkForest) -> dict[str, Tensor]:
    r"""All that a forest is made of, as named tensors on the CPU.

    What follows from them is left out: children, numbers of questions and of leaves. A border is its number in the
    label patch. About 12 bytes a split, 2 a border, and 36 for the offsets of a leaf that votes.
    """
    nodes, label = forest.forest, forest.borders.width
    split = nodes.question >= 0
    inside = np.ravel_multi_index(tuple((forest.borders.offsets + label // 2).T), (label,) * 3)
    arrays: dict[str, NDArray[np.generic]] = {
        "split": split, "threshold": nodes.threshold[split], "roots": nodes.roots.astype(np.int32),
        "widths": np.array([nodes.width, label], np.int32), "spacing": np.array(forest.spacing),
        "strata_node": forest.strata.node, "strata_feature": forest.strata.feature,
        "strata_threshold": forest.strata.threshold, "borders": inside.astype(np.int16 if label < 32 else np.int32),
        "border_count": np.diff(forest.borders.first).astype(np.int32),
        "voting": forest.voting, "offsets": forest.offsets[forest.voting.any(1)],
    }  # fmt: skip
    arrays |= {name: part.astype(np.int8) for name, part in nodes.questions._asdict().items()}
    return {name: torch.from_numpy(part.copy()) for name, part in arrays.items()}


def forest_of(tensors: Mapping[str, Tensor]) -> LandmarkForest:
    r"""The forest that gave these tensors.

    Raises:
        InputError: a tensor is missing.
    """
    if missing := [name for name in _NAMES if name not in tensors]:
        raise InputError(f"tensors: expected those of a landmark forest, got none called {', '.join(missing)}")
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
    voxels = np.stack(np.unravel_index(kept["borders"].astype(np.int64), (label,) * 3), 1)
    first = np.concatenate([[0], kept["border_count"].astype(np.int64).cumsum()])
    means = np.zeros((*kept["voting"].shape, 3), np.float16)
    means[kept["voting"].any(1)] = kept["offsets"]
    z, y, x = kept["spacing"].tolist()
    return LandmarkForest(forest, strata, LeafBorders(first, voxels - label // 2, label), means, kept["voting"],
                          (z, y, x))  # fmt: skip


def _children(split: NDArray[np.bool_], roots: NDArray[np.int64]) -> NDArray[np.int64]:
    # The left child of each node; of a leaf its root. A tree's nodes stand level by level, so the k-th that is split,
    # from 0, has the children 2 k + 1 and 2 k + 2 of its tree.
    root = np.repeat(roots, np.diff([*roots, len(split)]))
    before = split.cumsum() - split
    return np.where(split, root + 1 + 2 * (before - before[root]), root)
