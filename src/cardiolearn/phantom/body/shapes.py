r"""Signed distances to simple solids: what chambers, vessels and organs are made of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor


def ellipsoid(points: Tensor, centre: Sequence[float], radii: Sequence[float]) -> Tensor:
    r"""Rough signed distance (mm) of `points` `(..., 3)`: exact on the surface, right in sign everywhere."""
    q = ((points - points.new_tensor(centre)) / points.new_tensor(radii)).norm(dim=-1)
    return (q - 1.0) * min(radii)


def tube(points: Tensor, path: Sequence[tuple[float, float, float]], radii: Sequence[float]) -> Tensor:
    r"""Signed distance (mm) to a tube along straight pieces of `path`, with a radius at each of its corners."""
    pieces = []
    for (start, r0), (end, r1) in pairwise(zip(path, radii, strict=True)):
        first = points.new_tensor(start)
        along = points.new_tensor(end) - first
        from_first = points - first
        t = (from_first @ along / along.dot(along)).clamp_(0.0, 1.0)
        away = (from_first - t[..., None] * along).square().sum(-1).sqrt()
        pieces.append(away - (r0 + t * (r1 - r0)))
    return torch.stack(pieces).amin(0)
