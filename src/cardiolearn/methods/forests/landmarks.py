r"""Landmarks in two stages: a first forest tells how a heart lies, a second one sorts hearts by that as it goes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.learning.device import at_once, in_processes
from cardiolearn.methods.forests.channels import SHRINK
from cardiolearn.methods.forests.edges import EdgeSettings, tree_seed
from cardiolearn.methods.forests.landmark_forest import Found, LandmarkForest
from cardiolearn.methods.forests.landmark_trees import (
    STRATIFIED,
    UNSTRATIFIED,
    LandmarkTree,
    Shares,
    Subjects,
    grow_landmark_tree,
)
from cardiolearn.methods.forests.shape_features import shape_features

_FOREST, _FOLDS = 0, 1  # seeds of a forest's trees, and of the trees of each fold from here on


@dataclass(frozen=True)
class LandmarkSettings(EdgeSettings):
    r"""How a landmark forest learns: as an edge forest, with so many `trees`. The hearts from whose shapes the second
    stage learns are looked at by forests that have learnt from the others, in turn for each of so many `folds`.

    Raises:
        InputError: no tree, or less than two folds.
    """

    trees: int = 8
    folds: int = 3

    def __post_init__(self) -> None:
        if self.trees < 1 or self.folds < 2:
            raise InputError(f"landmark settings: expected a tree and 2 folds at least, got {self.trees} and "
                             f"{self.folds}")  # fmt: skip


class Stratified(NamedTuple):
    r"""Both stages: what the `first` forest finds tells the `second` one how the heart lies."""

    first: LandmarkForest
    second: LandmarkForest

    def find(self, picture: Tensor) -> Found:
        r"""What is found in a picture `(Z, Y, X)` in [0, 1], on its device; as `LandmarkForest.find`."""
        return self.second.find(picture, shape_of(self.first, picture))


def grow_forest(
    subjects: Subjects, shares: Shares, settings: LandmarkSettings, seed: int, *,
    shapes: NDArray[np.float32] | None = None, jobs: int | None = None,
) -> LandmarkForest:  # fmt: skip
    r"""A forest whose nodes are of the types that `shares` says; its trees grow in `jobs` processes, by default one for
    each core, and are the same whatever their number.

    Args:
        shapes: features of each heart's shape `(N, f)`; without them no node sorts hearts.
    """
    tasks = [
        partial(grow_landmark_tree, subjects, shapes, shares, settings, tree_seed(seed, _FOREST, tree))
        for tree in range(settings.trees)
    ]
    found = dict(in_processes(tasks, jobs or at_once()))
    return _forest_of([found[tree] for tree in range(settings.trees)], subjects, settings)


def grow_second_stage(
    first: LandmarkForest, subjects: Subjects, settings: LandmarkSettings, seed: int, jobs: int | None = None
) -> Stratified:
    r"""Both stages, where the `first` forest has learnt from the same hearts, unstratified.

    Source: Oktay et al., IEEE TMI 2017 (deviation: there the second stage learns from other hearts than the first).
    """
    shapes = out_of_fold_shapes(subjects, settings, seed, jobs)
    return Stratified(first, grow_forest(subjects, STRATIFIED, settings, seed, shapes=shapes, jobs=jobs))


def out_of_fold_shapes(
    subjects: Subjects, settings: LandmarkSettings, seed: int, jobs: int | None = None
) -> NDArray[np.float32]:
    r"""The features of each heart's shape `(N, f)` as unstratified forests see it that have not learnt from its person.

    Raises:
        InputError: fewer persons than folds.
    """
    fold, folds = folds_of(subjects, settings.folds, seed), range(settings.folds)
    others = [subjects.some((fold != k).nonzero().flatten()) for k in folds]
    tasks = [
        partial(grow_landmark_tree, others[k], None, UNSTRATIFIED, settings, tree_seed(seed, _FOLDS + k, tree))
        for k in folds
        for tree in range(settings.trees)
    ]
    grown = dict(in_processes(tasks, jobs or at_once()))
    trees = [[grown[k * settings.trees + tree] for tree in range(settings.trees)] for k in folds]
    forests = [_forest_of(trees[k], others[k], settings) for k in folds]
    looks = [partial(_shapes_of, forests[k], subjects.some((fold == k).nonzero().flatten())) for k in folds]
    found = dict(in_processes(looks, jobs or at_once()))
    shapes = np.empty((len(subjects), found[0].shape[1]), np.float32)
    for k in folds:
        shapes[(fold == k).numpy()] = found[k]
    return shapes


def folds_of(subjects: Subjects, folds: int, seed: int) -> Tensor:
    r"""The fold `(N,)` of each of `subjects`: those of a person are in the same one.

    Raises:
        InputError: fewer persons than folds.
    """
    persons = torch.arange(len(subjects)) if subjects.persons is None else subjects.persons
    different, number = persons.unique(return_inverse=True)
    if len(different) < folds:
        raise InputError(f"subjects: expected {folds} persons at least, for as many folds, got {len(different)}")
    order = torch.randperm(len(different), generator=torch.Generator().manual_seed(seed))
    return order[number] % folds


def shape_of(forest: LandmarkForest, picture: Tensor) -> NDArray[np.float32]:
    r"""The features `(f,)` of the shape of the heart that a forest finds in a picture."""
    found = forest.find(picture)
    return shape_features(found.landmarks, found.edges, forest.spacing)


def _shapes_of(forest: LandmarkForest, subjects: Subjects) -> NDArray[np.float32]:
    return np.stack([shape_of(forest, picture) for picture in subjects.pictures])


def _forest_of(trees: list[LandmarkTree], subjects: Subjects, settings: LandmarkSettings) -> LandmarkForest:
    return LandmarkForest.of(trees, settings.patch // SHRINK, subjects.spacing)
