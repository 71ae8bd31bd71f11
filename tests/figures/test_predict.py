r"""A guess is kept in its own unit, drawn and answered; without one everything runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
import pytest
from ipywidgets.widgets.widget import _instances

from cardiolearn.errors import InputError
from cardiolearn.figures import charts, predict, widgets

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(autouse=True)
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    r"""What was displayed; no guess is left over from elsewhere."""
    displayed: list[dict[str, Any]] = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: displayed.append(bundle))
    monkeypatch.setattr(predict, "_MADE", {})
    plt.switch_backend("agg")
    yield displayed
    plt.close("all")


def parts(bundle: dict[str, Any]) -> list[Any]:
    r"""The widgets that were displayed, in order."""
    found: list[Any] = []
    waiting = [_instances[bundle[VIEW]["model_id"]]]
    while waiting:
        found.append(waiting.pop(0))
        waiting = [*getattr(found[-1], "children", ()), *waiting]
    return found


def part(bundle: dict[str, Any], kind: type) -> Any:
    return next(widget for widget in parts(bundle) if type(widget) is kind)


def test_a_number_counts_only_once_it_is_called_a_guess(shown: list[dict[str, Any]]) -> None:
    guess = widgets.predict("How much <noise>?", low=0, high=10, unit="dB")
    slider, button = part(shown[0], ipywidgets.FloatSlider), part(shown[0], ipywidgets.Button)
    assert guess.value is None and (slider.min, slider.max, slider.value) == (0, 10, 5)
    assert "How much &lt;noise&gt;?" in shown[0]["text/html"] and "0 to 10 dB" in shown[0]["text/html"]
    assert guess.reply("4.2 dB") == "Found: 4.2 dB"
    slider.value = 7.5
    assert guess.value is None
    button.click()
    assert guess.value == 7.5 and "7.5 dB" in parts(shown[0])[-1].value
    assert guess.reply("4.2 dB") == "You guessed 7.5 dB; found: 4.2 dB"


def test_a_choice_is_kept_when_its_cell_is_run_again(shown: list[dict[str, Any]]) -> None:
    guess = widgets.predict("Which?", ["linear", "a <network>"])
    buttons = part(shown[0], ipywidgets.ToggleButtons)
    assert guess.value is None and buttons.value is None
    assert "(linear / a &lt;network&gt;)" in shown[0]["text/html"]
    buttons.value = "a <network>"
    assert guess.value == "a <network>" and "a &lt;network&gt;" in parts(shown[0])[-1].value
    assert guess.reply("linear") == "You guessed a <network>; found: linear"
    again = widgets.predict("Which?", ["linear", "a <network>"])
    assert again.value == "a <network>" == part(shown[1], ipywidgets.ToggleButtons).value
    assert widgets.predict("Which now?", ["linear", "other"]).value is None


@pytest.mark.parametrize(
    ("choices", "span"),
    [
        ((), {}),
        (("one",), {}),
        (("a", "b"), {"low": 0, "high": 1}),
        (("a", "b"), {"low": 1, "high": 0}),
        ((), {"low": 1, "high": 1}),
    ],
)
def test_a_question_needs_choices_or_a_range(choices: tuple[str, ...], span: dict[str, float]) -> None:
    with pytest.raises(InputError, match="predict: expected two or more choices, or low < high"):
        widgets.predict("?", choices, **span)


def test_a_guess_is_drawn_where_the_number_is(shown: list[dict[str, Any]]) -> None:
    guess = widgets.predict("How far?", low=0, high=4, unit="mm")
    _, ax = plt.subplots()
    charts.show_guess(ax, guess)
    assert not ax.lines and not ax.texts
    guess.value = 3.0
    charts.show_guess(ax, guess)
    charts.show_guess(ax, guess, axis="x")
    across, upright = ax.lines
    assert across.get_ydata() == [3.0, 3.0] and upright.get_xdata() == [3.0, 3.0]
    assert [text.get_text() for text in ax.texts] == ["your guess: 3 mm"] * 2
    with pytest.raises(InputError, match="axis 'x' or 'y', got 'z'"):
        charts.show_guess(ax, guess, axis="z")
    guess.value = "words"
    charts.show_guess(ax, guess)
    assert len(ax.lines) == 2
