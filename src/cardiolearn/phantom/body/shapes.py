r"""Signed distances to simple solids: what chambers, vessels and organs are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor


def ellipsoid(points: Tensor, centre: Sequence[float], radii: Sequence[float]) -> Tensor:
    r"""Rough signed distance (mm) of `points` `(..., 3)`: exact on the surface, right in sign everywhere."""
    x, y, z = ((axis - c) / r for axis, c, r in zip(points.unbind(-1), centre, radii, strict=True))
    return ((x * x + y * y + z * z).sqrt() - 1.0) * min(radii)


def tube(points: Tensor, path: Sequence[tuple[float, float, float]], radii: Sequence[float]) -> Tensor:
    r"""Signed distance (mm) to a tube along straight pieces of `path`, with a radius at each of its corners."""
    px, py, pz = (axis.contiguous() for axis in points.unbind(-1))  # one axis at a time: long rows are quick
    best = torch.full_like(px, math.inf)
    for (start, r0), (end, r1) in pairwise(zip(path, radii, strict=True)):
        ax, ay, az = (b - a for a, b in zip(start, end, strict=True))
        x, y, z = px - start[0], py - start[1], pz - start[2]
        t = ((x * ax + y * ay + z * az) / (ax * ax + ay * ay + az * az)).clamp_(0.0, 1.0)
        x, y, z = x - t * ax, y - t * ay, z - t * az
        best = torch.minimum(best, (x * x + y * y + z * z).sqrt_() - (r0 + t * (r1 - r0)))
    return best
