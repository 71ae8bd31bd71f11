r"""Super-resolution learnt and seen: what a network adds to one example, its loss, its gain on a held-out subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from cardiolearn.figures.learning import LearningFilm, looks
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


class ResidualFilm(LearningFilm):
    r"""What a `network` adds to one example while it trains, beside what it should add; see `LearningFilm`.

    Args:
        scan: the example, at end-diastole.
        pairs: whose held-out subjects are scored.
        steps: of the training.
    """

    caption = "what the network adds now, what is missing, the loss, and the gain on a held-out heart"
    loss_name = "smooth-L1 loss"
    truth_title = "what is missing"

    def __init__(self, network: nn.Module, scan: TestStack, pairs: TrainingPairs, steps: int) -> None:
        self._network, self._pairs = network, pairs
        cut, truth = HeartCut.through(scan.labels[0]), scan.volume[0]
        strip = slice(cut.row - _ROWS, cut.row + _ROWS + 1)  # a network sees a few rows on either side, and no more
        middle, width = unit_variance(scan.stack[0])
        self._strip = ((scan.stack[0] - middle) / width)[None, None, :, strip]
        self._zoom = (0, 0, cut.slices, _ROWS, cut.columns)
        self._percent = 100.0 * width / (SPAN * unit_variance(truth)[1])
        missing = ((truth - middle) / width)[None, None, :, strip] - interpolate(self._strip)
        super().__init__(self._strip[0, 0, :, _ROWS].numpy(), self._shown(missing), self._residual, self._gain, steps)
        self._looks = set(looks(steps, _LOOKS))

    @torch.no_grad()
    def _residual(self) -> NDArray[np.float32]:
        strip = self._strip.to(next(self._network.parameters()).device)
        return self._shown((self._network(strip) - interpolate(strip)).cpu())

    def _shown(self, residual: Tensor) -> NDArray[np.float32]:
        percent: NDArray[np.float32] = (self._percent * residual[self._zoom]).numpy()
        return percent

    def _gain(self) -> Mapping[str, float]:
        score = self._pairs.held_out_score(self._network)
        first = next(iter(self.scores.values()), {"score": score})["score"]  # at step 0 it is linear interpolation
        return {"score": score, "gain": score - first}

    def _show(self, ax: Axes, found: ArrayLike, title: str) -> None:
        ax.imshow(found, cmap="RdBu", vmin=-LIMIT, vmax=LIMIT, aspect=SPACING[2] / SPACING[0], interpolation="nearest")
        ax.set(title=title)
        ax.set_axis_off()

    def _draw_scores(self, ax: Axes) -> None:
        ax.plot(list(self.scores), [score["gain"] for score in self.scores.values()], "o-", markersize=4, color=BLUE)
        ax.axhline(0.0, color="0.6", linewidth=1.0)
        ax.set(xlabel="training step", ylabel="PSNR over linear (dB)")
