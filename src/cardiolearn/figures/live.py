r"""A loss curve that grows while a network trains, drawn over the recorded curve of a longer training."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from cardiolearn.figures.style import BLUE

REDRAWS = 50


class LiveCurve:
    r"""Draws one figure and renews it during training: `with LiveCurve(steps) as curve: train(..., on_step=curve)`.

    Both axes are logarithmic, so that the first steps are seen beside thousands.

    Args:
        steps: of the live training; about one in `REDRAWS` renews the figure, and the last.
        recorded: "steps" and "loss" of the longer training, as `History.write` keeps them.
        loss: what the vertical axis shows.
    """

    def __init__(self, steps: int, recorded: Mapping[str, Any] | None = None, *, loss: str = "loss") -> None:
        import matplotlib.pyplot as plt

        self.points: list[tuple[int, float]] = []
        self._steps, self._every = steps, max(1, steps // REDRAWS)
        self.figure, self._ax = plt.subplots(figsize=(7, 4))
        if recorded is not None:
            self._ax.loglog(recorded["steps"], recorded["loss"], ".", color="0.75", label="recorded: the full training")
        (self._curve,) = self._ax.loglog([], [], color=BLUE, label="live, on this machine")
        self._ax.set(xlabel="training step", ylabel=loss)
        self._ax.legend()

    def __enter__(self) -> LiveCurve:
        from IPython.display import display

        self._screen = display(self.figure, display_id=True)
        return self

    def __call__(self, step: int, loss: float) -> None:
        self.points.append((step, loss))
        if step % self._every and step != self._steps:
            return
        self._curve.set_data(*zip(*self.points, strict=True))
        self._ax.relim()
        self._ax.autoscale_view()
        if self._screen is not None:  # outside a notebook nothing is shown
            self._screen.update(self.figure)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import matplotlib.pyplot as plt

        plt.close(self.figure)
