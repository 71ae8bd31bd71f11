r"""The fully convolutional network of Bai et al. (2018) that segments one slice at a time."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cardiolearn.learning.weights import initialise

FILTERS = (16, 32, 64, 128, 256)
CONVOLUTIONS = (2, 2, 3, 3, 3)
LEVEL_CHANNELS = 32
HEAD_CHANNELS = 64
DIVISOR = 2 ** (len(FILTERS) - 1)


class ConvBlock(nn.Module):
    r"""Convolution without bias, batch normalisation, ReLU; `(N, C, Y, X)` to `(N, C', Y / stride, X / stride)`."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.conv(x)), inplace=True)

    def fuse(self) -> None:
        r"""Fold the batch normalisation into the convolution (inference only), in place."""
        assert isinstance(self.norm, nn.BatchNorm2d)
        self.conv = fuse_conv_bn_eval(self.conv, self.norm)
        self.norm = nn.Identity()


class _Doubled(torch.autograd.Function):
    r"""Fixed bilinear transposed convolution, factor 2, kernel 1/2, 1, 1/2: `(N, C, Y, X)` to `(N, C, 2Y, 2X)`.

    Pixel i lands on pixel 2i; pixel 2i + 1 is the mean of i and i + 1, where a pixel beyond the edge counts zero.
    Torch's depthwise transposed convolution is the same; in bfloat16 on the CPU it takes three times as long, and so
    does the gradient that torch knows of `interpolate`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        size = [2 * n + 1 for n in x.shape[-2:]]
        edged = functional.pad(x, (0, 1, 0, 1))
        return functional.interpolate(edged, size, mode="bilinear", align_corners=True)[..., :-1, :-1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        r"""Each pixel gets what pixel 2i got, and half of what its two neighbours got; one axis after the other."""
        (gradient,) = gradients
        for axis in (-1, -2):
            even, odd = gradient.unflatten(axis, (-1, 2)).unbind(axis)
            gradient = torch.add(even, odd, alpha=0.5)
            n = gradient.shape[axis] - 1
            gradient.narrow(axis, 1, n).add_(odd.narrow(axis, 0, n), alpha=0.5)
        return gradient


class FCN(nn.Module):
    r"""VGG-like network that joins five scales at full resolution: `(N, 1, Y, X)` to logits `(N, n_classes, Y, X)`.

    Five levels of 16 to 256 filters (2, 2, 3, 3, 3 convolutions of 3x3); the first convolution of levels 1 to 4 has
    stride 2. Each level is projected to 32 channels and upsampled by a fixed bilinear transposed convolution (factor
    2^l, kernel 2^(l+1) - 1); the 160 joined channels pass two 1x1 convolutions of 64 and one to the classes.

    Upsampling is linear and acts on each channel alone, and so does a 1x1 convolution on each pixel: they commute. The
    first 1x1 convolution of the head is therefore applied to each level *before* upsampling, with the level's 32
    columns of its weight, and the results are summed instead of joined. Because a factor 2^l upsampling equals l
    upsamplings by 2, the sum runs from the coarsest level to the finest. The result is the same, sooner.

    Args:
        n_classes: number of classes, background included.
        seed: the integer the weights are drawn from.

    Source: Bai et al., JCMR 2018, Fig. 2 and `common/network.py` of its code. Deviation: with torch's padding of 1 on
    both sides a strided convolution is centred on pixel 2i, so upsampling puts coarse pixel i at fine pixel 2i, exactly
    where it came from (TensorFlow's padding, used in the paper, is off by up to half a coarse pixel). Beyond the last
    coarse pixel the values fade to zero linearly, as in the paper's transposed convolution.

    >>> network = FCN(n_classes=4)
    >>> sum(p.numel() for p in network.parameters())
    1985556
    """

    def __init__(self, n_classes: int = 4, *, seed: int = 0) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        channels = 1
        for level, (filters, count) in enumerate(zip(FILTERS, CONVOLUTIONS, strict=True)):
            first = ConvBlock(channels, filters, 3, stride=1 if level == 0 else 2)
            self.levels.append(nn.Sequential(first, *(ConvBlock(filters, filters, 3) for _ in range(count - 1))))
            channels = filters
        self.project = nn.ModuleList(ConvBlock(filters, LEVEL_CHANNELS, 1) for filters in FILTERS)
        self.join = ConvBlock(LEVEL_CHANNELS * len(FILTERS), HEAD_CHANNELS, 1)
        self.mix = ConvBlock(HEAD_CHANNELS, HEAD_CHANNELS, 1)
        self.classify = nn.Conv2d(HEAD_CHANNELS, n_classes, 1)
        initialise(self, seed)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != 1 or x.shape[2] % DIVISOR or x.shape[3] % DIVISOR:
            raise ValueError(f"FCN: expected (N, 1, Y, X) with Y and X divisible by {DIVISOR}, got {tuple(x.shape)}")
        features = []
        for level, project in zip(self.levels, self.project, strict=True):
            x = level(x)
            features.append(project(x))
        joined = functional.relu(self.join.norm(self._join(features)), inplace=True)
        logits: Tensor = self.classify(self.mix(joined))
        return logits

    def _join(self, features: list[Tensor]) -> Tensor:
        r"""The head's first convolution on all levels, summed from coarse to fine; `(N, 64, Y, X)`."""
        slices = self.join.conv.weight.chunk(len(features), dim=1)
        total = functional.conv2d(features[-1], slices[-1])
        for level in range(len(features) - 2, -1, -1):
            bias = self.join.conv.bias if level == 0 else None
            total = functional.conv2d(features[level], slices[level], bias).add_(_Doubled.apply(total))
        return total

    def fused(self) -> FCN:
        r"""A copy for inference with every batch normalisation folded into its convolution: same answer, sooner."""
        network = copy.deepcopy(self).eval().requires_grad_(False)
        for module in network.modules():
            if isinstance(module, ConvBlock):
                module.fuse()
        return network
