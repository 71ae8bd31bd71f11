r"""Where an outline lies against another, with its sign: a Dice says how wrong, an offset says which way.

Networks that draw every cavity a millimetre too small and those that waver to both sides may have the same overlap.
The points of a contour are the centres of a mask's outermost pixels, as in `metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import box_around
from cardiolearn.imaging.structures import LV_CAVITY, MYOCARDIUM, RV_CAVITY
from cardiolearn.measures.metrics import outer_contour

#: The borders people draw, and the labels each encloses.
BORDERS = {"lv": (LV_CAVITY,), "epicardium": (LV_CAVITY, MYOCARDIUM), "rv": (RV_CAVITY,)}


class BorderOffset(NamedTuple):
    r"""Mean signed distance of a border from the reference's, positive outward.

    `mm` is NaN where no slice shows both; `n_slices` entered it, `n_dropped` show only one of the two.
    """

    mm: float
    n_slices: int
    n_dropped: int


def border_offset(predicted: torch.Tensor, reference: torch.Tensor, spacing: Sequence[float]) -> BorderOffset:
    r"""How far `predicted` lies outside (positive) or inside `reference`, in plane, over the slices that show both.

    Each contour point of one mask has a signed distance to the contour of the other; both directions and all slices
    are pooled, so a long border weighs more than a short one. Concentric discs differ by their radii.

    Args:
        predicted: mask `(Z, Y, X)` or `(Y, X)`.
        reference: mask of the same shape.
        spacing: `(dx, dy)` or `(dx, dy, dz)` in mm, as `Image.spacing`; dz is not used.

    Raises:
        InputError: shapes differ, or are no slices; a spacing that is none.

    Source: the symmetric mean contour distance of Bai et al. 2018 (`metrics.mean_contour_distance`); the sign and the
    pooling over points are ours.
    """
    if predicted.shape != reference.shape or predicted.ndim not in (2, 3):
        raise InputError(
            f"border offset: expected two masks (Z, Y, X) of one shape, got {tuple(predicted.shape)} and "
            f"{tuple(reference.shape)}"
        )
    if len(spacing) not in (2, 3) or not min(spacing) > 0:
        raise InputError(f"border offset: expected (dx, dy[, dz]) in mm, got {tuple(spacing)}")
    ours, theirs = (m.detach().cpu().bool().reshape(-1, *m.shape[-2:]).numpy() for m in (predicted, reference))
    parts, dropped = [], 0
    for one, other in zip(ours, theirs, strict=True):
        if one.any() and other.any():
            parts += [_signed_distances(one, other, spacing), -_signed_distances(other, one, spacing)]
        elif one.any() or other.any():
            dropped += 1
    mean = float(np.concatenate(parts).mean()) if parts else math.nan
    return BorderOffset(mean, len(parts) // 2, dropped)


def border_offsets(
    predicted: torch.Tensor, reference: torch.Tensor, spacing: Sequence[float]
) -> dict[str, BorderOffset]:
    r"""The offsets of the LV cavity, the epicardium and the RV cavity between two label maps `(Z, Y, X)`.

    Arguments and errors as for :func:`border_offset`; the keys are those of :data:`BORDERS`.
    """

    def enclosed(labels: torch.Tensor, inside: tuple[int, ...]) -> torch.Tensor:
        return torch.isin(labels, torch.tensor(inside, dtype=labels.dtype, device=labels.device))

    return {
        name: border_offset(enclosed(predicted, inside), enclosed(reference, inside), spacing)
        for name, inside in BORDERS.items()
    }


def signed_distance(mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    r"""Distance in mm of each pixel of a slice `(Y, X)` to the mask's contour: 0 on it, negative within.

    Holes of the mask count as inside. Args as above; the mask is not empty.
    """
    from scipy.ndimage import binary_fill_holes, distance_transform_edt

    distance = distance_transform_edt(~outer_contour(mask), sampling=(spacing[1], spacing[0]))
    return np.asarray(np.where(binary_fill_holes(mask), -distance, distance))


def _signed_distances(a: np.ndarray, b: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    r"""For each contour point of `a` its signed distance to the contour of `b`."""
    box = box_around(a | b, (1, 1)) or ()
    a, b = np.pad(a[box], 1), np.pad(b[box], 1)  # a mask may touch the picture's edge
    return signed_distance(b, spacing)[outer_contour(a)]
