r"""Segmenting a whole scan: find the heart anywhere in the picture, then outline it in a window around it.

The network sees one slice at a time, `PIXEL` mm a pixel. Whole slices tell where the heart is (`heart_place.py`); what
is found in a window around it is averaged over mirror images and quarter turns where the scan is short enough. The
labels return to the scan's own grid.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image, box_around
from cardiolearn.imaging.intensity import to_unit_range
from cardiolearn.imaging.slices import Stack, stack, unwindow, window
from cardiolearn.imaging.structures import LEFT_ATRIUM, LV_CAVITY, PHASES, RIGHT_ATRIUM, RV_CAVITY
from cardiolearn.imaging.study import Study
from cardiolearn.methods.segmentation.heart_place import (
    SHORT_AXIS,
    WINDOW,
    ViewPlan,
    find_heart,
    plan_of,
    probabilities,
    telling_frames,
)

if TYPE_CHECKING:
    import pandas as pd

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


def _keep_the_heart(labels: np.ndarray, plan: ViewPlan) -> np.ndarray:
    # One heart: of each part the largest connected piece; islands go.
    from scipy import ndimage

    for part in plan.parts:
        pieces, n = ndimage.label(np.isin(labels, part), structure=np.ones((3, 3, 3)))
        if n > 1:
            sizes = np.bincount(pieces.ravel())[1:]
            labels = np.where((pieces > 0) & (pieces != 1 + int(np.argmax(sizes))), 0, labels)
    for z, plane in enumerate(labels):  # papillary muscles belong to the cavity, so a cavity has no holes
        for c in (RIGHT_ATRIUM, LEFT_ATRIUM, RV_CAVITY, LV_CAVITY):
            labels[z] = np.where(ndimage.binary_fill_holes(plane == c), c, labels[z])
    return labels


@dataclass(frozen=True)
class _HeartWindow:
    r"""The window around a scan's heart `(T * Z, 1, Y, X)`, and the ways back. Of the scan only a frame at a time is
    brought into the network's order: a cine may be large."""

    pictures: Stack  # of any frame: all are alike but for their grey values
    window: Tensor
    centre: tuple[float, float]
    zoom: float

    @classmethod
    def of(cls, image: Image, network: nn.Module, plan: ViewPlan) -> _HeartWindow | None:
        r"""None where no heart is found."""
        place = find_heart(network, stack(telling_frames(image)), plan)
        if place is None:
            return None
        centre, zoom = place
        frames = (stack(image.frame(t)) for t in range(image.n_frames))
        parts = [window(f.data[0].float(), f.pixel, centre, (WINDOW, WINDOW), zoom) for f in frames]
        return cls(stack(image.frame(0)), to_unit_range(torch.cat(parts)), centre, zoom)

    def probabilities(self, t: int, network: nn.Module) -> Iterator[Tensor]:
        r"""Of each class in frame `t`, slice by slice `(1, C, Y, X)` in the network's order; zero off the window."""
        _, n_slices, height, width = self.pictures.data.shape
        sides = _SIDES if len(self.window) <= MANY_SLICES else _SIDES[::5]
        part = self.window[t * n_slices : (t + 1) * n_slices]
        mean = reduce(torch.add, (_seen_from(part, network, *side) for side in sides)) / len(sides)
        for one in mean.split(1):
            yield unwindow(one, self.pictures.pixel, self.centre, (height, width), self.zoom)


@torch.no_grad()
def segment(image: Image, network: nn.Module, plan: ViewPlan = SHORT_AXIS) -> Image:
    r"""Labels (uint8) of a scan, on its own grid: 0-3 in short axis, 0-5 in long axis.

    Args:
        image: `(T, Z, Y, X)` or `(Z, Y, X)`, any axis order, any pixel size, the heart anywhere.
        network: maps `(N, 1, Y, X)` in [0, 1] to logits `(N, 4 or 6, Y, X)`; in evaluation mode.
        plan: how the scan's view is segmented.
    """
    seen = _HeartWindow.of(image, network, plan)
    if seen is None:
        return image.with_data(torch.zeros(image.data.shape, dtype=torch.uint8))
    labels = torch.zeros(image.data.shape, dtype=torch.uint8)
    for t in range(image.n_frames):
        likeliest = torch.cat([one.argmax(1).to(torch.uint8) for one in seen.probabilities(t, network)])
        labels[t if labels.ndim == 4 else ...] = seen.pictures.restore(_one_heart(likeliest, plan)[None])
    return image.with_data(labels)


@torch.no_grad()
def segment_softly(image: Image, network: nn.Module, plan: ViewPlan = SHORT_AXIS) -> tuple[Image, Tensor]:
    r"""As `segment`, and how probable the network holds each class: `(C, Z, Y, X)`, summing to 1.

    Outside the window it was shown, and where it finds no heart, background is certain.

    Raises:
        InputError: a cine; choose a frame first.
    """
    if image.n_frames != 1:
        raise InputError(f"segment_softly: expected one frame (Z, Y, X), got {tuple(image.data.shape)}")
    volume = image.frame(0)
    seen = _HeartWindow.of(volume, network, plan)
    if seen is None:
        labels = torch.zeros(volume.data.shape, dtype=torch.uint8)
        soft = torch.zeros((plan.n_classes, *volume.data.shape))
    else:
        found = torch.cat(list(seen.probabilities(0, network)))
        labels = seen.pictures.restore(_one_heart(found.argmax(1).to(torch.uint8), plan)[None])
        soft = torch.stack([seen.pictures.restore(found[None, :, c]) for c in range(plan.n_classes)])
    soft[0] += 1.0 - soft.sum(0)
    return image.with_data(labels.reshape(image.data.shape)), soft


def _one_heart(labels: Tensor, plan: ViewPlan) -> Tensor:
    r"""Labels `(Z, Y, X)` with one heart, whose cavities have no holes; changed in place, where there is a heart."""
    box = box_around(labels > 0, (0, 1, 1))
    if box is not None:
        labels[box] = torch.from_numpy(_keep_the_heart(labels[box].numpy(), plan))
    return labels


def segment_all(
    studies: Iterable[Study], network: nn.Module, view: str = "sa"
) -> tuple[dict[tuple[str, str], Image], pd.DataFrame]:
    r"""Labels of the studies' scans of a view by (subject, phase), and the `seconds` each `subject` took.

    Scans that a study lacks are passed over, and so are studies that have none of the view.
    """
    import pandas as pd
    from tqdm import tqdm

    found, seconds = {}, {}
    seen = [study for study in studies if any(study.has(view, phase) for phase in PHASES)]
    for study in tqdm(seen, desc=f"segmenting {view}", unit="subject", disable=not seen):
        scans = {phase: study.image(view, phase) for phase in PHASES if study.has(view, phase)}
        start = time.perf_counter()
        for phase, image in scans.items():
            found[study.subject, phase] = segment(image, network, plan_of(view))
        seconds[study.subject] = time.perf_counter() - start
    return found, pd.DataFrame({"subject": list(seconds), "seconds": list(seconds.values())})
