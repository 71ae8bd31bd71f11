r"""What a forest sees of a picture: its intensity and its gradient's size, at half of its resolution.

Pictures are slices `(Y, X)` or volumes `(Z, Y, X)`; everything here works along as many axes as there are.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.errors import InputError

SHRINK = 2  # voxels of the picture to one of a channel
CHANNELS = 3  # intensity, gradient at full and at half resolution
_GRADIENT_SMOOTH, _LOOKED_AT, _COMPARED, _AROUND = 2, 2, 4, 4  # radii of the smoothing, voxels
_LITTLE = 0.05  # that is added to the mean gradient around, so that noise in flat parts stays small


class Channels(NamedTuple):
    r"""Channels `(CHANNELS, [Z / 2,] Y / 2, X / 2)`: those whose values are `looked_at`, and smoother ones, of which
    two places are `compared`."""

    looked_at: Tensor
    compared: Tensor


def channels(picture: Tensor) -> Channels:
    r"""The channels of a picture `([Z,] Y, X)` in [0, 1], on its device; sizes are halved and rounded up.

    Source: Oktay et al., MICCAI 2015, three channels without orientations (deviation: gradients are central
    differences).

    Raises:
        InputError: neither two nor three axes, an axis below 4 voxels, or a number that is none.
    """
    if picture.ndim not in (2, 3) or min(picture.shape) < 2 * SHRINK:
        raise InputError(
            f"picture: expected ([Z,] Y, X) of {2 * SHRINK} voxels at least, got shape {tuple(picture.shape)}"
        )
    if not picture.isfinite().all():
        raise InputError("picture: expected finite numbers, got others")
    picture = picture.float()
    half = halved(picture)
    fine = gradient_size(smooth(picture, _GRADIENT_SMOOTH))
    coarse = gradient_size(smooth(half, _GRADIENT_SMOOTH))
    stack = torch.stack((half, halved(fine), coarse))
    return Channels(*(torch.stack([smooth(one, radius) for one in stack]) for radius in (_LOOKED_AT, _COMPARED)))


def smooth(picture: Tensor, radius: int) -> Tensor:
    r"""A picture smoothed along each axis by a triangle of this radius (voxels); what lies outside is as the edge."""
    weights = (radius + 1 - torch.arange(-radius, radius + 1, device=picture.device).abs()).float()
    kernel = (weights / weights.sum())[None, None]
    for axis in range(picture.ndim):
        lines = picture.movedim(axis, -1)
        flat = F.pad(lines.reshape(-1, 1, lines.shape[-1]), (radius, radius), mode="replicate")
        picture = F.conv1d(flat, kernel).reshape(lines.shape).movedim(-1, axis)
    return picture


def halved(picture: Tensor) -> Tensor:
    r"""Means of two voxels along each axis; of an odd size the last voxel stands for itself."""
    for axis in range(picture.ndim):
        lines = picture.movedim(axis, -1)
        if lines.shape[-1] % SHRINK:
            lines = torch.cat((lines, lines[..., -1:]), -1)
        picture = lines.unflatten(-1, (-1, SHRINK)).mean(-1).movedim(-1, axis)
    return picture


def gradient_size(picture: Tensor) -> Tensor:
    r"""The size of the gradient, divided by its mean around each voxel and a little."""
    slopes = torch.gradient(picture)
    size = torch.stack(list(slopes)).square().sum(0).sqrt()
    return size / (smooth(size, _AROUND) + _LITTLE)
