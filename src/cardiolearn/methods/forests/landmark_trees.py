r"""Trees that learn three things at once: where borders lie, how far the landmarks are, and which pose a heart has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.methods.forests.channels import SHRINK, channels
from cardiolearn.methods.forests.edges import EdgeSettings, leaf_patches
from cardiolearn.methods.forests.objectives import Objective, Spread, Structured
from cardiolearn.methods.forests.pose import mean_landmarks, poses
from cardiolearn.methods.forests.questions import Answers, Questions, every_question
from cardiolearn.methods.forests.training_patches import Samples, label_patches, sample_places
from cardiolearn.methods.forests.tree import Tree, grow

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Subjects:
    r"""Hearts to learn from: `pictures` `(N, Z, Y, X)` in [0, 1], their `labels` `(N, Z, Y, X)` (uint8), and
    `landmarks` `(N, L, 3)` in voxels (z, y, x), of voxels with `spacing` mm along (z, y, x).

    Args:
        persons: the number of each one's person `(N,)`, where some are of the same one; by default none are.

    Raises:
        InputError: shapes that do not go together, no subject, or landmarks that are not finite.
    """

    pictures: Tensor
    labels: Tensor
    landmarks: Tensor
    spacing: tuple[float, float, float]
    persons: Tensor | None = None

    def __post_init__(self) -> None:
        shape, marks = tuple(self.pictures.shape), tuple(self.landmarks.shape)
        if len(shape) != 4 or not shape[0] or tuple(self.labels.shape) != shape:
            raise InputError(f"subjects: expected pictures and labels (N, Z, Y, X), got {shape} and "
                             f"{tuple(self.labels.shape)}")  # fmt: skip
        if len(marks) != 3 or marks[0] != shape[0] or marks[2] != 3 or not self.landmarks.isfinite().all():
            raise InputError(f"landmarks: expected finite numbers ({shape[0]}, L, 3), got {marks}")
        if self.persons is not None and self.persons.shape != shape[:1]:
            raise InputError(f"persons: expected ({shape[0]},), got {tuple(self.persons.shape)}")

    def __reduce__(self) -> tuple[Any, ...]:
        # To another process as bytes: torch would use shared memory, of which containers have little.
        arrays = (self.pictures, self.labels, self.landmarks, *([] if self.persons is None else [self.persons]))
        return _of_arrays, (self.spacing, *(part.numpy() for part in arrays))

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def millimetres(self) -> Floats:
        r"""The landmarks in mm along the axes, (z, y, x)."""
        return np.asarray(self.landmarks.double().numpy() * self.spacing)

    def some(self, chosen: Tensor) -> Subjects:
        r"""Those with these numbers."""
        persons = None if self.persons is None else self.persons[chosen]
        return Subjects(self.pictures[chosen], self.labels[chosen], self.landmarks[chosen], self.spacing, persons)


def _of_arrays(spacing: tuple[float, float, float], *arrays: NDArray[Any]) -> Subjects:
    pictures, labels, landmarks, *persons = (torch.from_numpy(part) for part in arrays)
    return Subjects(pictures, labels, landmarks, spacing, *persons)


class Shares(NamedTuple):
    r"""How often a node sorts hearts by their pose (`strata`), sorts label patches (`edges`), or brings offsets to
    landmarks together (`offsets`)."""

    strata: float
    edges: float
    offsets: float


CLASSIFICATION, REGRESSION = Shares(0.0, 1.0, 0.0), Shares(0.0, 0.0, 1.0)
UNSTRATIFIED, STRATIFIED = Shares(0.0, 0.5, 0.5), Shares(0.16, 0.42, 0.42)


class LandmarkTree(NamedTuple):
    r"""A tree, and what it knows.

    Its first features are the answers to `questions`, the others are those of the features of a heart's shape with the
    numbers `shape` `(s,)`. Of each leaf, in the order of its nodes: its label patch, `patches` `(leaves, label, ...)`;
    and over its places near a border the mean of their `offsets` to the landmarks `(leaves, L, 3)`, mm along (z, y, x),
    and the trace of their covariance `spread` `(leaves, L)`, mm^2; infinite where there are less than two of them.
    """

    tree: Tree
    questions: Questions
    shape: NDArray[np.int64]
    patches: NDArray[np.uint8]
    offsets: Floats
    spread: Floats


class _Seen(NamedTuple):
    # Of places: answers to questions (q, n), label patches, offsets to landmarks (n, L, 3) in mm, whether they are near
    # a border, and the number of their heart.
    answers: NDArray[np.float32]
    patches: NDArray[np.uint8]
    offsets: Floats
    positive: NDArray[np.bool_]
    heart: NDArray[np.int64]


def grow_landmark_tree(
    subjects: Subjects, shapes: NDArray[np.float32] | None, shares: Shares, settings: EdgeSettings, seed: int
) -> LandmarkTree:
    r"""A tree that learns from some hearts; the same one from the same `seed`.

    Args:
        shapes: features of each heart's shape `(N, f)`; without them no node sorts hearts.

    Source: Oktay et al., IEEE TMI 2017: the types of nodes, what they lower, and that the offsets of places away from
    any border are zeros where splits are looked for, and left out of the leaves. See `tree.grow` for deviations.

    Raises:
        InputError: no share of any type of node that can be had, or features of other subjects.
    """
    if shapes is not None and len(shapes) != len(subjects):
        raise InputError(f"shapes: expected features of {len(subjects)} subjects, got those of {len(shapes)}")
    wanted = {name: part for name, part in shares._asdict().items() if part > 0}
    if shapes is None:
        wanted.pop("strata", None)
    if not wanted:
        raise InputError(f"shares: expected some for a type of node that can be had, got {shares}")
    generator = np.random.default_rng(seed)
    every = every_question(settings.patch // SHRINK, 3)
    questions = every.some(_share_of(len(every.channel), settings.share, generator))
    known = _share_of(0 if shapes is None else shapes.shape[1], settings.share, generator)
    samples = _sampled(subjects, questions, settings, generator)
    objectives = _objectives(samples, subjects, len(questions.channel), settings.pairs)
    features = samples.answers
    if shapes is not None:
        features = np.concatenate([features, shapes[samples.heart][:, known].T])
    tree = grow(features, objectives, wanted, settings.growth, generator)
    number = np.cumsum(tree.feature < 0) - 1
    leaf = number[tree.leaf_of(features)]
    near = samples.positive
    offsets, spread = mean_and_spread(leaf[near], samples.offsets[near], number[-1] + 1)
    patches = leaf_patches(tree, Samples(questions, features, samples.patches), settings.pairs, generator)
    return LandmarkTree(tree, questions, known, patches, offsets, spread)


def _share_of(count: int, share: float, generator: np.random.Generator) -> NDArray[np.int64]:
    return np.sort(generator.permutation(count)[: math.ceil(share * count)])


def _sampled(subjects: Subjects, questions: Questions, settings: EdgeSettings, generator: np.random.Generator) -> _Seen:
    torches, width = torch.Generator().manual_seed(int(generator.integers(2**62))), settings.patch // SHRINK
    found = []
    for number in np.sort(generator.permutation(len(subjects))[: settings.scans]):
        picture, labels, marks = (part[number] for part in (subjects.pictures, subjects.labels, subjects.landmarks))
        places, positive = sample_places(labels, settings.each, settings.label, torches)
        answers = Answers(channels(picture.float()), width).to(questions, places).numpy()
        offsets = (marks - places[:, None] * SHRINK).double().numpy() * subjects.spacing
        offsets[~positive.numpy()] = 0.0
        patches = label_patches(labels, places, settings.label)
        found.append(_Seen(answers, patches, offsets, positive.numpy(), np.full(len(places), number)))
    return _Seen(
        np.concatenate([one.answers for one in found], 1),
        *(np.concatenate([one[part] for one in found]) for part in range(1, len(_Seen._fields))),
    )


def _objectives(samples: _Seen, subjects: Subjects, asked: int, pairs: int) -> Mapping[str, Objective]:
    # Nodes that sort hearts may ask the features of a heart's shape only, all others the questions.
    offsets = samples.offsets.reshape(len(samples.offsets), -1)
    found = poses(subjects.millimetres, mean_landmarks(subjects.millimetres))
    varies = found[np.unique(samples.heart)].std(0)
    weights = np.divide(1.0, varies, out=np.zeros(2), where=varies > 0)
    return {
        "strata": Spread(found[samples.heart], weights, among=(asked, None)),
        "edges": Structured(samples.patches, pairs, among=(0, asked)),
        "offsets": Spread(offsets, np.ones(offsets.shape[1]), among=(0, asked)),
    }


def mean_and_spread(leaf: NDArray[np.int64], offsets: Floats, leaves: int) -> tuple[Floats, Floats]:
    r"""The mean `(leaves, L, 3)` of `offsets` `(n, L, 3)` at each `leaf` `(n,)`, and the trace of their covariance
    `(leaves, L)`; infinite where there are less than two."""
    many = np.bincount(leaf, minlength=leaves).astype(np.float64)

    def total(values: Floats) -> Floats:
        flat = values.reshape(len(values), math.prod(values.shape[1:]))
        columns = [np.bincount(leaf, weights=column, minlength=leaves) for column in flat.T]
        return np.stack(columns, 1).astype(np.float64).reshape(leaves, *values.shape[1:])

    mean = total(offsets) / np.maximum(many, 1)[:, None, None]
    squares = total(((offsets - mean[leaf]) ** 2).sum(-1))
    enough = (many > 1)[:, None]
    return mean, np.divide(squares, many[:, None] - 1, out=np.full_like(squares, np.inf), where=enough)
