r"""What trees learn from: places near a border and places away from any, what is seen there, and the true labels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cardiolearn.methods.forests.channels import SHRINK, channels
from cardiolearn.methods.forests.questions import Answers, Questions, every_question


@dataclass(frozen=True)
class PatchSettings:
    r"""What a tree is shown: `patch` and `label` are the widths, in voxels of the picture, of what it sees and of what
    it predicts; it learns from `each` places near borders and as many elsewhere in each of `scans` scans, and knows a
    `share` of all questions."""

    patch: int = 24
    label: int = 12
    each: int = 500
    scans: int = 40
    share: float = 0.125


class Places(NamedTuple):
    r"""Places `(n, axes)` in voxels of the channels, and whether a border runs through the label patch there `(n,)`."""

    at: Tensor
    positive: Tensor


def borders(labels: Tensor, first: int = 0) -> Tensor:
    r"""Which voxels of `([Z,] Y, X)` have another label than one of their neighbours along an axis: those on either
    side of a border, so that it is not moved to one of them.

    Args:
        first: of the axes along which neighbours are looked at: 1 for patches `(n, [Z,] Y, X)`.
    """
    found = torch.zeros_like(labels, dtype=torch.bool)
    for axis in range(first, labels.ndim):
        size = labels.shape[axis] - 1
        differs = labels.narrow(axis, 0, size) != labels.narrow(axis, 1, size)
        for side in (0, 1):
            found.narrow(axis, side, size).logical_or_(differs)
    return found


def sample_places(labels: Tensor, each: int, width: int, generator: torch.Generator) -> Places:
    r"""At most `each` places whose label patch of `width` voxels holds a border, and as many that do not, of labels
    `([Z,] Y, X)`."""
    reach = borders(labels).float()
    for axis in range(labels.ndim):  # one axis after the other: a cube of voxels at once takes ten times as long
        lines = reach.movedim(axis, -1)
        widest = F.max_pool1d(lines.reshape(-1, 1, lines.shape[-1]), width + 1, 1, width // 2)
        reach = widest.reshape(lines.shape).movedim(-1, axis)
    coarse = reach[tuple(slice(None, None, SHRINK) for _ in range(labels.ndim))] > 0
    found = []
    for kind in (coarse, ~coarse):
        there = kind.nonzero()
        found.append(there[torch.randperm(len(there), generator=generator)[:each]])
    positive = torch.arange(sum(map(len, found))) < len(found[0])
    return Places(torch.cat(found), positive)


class Labelled(NamedTuple):
    r"""Scans of one shape: `pictures` `(N, [Z,] Y, X)` in [0, 1] and their `labels` (uint8) of the same shape."""

    pictures: Tensor
    labels: Tensor


class Samples(NamedTuple):
    r"""What a tree learns from: the answers to its `questions` as `features` `(q, n)`, and the label patches `patches`
    `(n, width, ...)` of the same places."""

    questions: Questions
    features: NDArray[np.float32]
    patches: NDArray[np.uint8]

    def middle_borders(self) -> NDArray[np.int64]:
        r"""Whether a border runs through the voxels of each place itself, `(n,)` of 0 and 1."""
        width = self.patches.shape[1]
        # A border to a voxel just outside counts as well.
        around = slice(width // 2 - 1, width // 2 + SHRINK + 1)
        middle = torch.from_numpy(self.patches[(slice(None), *(around,) * (self.patches.ndim - 1))].copy())
        inner = (slice(None), *(slice(1, 1 + SHRINK),) * (middle.ndim - 1))
        return borders(middle, first=1)[inner].flatten(1).any(1).long().numpy()


def sample(scans: Labelled, settings: PatchSettings, generator: np.random.Generator) -> Samples:
    r"""What a tree is shown of some of the `scans`: a share of all questions, asked at places near borders and at as
    many elsewhere."""
    axes, width = scans.labels.ndim - 1, settings.patch // SHRINK
    questions = every_question(width, axes)
    count = len(questions.channel)
    questions = questions.some(np.sort(generator.permutation(count)[: round(settings.share * count)]))
    torches = torch.Generator().manual_seed(int(generator.integers(2**62)))
    seen, patches = [], []
    for number in np.sort(generator.permutation(len(scans.pictures))[: settings.scans]):
        places, _ = sample_places(scans.labels[number], settings.each, settings.label, torches)
        seen.append(Answers(channels(scans.pictures[number].float()), width).to(questions, places))
        patches.append(label_patches(scans.labels[number], places, settings.label))
    return Samples(questions, torch.cat(seen, 1).numpy(), np.concatenate(patches))


def label_patches(labels: Tensor, places: Tensor, width: int) -> NDArray[np.uint8]:
    r"""The label patches `(n, width, ...)` around places `(n, axes)`; outside the volume labels are 0."""
    half = width // 2
    padded = F.pad(labels, (half,) * (2 * labels.ndim))
    steps = torch.tensor(list(product(range(width), repeat=labels.ndim)))
    at = places[:, None] * SHRINK + steps
    patches = padded[tuple(at.unbind(-1))]
    return patches.reshape(len(places), *(width,) * labels.ndim).numpy()
