r"""Super-resolution networks: shapes, what they add to linear interpolation, views, another device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cardiolearn.networks.superresolution import FACTOR, PAPER, SLIM, Deconvolution, Interpolated, fold, interpolate

NETWORKS = {
    "shallow": lambda: Interpolated((64, 64, 32)),
    "deep": lambda: Interpolated((8, 8, 4, 4)),
    "deconvolution": Deconvolution,
    "channels": lambda: Deconvolution(SLIM, (10, 10)),
    "siamese": lambda: Deconvolution(SLIM, (10, 10), views="siamese"),
}


def channels(name: str) -> int:
    return 21 if name in ("channels", "siamese") else 1


def test_interpolation_is_linear_between_slice_middles() -> None:
    stack = torch.rand(1, 1, 6, 3, 4, generator=torch.Generator().manual_seed(0))
    middles = FACTOR * np.arange(6) + 2
    expected = np.apply_along_axis(lambda line: np.interp(np.arange(30), middles, line), 0, stack[0, 0].numpy())
    np.testing.assert_allclose(interpolate(stack)[0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_without_a_residual_it_is_the_interpolation(name: str) -> None:
    network = NETWORKS[name]()
    nn.init.zeros_(network.last.weight)
    stack = torch.rand(2, channels(name), 3, 9, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(stack), interpolate(stack[:, :1]))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_learns_and_no_tensor_stays_behind(name: str) -> None:
    network = NETWORKS[name]()
    stack = torch.rand(1, channels(name), 2, 8, 8, generator=torch.Generator().manual_seed(0))
    network(stack).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters() if p.ndim > 1)
    away = NETWORKS[name]().to("meta")
    assert away(stack.to("meta")).shape == (1, 1, 10, 8, 8)


def test_the_same_seed_gives_the_same_weights_of_equal_scale() -> None:
    one, two, other = Deconvolution(PAPER), Deconvolution(PAPER), Deconvolution(PAPER, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.upsample.weight, other.upsample.weight)
    features = torch.randn(1, 64, 8, 6, 6, generator=torch.Generator().manual_seed(0)).relu()
    ratio = one.upsample(features).square().mean() / features.square().mean()
    assert 0.5 < ratio < 2.5  # the rectifier behind it halves


@settings(deadline=None, max_examples=20)
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
