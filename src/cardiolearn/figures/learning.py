r"""Learning seen: what a network makes of one example while it trains, its loss, and its score on held-out data."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiolearn.figures.charts import show_guess
from cardiolearn.figures.slices import overlay
from cardiolearn.figures.style import BLUE, PALETTE
from cardiolearn.imaging.structures import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cardiolearn.figures.predict import Guess
    from cardiolearn.learning.checkpoint import History
    from cardiolearn.learning.snapshots import Snapshots

WINDOW = 10  # steps of the running mean of the loss
LOOKS = 14  # pictures taken of a training
CAPTION = "a held-out slice as the network outlines it now, the true outline, the loss, and the held-out score"


def looks(steps: int, n: int = LOOKS) -> list[int]:
    r"""About `n` numbers of steps from 0 to `steps`, close together at first, when most is learnt.

    >>> looks(400, 6)
    [0, 16, 64, 144, 256, 400]
    """
    return sorted({round(steps * (i / (n - 1)) ** 2) for i in range(n)})


def running_mean(values: ArrayLike, window: int = WINDOW) -> NDArray[np.float64]:
    r"""The mean of each value and the `window` - 1 before it; of fewer at the beginning."""
    total = np.cumsum(np.concatenate([[0.0], np.asarray(values, dtype=np.float64)]))
    last = np.arange(1, len(total))
    first = np.maximum(last - window, 0)
    return (total[last] - total[first]) / (last - first)


class LearningFilm:
    r"""Shows a training while it goes on, and keeps the pictures for a film.

    `with LearningFilm(...) as film:` train, and call `film(step, loss)` after each step, from step 0 on, where there is
    no loss yet. At the steps of `looks` the figure is renewed, and its picture kept in `film.pictures`, with its label
    in `film.labels`.

    Args:
        picture: `(Y, X)`, the example.
        truth: `(Y, X)`, its labels.
        find: gives the labels `(Y, X)` that the network finds in the example now.
        score: gives the Dice of each structure, by key, on held-out data now.
        steps: of the training.
        guess: of the number of steps that something takes, drawn into the score.
    """

    caption = CAPTION
    loss_name = "cross-entropy"
    truth_title = "an annotator's outline"

    def __init__(
        self, picture: ArrayLike, truth: ArrayLike,
        find: Callable[[], ArrayLike], score: Callable[[], Mapping[str, float]], steps: int, *,
        guess: Guess | None = None,
    ) -> None:  # fmt: skip
        import matplotlib.pyplot as plt

        self.pictures: list[bytes] = []
        self.labels: list[str] = []
        self.losses: list[float] = []
        self.scores: dict[int, Mapping[str, float]] = {}
        self._picture, self._find, self._score = picture, find, score
        self._steps, self._looks, self._guess = steps, set(looks(steps)), guess
        self.figure, (self._found, known, self._loss, self._dice) = plt.subplots(1, 4, figsize=(15, 4))
        self._show(known, truth, self.truth_title)

    def __enter__(self) -> LearningFilm:
        from IPython.display import display

        self._screen = display("no step done yet", display_id=True)
        return self

    def __call__(self, step: int, loss: float = math.nan) -> None:
        if step > 0:
            self.losses.append(loss)
        if step not in self._looks:
            return
        self.scores[step] = self._score()
        self._renew(step)
        file = io.BytesIO()
        self.figure.savefig(file, format="png")
        self.pictures.append(file.getvalue())
        self.labels.append(f"after {step} steps")
        if self._screen is not None:  # outside a notebook nothing is shown
            self._screen.update(_shown(self.pictures[-1], self.caption), raw=True)

    def _renew(self, step: int) -> None:
        self._found.clear()
        self._show(self._found, self._find(), f"after {step} steps")
        self._loss.clear()
        draw_loss(self._loss, range(1, len(self.losses) + 1), self.losses, name=self.loss_name)
        self._loss.set(xlim=(0, self._steps), ylim=(0, None), title="loss")
        self._dice.clear()
        self._draw_scores(self._dice)
        self._dice.set(xlim=(0, self._steps), title="score on held-out hearts")
        if self._guess is not None:
            show_guess(self._dice, self._guess, axis="x")

    def steps_to(self, key: str, dice: float) -> str:
        r"""After how many steps a structure's score was first seen at `dice` or above, in words."""
        there = [step for step, score in self.scores.items() if score[key] >= dice]
        return f"{there[0]} steps" if there else f"more than {self._steps} steps"

    def _show(self, ax: Axes, found: ArrayLike, title: str) -> None:
        _plain(ax, self._picture, found, title)

    def _draw_scores(self, ax: Axes) -> None:
        draw_scores(ax, self.scores)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import matplotlib.pyplot as plt

        plt.close(self.figure)


def _shown(png: bytes, caption: str) -> dict[str, str]:
    r"""A picture as a notebook shows it, with its words."""
    data = base64.b64encode(png).decode()
    html = f'<img alt="{caption}" style="max-width: 100%; height: auto" src="data:image/png;base64,{data}">'
    return {"image/png": data, "text/html": html, "text/plain": caption}


def _plain(ax: Axes, picture: ArrayLike, labels: ArrayLike, title: str) -> None:
    overlay(ax, picture, labels, window=(0.0, 1.0))
    ax.set(title=title)
    ax.set_axis_off()


def draw_loss(ax: Axes, steps: ArrayLike, losses: ArrayLike, *, name: str = "cross-entropy") -> None:
    r"""The loss of each step in grey, and its running mean."""
    ax.plot(np.asarray(steps), np.asarray(losses), color="0.8", linewidth=1.0, label="one step")
    ax.plot(np.asarray(steps), running_mean(losses), color=BLUE, label=f"mean of {WINDOW} steps")
    ax.set(xlabel="training step", ylabel=name)
    if np.size(losses):
        ax.legend(fontsize=11)


def draw_scores(ax: Axes, scores: Mapping[int, Mapping[str, float]]) -> None:
    r"""The Dice of each structure, by key, over the number of steps."""
    for key in next(iter(scores.values())):
        ax.plot(
            list(scores),
            [score[key] for score in scores.values()],
            "o-",
            markersize=4,
            color=PALETTE[key],
            label=NAMES[key],
        )
    ax.set(xlabel="training step", ylabel="Dice", ylim=(0, 1))
    ax.legend(fontsize=11, loc="upper left")


def snapshot_figures(snapshots: Snapshots) -> tuple[list[Figure], list[str]]:
    r"""What a recorded training had found in one example, early and late, beside the truth: pictures and labels of a
    film."""
    import matplotlib.pyplot as plt

    figures, labels = [], []
    for step in sorted(snapshots.labels):
        figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4))
        _plain(left, snapshots.picture / 255, snapshots.labels[step], f"after {step:,} steps")
        _plain(right, snapshots.picture / 255, snapshots.truth, "an annotator's outline")
        figures.append(figure)
        labels.append(f"after {step:,} steps")
    return figures, labels


def draw_history(history: Mapping[str, Any] | History) -> Figure:
    r"""A recorded training: its loss with the running mean, and its score on held-out data."""
    import matplotlib.pyplot as plt

    from cardiolearn.learning.checkpoint import History

    course = history if isinstance(history, History) else History.from_dict(dict(history))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    draw_loss(left, course.steps, course.loss)
    left.set(yscale="log", title="loss")
    right.plot(list(course.validation), list(course.validation.values()), "o-", markersize=4, color=BLUE)
    right.set(xlabel="training step", ylabel="mean Dice", ylim=(0, 1), title="score on held-out hearts")
    return figure
