r"""A small 3D network from a stack of thick slices to the heart's structures in thin ones, in one go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from cardiolearn.learning.weights import initialise
from cardiolearn.methods.shape.layers import Grid, convolution

FILTERS = (16, 32, 64, 64)


class Segmenter(nn.Module):
    r"""Fully convolutional, in several scales: `(N, 1, Z, Y, X)` to logits `(N, n_classes, upsampling * Z, Y, X)`.

    Each level halves the grid by the first of its two convolutions: in the plane only until voxels are about as wide as
    slices are thick, and in all directions beyond. From the coarsest level upwards each is upsampled and added to the
    next. At last a transposed convolution makes logits of the finest level's features: for each voxel of the plane, and
    for `upsampling` thin slices of each thick one, as symmetric about its middle as they lie in it.

    With `upsampling=1`, for volumes whose voxels are as high as wide (ultrasound), all levels halve all directions, and
    what comes out has the grid of what went in.

    Args:
        n_classes: background included.
        upsampling: thin slices in a thick one.
        filters: of each level, the finest first.
        seed: the integer the weights are drawn from.

    Source: Oktay et al., IEEE TMI 2018: a stack of low resolution to a segmentation of high resolution, in one go.
    Layers and filters are **our choice**.

    >>> sum(p.numel() for p in Segmenter(upsampling=4).parameters())
    597044
    """

    def __init__(
        self, n_classes: int = 4, *, upsampling: int = 1, filters: Sequence[int] = FILTERS, seed: int = 0
    ) -> None:
        super().__init__()
        self.upsampling = upsampling
        flat = round(math.log2(upsampling))  # levels that halve the plane only
        self.levels = nn.ModuleList()
        for level, (fine, coarse) in enumerate(pairwise((1, *filters))):
            down = convolution(fine, coarse, stride=(1 if level < flat else 2, 2, 2))
            self.levels.append(nn.Sequential(down, convolution(coarse, coarse)))
        pairs = list(pairwise(filters))
        self.narrow = nn.ModuleList(convolution(coarse, fine, kernel=1) for fine, coarse in pairs)
        self.join = nn.ModuleList(convolution(fine, fine) for fine, _ in pairs)
        self.classify = _finer(filters[0], n_classes, (upsampling if flat else 2 * upsampling, 2, 2))
        initialise(self, seed)

    def forward(self, stack: Tensor) -> Tensor:
        if stack.ndim != 5 or stack.shape[1] != 1:
            raise ValueError(f"Segmenter: expected (N, 1, Z, Y, X), got {tuple(stack.shape)}")
        features: list[Tensor] = []
        for level in self.levels:
            features.append(level(features[-1] if features else stack))
        joined = features.pop()
        for narrow, join in zip(reversed(self.narrow), reversed(self.join), strict=True):
            fine = features.pop()
            wide = F.interpolate(narrow(joined), fine.shape[2:], mode="trilinear", align_corners=False)
            joined = join(fine + wide)
        z, y, x = stack.shape[2:]
        logits: Tensor = self.classify(joined)[:, :, : self.upsampling * z, :y, :x]
        return logits


def _finer(channels: int, n_classes: int, factors: Grid) -> nn.ConvTranspose3d:
    r"""`(N, channels, Z, Y, X)` to `(N, n_classes, f * Z, ...)`; each new voxel sees the nearest two or three old ones
    along each axis."""
    kernel = [2 * f + f % 2 for f in factors]
    cut = [(f + 1) // 2 for f in factors]
    return nn.ConvTranspose3d(channels, n_classes, kernel, factors, padding=cut)  # type: ignore[arg-type]
