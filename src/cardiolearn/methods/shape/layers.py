r"""Layers of 3D networks: with batch normalisation for those that see pictures, without for those that see shapes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

Grid = tuple[int, int, int]  # voxels along (Z, Y, X)
SLOPE = 0.1  # of the rectifier below 0, in networks without normalisation


def convolution(channels: int, filters: int, *, kernel: int = 3, stride: int | Grid = 1) -> nn.Sequential:
    r"""`(N, channels, Z, Y, X)` to `(N, filters, ceil(Z / stride), ...)`; `kernel` is odd."""
    conv = nn.Conv3d(channels, filters, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(filters), nn.ReLU(inplace=True))


def halving(channels: int, filters: int) -> nn.Sequential:
    r"""`(N, channels, Z, Y, X)` to `(N, filters, ceil(Z / 2), ...)`, without normalisation: what comes out depends on
    each volume alone."""
    conv = nn.Conv3d(channels, filters, 3, 2, padding=1)
    return nn.Sequential(conv, nn.LeakyReLU(SLOPE, inplace=True))


def doubling(channels: int, filters: int, grid: Sequence[int]) -> nn.Sequential:
    r"""The way back of `halving`: `(N, channels, ceil(Z / 2), ...)` to `(N, filters, Z, Y, X)`.

    Args:
        grid: `(Z, Y, X)`, what comes out; odd sizes come back as well as even ones.
    """
    z, y, x = (1 - n % 2 for n in grid)
    conv = nn.ConvTranspose3d(channels, filters, 3, 2, padding=1, output_padding=(z, y, x))
    return nn.Sequential(conv, nn.LeakyReLU(SLOPE, inplace=True))


def grids(grid: Sequence[int], levels: int) -> list[Grid]:
    r"""Grids after 0, 1, ... `levels` convolutions with stride 2.

    >>> grids((48, 56, 56), 4)
    [(48, 56, 56), (24, 28, 28), (12, 14, 14), (6, 7, 7), (3, 4, 4)]
    """
    z, y, x = grid
    found = [(z, y, x)]
    for _ in range(levels):
        z, y, x = ((n + 1) // 2 for n in (z, y, x))
        found.append((z, y, x))
    return found
