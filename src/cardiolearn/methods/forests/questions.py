r"""What a node may ask of the patch around a place: a channel's value at an offset, or the difference of two values."""

from __future__ import annotations

from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.methods.forests.channels import CHANNELS, Channels

CELLS = 4  # along each axis, of which a question compares two


class Questions(NamedTuple):
    r"""`(q,)` questions: the number of a `channel` (those that are compared come after those that are looked at), and
    the offsets `first` and `second` `(q, axes)` in voxels of the channels. A value that is looked at has `single` 1, of
    a comparison it is 0."""

    channel: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    single: NDArray[np.int64]

    def some(self, chosen: NDArray[np.integer]) -> Questions:
        r"""Those with these numbers."""
        return Questions(*(part[chosen] for part in self))


def every_question(width: int, axes: int) -> Questions:
    r"""All questions about a patch of `width` voxels of the channels along each of `axes` axes.

    Source: Dollár, Zitnick, ICCV 2013; 4 cells along each axis as in Oktay et al., MICCAI 2015.

    >>> len(every_question(12, 3).channel)  # 12^3 values and 64 * 63 / 2 pairs, of three channels
    11232
    """
    low = -(width // 2)
    places = np.array(list(product(range(low, low + width), repeat=axes)))
    middles = [low + int((cell + 0.5) * width / CELLS) for cell in range(CELLS)]
    pairs = np.array(list(combinations(product(middles, repeat=axes), 2)))
    looks, compares = len(places), len(pairs)
    first = np.concatenate([np.tile(places, (CHANNELS, 1)), np.tile(pairs[:, 0], (CHANNELS, 1))])
    second = np.concatenate([np.tile(places, (CHANNELS, 1)), np.tile(pairs[:, 1], (CHANNELS, 1))])
    channel = np.concatenate(
        [np.repeat(np.arange(CHANNELS), looks), CHANNELS + np.repeat(np.arange(CHANNELS), compares)]
    )
    single = np.repeat([1, 0], [CHANNELS * looks, CHANNELS * compares])
    return Questions(channel, first, second, single)


class Answers:
    r"""The channels of a picture as one row of numbers, in which every question is a step from a place.

    Args:
        found: the picture's channels, on any device.
        width: of the patches; what lies outside the picture is as its edge.
    """

    def __init__(self, found: Channels, width: int) -> None:
        self.shape = tuple(found.looked_at.shape[1:])
        self.room = (width + 1) // 2
        every = torch.cat(tuple(found))[None]
        padded = F.pad(every, (self.room,) * (2 * len(self.shape)), mode="replicate")[0]
        strides = [1]
        for size in reversed(padded.shape[1:]):
            strides.insert(0, strides[0] * size)
        self.strides = torch.tensor(strides[1:], device=padded.device)
        self.channel_stride = strides[0]
        self.flat = padded.flatten()

    def at(self, places: Tensor) -> Tensor:
        r"""Where places `(n, axes)`, in voxels of the channels, lie in the row, `(n,)`."""
        return ((places + self.room) * self.strides).sum(1)

    def steps(self, questions: Questions) -> tuple[Tensor, Tensor, Tensor]:
        r"""Of each question the two steps from a place in the row, and by how much the second value counts.

        Raises:
            InputError: questions about patches with more or fewer axes than the picture.
        """
        axes = questions.first.shape[1]
        if axes != len(self.shape):
            raise InputError(f"picture: expected {axes} axes, as the forest learnt from, got {len(self.shape)}")
        device = self.flat.device
        channel = torch.from_numpy(questions.channel).to(device) * self.channel_stride
        first, second = (
            channel + (torch.from_numpy(offsets).to(device) * self.strides).sum(1)
            for offsets in (questions.first, questions.second)
        )
        return first, second, 1.0 - torch.from_numpy(questions.single).to(device).float()

    def to(self, questions: Questions, places: Tensor) -> Tensor:
        r"""The answers `(q, n)` to questions at places `(n, axes)`."""
        first, second, counts = self.steps(questions)
        at = self.at(places)
        return self.flat[at + first[:, None]] - counts[:, None] * self.flat[at + second[:, None]]
