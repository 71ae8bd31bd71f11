r"""How bright blood is on its way to the wall: along the free wall and along the septum.

Where people draw the LV's outline and where its blood looks bright are two places: trabeculae finer than a pixel and
slow flow darken the blood along the free wall. A simulated scan whose blood is bright up to the wall teaches a network
to stop where real blood fades.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from cardiolearn.imaging.structures import LV_CAVITY, MYOCARDIUM, RV_CAVITY
from cardiolearn.measures.appearance import slices_of
from cardiolearn.measures.boundaries import signed_distance

DISTANCES = (1, 2, 3, 4, 5, 6)  # mm inside the outline
_MIDDLE = 8.0  # mm inside, from where on blood counts as the middle's
_FEWEST = 10  # pixels that a figure is made of, at least
_SEPTUM, _FREE = math.radians(45.0), math.radians(90.0)  # from the direction of the RV: within, beyond

Floats = npt.NDArray[np.float64]


class BloodProfile(NamedTuple):
    r"""Brightness at `DISTANCES` inside the LV's outline `(6,)`, as the way from muscle (0) to the middle (1): medians
    over a scan's slices, NaN where no slice is large enough."""

    free_wall: Floats
    septum: Floats


def blood_profile(image: torch.Tensor, labels: torch.Tensor, spacing: Sequence[float]) -> BloodProfile:
    r"""The profiles of a scan `(Z, Y, X)` whose `labels` of the same shape say LV cavity, wall and RV cavity.

    Slices count that show all three and an LV that is deeper than 8 mm.

    Args:
        image: grey values, blood bright.
        labels: 0 background, 1 LV cavity, 2 LV myocardium, 3 RV cavity.
        spacing: `(dx, dy)` or `(dx, dy, dz)` in mm; dz is not used.

    Raises:
        InputError: shapes differ, or are no stacks of slices; a spacing that is none.
    """
    pictures, maps = slices_of("blood_profile", image, labels, spacing)
    slices = np.array([_of_slice(*both, spacing) for both in zip(pictures, maps, strict=True)])
    return BloodProfile(*(_over_slices(side) for side in slices.reshape(-1, 2, len(DISTANCES)).swapaxes(0, 1)))


def _of_slice(image: Floats, labels: npt.NDArray[np.integer], spacing: Sequence[float]) -> Floats:
    # Both sides' profiles (2, 6) in one slice.
    profiles = np.full((2, len(DISTANCES)), math.nan)
    cavity, right = labels == LV_CAVITY, labels == RV_CAVITY
    if cavity.sum() < _FEWEST or right.sum() < _FEWEST:
        return profiles
    inside = 0.25 * (spacing[0] + spacing[1]) - signed_distance(cavity, spacing)  # the border runs round the pixels
    muscle, middle = _median(image[labels == MYOCARDIUM]), _median(image[cavity & (inside > _MIDDLE)])
    if not middle > muscle:  # or NaN
        return profiles
    angle = _from_the_right(cavity, right, spacing)
    for row, side in enumerate((angle > _FREE, angle < _SEPTUM)):
        for column, distance in enumerate(DISTANCES):
            there = cavity & side & (np.abs(inside - distance) <= 0.5)
            profiles[row, column] = (_median(image[there]) - muscle) / (middle - muscle)
    return profiles


def _over_slices(profiles: Floats) -> Floats:
    return np.array([_median(column[np.isfinite(column)], fewest=1) for column in profiles.T])


def _from_the_right(cavity: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_], spacing: Sequence[float]) -> Floats:
    # Angle (rad, 0 to pi) at the middle of the cavity between each pixel and the middle of the RV.
    scale = np.array([spacing[1], spacing[0]])
    here = np.argwhere(cavity).mean(0)
    towards = (np.argwhere(right).mean(0) - here) * scale
    away = (np.moveaxis(np.indices(cavity.shape), 0, -1) - here) * scale
    cosine = away @ towards / np.maximum(np.linalg.norm(away, axis=-1) * np.linalg.norm(towards), 1e-9)
    return np.asarray(np.arccos(np.clip(cosine, -1.0, 1.0)))


def _median(values: Floats, fewest: int = _FEWEST) -> float:
    return float(np.median(values)) if values.size >= fewest else math.nan
