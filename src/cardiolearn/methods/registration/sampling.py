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
        self._cells = torch.stack(corners, -1).reshape(-1, len(corners))

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
    cell, shares, dims = 0, [], len(sizes)
    for axis, (place, n) in enumerate(zip(places, sizes, strict=True)):
        inside = place.clamp(0, n - 1)
        first = inside.floor().clamp_(max=n - 2)
        shares.append(inside - first)
        cell = cell + first.int() * math.prod(m - 1 for m in sizes[axis + 1 :])
    fields = cells.index_select(0, cell).T.contiguous()[None]  # the value at every corner
    for axis in reversed(range(dims)):
        near, far = fields[:, 0::2], fields[:, 1::2]
        fields = torch.cat((torch.lerp(near, far, shares[axis]), far[:1] - near[:1]))
    found[0] = fields[0, 0]
    for axis, (place, n) in enumerate(zip(places, sizes, strict=True)):
        torch.mul(fields[dims - axis, 0], (place >= 0) & (place <= n - 1), out=found[1 + axis])
