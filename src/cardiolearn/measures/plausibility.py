r"""Segmentations that no heart can look like: pieces, holes, a wall that lets the cavity out. In words.

What is smaller than 0.1 mL is passed over: at the valves and among trabeculae true hearts have such crumbs too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image, box_around
from cardiolearn.imaging.structures import LABELS, LV_CAVITY, MYOCARDIUM, NAMES, VENTRICLES
from cardiolearn.measures.failures import slices_from_base

LEAST_ML = 0.1  # of a piece or a hole that counts
BASAL = 1 / 3  # of the cavity's slices, from the base: valves open the wall there

Mask = NDArray[np.bool_]
_CORNERS = np.ones((3, 3, 3), bool)  # voxels that share a face, an edge or a corner belong together


class Fault(NamedTuple):
    r"""One thing that no heart has: of which kind, in which structure, in words."""

    kind: Literal["missing", "pieces", "hole", "open"]
    key: str
    words: str


def faults(labels: Image, among: Sequence[str] = tuple(VENTRICLES)) -> list[Fault]:
    r"""Everything about a segmentation that no heart can be; empty where it is plausible.

    - *missing*: a structure without a voxel.
    - *pieces*: a structure in two or more components of 0.1 mL or more each. Voxels that share a face, an edge or a
      corner are of one component.
    - *hole*: of what is not the structure, a component of 0.1 mL or more that does not reach the edge of the volume;
      here voxels belong together that share a face. The wall is taken with the cavity it surrounds.
    - *open*: where the wall does not enclose the cavity. In short-axis slices, the basal third of those with cavity
      left out, no voxel of the cavity may be reached from the slice's edge without crossing the wall, by steps over
      voxels' edges in the plane. The base is the end at which the heart is wider.

    Args:
        labels: `(Z, Y, X)`; slices across the long axis of the left ventricle, for *open*.
        among: the structures that are asked about; *open* is asked where cavity and wall are.

    Source: the rules are **ours**, after what the lecture's pictures show as wrong.
    """
    if labels.data.ndim != 3:
        raise InputError(f"plausibility: expected labels (Z, Y, X), got {tuple(labels.data.shape)}")
    heart = _around(labels.data.detach().cpu().numpy(), [LABELS[key] for key in among])
    least = LEAST_ML / (labels.voxel_volume / 1000)
    found: list[Fault] = []
    for key in among:
        mask = heart == LABELS[key]
        if not mask.any():
            found.append(Fault("missing", key, f"{NAMES[key]}: missing"))
        if (pieces := count_pieces(mask, least)) > 1:
            found.append(Fault("pieces", key, f"{NAMES[key]}: in {pieces} pieces"))
        solid = mask | (heart == LV_CAVITY) if key == "myocardium" else mask
        if holes := count_holes(solid, least):
            found.append(Fault("hole", key, f"{NAMES[key]}: {holes} hole{'s' if holes > 1 else ''}"))
    return found + (_open(heart) if {"lv", "myocardium"} <= set(among) else [])


def count_pieces(mask: Mask, least: float = 0.0) -> int:
    r"""Components of a mask `(Z, Y, X)` with at least so many voxels; those that touch at a corner are one."""
    from scipy.ndimage import label

    pieces, _ = label(mask, _CORNERS)
    return int((np.bincount(pieces.ravel())[1:] >= least).sum())


def count_holes(mask: Mask, least: float = 0.0) -> int:
    r"""Components of what is outside of a mask `(Z, Y, X)` that have at least so many voxels and no way out of the
    volume, by steps through voxels' faces."""
    from scipy.ndimage import binary_fill_holes, label

    holes, _ = label(binary_fill_holes(mask) & ~mask)
    return int((np.bincount(holes.ravel())[1:] >= least).sum())


def open_slices(cavity: Mask, wall: Mask) -> tuple[int, int]:
    r"""In how many slices the wall does not enclose the cavity, both `(Z, Y, X)`, and of how many: see `faults`."""
    from scipy.ndimage import binary_fill_holes

    order = slices_from_base(torch.from_numpy(cavity | wall)).tolist()
    order = [z for z in order if cavity[z].any()]
    below = order[round(BASAL * len(order)) :]
    return sum(bool((cavity[z] & ~binary_fill_holes(wall[z])).any()) for z in below), len(below)


def _open(heart: NDArray[np.integer]) -> list[Fault]:
    count, of = open_slices(heart == LV_CAVITY, heart == MYOCARDIUM)
    words = f"{NAMES['myocardium']}: does not enclose the cavity in {count} of {of} slices below the base"
    return [Fault("open", "myocardium", words)] if count else []


def _around(labels: NDArray[np.integer], asked: Sequence[int]) -> NDArray[np.integer]:
    r"""The part of a volume around some labels, which is sooner looked through."""
    box = box_around(np.isin(labels, asked), (0, 0, 0))
    return labels if box is None else labels[box]
