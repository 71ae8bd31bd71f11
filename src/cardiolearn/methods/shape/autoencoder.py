r"""The auto-encoder of label volumes: a heart's shape as 64 numbers, and the shape that they stand for."""

from __future__ import annotations

import math

from torch import Tensor, nn

from cardiolearn.learning.weights import initialise
from cardiolearn.methods.shape.layers import Grid, convolution, deconvolution, grids

FILTERS = (16, 32, 64, 128)
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

    Source: Oktay et al., IEEE TMI 2018. Levels, filters, the size of the code and batch normalisation are
    **our choice**.

    >>> sum(p.numel() for p in Encoder(4, (48, 56, 56)).parameters())
    685792
    """

    def __init__(self, channels: int, grid: Grid, *, seed: int = 0) -> None:
        super().__init__()
        self.expected = (channels, *grid)
        self.bottom = grids(grid, len(FILTERS))[-1]
        inputs = (channels, *FILTERS)
        self.levels = nn.Sequential(
            *(convolution(a, b, stride=2) for a, b in zip(inputs[:-1], FILTERS, strict=True)),
        )
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

    A last convolution at full resolution, which the encoder has not, joins what neighbouring voxels were given.
    """

    def __init__(self, n_classes: int, grid: Grid, *, seed: int = 0) -> None:
        super().__init__()
        fine = grids(grid, len(FILTERS))
        self.bottom = (FILTERS[-1], *fine[-1])
        self.connect = nn.Sequential(nn.Linear(CODE, math.prod(self.bottom)), nn.ReLU(inplace=True))
        outputs = (*FILTERS[-2::-1], FILTERS[0])
        self.levels = nn.Sequential(
            *(deconvolution(a, b, g) for a, b, g in zip(FILTERS[::-1], outputs, fine[-2::-1], strict=True)),
        )
        self.classify = nn.Conv3d(FILTERS[0], n_classes, 3, padding=1)
        initialise(self, seed)

    def forward(self, code: Tensor) -> Tensor:
        if code.ndim != 2 or code.shape[1] != CODE:
            raise ValueError(f"Decoder: expected codes (N, {CODE}), got {tuple(code.shape)}")
        logits: Tensor = self.classify(self.levels(self.connect(code).unflatten(1, self.bottom)))
        return logits


class AutoEncoder(nn.Module):
    r"""Masks `(N, n_classes, *grid)`, hard or soft, to logits of the same shape, by way of 64 numbers.

    Args:
        grid: `(Z, Y, X)`, any.
        n_classes: background included.
        seed: the integer the weights are drawn from.

    Source: Oktay et al., IEEE TMI 2018, stage 1a of the T-L network: trained by cross-entropy; see `Encoder`.

    >>> network = AutoEncoder((48, 56, 56))
    >>> sum(p.numel() for p in network.parameters())  # 2.8 MB as 16-bit numbers
    1384356
    """

    def __init__(self, grid: Grid, n_classes: int = 4, *, seed: int = 0) -> None:
        super().__init__()
        self.encoder = Encoder(n_classes, grid, seed=seed)
        self.decoder = Decoder(n_classes, grid, seed=seed + 1)

    def forward(self, masks: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.encoder(masks))
        return logits
