r"""An exercise that checks itself: the learner's function against the reference, on random inputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cardiolearn.lab.records import CHECK_MIME, show

ATTEMPTS = 20


@dataclass(frozen=True)
class Exercise:
    r"""One exercise as data.

    `inputs(generator)` draws random arguments; `reference(*arguments)` is the right answer, a number or a tensor;
    `describe` says the arguments in words; `steps` are the hints, one at a time; `answer` is a solution to show.
    """

    name: str
    inputs: Callable[[torch.Generator], tuple[Any, ...]]
    reference: Callable[..., float | Tensor]
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
            what = self.describe(*arguments)
            try:
                wrong = self.tried(attempt, *arguments)
            except Exception as error:  # any error is the learner's, and part of the answer
                wrong = f"it raised {type(error).__name__}: {error}. Expected {_words(self.reference(*arguments))}."
            if wrong is not None:
                return f"For {what} {wrong}"
        return None

    def tried(self, attempt: Callable[..., Any], *arguments: Any) -> str | None:
        r"""What is wrong with the learner's answer to these arguments, which it may change; None where nothing is."""
        expected = self.reference(*arguments)
        came = attempt(*(a.clone() if isinstance(a, Tensor) else a for a in arguments))
        if came is None or came is ...:
            return f"expected {_words(expected)}, but it returned nothing. Is there a return?"
        return self.differs(came, expected)

    def differs(self, came: Any, expected: float | Tensor) -> str | None:
        r"""How an answer differs from the expected one, in words."""
        if isinstance(expected, Tensor):
            return self._differs_as_tensor(came, expected)
        try:
            value = float(came.detach() if isinstance(came, Tensor) else came)
        except (TypeError, ValueError, RuntimeError):
            return f"expected one number, {expected:.4f}, but it returned a {type(came).__name__}."
        if math.isclose(value, expected, rel_tol=self.tolerance, abs_tol=self.tolerance):
            return None
        return f"expected {expected:.4f}, but it returned {value:.4f}."

    def _differs_as_tensor(self, came: Any, expected: Tensor) -> str | None:
        if not isinstance(came, Tensor):
            return f"expected {_words(expected)}, but it returned a {type(came).__name__}."
        if came.shape != expected.shape:
            return f"expected {_words(expected)}, but it returned {_words(came)}."
        right = torch.isclose(came.to(expected), expected, rtol=self.tolerance, atol=self.tolerance)
        if right.all():
            return None
        place = tuple((~right).nonzero()[0].tolist())
        return f"expected {expected[place]:.4f} at {list(place)}, but it returned {came[place]:.4f} there."

    def hint(self, step: int = 1) -> None:
        r"""Show one step of the way, from 1."""
        number = min(max(step, 1), len(self.steps))
        more = f" (next: checks.{self.name}.hint({number + 1}))" if number < len(self.steps) else ""
        show(f"Hint {number} of {len(self.steps)}: {self.steps[number - 1]}{more}")

    def solution(self) -> None:
        r"""Show a solution."""
        show(self.answer)


def _words(answer: float | Tensor) -> str:
    r"""A number, or the shape of a tensor."""
    return f"a tensor of shape {tuple(answer.shape)}" if isinstance(answer, Tensor) else f"{answer:.4f}"
