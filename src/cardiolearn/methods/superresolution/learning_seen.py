r"""Super-resolution learnt and seen: what a network adds to one example, its loss, its gain on a held-out subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cardiolearn.figures.learning import TrainingFilm
from cardiolearn.figures.slices import extent_of
from cardiolearn.figures.style import BLUE
from cardiolearn.imaging.intensity import SPAN, unit_variance
from cardiolearn.methods.superresolution.networks import interpolate
from cardiolearn.methods.superresolution.pictures import HeartCut
from cardiolearn.methods.superresolution.training_pairs import TrainingPairs
from cardiolearn.phantom.cohorts.stacks import TestStack
from cardiolearn.phantom.scanners.thin_slices import SPACING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LIMIT = 20.0  # percent of the data range at the ends of the colour scale
_LOOKS = 6  # a look at the held-out subject takes a second
_ROWS = 6  # pixels on either side of the cut that a network is shown


class ResidualFilm(TrainingFilm):
    r"""A `TrainingFilm` of what a `network` adds to one example, beside what it should add.

    Args:
        scan: the example, at end-diastole.
        pairs: whose held-out subjects are scored.
        steps: of the training.
    """

    caption = "what the network adds now, what is missing, the loss, and the gain on a held-out heart"
    loss_name = "smooth-L1 loss"

    def __init__(self, network: nn.Module, scan: TestStack, pairs: TrainingPairs, steps: int) -> None:
        self._pairs = pairs
        cut, truth = HeartCut.through(scan.labels[0]), scan.volume[0]
        strip = slice(cut.row - _ROWS, cut.row + _ROWS + 1)  # a network sees a few rows on either side, and no more
        middle, width = unit_variance(scan.stack[0])
        self._strip = ((scan.stack[0] - middle) / width)[None, None, :, strip]
        self._zoom = (0, 0, cut.slices, _ROWS, cut.columns)
        self._percent = 100.0 * width / (SPAN * unit_variance(truth)[1])
        self._missing = ((truth - middle) / width)[None, None, :, strip] - interpolate(self._strip)
        super().__init__(network, steps, n_looks=_LOOKS)

    def _draw_truth(self, ax: Axes) -> None:
        self._draw_residual(ax, self._missing, "what is missing")

    @torch.no_grad()
    def _draw_found(self, ax: Axes, title: str) -> None:
        strip = self._strip.to(next(self._network.parameters()).device)
        self._draw_residual(ax, (self._network(strip) - interpolate(strip)).cpu(), title)

    def _draw_residual(self, ax: Axes, residual: Tensor, title: str) -> None:
        percent = (self._percent * residual[self._zoom]).numpy()
        extent = extent_of(percent, (SPACING[0], SPACING[2]))
        ax.imshow(percent, cmap="RdBu", vmin=-LIMIT, vmax=LIMIT, extent=extent, interpolation="nearest")
        ax.set(title=title, xlabel="x (mm)", ylabel="z (mm)")

    def _scored(self) -> Mapping[str, float]:
        score = self._pairs.held_out_score(self._network)
        first = next(iter(self.scores.values()), {"score": score})["score"]  # at step 0 it is linear interpolation
        return {"score": score, "gain": score - first}

    def _draw_scores(self, ax: Axes) -> None:
        ax.plot(list(self.scores), [score["gain"] for score in self.scores.values()], "o-", markersize=4, color=BLUE)
        ax.axhline(0.0, color="0.6", linewidth=1.0)
        ax.set(xlabel="training step", ylabel="PSNR over linear (dB)")
