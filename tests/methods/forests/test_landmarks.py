r"""Two stages: who learns from whom, and what comes out whoever does the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hearts import here
from turned_hearts import SMALL, SPACING, turned_heart, turned_hearts

from cardiolearn.errors import InputError
from cardiolearn.methods.forests import landmarks
from cardiolearn.methods.forests.landmark_trees import UNSTRATIFIED, Subjects
from cardiolearn.methods.forests.landmarks import LandmarkSettings
from cardiolearn.methods.forests.shape_features import feature_count, shape_features

HEARTS = turned_hearts(range(6), persons=[0, 0, 7, 7, 3, 3])


def backwards(tasks: Sequence[Callable[[], Any]], jobs: int) -> Iterator[tuple[int, Any]]:
    r"""As `in_processes` where the last task ends first."""
    for number in reversed(range(len(tasks))):
        yield number, tasks[number]()


def test_both_stages_are_the_same_whichever_task_ends_first(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for work in (here, backwards):
        monkeypatch.setattr(landmarks, "in_processes", work)
        first = landmarks.grow_forest(HEARTS, UNSTRATIFIED, SMALL, 0)
        both = landmarks.grow_second_stage(first, HEARTS, SMALL, 0)
        found.append(both.find(turned_heart(60)[0]))
    assert len(both.second.strata.node) and not len(both.first.strata.node)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    off = ((found[0].landmarks - turned_heart(60)[2]) * torch.tensor(SPACING)).norm(dim=1)
    assert off.median() < 10.0


def test_a_forest_that_looks_at_a_heart_has_not_learnt_from_its_person(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def noted(tasks: Sequence[Any], jobs: int) -> Iterator[tuple[int, Any]]:
        asked.extend((task.func.__name__, *task.args) for task in tasks)
        yield from here(tasks, jobs)

    monkeypatch.setattr(landmarks, "in_processes", noted)
    shapes = landmarks.out_of_fold_shapes(HEARTS, SMALL, 0)
    assert shapes.shape == (6, feature_count(6)) and np.isfinite(shapes).all()
    learnt = [subjects for name, subjects, *_ in asked if name == "grow_landmark_tree"][:: SMALL.trees]
    looks = [(forest, subjects) for name, forest, subjects, *_ in asked if name == "_shapes_of"]
    assert len(learnt) == len(looks) == SMALL.folds and len({seeds[-1] for seeds in asked[: 2 * SMALL.trees]}) == 4
    for known, (forest, seen) in zip(learnt, looks, strict=True):
        assert not set(persons(known)) & set(persons(seen)) and set(persons(known) + persons(seen)) == {0, 3, 7}
        for picture in seen.pictures:
            number = next(k for k, one in enumerate(HEARTS.pictures) if torch.equal(one, picture))
            found = forest.find(picture)
            np.testing.assert_array_equal(shapes[number], shape_features(found.landmarks, found.edges, SPACING))


def persons(subjects: Subjects) -> list[int]:
    assert subjects.persons is not None
    return subjects.persons.tolist()


def test_folds_are_of_persons_and_alike_in_size() -> None:
    many = Subjects(torch.zeros(12, 4, 4, 4), torch.zeros(12, 4, 4, 4), torch.zeros(12, 6, 3), SPACING,
                    torch.arange(12) // 2 * 10)  # fmt: skip
    fold = landmarks.folds_of(many, 3, 0)
    assert fold.bincount().tolist() == [4, 4, 4] and (fold[::2] == fold[1::2]).all()
    alone = Subjects(many.pictures, many.labels, many.landmarks, SPACING)
    assert landmarks.folds_of(alone, 5, 1).bincount().tolist() == [3, 3, 2, 2, 2]
    assert not torch.equal(landmarks.folds_of(alone, 5, 1), landmarks.folds_of(alone, 5, 2))
    with pytest.raises(InputError, match="subjects: expected 7 persons at least, for as many folds, got 6"):
        landmarks.folds_of(many, 7, 0)


def test_settings_need_a_tree_and_two_folds() -> None:
    for wrong in ({"trees": 0}, {"folds": 1}):
        with pytest.raises(InputError, match="landmark settings: expected a tree and 2 folds at least, got"):
            LandmarkSettings(**wrong)
