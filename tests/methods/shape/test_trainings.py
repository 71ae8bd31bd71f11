r"""Trainings of the lesson: each under its name, on what it is to learn from, from the weights it is to begin with."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from cardiolearn.methods.shape import trainings
from cardiolearn.methods.shape.acnn import code_variance
from cardiolearn.methods.shape.codes import codes_of_labels
from cardiolearn.methods.shape.phantom_hearts import StackHearts
from cardiolearn.methods.shape.tasks import STACKS
from cardiolearn.methods.shape.tl_network import TLNetwork
from cardiolearn.phantom.cohorts.volume_maps import VolumeMaps, sample_volume


class Asked(NamedTuple):
    network: nn.Module
    data: Any
    name: str
    steps: int
    more: dict[str, Any]


class Recorder:
    r"""In the place of `Run.train`: keeps what it was asked, and what the weights were."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.weights: list[torch.Tensor] = []

    def __call__(self, network: nn.Module, data: Any, name: str, steps: int, **more: Any) -> str:
        self.asked.append(Asked(network, data, name, steps, more))
        self.weights.append(torch.cat([p.detach().flatten() for p in network.parameters()]))
        return f"history of {name}"


@cache
def hearts() -> StackHearts:
    maps = sample_volume(1)
    return StackHearts(VolumeMaps(maps.tissue.repeat(2, 1, 1, 1, 1), maps.label.repeat(2, 1, 1, 1, 1)))


def test_the_auto_encoder_learns_from_masks() -> None:
    train = Recorder()
    network, history = trainings.train_autoencoder(train, STACKS, hearts(), 3, 7, 5)
    (asked,) = train.asked
    assert history == "history of acnn_stacks_masks" and asked.network is network and asked.steps == 7
    inputs, labels = asked.data(0, torch.Generator().manual_seed(0))
    assert inputs.shape == (8, 4, *STACKS.grid) and labels.shape == (8, *STACKS.grid)
    assert asked.data.n == 3


def test_the_judges_variance_is_that_of_its_codes() -> None:
    network = STACKS.autoencoder(1).eval()
    prior = trainings.judge(network, STACKS, hearts(), strength=0.3)
    codes = codes_of_labels(network.encoder, hearts().labels)
    assert prior.variance == pytest.approx(code_variance(codes)) and prior.strength == 0.3
    assert not any(p.requires_grad for p in prior.encoder.parameters())


def test_the_tl_network_begins_with_the_auto_encoder_and_learns_in_two_further_stages() -> None:
    train, first = Recorder(), STACKS.autoencoder(9).eval()
    network = trainings.train_tl(train, first, hearts(), 2, 4, 0)
    alone, together = train.asked
    assert (alone.name, together.name) == ("acnn_tl_predictor", "acnn_tl")
    assert alone.network is network.predictor and together.network is network
    for name, value in first.state_dict().items():
        assert torch.equal(network.autoencoder.state_dict()[name], value), name
    assert alone.data.source.thin and together.data.source.thin
    assert torch.equal(alone.data.encoder.network.connect.weight, first.encoder.connect.weight)


def test_restorers_differ_in_prior_and_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainings, "_PICTURED", 2)
    train = Recorder()
    networks = trainings.train_restorers(train, TLNetwork(STACKS.grid).eval(), hearts(), 2, 4, 0)
    assert list(networks) == ["plain", "constrained", "plain, motion", "constrained, motion"]
    assert [a.name for a in train.asked] == [
        "acnn_sr_plain", "acnn_sr_constrained", "acnn_sr_plain_motion", "acnn_sr_constrained_motion"
    ]  # fmt: skip
    shifts = [a.data.hearts.degradation.shift for a in train.asked]
    assert shifts[:2] == [0.0, 0.0] and shifts[2] == shifts[3] == hearts().degradation.shift > 0
    assert [a.data.prior is None for a in train.asked] == [True, False, True, False]
    for asked, weights in zip(train.asked, train.weights, strict=True):
        degradation = asked.data.hearts.degradation
        assert degradation.missing == degradation.low_contrast == 0.0
        assert torch.equal(weights, train.weights[0])
