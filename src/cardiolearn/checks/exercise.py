r"""An exercise that checks itself: the learner's function against the reference, on random inputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from cardiolearn.lab.records import CHECK_MIME, show

ATTEMPTS = 20


@dataclass(frozen=True)
class Exercise:
    r"""One exercise as data.

    `inputs(generator)` draws random arguments; `reference(*arguments)` is the right answer, a number; `describe` says
    the arguments in words; `steps` are the hints, one at a time; `answer` is a solution to show.
    """

    name: str
    inputs: Callable[[torch.Generator], tuple[Any, ...]]
    reference: Callable[..., float]
    describe: Callable[..., str]
    steps: tuple[str, ...]
    answer: str
    tolerance: float = 1e-4

    def __call__(self, attempt: Callable[..., Any]) -> None:
        r"""Try the learner's function and say what was expected and what came. Wrong answers are never raised."""
        mistake = self.mistake(attempt)
        name = getattr(attempt, "__name__", "your function")
        passed = f"✔ {name} agrees with the reference on {ATTEMPTS} random inputs."
        text = f"✘ {mistake}\n  A hint: checks.{self.name}.hint()" if mistake else passed
        show(text, {CHECK_MIME: {"name": self.name, "passed": mistake is None}})

    def mistake(self, attempt: Callable[..., Any]) -> str | None:
        r"""The first mistake in words; None when every random input agrees."""
        generator = torch.Generator().manual_seed(0)
        for _ in range(ATTEMPTS):
            arguments = self.inputs(generator)
            expected, what = self.reference(*arguments), self.describe(*arguments)
            try:
                came = attempt(*(a.clone() if isinstance(a, torch.Tensor) else a for a in arguments))
            except Exception as error:  # any error is the learner's, and part of the answer
                return f"For {what} it raised {type(error).__name__}: {error}. Expected {expected:.4f}."
            if came is None or came is ...:
                return f"For {what} expected {expected:.4f}, but it returned nothing. Is there a return?"
            try:
                value = float(came)
            except (TypeError, ValueError, RuntimeError):
                return f"For {what} expected one number, {expected:.4f}, but it returned a {type(came).__name__}."
            if not math.isclose(value, expected, rel_tol=self.tolerance, abs_tol=self.tolerance):
                return f"For {what} expected {expected:.4f}, but it returned {value:.4f}."
        return None

    def hint(self, step: int = 1) -> None:
        r"""Show one step of the way, from 1."""
        number = min(max(step, 1), len(self.steps))
        more = f" (next: checks.{self.name}.hint({number + 1}))" if number < len(self.steps) else ""
        show(f"Hint {number} of {len(self.steps)}: {self.steps[number - 1]}{more}")

    def solution(self) -> None:
        r"""Show a solution."""
        show(self.answer)
