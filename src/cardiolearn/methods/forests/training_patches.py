r"""What trees learn from: places near a border and places away from any, what is seen there, and the true labels."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cardiolearn.methods.forests.channels import SHRINK


class Places(NamedTuple):
    r"""Places `(n, axes)` in voxels of the channels, and whether a border runs through the label patch there `(n,)`."""

    at: Tensor
    positive: Tensor


def borders(labels: Tensor) -> Tensor:
    r"""Where a voxel of `([Z,] Y, X)` or of patches `(n, ...)` has another label than its next one along an axis.

    The axes that are compared are the last three, or the last two of `(Y, X)`.
    """
    found = torch.zeros_like(labels, dtype=torch.bool)
    for axis in range(labels.ndim):
        size = labels.shape[axis] - 1
        differs = labels.narrow(axis, 0, size) != labels.narrow(axis, 1, size)
        found.narrow(axis, 0, size).logical_or_(differs)
    return found


def sample_places(labels: Tensor, each: int, width: int, generator: torch.Generator) -> Places:
    r"""At most `each` places whose label patch of `width` voxels holds a border, and as many that do not, of labels
    `([Z,] Y, X)`."""
    near = F.max_pool3d if labels.ndim == 3 else F.max_pool2d
    reach = near(borders(labels)[None, None].float(), width + 1, 1, width // 2)[0, 0] > 0
    coarse = reach[tuple(slice(None, None, SHRINK) for _ in range(labels.ndim))]
    found = []
    for kind in (coarse, ~coarse):
        there = kind.nonzero()
        found.append(there[torch.randperm(len(there), generator=generator)[:each]])
    positive = torch.arange(sum(map(len, found))) < len(found[0])
    return Places(torch.cat(found), positive)


def label_patches(labels: Tensor, places: Tensor, width: int) -> NDArray[np.uint8]:
    r"""The label patches `(n, width, ...)` around places `(n, axes)`; outside the volume labels are 0."""
    half = width // 2
    padded = F.pad(labels, (half,) * (2 * labels.ndim))
    steps = torch.tensor(list(product(range(width), repeat=labels.ndim)))
    at = places[:, None] * SHRINK + steps
    patches = padded[tuple(at.unbind(-1))]
    return patches.reshape(len(places), *(width,) * labels.ndim).numpy()
