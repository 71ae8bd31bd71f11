r"""An auto-encoder that learns while one watches: what becomes of one coarse heart, the loss, the held-out Dice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cardiolearn.figures.learning import TrainingFilm, draw_scores
from cardiolearn.figures.predict import Guess
from cardiolearn.figures.slices import overlay
from cardiolearn.imaging.structures import LV_CAVITY
from cardiolearn.methods.shape.training_volumes import TrainingMasks, dice_of_structures, found_volumes
from cardiolearn.methods.shape.volume_source import FixedVolumes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COARSER = 3  # times: voxels of 7.5 mm, so that a step takes a twentieth of a second
HELD_OUT = 8  # hearts
_LOOKS = 10


def watched_task(labels: Tensor) -> TrainingMasks:
    r"""What the small auto-encoder learns from: label volumes `(N, Z, Y, X)`, made coarser, all but the last
    `HELD_OUT`."""
    return TrainingMasks(FixedVolumes(coarser(labels).long()), len(labels) - HELD_OUT, batch=4)


def coarser(labels: Tensor) -> Tensor:
    r"""Every third voxel of label volumes `(N, Z, Y, X)`, the middle one of three."""
    part = slice(COARSER // 2, None, COARSER)
    return labels[:, part, part, part].contiguous()


class RebuiltFilm(TrainingFilm):
    r"""A `TrainingFilm` of an auto-encoder: a held-out heart as it rebuilds it, and the Dice of each structure.

    Args:
        task: of :func:`watched_task`.
        steps: of the training.
        guess: of a number of steps, drawn into the score.
    """

    caption = "a held-out heart as the network rebuilds it now, the heart itself, the loss, and the held-out score"

    def __init__(self, network: nn.Module, task: TrainingMasks, steps: int, *, guess: Guess | None = None) -> None:
        self._task = task
        super().__init__(network, steps, n_looks=_LOOKS, guess=guess)

    def _draw_truth(self, ax: Axes) -> None:
        self._draw(ax, self._task.held_out[1][0], "the heart that went in")

    def _draw_found(self, ax: Axes, title: str) -> None:
        self._draw(ax, found_volumes(self._network, self._task.held_out[0][:1])[0], title)

    def _draw(self, ax: Axes, labels: Tensor, title: str) -> None:
        truth = self._task.held_out[1][0]
        y = int(torch.nonzero(truth == LV_CAVITY)[:, 1].float().mean())
        overlay(ax, torch.zeros(labels[:, y].shape), labels[:, y], window=(0.0, 1.0), alpha=0.8)
        ax.set(title=title)
        ax.set_axis_off()

    def _scored(self) -> Mapping[str, float]:
        return dice_of_structures(self._network, *self._task.held_out, self._task.n_classes)

    def _draw_scores(self, ax: Axes) -> None:
        draw_scores(ax, self.scores)
