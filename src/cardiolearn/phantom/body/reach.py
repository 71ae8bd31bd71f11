r"""Where the heart is at all: a coarse lattice of distances that spares looking for it where it cannot be."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.phantom.body.anatomy import Anatomy

_STEP = 10.0  # mm between the lattice's nodes
_SLACK = 0.5 * math.sqrt(3.0) * _STEP  # mm that a place within a cell may be nearer than all corners of the cell
_MARGIN = 45.0  # mm that atria, vessels and their surroundings reach beyond the length of the ventricle


class Reach:
    r"""Which points may lie within so many mm of a heart, one lattice for each activation that is asked for."""

    def __init__(self, anatomy: Anatomy, device: torch.device) -> None:
        self._anatomy = anatomy
        length = anatomy.heart.length
        half = math.ceil((length + _MARGIN) / _STEP)
        self._count = 2 * half + 1
        self._low = torch.tensor([0.0, 0.0, 0.25 * length], device=device) - half * _STEP
        self._cells: dict[float, Tensor] = {}

    def within(self, local: Tensor, a: float, distance: float) -> Tensor:
        r"""Indices of the points of `local` `(N, 3)` (heart frame, mm) that may lie within `distance` mm of the heart
        (of `HeartMap.outside`) at activation `a`; all that do are among them."""
        if a not in self._cells:
            self._cells[a] = self._nearest(a)
        cells = self._count - 1
        place = ((local - self._low) / _STEP).floor()
        inside = (place >= 0.0).all(-1) & (place < cells).all(-1)
        x, y, z = place.clamp_(0.0, cells - 1.0).int().unbind(-1)
        near = self._cells[a].take(((z * cells + y) * cells + x).long()) < distance
        return (near & inside).nonzero()[:, 0]

    def _nearest(self, a: float) -> Tensor:
        # How near (mm) to the heart each cell comes at least: less than the nearest of its eight corners, by a slack.
        steps = torch.arange(self._count, device=self._low.device) * _STEP
        nodes = torch.cartesian_prod(steps, steps, steps).flip(-1) + self._low
        ball = ((nodes - self._low - 0.5 * steps[-1]).norm(dim=-1) < 0.5 * steps[-1] + _STEP).nonzero()[:, 0]
        outside = torch.full_like(nodes[:, 0], 1e3)
        outside.index_copy_(0, ball, self._anatomy.at(nodes.index_select(0, ball), a).outside)
        corners = outside.reshape(1, 1, self._count, self._count, self._count)
        return -F.max_pool3d(-corners, 2, 1)[0, 0] - _SLACK
