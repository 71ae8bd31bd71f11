r"""Segmenting a whole scan: find the heart anywhere in the picture, then outline it in a window around it.

The network sees one slice at a time, `PIXEL` mm a pixel. Whole slices tell where the heart is (`heart_place.py`); what
is found in a window around it is averaged over mirror images and quarter turns where the scan is short enough. The
labels return to the scan's own grid.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image, box_around
from cardiolearn.imaging.structures import LEFT_ATRIUM, LV_CAVITY, PHASES, RIGHT_ATRIUM, RV_CAVITY
from cardiolearn.imaging.study import Study
from cardiolearn.methods.segmentation.heart_place import SHORT_AXIS, ViewPlan, plan_of
from cardiolearn.methods.segmentation.heart_window import HeartWindow, likeliest

if TYPE_CHECKING:
    import pandas as pd


@torch.no_grad()
def segment(image: Image, network: nn.Module, plan: ViewPlan = SHORT_AXIS) -> Image:
    r"""Labels (uint8) of a scan, on its own grid: 0-3 in short axis, 0-5 in long axis.

    Args:
        image: `(T, Z, Y, X)` or `(Z, Y, X)`, any axis order, any pixel size, the heart anywhere.
        network: maps `(N, 1, Y, X)` in [0, 1] to logits `(N, 4 or 6, Y, X)`; in evaluation mode.
        plan: how the scan's view is segmented.
    """
    return segment_fullest(image, network, plan)[0]


@torch.no_grad()
def segment_softly(image: Image, network: nn.Module, plan: ViewPlan = SHORT_AXIS) -> tuple[Image, Tensor]:
    r"""As `segment`, and how probable the network holds each class: `(C, Z, Y, X)`, summing to 1.

    Outside the window it was shown, and where it finds no heart, background is certain.

    Raises:
        InputError: a cine; choose a frame first.
    """
    if image.n_frames != 1:
        raise InputError(f"segment_softly: expected one frame (Z, Y, X), got {tuple(image.data.shape)}")
    labels, _, soft = segment_fullest(image, network, plan)
    return labels, soft


@torch.no_grad()
def segment_fullest(image: Image, network: nn.Module, plan: ViewPlan = SHORT_AXIS) -> tuple[Image, int, Tensor]:
    r"""As `segment`, and of the frame with the largest LV cavity, the first of equal ones, its number and the
    probabilities `(C, Z, Y, X)` that its labels were made of, as `segment_softly` gives them."""
    labels = torch.zeros(image.data.shape, dtype=torch.uint8)
    soft = torch.zeros((plan.n_classes, *image.data.shape[-3:]))
    fullest, most = 0, -1
    if (seen := HeartWindow.of(image, network, plan)) is not None:
        for t in range(image.n_frames):
            found = seen.frame(t, network)
            frame = _one_heart(likeliest(found), plan)
            labels[t if labels.ndim == 4 else ...] = seen.restore(frame)
            if (size := int((frame == LV_CAVITY).sum())) > most:
                fullest, most, kept = t, size, found
        soft = torch.stack([seen.restore(values) for values in kept.unbind(1)])
    soft[0] += 1.0 - soft.sum(0)
    return image.with_data(labels), fullest, soft


def _one_heart(labels: Tensor, plan: ViewPlan) -> Tensor:
    r"""Labels `(Z, Y, X)` with one heart, whose cavities have no holes; changed in place, where there is a heart."""
    box = box_around(labels > 0, (0, 1, 1))
    if box is not None:
        labels[box] = torch.from_numpy(_keep_the_heart(labels[box].numpy(), plan))
    return labels


def _keep_the_heart(labels: np.ndarray, plan: ViewPlan) -> np.ndarray:
    # One heart: of each part the largest connected piece; islands go.
    from scipy import ndimage

    for part in plan.parts:
        pieces, n = ndimage.label(np.isin(labels, part), structure=np.ones((3, 3, 3)))
        if n > 1:
            sizes = np.bincount(pieces.ravel())[1:]
            labels = np.where((pieces > 0) & (pieces != 1 + int(np.argmax(sizes))), 0, labels)
    in_plane = ndimage.generate_binary_structure(2, 1)[None]
    for c in (RIGHT_ATRIUM, LEFT_ATRIUM, RV_CAVITY, LV_CAVITY):  # papillary muscles belong to the cavity: no holes
        cavity = labels == c
        if cavity.any():
            labels[ndimage.binary_fill_holes(cavity, in_plane)] = c
    return labels


def shipped_outliner(device: torch.device) -> Callable[[Image], Image]:
    r"""The network that comes with the kit, as a function from a short-axis scan to its labels (`segment`)."""
    from cardiolearn.learning.weights import load_weights, ready
    from cardiolearn.methods.segmentation.fcn import FCN

    network = FCN(4)
    load_weights(network, SHORT_AXIS.weights)
    return partial(segment, network=ready(network, device))


def segment_all(
    studies: Iterable[Study], network: nn.Module, view: str = "sa"
) -> tuple[dict[tuple[str, str], Image], pd.DataFrame]:
    r"""Labels of the studies' scans of a view by (subject, phase), and the `seconds` each `subject` took.

    Scans that a study lacks are passed over, and so are studies that have none of the view.
    """
    import pandas as pd

    from cardiolearn.learning.progress import tqdm

    found, seconds = {}, {}
    seen = [study for study in studies if any(study.has(view, phase) for phase in PHASES)]
    for study in tqdm(seen, desc=f"segmenting {view}", unit="subject", disable=not seen, leave=False, file=sys.stdout):
        scans = {phase: study.image(view, phase) for phase in PHASES if study.has(view, phase)}
        start = time.perf_counter()
        for phase, image in scans.items():
            found[study.subject, phase] = segment(image, network, plan_of(view))
        seconds[study.subject] = time.perf_counter() - start
    return found, pd.DataFrame({"subject": list(seconds), "seconds": list(seconds.values())})
