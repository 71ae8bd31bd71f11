r"""An image between its voxels, with its slopes: what a registration asks for most often."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_PIECE = 16_384  # places at a time: what is fetched for them stays in a core's cache


class Sampler:
    r"""An image `(*grid)` of D dimensions, made ready to be asked between its voxels.

    Between `2^D` neighbours it is linear, and beyond its border it repeats. The corners of each cell are kept together,
    and value and slopes come from one visit to them; torch's `grid_sample` fetches every corner by itself, and again
    for the gradient.
    """

    def __init__(self, image: Tensor) -> None:
        self.sizes = tuple(image.shape)
        offsets = itertools.product((0, 1), repeat=image.ndim)
        corners = [
            image[tuple(slice(first, first + n - 1) for first, n in zip(offset, self.sizes, strict=True))]
            for offset in offsets
        ]
        self._cells = torch.stack(corners).reshape(len(corners), -1)

    def __call__(self, places: Tensor) -> Tensor:
        r"""The image at `places` `(D, *shape)` counted in its voxels, `(*shape)`; differentiable in them, once."""
        sampled: Tensor = _Sample.apply(self._cells, self.sizes, places)
        return sampled


class _Sample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cells: Tensor, sizes: Sequence[int], places: Tensor) -> Tensor:
        found = places.new_empty((1 + len(places), places[0].numel()))
        for piece, there in zip(found.split(_PIECE, 1), places.flatten(1).split(_PIECE, 1), strict=True):
            _look_up(cells, sizes, there, piece)
        found = found.reshape(1 + len(places), *places.shape[1:])
        ctx.save_for_backward(found[1:])
        return found[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor]:
        (slopes,) = ctx.saved_tensors
        return None, None, gradients[0] * slopes


def _look_up(cells: Tensor, sizes: Sequence[int], places: Tensor, found: Tensor) -> None:
    # Value and slope along each axis at places `(D, P)`, into `found` `(1 + D, P)`.
    last = places.new_tensor(sizes)[:, None] - 1.0
    inside = places.clamp_min(0.0).minimum(last)
    first = inside.floor().minimum(last - 1.0)
    steps = [math.prod(n - 1 for n in sizes[axis + 1 :]) for axis in range(len(sizes))]
    cell = (first.int() * first.new_tensor(steps, dtype=torch.int32)[:, None]).sum(0, dtype=torch.int32)
    fields = cells.index_select(1, cell)[None]  # the value at every corner
    for share in (inside - first).flip(0):
        near, far = fields[:, 0::2], fields[:, 1::2]  # along the last axis that is left
        fields = torch.cat((torch.lerp(near, far, share), far[:1] - near[:1]))
    found[0] = fields[0, 0]
    torch.mul(fields[1:, 0].flip(0), inside == places, out=found[1:])
