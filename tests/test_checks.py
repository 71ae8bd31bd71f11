r"""Exercises: a right answer passes, each likely wrong one is told what was expected and what came."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.stats import norm
from skimage.metrics import peak_signal_noise_ratio
from sklearn.metrics import f1_score

from cardiolearn import checks as check
from cardiolearn.checks.exercise import Exercise

EVERY = [getattr(check, name) for name in check.__all__]


def right_dice(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(f1_score(a.ravel(), b.ravel(), zero_division=1.0))  # an independent Dice


def no_case_for_empty(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_a_right_dice_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.dice.mistake(right_dice) is None
    check.dice(right_dice)
    assert "✔ right_dice agrees" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (no_case_for_empty, "returned nan"),
        (lambda a, b: (a & b).sum() / (a | b).sum().clamp(min=1), "expected"),
        (lambda a, b: None, "returned nothing"),
        (lambda a, b: ..., "returned nothing"),
        (lambda a: 1.0, "raised TypeError"),
        (lambda a, b: a, "expected one number"),
        (lambda a, b: 1 / 0, "raised ZeroDivisionError: division by zero. Expected"),
    ],
)
def test_wrong_dice_is_explained_and_never_raised(
    attempt: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check.dice(attempt)
    said = capsys.readouterr().out
    assert said.startswith("✘ For two masks of ") and message in said and "checks.dice.hint()" in said


def test_an_attempt_that_changes_its_input_does_not_fool_the_check() -> None:
    def greedy(a: torch.Tensor, b: torch.Tensor) -> float:
        answer = right_dice(a, b)
        a.zero_()
        return answer

    assert check.dice.mistake(greedy) is None


@given(st.integers(1, 60), st.integers(0, 60))
def test_ejection_fraction(full: int, left: int) -> None:
    ed, es = (torch.arange(60).reshape(3, 4, 5) < n for n in (full, min(left, full)))
    expected = pytest.approx((full - min(left, full)) / full * 100)
    assert check.ejection_fraction.reference(ed, es, (1.5, 1.5, 10.0)) == expected
    share = lambda ed, es, spacing: 1 - int(es.sum()) / int(ed.sum())  # noqa: E731
    assert check.ejection_fraction.mistake(share) is not None


def test_contour_distance_is_scipys_and_needs_both_ways() -> None:
    def right(a: torch.Tensor, b: torch.Tensor) -> float:
        return 0.5 * float(cKDTree(b).query(a)[0].mean() + cKDTree(a).query(b)[0].mean())

    assert check.contour_distance.mistake(right) is None
    assert check.contour_distance.mistake(lambda a, b: float(cKDTree(b).query(a)[0].mean())) is not None
    assert check.contour_distance.mistake(lambda a, b: float(torch.cdist(a, b).mean())) is not None


def test_a_thick_slice_is_scipys_gaussian_and_its_thickness_no_standard_deviation() -> None:
    def right(signal: torch.Tensor, thin: float, thickness: float, width: float = 2.354820045) -> float:
        distance = thin * (np.arange(len(signal)) - len(signal) // 2)
        weight = norm.pdf(distance, scale=thickness / width)
        return float(np.average(signal.numpy(), weights=weight))

    assert check.thick_slice.mistake(right) is None
    assert check.thick_slice.mistake(lambda s, d, t: right(s, d, t, 1.0)) is not None
    assert check.thick_slice.mistake(lambda s, d, t: float(s.mean())) is not None


def test_psnr_is_scikit_images_and_needs_the_range() -> None:
    def right(image: torch.Tensor, reference: torch.Tensor, data_range: float) -> float:
        return float(peak_signal_noise_ratio(reference.numpy(), image.numpy(), data_range=data_range))

    assert check.psnr.mistake(right) is None
    assert check.psnr.mistake(lambda i, r, d: right(i, r, 1.0)) is not None
    assert check.psnr.mistake(lambda i, r, d: right(i, r, float(r.max() - r.min()))) is not None


def test_smooth_l1_is_neither_half_of_it() -> None:
    assert check.smooth_l1.mistake(lambda f, w: float(((f - w) ** 2 / 2).mean())) is not None
    assert check.smooth_l1.mistake(lambda f, w: float(((f - w).abs() - 0.5).mean())) is not None
    assert check.smooth_l1.mistake(lambda f, w: float(torch.nn.HuberLoss()(f, w))) is None


@pytest.mark.parametrize("exercise", EVERY, ids=check.__all__)
def test_every_exercise_has_a_solution_that_passes_and_hints(
    exercise: Exercise, capsys: pytest.CaptureFixture[str]
) -> None:
    assert getattr(check, exercise.name) is exercise
    names: dict[str, Any] = {"torch": torch}
    exec(exercise.answer, names)
    assert exercise.mistake(names[f"my_{exercise.name}"]) is None
    for step in range(1, len(exercise.steps) + 1):
        exercise.hint(step)
        assert exercise.steps[step - 1] in capsys.readouterr().out
    exercise.hint(99)
    assert exercise.steps[-1] in capsys.readouterr().out
    exercise.solution()
    assert f"def my_{exercise.name}" in capsys.readouterr().out
