r"""Votes for an edge map: each place adds the borders of the label patch that its tree predicts there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cardiolearn.methods.forests.channels import SHRINK
from cardiolearn.methods.forests.training_patches import borders


class LeafBorders(NamedTuple):
    r"""The border voxels of each leaf's patch, leaf after leaf: `first` `(leaves + 1,)` says where those of a leaf
    begin in `offsets` `(borders, axes)`, which count from the middle of a patch of `width` voxels."""

    first: NDArray[np.int64]
    offsets: NDArray[np.int64]
    width: int


def leaf_borders(patches: NDArray[np.uint8]) -> LeafBorders:
    r"""Where the borders lie in label patches `(leaves, width, ...)`."""
    width = patches.shape[1]
    found = torch.stack([borders(patch) for patch in torch.from_numpy(patches)])
    many = found.flatten(1).sum(1).numpy()
    return LeafBorders(np.concatenate([[0], many.cumsum()]), found.nonzero()[:, 1:].numpy() - width // 2, width)


class Votes:
    r"""What was voted for at each voxel of a picture `([Z,] Y, X)`, on its device; beyond its edges votes are lost."""

    def __init__(self, picture: Tensor, leaves: LeafBorders) -> None:
        self.device, self.shape, self.width = picture.device, picture.shape, leaves.width
        self.room = leaves.width // 2
        padded = [size + size % SHRINK + 2 * self.room for size in picture.shape]
        strides = np.cumprod([1, *padded[:0:-1]])[::-1].copy()
        self.strides = torch.from_numpy(strides).to(self.device)
        self.padded, self.asked = padded, 0
        self.count = torch.zeros(int(np.prod(padded)), device=self.device)
        self.first = torch.from_numpy(leaves.first).to(self.device)
        self.steps = (torch.from_numpy(leaves.offsets).to(self.device) * self.strides).sum(1)

    def cast(self, places: Tensor, leaves: Tensor) -> None:
        r"""Add the votes of `places` `(n, axes)`, in voxels of the channels, which ended at `leaves` `(n,)`; every
        place of the picture is expected once."""
        many = self.first[leaves + 1] - self.first[leaves]
        middle = ((places * SHRINK + self.room) * self.strides).sum(1)
        voter = torch.repeat_interleave(many)
        turn = torch.arange(len(voter), device=self.device) - (many.cumsum(0) - many)[voter]
        at = middle[voter] + self.steps[self.first[leaves][voter] + turn]
        self.count.index_add_(0, at, torch.ones(1, device=self.device).expand(len(at)))
        self.asked += 1

    def shares(self) -> Tensor:
        r"""The votes at each voxel as a share of those that could have been cast there, away from the edges."""
        inside = self.count.reshape(self.padded)[tuple(slice(self.room, self.room + size) for size in self.shape)]
        return inside / (self.asked * (self.width / SHRINK) ** len(self.shape))
