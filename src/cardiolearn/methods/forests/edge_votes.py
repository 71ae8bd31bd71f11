r"""Votes for an edge map: each place adds the borders of the label patch that its tree predicts there.

A leaf's patch is a memory of some other heart. So before it votes, its borders are moved to where the picture at hand
shows them.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cardiolearn.methods.forests.channels import SHRINK
from cardiolearn.methods.forests.training_patches import borders

_AT_ONCE = 4_000_000  # voxels of patches that are looked at in one piece


def sharpened(patches: Tensor, values: Tensor) -> Tensor:
    r"""Label patches `(n, width, ...)` fitted to the grey `values` `(n, width, ...)` at their places.

    A voxel within two of a border joins the label whose mean grey value over the patch is nearest to its own; of
    equally near ones the lowest.

    Source: Dollár, Zitnick, PAMI 2015, "sharpening" (deviation: one round for all voxels near a border, where theirs
    takes a round for each voxel of distance; means of the patch before it is sharpened).
    """
    near = borders(patches, first=1)
    for axis in range(1, patches.ndim):
        near = _widened(near, axis)
    flat, seen = patches.flatten(1), values.flatten(1)
    best, label = torch.full_like(seen, float("inf")), flat.clone()
    for name in range(int(flat.max()) + 1):
        inside = (flat == name).to(seen.dtype)
        many = inside.sum(1, keepdim=True)
        away = (seen - (seen * inside).sum(1, keepdim=True) / many.clamp_min(1.0)).abs()
        nearer = (away < best) & (many > 0)
        best, label = torch.where(nearer, away, best), torch.where(nearer, name, label)
    return torch.where(near, label.reshape(patches.shape), patches)


def _widened(mask: Tensor, axis: int) -> Tensor:
    # By a voxel at either side along an axis; ten times as fast as the largest of three.
    wide, size = mask.clone(), mask.shape[axis] - 1
    wide.narrow(axis, 0, size).logical_or_(mask.narrow(axis, 1, size))
    wide.narrow(axis, 1, size).logical_or_(mask.narrow(axis, 0, size))
    return wide


class Votes:
    r"""What was voted for at each voxel of a picture `([Z,] Y, X)`, on its device; beyond its edges votes are lost.

    Args:
        patches: the label patch `(leaves, width, ...)` (uint8) of each leaf.
    """

    def __init__(self, picture: Tensor, patches: NDArray[np.uint8]) -> None:
        device, width = picture.device, patches.shape[1]
        self.shape, self.width, self.room, self.asked = picture.shape, width, width // 2, 0
        self.patches = torch.from_numpy(patches).to(device)
        flat = self.patches.flatten(1)
        self.holds_border = (flat != flat[:, :1]).any(1)
        margins = [(self.room, self.room + size % SHRINK) for size in reversed(self.shape)]
        padded = F.pad(picture.float(), [step for pair in margins for step in pair])
        self.padded, self.grey = padded.shape, padded.flatten()
        self.strides = torch.tensor(padded.stride(), device=device)
        inside = torch.tensor(list(product(range(width), repeat=picture.ndim)), device=device)
        self.steps = (inside * self.strides).sum(1)
        self.count = torch.zeros_like(self.grey)

    def cast(self, places: Tensor, leaves: Tensor) -> None:
        r"""Add the votes of `places` `(n, axes)`, in voxels of the channels, which ended at `leaves` `(n,)`; every
        place of the picture is expected once."""
        self.asked += 1
        voting = self.holds_border[leaves]
        if not voting.any():
            return
        corners = (places[voting] * SHRINK * self.strides).sum(1)
        chosen, once = leaves[voting], max(1, _AT_ONCE // len(self.steps))
        for corner, leaf in zip(corners.split(once), chosen.split(once), strict=True):
            at = corner[:, None] + self.steps
            patches = self.patches[leaf]
            fitted = sharpened(patches, self.grey[at].reshape(patches.shape))
            voted = at[borders(fitted, first=1).flatten(1)]
            self.count.index_add_(0, voted, torch.ones_like(self.grey[:1]).expand(len(voted)))

    def shares(self) -> Tensor:
        r"""The votes at each voxel as a share of those that could have been cast there, away from the edges."""
        inside = self.count.reshape(self.padded)[tuple(slice(self.room, self.room + size) for size in self.shape)]
        return inside / (self.asked * (self.width / SHRINK) ** len(self.shape))
