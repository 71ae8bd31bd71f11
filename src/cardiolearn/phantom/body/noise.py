r"""Smooth random fields that can be read at any point of space: texture, ragged borders, vessels."""

from __future__ import annotations

import torch
import torch.nn.functional as F


class Noise:
    r"""A periodic random field, unit variance, smooth over one cell.

    One cube of `size**3` normal numbers serves every use: a caller chooses the length scale in mm and an offset, so
    different uses of the same cube do not look alike.
    """

    def __init__(self, seed: int, size: int = 48) -> None:
        generator = torch.Generator().manual_seed(seed)
        cube = torch.randn((1, 1, size, size, size), generator=generator, device="cpu")
        cube = F.avg_pool3d(F.pad(cube, (1, 1, 1, 1, 1, 1), mode="circular"), 2, stride=1)[..., :size, :size, :size]
        cube = (cube - cube.mean()) / cube.std()
        self.bound = cube.abs().max().item()  # no value anywhere is larger
        self._size = size
        self._cube = F.pad(cube, (0, 1, 0, 1, 0, 1), mode="circular")

    def at(self, points: torch.Tensor, scale: float, offset: float = 0.0) -> torch.Tensor:
        r"""Field values `(...)` at `points` `(..., 3)` in mm; it varies over about `scale` mm."""
        self._cube = self._cube.to(points.device)  # made alike everywhere, it goes where it is asked
        turns = points * (1.0 / (scale * self._size)) + offset / self._size * points.new_tensor([1.0, 1.7, 2.3])
        unit = turns.sub_(turns.floor()).mul_(2.0).sub_(1.0)
        flat = unit.reshape(1, 1, 1, -1, 3)
        return F.grid_sample(self._cube, flat, mode="bilinear", align_corners=True).reshape(points.shape[:-1])
