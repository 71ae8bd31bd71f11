r"""What the network finds in a window around a scan's heart, frame by frame, and the way back to the scan's slices.

All work is done in the window and in the box of the scan that it reaches: elsewhere there is no heart to be found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn

from cardiolearn.imaging.image import Image
from cardiolearn.imaging.intensity import to_unit_range
from cardiolearn.imaging.slices import PIXEL, Stack, stack, unwindow, window
from cardiolearn.methods.segmentation.heart_place import (
    ViewPlan,
    find_heart,
    probabilities,
    telling_frames,
)

MANY_SLICES = 64  # a longer scan is seen from fewer sides

#: Quarter turns and mirror images a window is seen from.
_SIDES = tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4))


def _turned(images: Tensor, turns: int, mirrored: bool) -> Tensor:
    return (images.flip(-1) if mirrored else images).rot90(turns, (-2, -1))


def _turned_back(images: Tensor, turns: int, mirrored: bool) -> Tensor:
    turned = images.rot90(-turns, (-2, -1))
    return turned.flip(-1) if mirrored else turned


def _seen_from(images: Tensor, network: nn.Module, turns: int, mirrored: bool) -> Tensor:
    return _turned_back(probabilities(network, _turned(images, turns, mirrored)), turns, mirrored)


def likeliest(values: Tensor) -> Tensor:
    r"""The class (uint8) of the largest of values `(N, C, ...)`, the first of equal ones: ten times `argmax`'s pace."""
    largest, label = values[:, 0], torch.zeros_like(values[:, 0], dtype=torch.uint8)
    for c in range(1, values.shape[1]):
        label.masked_fill_(values[:, c] > largest, c)
        largest = torch.maximum(largest, values[:, c])
    return label


@dataclass(frozen=True)
class HeartWindow:
    r"""The window around a scan's heart `(T * Z, 1, Y, X)`, and the ways back. Of the scan only a frame at a time is
    brought into the network's order: a cine may be large."""

    pictures: Stack  # of any frame: all are alike but for their grey values
    window: Tensor
    centre: tuple[float, float]
    zoom: float

    @classmethod
    def of(cls, image: Image, network: nn.Module, plan: ViewPlan) -> HeartWindow | None:
        r"""None where no heart is found."""
        place = find_heart(network, stack(telling_frames(image)), plan)
        if place is None:
            return None
        frames = (stack(image.frame(t)) for t in range(image.n_frames))
        parts = [window(f.data[0].float(), f.pixel, place.centre, (place.size, place.size), place.zoom) for f in frames]
        return cls(stack(image.frame(0)), to_unit_range(torch.cat(parts)), place.centre, place.zoom)

    def frame(self, t: int, network: nn.Module) -> Tensor:
        r"""Of each class in frame `t` the probability `(Z, C, h, w)` in the scan's pixels, in the `box`."""
        n_slices = self.pictures.data.shape[1]
        sides = _SIDES if len(self.window) <= MANY_SLICES else _SIDES[::5]
        part = self.window[t * n_slices : (t + 1) * n_slices]
        mean = reduce(torch.add, (_seen_from(part, network, *side) for side in sides)) / len(sides)
        rows, columns = self.box
        within = (self.centre[0] - rows.start, self.centre[1] - columns.start)
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        return unwindow(mean, self.pictures.pixel, within, shape, self.zoom)

    @property
    def box(self) -> tuple[slice, slice]:
        r"""Rows and columns of the slices, in the network's order, that the window reaches; background elsewhere."""
        box = []
        sizes = zip(self.window.shape[-2:], self.pictures.data.shape[-2:], strict=True)
        for (seen, size), pixel, centre in zip(sizes, self.pictures.pixel, self.centre, strict=True):
            reach = (seen + 1) / 2 * PIXEL * self.zoom / pixel  # half a pixel beyond its edge the window fades to zero
            first = min(max(0, math.floor(centre - reach)), size - 1)
            box.append(slice(first, min(size, max(first, math.ceil(centre + reach)) + 1)))
        return box[0], box[1]

    def restore(self, values: Tensor) -> Tensor:
        r"""Values `(Z, h, w)` of the `box` in one frame of the scan's own grid; zero elsewhere."""
        whole = values.new_zeros(self.pictures.data.shape[1:])
        whole[:, *self.box] = values
        return self.pictures.restore(whole[None])
