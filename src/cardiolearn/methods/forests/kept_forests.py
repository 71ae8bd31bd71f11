r"""Forests as named tensors, as small as they can be kept in a file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.methods.forests.edges import EdgeForest
from cardiolearn.methods.forests.forest import Forest
from cardiolearn.methods.forests.landmark_forest import LandmarkForest, Strata
from cardiolearn.methods.forests.questions import Questions

_FOREST = ("split", "threshold", "roots", "width", *Questions._fields)
_PATCHES = ("shape", "lowest", "mixed", "packed")
_STRATA = ("strata_node", "strata_feature", "strata_threshold")
_LANDMARKS = (*_STRATA, "voting", "offsets", "spacing")
_BITS = 2  # of a label in a packed patch


def tensors_of_edges(forest: EdgeForest) -> dict[str, Tensor]:
    r"""All that an edge forest is made of, as named tensors on the CPU: about 12 bytes a split, and 432 for the patch
    of 12^3 voxels of a leaf with borders."""
    return _tensors(_nodes(forest.forest) | _packed(forest.patches))


def edges_of(tensors: Mapping[str, Tensor]) -> EdgeForest:
    r"""The edge forest that gave these tensors.

    Raises:
        InputError: a tensor is missing.
    """
    kept = _arrays(tensors, (*_FOREST, *_PATCHES))
    return EdgeForest(_forest(kept), _unpacked(kept))


def tensors_of_landmarks(forest: LandmarkForest) -> dict[str, Tensor]:
    r"""All that a landmark forest is made of; as `tensors_of_edges`, and 36 bytes for the offsets of a leaf that
    votes."""
    strata: dict[str, NDArray[Any]] = dict(zip(_STRATA, forest.strata, strict=True))
    own: dict[str, NDArray[Any]] = {"voting": forest.voting, "offsets": forest.offsets[forest.voting.any(1)]}
    own["spacing"] = np.array(forest.spacing)
    return _tensors(_nodes(forest.forest) | _packed(forest.patches) | strata | own)


def landmarks_of(tensors: Mapping[str, Tensor]) -> LandmarkForest:
    r"""The landmark forest that gave these tensors.

    Raises:
        InputError: a tensor is missing.
    """
    kept = _arrays(tensors, (*_FOREST, *_PATCHES, *_LANDMARKS))
    means = np.zeros((*kept["voting"].shape, 3), np.float16)
    means[kept["voting"].any(1)] = kept["offsets"]
    strata, (z, y, x) = Strata(*(kept[name] for name in _STRATA)), kept["spacing"].tolist()
    return LandmarkForest(_forest(kept), strata, _unpacked(kept), means, kept["voting"], (z, y, x))


def _tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(part.copy()) for name, part in arrays.items()}


def _arrays(tensors: Mapping[str, Tensor], names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    if missing := [name for name in names if name not in tensors]:
        raise InputError(f"tensors: expected those of a forest, got none called {', '.join(missing)}")
    return {name: tensors[name].numpy() for name in names}


def _nodes(forest: Forest) -> dict[str, NDArray[Any]]:
    # Children, and the numbers of questions and leaves, follow from which nodes are split.
    split = forest.question >= 0
    nodes: dict[str, NDArray[Any]] = {"split": split, "threshold": forest.threshold[split]}
    nodes |= {"roots": forest.roots.astype(np.int32), "width": np.array(forest.width, np.int32)}
    return nodes | {name: part.astype(np.int8) for name, part in forest.questions._asdict().items()}


def _forest(kept: Mapping[str, NDArray[Any]]) -> Forest:
    split, roots = kept["split"].astype(np.bool_), kept["roots"].astype(np.int64)
    threshold = np.zeros(len(split), np.float32)
    threshold[split] = kept["threshold"]
    return Forest(
        question=np.where(split, split.cumsum() - 1, -1), threshold=threshold, left=_children(split, roots),
        leaf=np.where(split, -1, (~split).cumsum() - 1), roots=roots, width=int(kept["width"]),
        questions=Questions(*(kept[name].astype(np.int64) for name in Questions._fields)),
    )  # fmt: skip


def _packed(patches: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    # A patch without borders is one label; of the others each label takes two bits.
    flat = patches.reshape(len(patches), -1)
    mixed = (flat != flat[:, :1]).any(1)
    bits = np.unpackbits(flat[mixed, :, None], axis=2, count=_BITS, bitorder="little")
    return {"shape": np.array(patches.shape, np.int32), "lowest": flat[:, 0].copy(), "mixed": mixed,
            "packed": np.packbits(bits.reshape(len(bits), flat.shape[1] * _BITS), axis=1)}  # fmt: skip


def _unpacked(kept: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    shape, mixed = tuple(kept["shape"].tolist()), kept["mixed"].astype(np.bool_)
    size = int(np.prod(shape[1:]))
    flat = np.repeat(kept["lowest"].astype(np.uint8)[:, None], size, axis=1)
    bits = np.unpackbits(kept["packed"].astype(np.uint8), axis=1, count=size * _BITS)
    flat[mixed] = np.packbits(bits.reshape(-1, size, _BITS), axis=2, bitorder="little")[..., 0]
    return flat.reshape(shape)


def _children(split: NDArray[np.bool_], roots: NDArray[np.int64]) -> NDArray[np.int64]:
    # The left child of each node; of a leaf its root. A tree's nodes stand level by level, so the k-th that is split,
    # from 0, has the children 2 k + 1 and 2 k + 2 of its tree.
    root = np.repeat(roots, np.diff([*roots, len(split)]))
    before = split.cumsum() - split
    return np.where(split, root + 1 + 2 * (before - before[root]), root)
