r"""A frozen network: the answer of its original, gradients through it, and nothing that changes it."""

from __future__ import annotations

import copy

import torch
from hearts import seeded
from torch import nn

from cardiolearn.methods.shape.frozen import Frozen, frozen


def network() -> nn.Sequential:
    net = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2), nn.ReLU(), nn.Dropout(0.5), nn.Flatten())
    net(torch.rand(4, 1, 4, 4, 4, generator=seeded()))
    return net


def test_it_answers_as_the_original_does_in_evaluation_and_lets_gradients_through() -> None:
    net = network()
    still = frozen(net)
    x = torch.rand(2, 1, 4, 4, 4, generator=seeded(1), requires_grad=True)
    found = still(x)
    torch.testing.assert_close(found, copy.deepcopy(net).eval()(x))
    found.sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in still.parameters())
    assert all(p.requires_grad for p in net.parameters()) and net.training  # the original is as it was


def test_it_stays_frozen_in_a_parent_that_trains() -> None:
    parent = nn.ModuleList([nn.Dropout(0.5), frozen(network())])
    before = copy.deepcopy(parent.state_dict())
    parent.train()
    assert parent.training and parent[0].training
    assert not any(module.training for module in parent[1].modules())
    x = torch.rand(3, 1, 4, 4, 4, generator=seeded())
    assert torch.equal(parent[1](x), parent[1](x))
    assert all(torch.equal(value, before[name]) for name, value in parent.state_dict().items())


def test_what_is_learnt_afterwards_does_not_reach_it_and_freezing_twice_is_once() -> None:
    net = network()
    still = frozen(net)
    net[0].weight.data.zero_()
    assert still.network[0].weight.abs().sum() > 0
    assert frozen(still) is still and isinstance(still, Frozen)
