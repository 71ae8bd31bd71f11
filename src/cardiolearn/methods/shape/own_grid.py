r"""A real short-axis scan brought to the grid that the lesson's networks know: its place, its turn, its grey scale."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image, resample
from cardiolearn.imaging.intensity import percentiles
from cardiolearn.imaging.structures import LV_CAVITY, MYOCARDIUM, RV_CAVITY
from cardiolearn.measures.failures import slices_from_base
from cardiolearn.phantom.cohorts.volume_maps import SHAPE, SPACING
from cardiolearn.phantom.cohorts.volume_rendering import FACTOR, STACK_SHAPE

_RV_BELOW = 7.0  # degrees below the horizontal, seen from the LV: where the RV lies in training hearts, on average
_BLACK, _WHITE = 1.5, 98.5  # percentiles of a stack: the middles of the ranges that training scans have


class OwnStack(NamedTuple):
    r"""A scan as a network's input: `stack` `(1, 1, Z, Y, X)` in [0, 1], where its slices end 0; and the `affine` of
    the thin slices that are found in it."""

    stack: Tensor
    affine: NDArray[np.float64]

    def found(self, labels: Tensor) -> Image:
        r"""Labels `(4 Z, Y, X)` of the thin slices in their place in the patient."""
        return Image(labels, self.affine)


def own_stack(scan: Image, outline: Image) -> OwnStack:
    r"""A short-axis scan `(Z, Y, X)`, in any order and orientation, on the lesson's grid.

    Slices of the grid lie across the scan's own slice direction, from base to apex, with the right ventricle on the
    left; its middle is that of the ventricles.

    Args:
        outline: labels of the same scan, whose ventricles say where the heart lies; how good they are matters little.

    Raises:
        InputError: both ventricles are not in the outline.
    """
    affine = _thin_affine(outline)
    thick = affine.copy()
    thick[:, 2] *= FACTOR
    thick[:3, 3] += affine[:3, 2] * (FACTOR - 1) / 2  # the middle of a thick slice is that of its thin ones
    inside = scan.with_data(torch.ones(scan.data.shape))
    there = resample(inside, thick, STACK_SHAPE).data > 0.5
    stack = resample(scan.with_data(scan.data.float()), thick, STACK_SHAPE).data
    if not there.any():
        raise InputError("own grid: expected an outline that lies in its scan, found no voxel in both")
    black, white = percentiles(stack[there], _BLACK, _WHITE)
    grey = ((stack - black) / max(white - black, 1e-6)).clamp(0.0, 1.0) * there
    return OwnStack(grey[None, None], affine)


def _thin_affine(outline: Image) -> NDArray[np.float64]:
    r"""The affine of a grid of `SHAPE` around an outlined heart."""
    left, right = (_middle(outline, labels) for labels in ((LV_CAVITY, MYOCARDIUM), (RV_CAVITY,)))
    to_apex = outline.affine[:3, 2] / np.linalg.norm(outline.affine[:3, 2])  # of the LV, from base to apex
    order = slices_from_base(torch.isin(outline.data, torch.tensor([LV_CAVITY, MYOCARDIUM])))
    if order[0] > order[-1]:
        to_apex = -to_apex
    aside = right - left
    aside -= to_apex * (aside @ to_apex)
    aside /= np.linalg.norm(aside)  # from the LV to the RV, in the plane of the slices
    above = np.cross(aside, to_apex)  # to the anterior wall: a heart has one handedness
    angle = -np.radians(_RV_BELOW)
    to_left = np.cos(angle) * aside - np.sin(angle) * above
    up = np.cos(angle) * above + np.sin(angle) * aside
    axes = np.stack([-to_left, -up, to_apex], 1)  # columns of the grid to the right, rows down, slices to the apex
    heart = _places(outline, (LV_CAVITY, MYOCARDIUM, RV_CAVITY)) @ axes
    middle = axes @ (heart.min(0) + heart.max(0)) / 2
    affine = np.eye(4)
    affine[:3, :3] = SPACING * axes
    affine[:3, 3] = middle - affine[:3, :3] @ (np.array(SHAPE[::-1]) - 1) / 2
    return affine


def _middle(outline: Image, labels: tuple[int, ...]) -> NDArray[np.float64]:
    places = _places(outline, labels)
    if not len(places):
        raise InputError("own grid: expected an outline with both ventricles, one is missing")
    return np.asarray(places.mean(0), dtype=np.float64)


def _places(outline: Image, labels: tuple[int, ...]) -> NDArray[np.float64]:
    r"""Voxels `(n, 3)` with one of these labels, mm in the patient."""
    zyx = torch.nonzero(torch.isin(outline.data, torch.tensor(labels))).numpy()
    return np.asarray(np.c_[zyx[:, ::-1], np.ones(len(zyx))] @ outline.affine.T[:, :3], dtype=np.float64)
