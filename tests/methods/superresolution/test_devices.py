r"""Stacks are restored, learnt from and scored where they are: nothing is made on the default device."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hearts import Adds, seeded, spheres
from torch import nn

from cardiolearn.imaging.image import Image
from cardiolearn.methods.superresolution.networks import NETWORKS, takes_views
from cardiolearn.methods.superresolution.training_pairs import TrainingPairs
from cardiolearn.methods.superresolution.whole_scan import (
    between,
    leave_out,
    on_thin_slices,
    super_resolve,
    thin,
    upsample,
)
from cardiolearn.phantom.cohorts.volumes import Volumes

CPU = torch.device("cpu")


@pytest.fixture
def network() -> nn.Module:
    return Adds(0.5).eval()


@pytest.fixture
def volumes() -> Volumes:
    return spheres(2)


@pytest.fixture
def elsewhere(network: nn.Module, volumes: Volumes) -> Iterator[None]:
    with torch.device("meta"):
        yield


@pytest.mark.usefixtures("elsewhere")
def test_every_method_answers_where_the_stack_is(network: nn.Module) -> None:
    stack = torch.rand((6, 20, 24), generator=seeded(), device=CPU)
    for method in ("nearest", "linear", "spline", network):
        assert thin(stack, method).device == CPU


@pytest.mark.usefixtures("elsewhere")
def test_a_whole_scan_is_restored_where_it_is(network: nn.Module) -> None:
    scan = Image(torch.rand((6, 20, 24), generator=seeded(), device=CPU), np.diag([1.8, 1.8, 10.0, 1.0]))
    kept, gone = leave_out(scan)
    assert super_resolve(scan, network).data.device == gone.device == CPU
    assert between(upsample(kept.data, "linear")).device == CPU
    across = np.array([[1.8, 0, 0, 0], [0, 0, 8.0, 18.0], [0, 1.8, 0, 0], [0, 0, 0, 1.0]])
    assert on_thin_slices(Image(torch.ones((1, 25, 24), device=CPU), across), scan).device == CPU


@pytest.mark.usefixtures("elsewhere")
def test_training_pairs_are_made_where_the_generator_is(network: nn.Module, volumes: Volumes) -> None:
    for views in (False, True):
        pairs = TrainingPairs(volumes, 1, views=views, size=24)
        inputs, target = pairs(0, seeded())
        assert inputs.device == target.device == pairs.loss(inputs, inputs).device == CPU
        assert np.isfinite(pairs.held_out_score(network))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_know_their_shapes_without_numbers(name: str) -> None:
    r"""On `meta` nothing is computed: whatever makes a tensor elsewhere fails."""
    network = NETWORKS[name](0).to("meta")
    channels = 21 if takes_views(network) else 1
    assert network(torch.empty((2, channels, 4, 9, 11), device="meta")).shape == (2, 1, 20, 9, 11)
