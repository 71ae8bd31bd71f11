r"""A small 3D network that finds landmarks: what a forest's votes are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardiolearn.errors import InputError
from cardiolearn.learning.weights import initialise

FILTERS = (16, 32, 64)


def _convolution(channels: int, filters: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv3d(channels, filters, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(filters), nn.ReLU(inplace=True))


class HeatmapNetwork(nn.Module):
    r"""Pictures `(N, 1, Z, Y, X)` to a map for each landmark `(N, landmarks, Z / 2, Y / 2, X / 2)`, sizes rounded up:
    the logarithm, but for a constant, of how likely it lies in each voxel.

    Each level halves the grid; from the coarsest upwards each is upsampled and added to the next.

    All of it, the loss too, is **our choice**: what a network does to which forests are compared.

    >>> sum(p.numel() for p in HeatmapNetwork().parameters())
    224038
    """

    def __init__(self, landmarks: int = 6, *, filters: Sequence[int] = FILTERS, seed: int = 0) -> None:
        super().__init__()
        widths = (1, *filters)
        self.levels = nn.ModuleList(
            nn.Sequential(_convolution(fine, coarse, 2), _convolution(coarse, coarse))
            for fine, coarse in zip(widths, filters, strict=False)
        )
        self.narrow = nn.ModuleList(nn.Conv3d(coarse, filters[0], 1) for coarse in filters)
        self.maps = nn.Sequential(_convolution(filters[0], filters[0]), nn.Conv3d(filters[0], landmarks, 1))
        initialise(self, seed)

    def forward(self, picture: Tensor) -> Tensor:
        if picture.ndim != 5 or picture.shape[1] != 1:
            raise InputError(f"pictures: expected (N, 1, Z, Y, X), got {tuple(picture.shape)}")
        features = [picture]
        for level in self.levels:
            features.append(level(features[-1]))
        joined = self.narrow[-1](features[-1])
        for narrow, fine in zip(reversed(self.narrow[:-1]), reversed(features[1:-1]), strict=True):
            joined = narrow(fine) + F.interpolate(joined, fine.shape[2:], mode="trilinear", align_corners=False)
        maps: Tensor = self.maps(joined)
        return maps


def landmarks_of(maps: Tensor) -> Tensor:
    r"""The mean place of each landmark, `(N, L, 3)` in voxels (z, y, x) of the picture, of a network's `maps`."""
    likely = maps.float().flatten(2).softmax(-1).reshape(maps.shape)
    means = []
    for axis in (2, 3, 4):
        others = [other for other in (2, 3, 4) if other != axis]
        at = 2.0 * torch.arange(maps.shape[axis], device=maps.device)
        means.append((likely.sum(others) * at).sum(-1))
    return torch.stack(means, -1)


@dataclass(frozen=True, eq=False)
class TrainingLandmarks:
    r"""What the network learns from: `pictures` `(N, Z, Y, X)` and `landmarks` `(N, L, 3)` in voxels (z, y, x); the
    first `n` are learnt from, the others held out. `spacing` is in mm along (z, y, x)."""

    pictures: Tensor = field(repr=False)
    landmarks: Tensor = field(repr=False)
    n: int
    spacing: tuple[float, float, float]
    batch: int = 2

    def __call__(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        r"""Pictures `(batch, 1, Z, Y, X)` and their landmarks; what `training.train` asks for."""
        picks = torch.randint(0, self.n, (self.batch,), generator=generator, device=generator.device)
        picks = picks.to(self.pictures.device)
        there = generator.device
        return self.pictures[picks, None].to(there, torch.float32), self.landmarks[picks].to(there, torch.float32)

    def loss(self, maps: Tensor, landmarks: Tensor) -> Tensor:
        r"""The mean distance, mm, of the landmarks from where the network expects them."""
        return self.distances(maps, landmarks).mean()

    def distances(self, maps: Tensor, landmarks: Tensor) -> Tensor:
        r"""Of each landmark `(N, L)`, mm."""
        return ((landmarks_of(maps) - landmarks) * landmarks.new_tensor(self.spacing)).norm(dim=-1)

    def held_out_score(self, network: nn.Module) -> float:
        r"""Minus the mean distance, mm, over the pictures that are held out."""
        device = next(network.parameters()).device
        held = zip(self.pictures[self.n :], self.landmarks[self.n :], strict=True)
        far = [self.loss(network(p[None, None].float().to(device)), m[None].float().to(device)) for p, m in held]
        return -torch.stack(far).mean().item()
