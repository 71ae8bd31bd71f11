r"""A guess before the result: the learner makes it, and the figure that follows shows it beside what was found.

Nothing waits for the guess: without one `Guess.value` is `None`, as in print and in tests, and every cell runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from cardiolearn.errors import InputError

if TYPE_CHECKING:
    import ipywidgets

_STEPS = 100  # of a slider, from its lowest to its highest value
_MADE: dict[str, str | float] = {}  # guesses by question: a cell that is run again does not forget them


class Guess:
    r"""What the learner guessed: `value` is `None` until then, afterwards one of the choices or a number in `unit`."""

    def __init__(self, question: str, unit: str = "") -> None:
        self.question = question
        self.unit = unit

    @property
    def value(self) -> str | float | None:
        return _MADE.get(self.question)

    @value.setter
    def value(self, value: str | float) -> None:
        _MADE[self.question] = value

    def __str__(self) -> str:
        r"""The guess in words, with its unit; empty where none was made."""
        if self.value is None:
            return ""
        return self.value if isinstance(self.value, str) else f"{self.value:.4g} {self.unit}".strip()

    def reply(self, found: str) -> str:
        r"""One line that puts the guess beside what was found.

        >>> Guess("How far?").reply("3.1 mm")
        'Found: 3.1 mm'
        """
        return f"Found: {found}" if self.value is None else f"You guessed {self}; found: {found}"


def predict(
    question: str, choices: Sequence[str] = (), *, low: float = math.nan, high: float = math.nan, unit: str = ""
) -> Guess:
    r"""Ask `question` and keep the answer: one of `choices`, or a number from `low` to `high` in `unit`.

    The question is shown at once, with a button for each choice, or with a slider and a button "This is my guess".

    Raises:
        InputError: Neither at least two choices nor a range, or both.
    """
    numeric = low < high
    ranged = not (math.isnan(low) and math.isnan(high))  # also one that is none, such as from 1 to 0
    if numeric != ranged or numeric == bool(choices) or len(choices) == 1:
        raise InputError(f"predict: expected two or more choices, or low < high, got {list(choices)}, {low} and {high}")
    guess = Guess(question, unit)
    _show(_number(guess, low, high) if numeric else _choice(guess, choices), guess, choices, (low, high))
    return guess


def _choice(guess: Guess, choices: Sequence[str]) -> list[ipywidgets.Widget]:
    import ipywidgets

    buttons = ipywidgets.ToggleButtons(
        options=list(choices),
        value=guess.value if guess.value in choices else None,
        style={"button_width": "initial"},
        layout={"width": "auto"},
    )
    said = ipywidgets.HTML(_said(guess))

    def choose(change: dict[str, str]) -> None:
        guess.value = change["new"]
        said.value = _said(guess)

    buttons.observe(choose, "value")
    return [buttons, said]


def _number(guess: Guess, low: float, high: float) -> list[ipywidgets.Widget]:
    import ipywidgets

    slider = ipywidgets.FloatSlider(
        value=guess.value if isinstance(guess.value, float) else (low + high) / 2,
        min=low,
        max=high,
        step=(high - low) / _STEPS,
        description=guess.unit,
        readout_format=".3g",
        layout={"width": "min(30em, 95%)"},
    )
    button = ipywidgets.Button(description="This is my guess", button_style="primary")
    said = ipywidgets.HTML(_said(guess))

    def keep(_: ipywidgets.Button) -> None:
        guess.value = float(slider.value)
        said.value = _said(guess)

    button.on_click(keep)
    return [ipywidgets.HBox([slider, button], layout={"flex_flow": "row wrap"}), said]


def _said(guess: Guess) -> str:
    return "No guess yet." if guess.value is None else f"Your guess: <b>{escape(str(guess))}</b>"


def _show(parts: list[ipywidgets.Widget], guess: Guess, choices: Sequence[str], span: tuple[float, float]) -> None:
    r"""Display the question with its widgets; on paper, where there are none, as text."""
    import ipywidgets
    from IPython.display import display

    asked = f"<b>Your guess:</b> {escape(guess.question)}"
    box = ipywidgets.VBox([ipywidgets.HTML(f'<div style="line-height: 1.4">{asked}</div>'), *parts])
    box.add_class("cardiolearn-predict")
    answers = " / ".join(map(escape, choices)) or f"{span[0]:g} to {span[1]:g} {escape(guess.unit)}"
    printed = f"<p>{asked} ({answers.strip()})</p>"
    display({**box._repr_mimebundle_(), "text/html": printed}, raw=True)
