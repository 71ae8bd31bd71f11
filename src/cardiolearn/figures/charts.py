r"""Figures of numbers: agreement, Bland-Altman, calibration, learning curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cardiolearn.errors import InputError
from cardiolearn.figures.style import BLUE, GREEN, GUESS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cardiolearn.figures.predict import Guess


_MASSES = {"mass": "mass", "mass_es": "mass at ES"}


def agreement(ax: Axes, groups: pd.DataFrame, *, quantity: str, unit: str = "1") -> None:
    r"""One column of dots per group, one dot a subject, joined by a line, with the mean as a bar.

    `groups` has a column for each and a row for each subject; who lacks a number in one is left out of all.
    """
    points = groups.dropna().to_numpy(dtype=np.float64)
    places = np.arange(points.shape[1]) + np.random.default_rng(0).uniform(-0.15, 0.15, (len(points), 1))
    ax.plot(places.T, points.T, "-", color="0.8", linewidth=0.8, zorder=1)
    for i, column in enumerate(points.T):
        ax.plot(places[:, i], column, "o", alpha=0.5, markersize=5)
        ax.hlines(column.mean() if len(column) else np.nan, i - 0.28, i + 0.28, color="black", zorder=3)
    ax.set_xticks(range(points.shape[1]), list(groups))
    ax.set_ylabel(quantity if unit == "1" else f"{quantity} ({unit})")


def gains(tables: Mapping[str, pd.DataFrame], *, over: str) -> Figure:
    r"""`agreement` of the differences of each column from the column `over`, a panel for each table, by title.

    A title says the quantity with its unit. Panels of one quantity share their axis.
    """
    import matplotlib.pyplot as plt

    shared = len({title.partition(",")[0] for title in tables}) == 1
    figure, axes = plt.subplots(1, len(tables), figsize=(5.5 * len(tables), 4.5), sharey=shared, squeeze=False)
    for ax, (title, table) in zip(axes[0], tables.items(), strict=True):
        agreement(ax, table.sub(table[over], axis=0).drop(columns=over), quantity=f"difference from {over}")
        ax.axhline(0.0, color="0.6", linewidth=1.0)
        ax.set_title(title)
    return figure


def bland_altman(ax: Axes, ours: ArrayLike, theirs: ArrayLike, *, quantity: str, unit: str) -> None:
    r"""Difference over mean of two measurements of the same subjects, with the bias and the 95 % limits of agreement.

    Source: Bland and Altman 1986.
    """
    from cardiolearn.measures.statistics import bland_altman as agree

    first, second = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    found = agree(first, second)
    ax.plot((first + second) / 2, first - second, "o", alpha=0.6, markersize=5, color=BLUE)
    for height, style in ((found.bias, "-"), (found.lower, "--"), (found.upper, "--")):
        ax.axhline(height, color="black", linestyle=style, linewidth=1.2)
        ax.annotate(f"{height:+.1f}", (1, height), xycoords=("axes fraction", "data"), va="bottom", ha="right")
    apart = "points" if unit == "%" else unit  # two percentages differ by points
    ax.set(xlabel=f"mean {quantity} ({unit})", ylabel=f"difference ({apart})", title=quantity)


def reliability(ax: Axes, rows: pd.DataFrame) -> None:
    r"""Share of right pixels over the probability the network stated; dots as large as their bins are full.

    `rows` as :func:`cardiolearn.measures.confidence.calibration` gives them, of any number of scans.
    """
    from cardiolearn.measures.confidence import calibration_error, pooled

    bins = pooled(rows)
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=1.2, label="calibrated")
    size = 20 + 180 * np.sqrt(bins["pixels"] / bins["pixels"].max())
    ax.scatter(bins["stated"], bins["right"], s=size, color=BLUE, label=f"network, error {calibration_error(rows):.3f}")
    ax.set(xlabel="probability the network states", ylabel="share that is right", xlim=(0, 1.02), ylim=(0, 1.02))
    ax.legend(loc="upper left")


def expectation(ax: Axes, scans: pd.DataFrame, *, failed: float) -> None:
    r"""True over expected Dice, a dot per scan, a colour per `kind`; what lies below the line `failed` is unfit."""
    marks = zip(scans.drop_duplicates(["subject", "kind"]).groupby("kind", sort=False), "osD^v", strict=False)
    for (kind, rows), marker in marks:
        ax.plot(rows["expected"], rows["dice"], marker, alpha=0.6, markersize=5, label=kind)
    ax.axhline(failed, color="black", linestyle="--", linewidth=1.2)
    ax.set(xlabel="Dice the network expects", ylabel="Dice with the truth", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ax.legend(loc="upper left", bbox_to_anchor=(0, 0.97 * failed))  # below the line there is room on the left


def agreements(groups: Mapping[str, pd.DataFrame], columns: Mapping[str, str], *, quantity: str) -> Figure:
    r"""`agreement` side by side for several `columns` (column to title) of tables with one row per subject."""
    import matplotlib.pyplot as plt
    import pandas as pd

    figure, axes = plt.subplots(1, len(columns), figsize=(3.7 * len(columns), 4), sharey=True, squeeze=False)
    for ax, (column, title) in zip(axes[0], columns.items(), strict=True):
        there = {name: table[column] for name, table in groups.items() if column in table}
        agreement(ax, pd.DataFrame(there), quantity=quantity)
        ax.set_title(title)
        ax.label_outer()
    return figure


def bland_altmans(ours: pd.DataFrame, theirs: pd.DataFrame, units: Mapping[str, str]) -> Figure:
    r"""`bland_altman`, three to a row, of each column in `units` (column to unit) of two tables of equal subjects."""
    import matplotlib.pyplot as plt

    across = min(len(units), 3)
    rows = -(-len(units) // across)
    figure, axes = plt.subplots(rows, across, figsize=(3.8 * across, 4 * rows), squeeze=False, layout="constrained")
    for ax in axes.flat[len(units) :]:
        ax.remove()
    for ax, (column, unit) in zip(axes.flat, units.items(), strict=False):
        side, _, index = column.partition("_")
        title = f"{side.upper()} {_MASSES.get(index, index.upper())}"
        known = ours[column].notna() & theirs[column].notna()
        if known.sum() > 1:  # one dot has no spread
            bland_altman(ax, ours[column][known], theirs[column][known], quantity=title, unit=unit)
    return figure


def learning_curve(ax: Axes, curves: Mapping[str, Mapping[int, ArrayLike]], *, quantity: str) -> None:
    r"""Scores of several trainings (dots) and their mean (line) over the number of subjects learnt from."""
    from matplotlib.ticker import NullLocator

    for (name, points), marker in zip(curves.items(), "os^v", strict=False):
        means = {n: float(np.mean(np.asarray(scores, dtype=np.float64))) for n, scores in points.items()}
        (line,) = ax.semilogx(list(means), list(means.values()), marker="", label=name)
        for n, scores in points.items():
            values = np.asarray(scores, dtype=np.float64)
            ax.semilogx(np.full(values.size, n), values, marker, color=line.get_color(), alpha=0.5, markersize=5)
    ax.set(xlabel="subjects learnt from", ylabel=quantity)
    ax.set_xticks(sorted({n for points in curves.values() for n in points}))
    ax.xaxis.set_major_formatter("{x:.0f}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.legend()


def courses(scores: pd.DataFrame, *, quantity: str) -> Figure:
    r"""Held-out scores over the steps of several trainings, a line each; beside it their last third alone.

    Args:
        scores: `variant`, `seed`, `step` and `score`; the first variant is grey.
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    figure, (whole, late) = plt.subplots(1, 2, figsize=(11, 4))
    names = list(scores["variant"].unique())
    colours = dict(zip(names, ["0.6", BLUE, GREEN], strict=False))
    for ax, part in {whole: scores, late: scores[3 * scores["step"] >= 2 * scores["step"].max()]}.items():
        for (name, _), course in part.groupby(["variant", "seed"], sort=False):
            ax.plot(course["step"], course["score"], color=colours[name], linewidth=1.2)
        ax.set(xlabel="training step", ylabel=quantity)
    whole.legend([Line2D([], [], color=colours[name]) for name in names], names)
    late.set_title("the last third alone")
    return figure


def show_guess(ax: Axes, guess: Guess, *, axis: str = "y") -> None:
    r"""Draw the number that the learner guessed as a dashed line across a chart, with its label; without one, nothing.

    Args:
        axis: the one the number is read from, `"x"` or `"y"`.

    Raises:
        InputError: another axis.
    """
    if axis not in ("x", "y"):
        raise InputError(f"show_guess: expected axis 'x' or 'y', got {axis!r}")
    if not isinstance(guess.value, float):
        return
    if axis == "y":
        ax.axhline(guess.value, color=GUESS, linestyle="--")
        place, across = (0.01, guess.value), ("axes fraction", "data")
    else:
        ax.axvline(guess.value, color=GUESS, linestyle="--")
        place, across = (guess.value, 0.99), ("data", "axes fraction")
    ax.annotate(
        f"your guess: {guess}", place, (4, 3 if axis == "y" else -3), xycoords=across, textcoords="offset points",
        va="bottom" if axis == "y" else "top", color=GUESS, weight="bold", annotation_clip=False,
    )  # fmt: skip
