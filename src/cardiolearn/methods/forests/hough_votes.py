r"""Votes for landmarks: each place adds, where its leaf expects a landmark, how likely it is to lie on a border."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.methods.forests.channels import SHRINK, smooth

_SMOOTHING = 2  # radius of the triangle, voxels


class HoughVotes:
    r"""What was voted for as the place of each of L landmarks in a picture, on the edge map's device.

    Args:
        edges: how likely a border runs through each voxel `(Z, Y, X)`: how much a place's votes count.
        offsets: from a place to each landmark, by leaf, `(leaves, L, 3)` voxels (z, y, x).
        voting: whether a leaf votes for each landmark, `(leaves, L)`.

    Source: Oktay et al., IEEE TMI 2017.
    """

    def __init__(self, edges: Tensor, offsets: Tensor, voting: Tensor) -> None:
        if edges.ndim != 3:
            raise InputError(f"edges: expected a map (Z, Y, X), got shape {tuple(edges.shape)}")
        self.edges, self.offsets, self.voting = edges, offsets.to(edges.device), voting.to(edges.device)
        self.count = torch.zeros((offsets.shape[1], edges.numel()), device=edges.device)

    def cast(self, places: Tensor, leaves: Tensor) -> None:
        r"""Add the votes of `places` `(n, 3)`, in voxels of the channels, that ended at `leaves` `(n,)`. A vote is
        shared by the eight voxels around it; what falls outside of the picture is lost."""
        middle = places * SHRINK
        weight = self.edges[tuple(middle.unbind(1))]
        voter, landmark = (self.voting[leaves] & (weight > 0)[:, None]).nonzero(as_tuple=True)
        aims = middle[voter] + self.offsets[leaves[voter], landmark]
        at, share = trilinear(aims, self.edges.shape)
        flat = (landmark[:, None] * self.edges.numel() + at)[share > 0]
        self.count.view(-1).index_add_(0, flat, (share * weight[voter, None])[share > 0])

    def maps(self) -> Tensor:
        r"""The votes so far, smoothed, `(L, Z, Y, X)`."""
        return torch.stack([smooth(one.reshape(self.edges.shape), _SMOOTHING) for one in self.count])


def trilinear(points: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    r"""The eight voxels around each of `points` `(n, 3)`, counted through `(Z, Y, X)`, and the share of the point that
    each of them takes: `(n, 8)` both. Voxels outside are given as voxel 0, with the share 0."""
    low = points.floor()
    corners = torch.tensor(list(product((0, 1), repeat=3)), device=points.device)
    voxels = low.long()[:, None] + corners
    near = torch.where(corners == 1, (points - low)[:, None], 1.0 - (points - low)[:, None])
    sizes = torch.tensor(shape, device=points.device)
    inside = ((voxels >= 0) & (voxels < sizes)).all(-1)
    at = (voxels * sizes.new_tensor([shape[1] * shape[2], shape[2], 1])).sum(-1)
    return torch.where(inside, at, 0), torch.where(inside, near.prod(-1), 0.0)


def peaks(maps: Tensor) -> Tensor:
    r"""The voxel (z, y, x) of the most votes in each of `maps` `(L, Z, Y, X)`, as `(L, 3)`.

    Raises:
        InputError: no votes for a landmark.
    """
    flat = maps.flatten(1)
    without = (flat.amax(1) <= 0).nonzero().flatten().tolist()
    if without:
        raise InputError(f"picture: expected votes for each of {len(maps)} landmarks, got none for {without}")
    return torch.stack(torch.unravel_index(flat.argmax(1), maps.shape[1:]), 1).float()
