r"""Exercises of lesson 5: right answers written another way pass, each likely mistake is found and named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from cardiolearn import checks as check


def by_counts(classes: Any, left: Any) -> float:
    r"""The gain is the mutual information of class and side."""
    return float(mutual_info_score(classes.numpy(), left.numpy()))


def in_bits(classes: Any, left: Any) -> float:
    return by_counts(classes, left) / np.log(2)


def unweighted(classes: Any, left: Any) -> float:
    def of(part: Any) -> float:
        return float(entropy(np.bincount(part.numpy(), minlength=2))) if len(part) else 0.0

    return of(classes) - 0.5 * of(classes[left]) - 0.5 * of(classes[~left])


@pytest.mark.parametrize(("attempt", "right"), [(by_counts, True), (in_bits, False), (unweighted, False)])
def test_the_gain_of_a_split_is_the_mutual_information_of_class_and_side(attempt: Any, right: bool) -> None:
    assert (check.information_gain.mistake(attempt) is None) == right


@pytest.mark.parametrize(
    ("attempt", "right"),
    [
        (lambda patches, first, second: (patches[:, first] - patches[:, second] == 0).double(), True),
        (lambda patches, first, second: (patches[:, first] != patches[:, second]).float(), False),
        (
            lambda patches, first, second: (patches[:, first] * patches[:, second] > 0).float(),
            False,
        ),  # both a structure
        (lambda patches, first, second: (patches[first] == patches[second]).float(), False),
    ],
)
def test_only_whether_both_labels_are_equal_counts(attempt: Any, right: bool) -> None:
    assert (check.same_label.mistake(attempt) is None) == right


def by_loop(places: Any, offsets: Any, weights: Any, size: Any) -> torch.Tensor:
    votes = torch.zeros(size)
    for (row, column), weight in zip((places + offsets).tolist(), weights.tolist(), strict=True):
        if 0 <= row < size[0] and 0 <= column < size[1]:
            votes[row, column] += weight
    return votes


def overwritten(places: Any, offsets: Any, weights: Any, size: Any) -> torch.Tensor:
    votes, at = torch.zeros(size), places + offsets
    inside = ((at >= 0) & (at < torch.tensor(size))).all(1)
    votes[tuple(at[inside].T)] += weights[inside]
    return votes


def without_weights(places: Any, offsets: Any, weights: Any, size: Any) -> torch.Tensor:
    return by_loop(places, offsets, torch.ones_like(weights), size)


def wrapped(places: Any, offsets: Any, weights: Any, size: Any) -> torch.Tensor:
    return by_loop((places + offsets) % torch.tensor(size), offsets * 0, weights, size)


@pytest.mark.parametrize(
    ("attempt", "right"), [(by_loop, True), (overwritten, False), (without_weights, False), (wrapped, False)]
)
def test_votes_are_added_up_and_lost_outside(attempt: Any, right: bool) -> None:
    assert (check.hough_vote.mistake(attempt) is None) == right


def by_sorting(places: Any, found: Any, kept: Any) -> Any:
    moved = (found - places).numpy()
    off = np.linalg.norm(moved - moved.mean(0), axis=1)
    return torch.from_numpy(moved[np.argsort(off)[: round(kept * len(moved))]].mean(0))


@pytest.mark.parametrize(
    ("attempt", "right"),
    [
        (by_sorting, True),
        (lambda places, found, kept: (found - places).mean(0), False),  # nothing is trimmed
        (lambda places, found, kept: by_sorting(found, places, kept), False),  # the wrong way round
        (lambda places, found, kept: (found - places).median(0).values, False),
    ],
)
def test_a_step_keeps_the_blocks_that_agree(attempt: Any, right: bool) -> None:
    assert (check.trimmed_step.mistake(attempt) is None) == right


@pytest.mark.parametrize("name", ["information_gain", "same_label", "hough_vote", "trimmed_step"])
def test_the_answer_that_is_shown_is_right(name: str) -> None:
    exercise = getattr(check, name)
    space: dict[str, Any] = {"torch": torch}
    exec(exercise.answer, space)
    (attempt,) = (value for key, value in space.items() if key.startswith("my_"))
    assert exercise.mistake(attempt) is None
