r"""Layers that halve a grid and bring it back, whatever its sizes."""

from __future__ import annotations

import pytest
import torch
from hearts import seeded
from torch import nn

from cardiolearn.methods.shape.layers import convolution, deconvolution, grids


@pytest.mark.parametrize("grid", [(8, 6, 10), (7, 5, 9), (1, 2, 3)])
def test_a_deconvolution_brings_back_what_a_convolution_halved(grid: tuple[int, int, int]) -> None:
    x = torch.rand(2, 3, *grid, generator=seeded())
    halved = convolution(3, 4, stride=2)(x)
    assert tuple(halved.shape[2:]) == grids(grid, 1)[1]
    assert deconvolution(4, 5, grid)(halved).shape == (2, 5, *grid)


def test_a_deconvolution_is_the_adjoint_of_a_convolution() -> None:
    r"""With the same kernel: the voxel it came from is in the middle of what it is spread to."""
    down = convolution(1, 1, stride=2)[0]
    for grid in ((8, 6, 10), (7, 5, 9)):
        up = deconvolution(1, 1, grid)[0]
        assert isinstance(up, nn.ConvTranspose3d) and isinstance(down, nn.Conv3d)
        up.weight.data.copy_(down.weight)
        x, y = torch.rand(1, 1, *grid, generator=seeded()), torch.rand(1, 1, *grids(grid, 1)[1], generator=seeded(1))
        torch.testing.assert_close((down(x) * y).sum(), (x * up(y)).sum())
