r"""A training seen: what the network adds in percent of the range, and its gain over where it began."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cardiolearn.imaging.intensity import SPAN, unit_variance
from cardiolearn.methods.superresolution.learning_seen import ResidualFilm
from cardiolearn.methods.superresolution.networks import interpolate
from cardiolearn.methods.superresolution.pictures import HeartCut
from cardiolearn.phantom.cohorts.stacks import TestStack, around


class Brighter(nn.Module):
    r"""Linear interpolation plus a learnt constant."""

    def __init__(self) -> None:
        super().__init__()
        self.more = nn.Parameter(torch.zeros(()))

    def forward(self, stack: Tensor) -> Tensor:
        return interpolate(stack) + self.more


class Pairs:
    def held_out_score(self, network: Brighter) -> float:
        return 20.0 + network.more.item()


def scan() -> TestStack:
    labels = torch.zeros(2, 20, 40, 40, dtype=torch.uint8)
    labels[:, 6:14, 15:25, 15:25] = 1
    volume = 50 + 100 * torch.rand(2, 20, 40, 40, generator=torch.Generator().manual_seed(0))
    stack = volume.reshape(2, 4, 5, 40, 40).mean(2)
    return TestStack(stack, torch.zeros(2, 4, 20, 40, 40), volume, labels, around(labels > 0))


def test_what_is_added_and_gained_is_that_of_the_network() -> None:
    network, test = Brighter(), scan()
    pairs: Any = Pairs()
    with ResidualFilm(network, test, pairs, steps=40) as film:
        network.more.data.fill_(0.5)
        for step in range(1, 41):
            film(step, loss=1.0 / step)
    found, missing, loss, gain = film.figure.axes
    percent = 100 * 0.5 * unit_variance(test.stack[0])[1] / (SPAN * unit_variance(test.volume[0])[1])
    added = torch.as_tensor(found.images[0].get_array())
    torch.testing.assert_close(added, torch.full_like(added, percent), rtol=1e-3, atol=0)
    cut = HeartCut.through(test.labels[0])
    linear = interpolate(test.stack[None, :1])[0, 0]
    truth = 100 * cut(test.volume[0] - linear, 20) / (SPAN * unit_variance(test.volume[0])[1])
    shown = torch.as_tensor(missing.images[0].get_array())
    torch.testing.assert_close(shown, truth, rtol=1e-3, atol=1e-3)
    assert found.images[0].get_clim() == missing.images[0].get_clim()
    assert all((ax.get_xlabel(), ax.get_ylabel()) == ("x (mm)", "z (mm)") for ax in (found, missing))
    left, right, bottom, top = found.images[0].get_extent()
    rows, columns = added.shape
    assert right - left == pytest.approx(1.25 * columns) and bottom - top == pytest.approx(2.0 * rows)
    assert film.scores[0]["gain"] == 0.0 and film.scores[40]["gain"] == pytest.approx(0.5)
    assert gain.get_ylabel() == "PSNR over linear (dB)" and loss.get_ylabel() == "smooth-L1 loss"
    assert len(film.pictures) == len(film.labels) == len(film.scores) <= 6
