r"""A figure says in words what it shows, in the notebook's output and in its HTML."""

from __future__ import annotations

import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cardiolearn.figures import alt_text
from cardiolearn.figures.alt_text import alt_of, bundle, describe

plt.switch_backend("agg")


def chart() -> Figure:
    figure, axes = plt.subplots(1, 2, figsize=(6, 3))
    axes[0].plot([1, 2], label="net<work>")
    axes[0].set(title="LV", xlabel="time (s)", ylabel="volume (mL)")
    axes[0].legend()
    axes[1].imshow(np.eye(3))
    axes[1].set(title="thin slices", xlabel="x (mm)", ylabel="y (mm)")
    figure.colorbar(axes[1].images[0], label="grey")
    return figure


def test_titles_axes_and_legends_are_said() -> None:
    figure = chart()
    assert alt_of(figure) == "Chart: LV, volume (mL) over time (s), net<work>. Picture: thin slices"
    figure.suptitle("Two panels")
    assert alt_of(figure).startswith("Two panels. Chart: LV")
    assert alt_of(describe(figure, "A heart that beats")) == "A heart that beats"
    empty, ax = plt.subplots()
    ax.plot([1, 2])
    assert alt_of(empty) == ""
    sheet, axes = plt.subplots(1, 2)
    for i, one in enumerate(axes):
        one.imshow(np.eye(2))
        one.set_axis_off()
        one.set_title(f"slice {i}")
    assert alt_of(sheet) == "slice 0. slice 1"
    plt.close("all")


def test_a_notebook_gets_the_picture_twice_and_its_words_with_each() -> None:
    figure = chart()
    figure.set_dpi(150)
    data, metadata = bundle(figure)  # type: ignore[misc]
    words = alt_of(figure)
    assert metadata == {"image/png": {"alt": words}} and data["text/plain"] == words
    assert f'alt="{words.replace("<", "&lt;").replace(">", "&gt;")}"' in data["text/html"]
    assert data["image/png"] in data["text/html"]
    width = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).width
    shown = int(re.search(r'width="(\d+)"', data["text/html"])[1])  # type: ignore[index]
    assert shown == round(width * 100 / 150)
    plt.close(figure)
    assert bundle(plt.figure()) is None  # nothing is drawn in it
    plt.close("all")


def test_a_kernel_shows_figures_so_and_a_script_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from IPython.core.formatters import DisplayFormatter

    class Shell:
        kernel, display_formatter = object(), DisplayFormatter()

    figure = chart()
    alt_text.use_alt_text()  # no kernel
    monkeypatch.setattr("IPython.get_ipython", Shell)
    alt_text.use_alt_text()
    data, metadata = Shell.display_formatter.format(figure)
    assert set(data) == {"text/plain", "text/html", "image/png"} and metadata["image/png"]["alt"] == alt_of(figure)
    plt.close("all")
