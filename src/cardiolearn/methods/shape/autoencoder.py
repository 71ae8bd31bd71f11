r"""The auto-encoder of label volumes: a heart's shape as 64 numbers, and the shape that they stand for."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn

from cardiolearn.learning.weights import initialise
from cardiolearn.methods.shape.layers import SLOPE, Grid, doubling, grids, halving

FILTERS = (16, 32, 64, 64)
CODE = 64  # numbers that stand for a shape


class Encoder(nn.Module):
    r"""Four convolutions with stride 2 and a full connection: `(N, channels, *grid)` to codes `(N, 64)`.

    Args:
        channels: the classes of masks, or 1 for intensities.
        grid: `(Z, Y, X)`, any; the full connection is made for this one. Sizes that 16 does not divide are rounded up
            at each level.
        seed: the integer the weights are drawn from.

    Raises:
        ValueError: it is given another grid, or another number of channels.

    Source: Oktay et al., IEEE TMI 2018. Levels, filters, the size of the code and the layers are **our choice**. There
    is no batch normalisation: a code is of one heart, whichever others are in its batch.

    >>> sum(p.numel() for p in Encoder(4, (48, 56, 56)).parameters())
    378288
    """

    def __init__(self, channels: int, grid: Grid, *, seed: int = 0) -> None:
        super().__init__()
        self.expected = (channels, *grid)
        self.bottom = grids(grid, len(FILTERS))[-1]
        inputs = (channels, *FILTERS)
        self.levels = nn.Sequential(*(halving(a, b) for a, b in pairwise(inputs)))
        self.connect = nn.Linear(FILTERS[-1] * math.prod(self.bottom), CODE)
        initialise(self, seed)

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != self.expected:
            wanted = ", ".join(str(n) for n in self.expected)
            raise ValueError(f"Encoder: expected (N, {wanted}), got {tuple(x.shape)}")
        code: Tensor = self.connect(self.levels(x).flatten(1))
        return code


class Decoder(nn.Module):
    r"""The encoder's mirror: codes `(N, 64)` to logits `(N, n_classes, *grid)`.

    Its last step makes logits of half the resolution's features: each voxel of the eight nearest of them.
    """

    def __init__(self, n_classes: int, grid: Grid, *, seed: int = 0) -> None:
        super().__init__()
        self.grid = grid
        fine = grids(grid, len(FILTERS))
        self.bottom = (FILTERS[-1], *fine[-1])
        rectifier = nn.LeakyReLU(SLOPE, inplace=True)
        self.connect = nn.Sequential(nn.Linear(CODE, math.prod(self.bottom)), rectifier)
        back = zip(pairwise(FILTERS[::-1]), fine[-2:0:-1], strict=True)
        self.levels = nn.Sequential(*(doubling(a, b, size) for (a, b), size in back))
        self.classify = nn.ConvTranspose3d(FILTERS[0], n_classes, 4, 2, padding=1)
        initialise(self, seed)

    def forward(self, code: Tensor) -> Tensor:
        if code.ndim != 2 or code.shape[1] != CODE:
            raise ValueError(f"Decoder: expected codes (N, {CODE}), got {tuple(code.shape)}")
        z, y, x = self.grid
        logits: Tensor = self.classify(self.levels(self.connect(code).unflatten(1, self.bottom)))
        return logits[:, :, :z, :y, :x]  # of an odd size one voxel too many was made


class AutoEncoder(nn.Module):
    r"""Masks `(N, n_classes, *grid)`, hard or soft, to logits of the same shape, by way of 64 numbers.

    Args:
        grid: `(Z, Y, X)`, any.
        n_classes: background included.
        seed: the integer the weights are drawn from.

    Source: Oktay et al., IEEE TMI 2018, stage 1a of the T-L network: trained by cross-entropy; see `Encoder`.

    >>> network = AutoEncoder((48, 56, 56))
    >>> sum(p.numel() for p in network.parameters())  # 1.5 MB as 16-bit numbers
    761892
    """

    def __init__(self, grid: Grid, n_classes: int = 4, *, seed: int = 0) -> None:
        super().__init__()
        self.encoder = Encoder(n_classes, grid, seed=seed)
        self.decoder = Decoder(n_classes, grid, seed=seed + 1)

    def forward(self, masks: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.encoder(masks))
        return logits
