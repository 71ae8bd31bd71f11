r"""Networks that bring a clinical stack to thin slices: shallow, deep, deep with learnt upsampling, of several views.

All work on batches `(N, C, Z, Y, X)` and upsample through the plane only, by `FACTOR`. They predict what linear
interpolation lacks: the answer is the interpolated stack plus the network's residual.

Source: Oktay et al., MICCAI 2016; the slides tell of 3D convolutions and deconvolution, ReLU, smooth-L1, a factor of
five. They give no filters, kernels, residual or way to join views: those are **our choice**.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardiolearn.learning.weights import initialise

FACTOR = 5
# Filters before and after the upsampling: of the size on the slides' clock, and one for two CPU cores, which take three
# times as long for a layer with 8 input channels as for one with 12.
PAPER = ((64, 64), (32, 16, 8, 4))
SLIM = ((24, 24), (12,))
Views = Literal["channels", "siamese"]


def interpolate(stack: Tensor) -> Tensor:
    r"""Linear through-plane interpolation: `(N, C, Z, Y, X)` to `(N, C, 5 Z, Y, X)`; beyond the end slices it repeats.

    Thin slice `5 k + 2` is the middle of thick slice `k`.
    """
    size = (FACTOR * stack.shape[2], *stack.shape[3:])
    return F.interpolate(stack, size=size, mode="trilinear", align_corners=False)


def _convolutions(channels: int, filters: Sequence[int]) -> tuple[nn.Sequential, int]:
    layers: list[nn.Module] = []
    for wanted in filters:
        layers += [nn.Conv3d(channels, wanted, 3, padding=1), nn.ReLU(inplace=True)]
        channels = wanted
    return nn.Sequential(*layers), channels


def _begin_quietly(last: nn.Conv3d) -> None:
    # A twentieth of He's weights: training begins near linear interpolation, and not from noise.
    with torch.no_grad():
        last.weight.mul_(0.05)


class Interpolated(nn.Module):
    r"""Convolutions on the interpolated stack: `(N, 1, Z, Y, X)` to `(N, 1, 5 Z, Y, X)`.

    With three layers of filters this is the shallow network after SRCNN, with six the deep one without learnt
    upsampling.

    Args:
        filters: of the layers before the last, which has one.
        seed: the integer the weights are drawn from.

    Source: Dong et al., ECCV 2014, in 3D (deviation: kernels of 3x3x3).
    """

    def __init__(self, filters: Sequence[int], *, seed: int = 0) -> None:
        super().__init__()
        self.body, channels = _convolutions(1, filters)
        self.last = nn.Conv3d(channels, 1, 3, padding=1)
        initialise(self, seed)
        _begin_quietly(self.last)

    def forward(self, stack: Tensor) -> Tensor:
        smooth = interpolate(_checked(stack, 1))
        residual: Tensor = self.last(self.body(smooth))
        return smooth + residual


class Deconvolution(nn.Module):
    r"""Convolutions at the stack's own resolution, one deconvolution through the plane, convolutions on thin slices.

    `(N, 1 + extra, Z, Y, X)` to `(N, 1, 5 Z, Y, X)`. The first channel is the short-axis stack; the `extra` ones are
    other views on its grid (`fold`). The work before the upsampling costs a fifth of what it would cost after it.

    Args:
        filters: before and after the deconvolution, such as `PAPER` or `SLIM`.
        extra: channels of each other view; none for a single stack.
        views: `"channels"` joins the views at the input, `"siamese"` gives each its own first layers and adds what they
            find before the upsampling.
        seed: the integer the weights are drawn from.

    Source: Oktay et al., MICCAI 2016.
    """

    def __init__(
        self, filters: tuple[Sequence[int], Sequence[int]] = SLIM, extra: Sequence[int] = (), *,
        views: Views = "channels", seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.inputs = [1, *extra] if views == "siamese" else [1 + sum(extra)]
        branches = [_convolutions(channels, filters[0]) for channels in self.inputs]
        self.branches = nn.ModuleList(branch for branch, _ in branches)
        width = branches[0][1]
        # Each thin slice sees two or three thick ones: a kernel of 11 at steps of 5, cut by 3 at either end.
        self.upsample = nn.ConvTranspose3d(width, width, (11, 1, 1), (FACTOR, 1, 1), padding=(3, 0, 0))
        self.body, channels = _convolutions(width, filters[1])
        self.last = nn.Conv3d(channels, 1, 3, padding=1)
        initialise(self, seed)
        with torch.no_grad():  # He's variance counts all eleven slices of the kernel, each output meets two or three
            self.upsample.weight.mul_(FACTOR**0.5)
        _begin_quietly(self.last)

    def forward(self, stack: Tensor) -> Tensor:
        parts = _checked(stack, sum(self.inputs)).split(self.inputs, 1)
        features = torch.stack([branch(part) for branch, part in zip(self.branches, parts, strict=True)]).sum(0)
        residual: Tensor = self.last(self.body(F.relu(self.upsample(features), inplace=True)))
        return interpolate(stack[:, :1]) + residual


def fold(fine: Tensor) -> Tensor:
    r"""Thin slices as channels of thick ones: `(N, C, 5 Z, Y, X)` to `(N, 5 C, Z, Y, X)`.

    So a long-axis view, resampled to the thin slices, keeps its resolution where the network works on thick ones.
    """
    n, c, z, y, x = fine.shape
    if z % FACTOR:
        raise ValueError(f"fold: expected a multiple of {FACTOR} slices, got {z}")
    return fine.reshape(n, c, z // FACTOR, FACTOR, y, x).movedim(3, 2).reshape(n, c * FACTOR, z // FACTOR, y, x)


def takes_views(network: nn.Module) -> bool:
    r"""Whether a network has inputs beside the short-axis stack."""
    return sum(getattr(network, "inputs", [1])) > 1


def _checked(stack: Tensor, channels: int) -> Tensor:
    if stack.ndim != 5 or stack.shape[1] != channels:
        raise ValueError(f"expected (N, {channels}, Z, Y, X), got {tuple(stack.shape)}")
    return stack


_VIEW_CHANNELS = (10, 10)  # signal and presence in five thin slices, of either long-axis view
#: Networks that are compared, all with filters that two CPU cores can train.
NETWORKS = {
    "shallow": lambda seed: Interpolated((12, 12), seed=seed),
    "deep": lambda seed: Interpolated((12, 12, 12, 12), seed=seed),
    "deconvolution": lambda seed: Deconvolution(SLIM, seed=seed),
    "channels": lambda seed: Deconvolution(SLIM, _VIEW_CHANNELS, seed=seed),
    "siamese": lambda seed: Deconvolution(SLIM, _VIEW_CHANNELS, views="siamese", seed=seed),
}
