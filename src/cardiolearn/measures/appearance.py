r"""How a cine picture looks, in numbers: grain, contrast and sharpness of the heart's borders.

They compare simulated with real scans. All are ratios to the blood's signal or millimetres, so neither grey scale nor
pixel size enters but for the grain: **noise in MR pictures is correlated** (they are zero-filled, filtered, resampled),
and a measure made of neighbouring pixels sees only its fine part. `grain` is therefore what an eye sees as graininess
at the picture's own pixel, a lower bound of the noise; `coarse_grain`, from every second pixel, shows how much of it
the filtering hides. Texture of flowing blood enters both, in real and in simulated pictures alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from cardiolearn.errors import InputError
from cardiolearn.imaging.structures import LV_CAVITY, MYOCARDIUM, RV_CAVITY
from cardiolearn.measures.boundaries import signed_distance

_FEWEST = 25  # pixels that a slice's figure is made of, at least
_REACH, _STEP = 5.0, 0.25  # mm: how far from a border its steepest place is looked for
#: 10-90 % width of a Gaussian-blurred step, times its slope: 2 x 1.2816 SD over (1 / (sqrt(2 pi) SD)).
_WIDTH_BY_SLOPE = 2 * 1.2815516 / math.sqrt(2 * math.pi)


class Appearance(NamedTuple):
    r"""Medians over a scan's slices, NaN where no slice is large enough.

    `grain` and `coarse_grain`: SD of the noise over the LV blood's signal; `muscle`: wall over LV blood; `contrast`:
    blood minus muscle over noise (that of `grain`); `lv_width`, `rv_width`: 10-90 % width of the borders in mm.
    """

    grain: float
    coarse_grain: float
    muscle: float
    contrast: float
    lv_width: float
    rv_width: float


def appearance(image: torch.Tensor, labels: torch.Tensor, spacing: Sequence[float]) -> Appearance:
    r"""What a scan `(Z, Y, X)` looks like, where its `labels` of the same shape say LV cavity, wall and RV cavity are.

    Args:
        image: grey values, blood bright.
        labels: 0 background, 1 LV cavity, 2 LV myocardium, 3 RV cavity.
        spacing: `(dx, dy)` or `(dx, dy, dz)` in mm, as `Image.spacing`; dz is not used.

    Raises:
        InputError: shapes differ, or are no stacks of slices; a spacing that is none.
    """
    pictures, maps = slices_of("appearance", image, labels, spacing)
    slices = [_of_slice(*both, spacing) for both in zip(pictures, maps, strict=True)]
    columns = np.array(slices, dtype=float).reshape(-1, len(Appearance._fields)).T
    return Appearance(*(_median(column[np.isfinite(column)], fewest=1) for column in columns))


def slices_of(
    what: str, image: torch.Tensor, labels: torch.Tensor, spacing: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    r"""A scan and its labels `(Z, Y, X)` as arrays to measure slice by slice, the scan in double precision.

    Raises:
        InputError: shapes differ, or are no stacks of slices; a spacing that is none. `what` is named.
    """
    if image.shape != labels.shape or image.ndim != 3:
        found = f"{tuple(image.shape)} and {tuple(labels.shape)}"
        raise InputError(f"{what}: expected an image and labels (Z, Y, X), got {found}")
    if len(spacing) not in (2, 3) or not min(spacing) > 0:
        raise InputError(f"{what}: expected (dx, dy[, dz]) in mm, got {tuple(spacing)}")
    return image.detach().cpu().double().numpy(), labels.detach().cpu().numpy()


def _of_slice(image: np.ndarray, labels: np.ndarray, spacing: Sequence[float]) -> Appearance:
    cavity = labels == LV_CAVITY
    blood, wall = _median(image[cavity]), _median(image[labels == MYOCARDIUM])
    if not blood > wall:  # nothing to compare with (or NaN)
        return Appearance(*[math.nan] * len(Appearance._fields))
    noise, coarse = (fine_noise(image, cavity, step) for step in (1, 2))
    widths = [edge_width(image, labels == c, blood - wall, spacing) for c in (LV_CAVITY, RV_CAVITY)]
    contrast = (blood - wall) / noise if noise > 0 else math.nan
    return Appearance(noise / blood, coarse / blood, wall / blood, contrast, *widths)


def fine_noise(image: np.ndarray, mask: np.ndarray, step: int = 1) -> float:
    r"""Standard deviation of white noise that would look as grainy, from a slice `(Y, X)` within `mask`.

    The difference of two Laplacians sees neither plane nor edge along an axis, and papillary muscles are outliers to
    the median. Exact for white noise; of noise that is correlated over pixels it sees less. NaN for a small mask.

    Args:
        image: `(Y, X)`.
        mask: of the same shape; pixels count whose whole 3 x 3 neighbourhood lies within.
        step: distance of the neighbours in pixels.

    Source: Immerkaer 1996, Fast noise variance estimation, eq. 1. Deviation: a median of absolute values in place of
    their mean.
    """
    from scipy.ndimage import binary_erosion, correlate

    line = np.zeros(2 * step + 1)
    line[[0, step, -1]] = 1.0, -2.0, 1.0
    inside = binary_erosion(mask, np.ones((2 * step + 1, 2 * step + 1)))
    response = correlate(image, np.outer(line, line), mode="nearest")[inside]
    return 1.4826 * _median(np.abs(response)) / 6.0


def edge_width(image: np.ndarray, mask: np.ndarray, height: float, spacing: Sequence[float]) -> float:
    r"""10-90 % width in mm of the border of a bright `mask` `(Y, X)`, as if it were a blurred step of `height`.

    Along the normal of each contour point the steepest fall within 5 mm is sought, wherever the outline was drawn; a
    step of that `height` blurred by a Gaussian to that slope has the width; the median over the contour is returned.
    Noise makes the steepest place steeper: from a grain of 0.05 on the width reads too small by a tenth and more.

    Args:
        image: grey values `(Y, X)`.
        mask: of the same shape; NaN for a small one.
        height: how much darker the other side is.
        spacing: `(dx, dy)` in mm.
    """
    from scipy.ndimage import gaussian_filter, map_coordinates

    if mask.sum() < _FEWEST:
        return math.nan
    pixel = np.array([spacing[1], spacing[0]])
    distance = signed_distance(mask, spacing)
    smooth = gaussian_filter(distance, 1.5)
    normal = np.stack([g / p for g, p in zip(np.gradient(smooth), pixel, strict=True)])
    points = np.argwhere(distance == 0).T
    direction = normal[:, *points]
    direction = direction / np.maximum(np.linalg.norm(direction, axis=0), 1e-6)
    places = np.arange(-_REACH, _REACH + _STEP / 2, _STEP)
    along = points[:, :, None] + direction[:, :, None] / pixel[:, None, None] * places
    profiles = map_coordinates(image, along, order=3, mode="nearest")
    slope = -np.diff(profiles, axis=1).min(1) / _STEP
    return _median(_WIDTH_BY_SLOPE * height / np.maximum(slope, 1e-12))


def _median(values: np.ndarray, fewest: int = _FEWEST) -> float:
    return float(np.median(values)) if values.size >= fewest else math.nan
