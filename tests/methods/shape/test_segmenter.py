r"""The segmenter: thick slices in, thin ones out; what lies where stays there."""

from __future__ import annotations

import pytest
import torch
from hearts import seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cardiolearn.learning.device import place
from cardiolearn.methods.shape.segmenter import Segmenter, _finer
from cardiolearn.methods.shape.training_volumes import TrainingVolumes


@settings(max_examples=20)
@given(
    size=st.tuples(st.integers(1, 5), st.integers(1, 17), st.integers(1, 17)),
    upsampling=st.integers(1, 6),
    depth=st.integers(1, 4),
)
def test_any_stack_comes_back_with_thin_slices(size: tuple[int, int, int], upsampling: int, depth: int) -> None:
    network = Segmenter(3, upsampling=upsampling, filters=(4, 6, 6, 8)[:depth]).eval()
    found = network(torch.zeros(2, 1, *size))
    assert found.shape == (2, 3, upsampling * size[0], *size[1:])


@pytest.mark.parametrize(
    ("upsampling", "strides"),
    [
        (4, [(1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)]),
        (5, [(1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)]),
        (1, [(2, 2, 2)] * 4),
    ],
)
def test_levels_halve_the_plane_first_until_voxels_are_cubes(
    upsampling: int, strides: list[tuple[int, int, int]]
) -> None:
    convolutions = [m for m in Segmenter(upsampling=upsampling).levels.modules() if isinstance(m, nn.Conv3d)]
    assert [m.stride for m in convolutions[::2]] == strides
    assert all(m.stride == (1, 1, 1) for m in convolutions[1::2])


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5, 8])
def test_new_voxels_lie_as_symmetric_about_the_middle_of_an_old_one_as_they_should(factor: int) -> None:
    up = _finer(1, 1, (factor, 1, 1))
    assert up.bias is not None
    nn.init.zeros_(up.weight)
    nn.init.zeros_(up.bias)
    up.weight.data[..., 1, 1] = 1.0
    volume = torch.zeros(1, 1, 7, 1, 1)
    volume[:, :, 3] = 1.0
    spread = up(volume)[0, 0, :, 0, 0]
    assert spread.shape == (7 * factor,)
    place = torch.arange(7.0 * factor)
    middle = 3 * factor + (factor - 1) / 2
    assert ((place * spread).sum() / spread.sum()).item() == pytest.approx(middle)
    assert spread.sum() == 2 * factor + factor % 2
    everywhere = up(torch.ones(1, 1, 7, 1, 1))[0, 0, factor:-factor, 0, 0]
    assert set(everywhere.tolist()) <= {2.0, 3.0}


def test_every_weight_learns_and_no_tensor_stays_behind() -> None:
    for upsampling in (1, 4):
        network = Segmenter(upsampling=upsampling)
        network(torch.rand(2, 1, 4, 16, 16, generator=seeded())).square().mean().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters() if p.ndim > 1)
        away = Segmenter(upsampling=upsampling).to("meta")
        found = away(torch.empty(2, 1, 4, 16, 16, device="meta"))
        labels = torch.empty(2, 4 * upsampling, 16, 16, dtype=torch.uint8, device="meta")
        TrainingVolumes(None, 1).loss(found, labels).backward()  # type: ignore[arg-type]
        assert all(p.grad is not None and p.grad.is_meta for p in away.parameters())


def test_channels_may_lie_innermost() -> None:
    network = Segmenter(upsampling=2, seed=2).eval()
    stack = torch.rand(1, 1, 3, 20, 12, generator=seeded())
    expected = network(stack)
    place(network, torch.device("cpu"))
    torch.testing.assert_close(network(stack.contiguous(memory_format=torch.channels_last_3d)), expected)


def test_the_same_seed_gives_the_same_weights() -> None:
    one, two, other = (list(Segmenter(seed=seed).parameters()) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one[0], other[0])


@pytest.mark.parametrize("shape", [(1, 2, 3, 4, 5), (1, 3, 4, 5)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Segmenter: expected \(N, 1, Z, Y, X\), got"):
        Segmenter()(torch.zeros(shape))
