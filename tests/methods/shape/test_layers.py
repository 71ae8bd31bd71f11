r"""Layers that halve a grid and bring it back, whatever its sizes."""

from __future__ import annotations

import pytest
import torch
from hearts import seeded
from torch import nn

from cardiolearn.methods.shape.layers import convolution, doubling, grids, halving


@pytest.mark.parametrize("grid", [(8, 6, 10), (7, 5, 9), (1, 2, 3)])
def test_what_was_halved_is_doubled_again(grid: tuple[int, int, int]) -> None:
    x = torch.rand(2, 3, *grid, generator=seeded())
    halved = halving(3, 4)(x)
    assert tuple(halved.shape[2:]) == grids(grid, 1)[1] == tuple(convolution(3, 4, stride=2)(x).shape[2:])
    assert doubling(4, 5, grid)(halved).shape == (2, 5, *grid)


def test_doubling_is_the_adjoint_of_halving() -> None:
    r"""With the same kernel: the voxel it came from is in the middle of what it is spread to."""
    down = halving(1, 1)[0]
    for grid in ((8, 6, 10), (7, 5, 9)):
        up = doubling(1, 1, grid)[0]
        assert isinstance(up, nn.ConvTranspose3d) and isinstance(down, nn.Conv3d)
        up.weight.data.copy_(down.weight)
        assert up.bias is not None and down.bias is not None
        nn.init.zeros_(up.bias)
        nn.init.zeros_(down.bias)
        x, y = torch.rand(1, 1, *grid, generator=seeded()), torch.rand(1, 1, *grids(grid, 1)[1], generator=seeded(1))
        torch.testing.assert_close((down(x) * y).sum(), (x * up(y)).sum())


def test_a_shape_comes_out_the_same_whatever_else_is_in_the_batch() -> None:
    layer = nn.Sequential(halving(2, 3), doubling(3, 2, (6, 6, 6))).train()
    x = torch.rand(4, 2, 6, 6, 6, generator=seeded())
    torch.testing.assert_close(layer(x)[:1], layer(x[:1]))
