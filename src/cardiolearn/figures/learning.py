r"""Learning seen: what a network makes of one example while it trains, its loss, and its score on held-out data."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from cardiolearn.figures.alt_text import bundle_of_png
from cardiolearn.figures.charts import show_guess
from cardiolearn.figures.player import Player, film
from cardiolearn.figures.slices import overlay
from cardiolearn.figures.style import BLUE, PALETTE
from cardiolearn.imaging.structures import NAMES
from cardiolearn.learning.snapshots import Snapshots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cardiolearn.figures.predict import Guess
    from cardiolearn.learning.checkpoint import History

WINDOW = 10  # steps of the running mean of the loss
LOOKS = 14  # pictures taken of a training
CAPTION = (
    "a held-out slice as the network outlines it now, the outline of an annotator, the loss, and the held-out score"
)


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


class Watchable(Protocol):
    r"""Data of which one held-out example can be looked at, and the rest of what is held out scored."""

    @property
    def example(self) -> tuple[Tensor, Tensor]:
        r"""A picture `(1, Y, X)` and its labels `(Y, X)`."""

    def held_out_dice(self, network: nn.Module) -> dict[str, float]:
        r"""Dice of each structure, by its key."""


class TrainingFilm:
    r"""Shows a training while it goes on, and keeps the pictures for a film.

    `with ...Film(network, ..., steps) as film:` train, and call `film(step, loss)` after each step, from 1 on. At the
    steps of `looks` the figure is renewed, and its picture kept in `film.pictures`, with its label in `film.labels`.
    The network is then in evaluation mode. A subclass says what is found, what is true and how it is scored.

    Args:
        steps: of the training.
        n_looks: how often the figure is renewed.
        guess: of the number of steps that something takes, drawn into the score.
    """

    caption = ""  # what the figure shows, for those who cannot see it
    loss_name = "cross-entropy"

    def __init__(self, network: nn.Module, steps: int, *, n_looks: int = LOOKS, guess: Guess | None = None) -> None:
        import matplotlib.pyplot as plt

        self.pictures: list[bytes] = []
        self.labels: list[str] = []
        self.losses: list[float] = []
        self.scores: dict[int, Mapping[str, float]] = {}
        self._network, self._steps, self._guess = network, steps, guess
        self._looks = set(looks(steps, n_looks))
        self.figure, (self._found, known, self._loss, self._score) = plt.subplots(1, 4, figsize=(15, 4))
        self._draw_truth(known)

    def _draw_truth(self, ax: Axes) -> None:
        raise NotImplementedError

    def _draw_found(self, ax: Axes, title: str) -> None:
        raise NotImplementedError

    def _scored(self) -> Mapping[str, float]:
        raise NotImplementedError

    def _draw_scores(self, ax: Axes) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        from IPython.display import display

        self._screen = display("no step done yet", display_id=True)
        self._look(0)
        return self

    def __call__(self, step: int, loss: float) -> None:
        self.losses.append(loss)
        if step in self._looks:
            self._look(step)

    def steps_to(self, key: str, value: float) -> str:
        r"""After how many steps the score `key` was first seen at `value` or above, in words."""
        there = [step for step, score in self.scores.items() if score[key] >= value]
        return f"{there[0]} steps" if there else f"more than {self._steps} steps"

    def _look(self, step: int) -> None:
        self._network.eval()
        self.scores[step] = self._scored()
        self._renew(step)
        file = io.BytesIO()
        self.figure.savefig(file, format="png")
        self.pictures.append(file.getvalue())
        self.labels.append(f"after {step} steps")
        if self._screen is not None:  # outside a notebook nothing is shown
            shown, words = bundle_of_png(self.pictures[-1], self.caption, self.figure.dpi)
            self._screen.update(shown, metadata=words, raw=True)

    def _renew(self, step: int) -> None:
        self._found.clear()
        self._draw_found(self._found, f"after {step} steps")
        self._loss.clear()
        draw_loss(self._loss, range(1, len(self.losses) + 1), self.losses, name=self.loss_name)
        self._loss.set(xlim=(0, self._steps), ylim=(0, None), title="loss")
        self._score.clear()
        self._draw_scores(self._score)
        self._score.set(xlim=(0, self._steps), title="score on held-out hearts")
        if self._guess is not None:
            show_guess(self._score, self._guess, axis="x")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import matplotlib.pyplot as plt

        plt.close(self.figure)


class LearningFilm(TrainingFilm):
    r"""A `TrainingFilm` of a segmentation: outlines in a held-out slice, and the Dice of each structure."""

    caption = CAPTION

    def __init__(self, network: nn.Module, data: Watchable, steps: int, *, guess: Guess | None = None) -> None:
        self._data = data
        super().__init__(network, steps, guess=guess)

    def _draw_truth(self, ax: Axes) -> None:
        _plain(ax, self._data.example[0][0], self._data.example[1], "an annotator's outline")

    @torch.no_grad()
    def _draw_found(self, ax: Axes, title: str) -> None:
        example = self._data.example[0]
        device = next(self._network.parameters()).device
        labels = self._network(example[None].to(device))[0].argmax(0).cpu()
        _plain(ax, example[0], labels, title)

    def _scored(self) -> Mapping[str, float]:
        return self._data.held_out_dice(self._network)

    def _draw_scores(self, ax: Axes) -> None:
        draw_scores(ax, self.scores)


def _plain(ax: Axes, picture: ArrayLike, labels: ArrayLike, title: str) -> None:
    overlay(ax, picture, labels, window=(0.0, 1.0))
    ax.set(title=title)
    ax.set_axis_off()


def draw_loss(
    ax: Axes, steps: ArrayLike, losses: ArrayLike, window: int = WINDOW, *, name: str = "cross-entropy"
) -> None:
    r"""The loss of each step in grey, and its running mean over `window` steps."""
    ax.plot(np.asarray(steps), np.asarray(losses), color="0.8", linewidth=1.0, label="one step")
    ax.plot(np.asarray(steps), running_mean(losses, window), color=BLUE, label=f"mean of {window} steps")
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


def feature_maps(picture: ArrayLike, maps: Sequence[ArrayLike], titles: Sequence[str], *, panels: int = 5) -> Figure:
    r"""A row for each level of a network: a `picture` (Y, X), and of the level's maps (C, Y, X) those that vary most,
    dark where they are zero."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(maps), panels + 1, figsize=(1.4 * (panels + 1), 1.4 * len(maps)), squeeze=False)
    for row, level, title in zip(axes, maps, titles, strict=True):
        values = np.asarray(level, dtype=np.float64)
        most = np.argsort(values.std((1, 2)))[::-1][:panels]
        row[0].set_ylabel(title, fontsize=11)
        for ax, pixels in zip(row, [np.asarray(picture, dtype=np.float64), *values[most]], strict=True):
            ax.imshow(pixels, cmap="gray", vmin=0, vmax=max(float(pixels.max()), 1e-9), interpolation="nearest")
            ax.set(xticks=[], yticks=[])
    axes[0, 0].set_title("the slice")
    axes[0, 1].set_title("feature maps", loc="left")
    return figure


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


def snapshots_film(path: Path) -> Player | None:
    r"""The film of the snapshots that a long training left; where it has left none yet, a sentence says so."""
    if not path.is_file():
        print("Not recorded yet: the long training that leaves these pictures has not been run.")
        return None
    pictures, labels = snapshot_figures(Snapshots.read(path))
    return film(pictures, labels, alt="One slice as the network outlined it after ever more training steps")


def draw_history(history: Mapping[str, Any] | History) -> Figure:
    r"""A recorded training: its loss with the running mean, and its score on held-out data."""
    import matplotlib.pyplot as plt

    from cardiolearn.learning.checkpoint import History

    course = history if isinstance(history, History) else History.from_dict(dict(history))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    draw_loss(left, course.steps, course.loss, max(WINDOW, len(course.loss) // 50))
    left.set(yscale="log", title="loss")
    right.plot(list(course.validation), list(course.validation.values()), "o-", markersize=4, color=BLUE)
    right.set(xlabel="training step", ylabel="mean Dice", ylim=(0, 1), title="score on held-out hearts")
    return figure
