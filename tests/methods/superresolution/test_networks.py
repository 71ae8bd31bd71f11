r"""Super-resolution networks: shapes, what they add to linear interpolation, views, another device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hearts import seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cardiolearn.methods.superresolution.networks import (
    FACTOR,
    NETWORKS,
    PAPER,
    SLIM,
    Deconvolution,
    Interpolated,
    fold,
    interpolate,
    takes_views,
)
from cardiolearn.methods.superresolution.training_pairs import TrainingPairs

SHAPES: dict[str, Callable[[], Interpolated | Deconvolution]] = {
    "shallow": lambda: Interpolated((64, 64, 32)),
    "deep": lambda: Interpolated((8, 8, 4, 4)),
    "deconvolution": Deconvolution,
    "channels": lambda: Deconvolution(SLIM, (10, 10)),
    "siamese": lambda: Deconvolution(SLIM, (10, 10), views="siamese"),
}


def channels(name: str) -> int:
    return 21 if name in ("channels", "siamese") else 1


def test_interpolation_is_linear_between_slice_middles() -> None:
    stack = torch.rand(1, 1, 6, 3, 4, generator=seeded())
    middles = FACTOR * np.arange(6) + 2
    expected = np.apply_along_axis(lambda line: np.interp(np.arange(30), middles, line), 0, stack[0, 0].numpy())
    np.testing.assert_allclose(interpolate(stack)[0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_without_a_residual_it_is_the_interpolation(name: str) -> None:
    network = SHAPES[name]()
    nn.init.zeros_(network.last.weight)
    stack = torch.rand(2, channels(name), 3, 9, 7, generator=seeded())
    torch.testing.assert_close(network(stack), interpolate(stack[:, :1]))


@pytest.mark.parametrize("name", SHAPES)
def test_every_weight_learns_and_no_tensor_stays_behind(name: str) -> None:
    network = SHAPES[name]()
    stack = torch.rand(1, channels(name), 2, 8, 8, generator=seeded())
    network(stack).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters() if p.ndim > 1)
    away = SHAPES[name]().to("meta")
    found = away(stack.to("meta"))
    assert found.shape == (1, 1, 10, 8, 8)
    TrainingPairs.loss(found, torch.empty_like(found)).backward()
    assert all(p.grad is not None and p.grad.is_meta for p in away.parameters())


def test_the_same_seed_gives_the_same_weights_of_equal_scale() -> None:
    one, two, other = Deconvolution(PAPER), Deconvolution(PAPER), Deconvolution(PAPER, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.upsample.weight, other.upsample.weight)
    features = torch.randn(1, 64, 8, 6, 6, generator=seeded()).relu()
    ratio = one.upsample(features).square().mean() / features.square().mean()
    assert 0.5 < ratio < 2.5  # the rectifier behind it halves


@settings(max_examples=20)
@given(size=st.tuples(st.integers(1, 4), st.integers(1, 13), st.integers(1, 13)))
def test_any_size_comes_back_five_times_as_fine(size: tuple[int, int, int]) -> None:
    found = Deconvolution(((4,), (4,)))(torch.zeros(1, 1, *size))
    assert found.shape == (1, 1, FACTOR * size[0], *size[1:])


def test_folding_keeps_every_voxel() -> None:
    fine = torch.arange(2 * 3 * 10 * 2 * 2.0).reshape(2, 3, 10, 2, 2)
    folded = fold(fine)
    assert folded.shape == (2, 15, 2, 2, 2)
    assert torch.equal(folded[:, 5:10, 1], fine[:, 1, 5:10])
    with pytest.raises(ValueError, match="multiple of 5 slices, got 7"):
        fold(fine[:, :, :7])


@pytest.mark.parametrize("shape", [(1, 2, 3, 4, 5), (1, 3, 4, 5)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(N, 1, Z, Y, X\), got"):
        Deconvolution()(torch.zeros(shape))


def test_the_networks_that_are_compared_differ_in_what_their_names_say() -> None:
    networks = {name: make(0) for name, make in NETWORKS.items()}
    assert [name for name, network in networks.items() if takes_views(network)] == ["channels", "siamese"]
    assert not takes_views(nn.Identity())
    layers = {name: sum(isinstance(m, nn.Conv3d) for m in network.modules()) for name, network in networks.items()}
    assert layers["shallow"] == 3 < layers["deep"]
    assert networks["channels"].inputs == [21] and networks["siamese"].inputs == [1, 10, 10]
    for name, make in NETWORKS.items():
        weights, other = ([p.clone() for p in make(seed).parameters()] for seed in (0, 1))
        assert all(torch.equal(a, b) for a, b in zip(weights, networks[name].parameters(), strict=True))
        assert any(not torch.equal(a, b) for a, b in zip(weights, other, strict=True))


def test_siamese_views_have_first_layers_of_their_own() -> None:
    r"""So two views exchanged are not the same."""
    network = Deconvolution(SLIM, (10, 10), views="siamese").eval()
    nn.init.normal_(network.last.weight, generator=seeded())
    stack = torch.rand(1, 21, 3, 8, 8, generator=seeded(1))
    exchanged = torch.cat((stack[:, :1], stack[:, 11:], stack[:, 1:11]), 1)
    assert not torch.allclose(network(stack), network(exchanged))
    one, other, another = (next(branch.parameters()) for branch in network.branches)
    assert one.shape[1] == 1 and other.shape == another.shape and not torch.equal(other, another)
