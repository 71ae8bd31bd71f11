r"""Exercises: a right answer passes, each likely wrong one is told what was expected and what came."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sklearn.metrics import f1_score

from cardiolearn import checks as check
from cardiolearn.checks.exercise import ATTEMPTS, Exercise
from cardiolearn.lab.records import CHECK_MIME

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


@pytest.mark.parametrize(("attempt", "passed"), [(right_dice, True), (no_case_for_empty, False)])
def test_the_notebook_keeps_whether_it_passed(attempt: Any, passed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr("cardiolearn.checks.exercise.show", lambda text, data: shown.append(data))
    check.dice(attempt)
    assert shown == [{CHECK_MIME: {"name": "dice", "passed": passed}}]


def test_every_random_input_is_tried_and_a_tolerance_is_relative_and_absolute() -> None:
    tried: list[float] = []

    def attempt(x: float, *, off: float) -> float:
        tried.append(x)
        return x + off

    def exercise(size: float) -> Exercise:
        inputs = lambda g: (size * (1 + float(torch.rand((), generator=g))),)  # noqa: E731
        return Exercise("toy", inputs, lambda x: x, lambda x: f"{x}", (), "", tolerance=1e-3)

    assert exercise(1e6).mistake(lambda x: attempt(x, off=500.0)) is None
    assert len(set(tried)) == ATTEMPTS
    assert exercise(1e6).mistake(lambda x: attempt(x, off=5000.0)) is not None
    assert exercise(1e-9).mistake(lambda x: attempt(x, off=5e-4)) is None
    assert exercise(1e-9).mistake(lambda x: attempt(x, off=5e-3)) is not None


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
