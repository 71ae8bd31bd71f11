r"""The ring that people draw where the valve's plane cuts a slice: closed, or not at all.

The mitral plane leans against the slices, so a basal slice may show ventricle on one side and atrium on the other. The
truth ends at the plane, with a straight edge. Whoever outlines such a slice closes the ring along what is left of it,
or leaves the slice out; nobody draws half a disc.

Source: our own construction, after what annotators do in the real scans at hand.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]

_RAYS = 72  # directions from the ring's middle: 5 degrees each
_OPEN = 6.0  # mm of the cavity's border without wall, from which on a slice counts as cut
_THIN = 0.6  # share of the visible wall that people draw where they close the ring
_LARGEST = 45.0  # mm: a larger circle says that too little of the ring is seen


def close_rings(
    cavity: Mask, heart: Mask, taken: Mask, spacing: tuple[float, float, float]
) -> tuple[Mask, Mask, npt.NDArray[np.float64]]:
    r"""LV cavity and LV with its wall `(Z, Y, X)`, closed in each slice in which the cavity lies open.

    Args:
        cavity: the LV cavity.
        heart: cavity and wall.
        taken: where nothing is added (the right ventricle).
        spacing: `(dx, dy, dz)` in mm.

    Returns:
        Both, and which share of each slice's ring was there before `(Z,)`: 1 where it is whole, 0 where too little is
        seen to tell how it would close.
    """
    cavity, heart, share = cavity.copy(), heart.copy(), np.ones(len(cavity))
    across = ndimage.generate_binary_structure(2, 1)
    for z in np.flatnonzero(cavity.any((1, 2))):
        inside, around = cavity[z], heart[z]
        edge = inside & ndimage.binary_dilation(~around & ~taken[z], across)
        if edge.sum() * max(spacing[:2]) < _OPEN:
            continue
        there = around.sum()
        cavity[z], heart[z] = _closed(inside, around, taken[z], spacing)
        share[z] = there / heart[z].sum() if heart[z].any() else 0.0
    return cavity, heart, share


def _closed(cavity: Mask, heart: Mask, taken: Mask, spacing: tuple[float, float, float]) -> tuple[Mask, Mask]:
    wall = heart & ~cavity
    inner = wall & ndimage.binary_dilation(cavity, np.ones((3, 3), bool))
    scale = np.array([spacing[1], spacing[0]])
    middle = _middle(np.argwhere(inner) * scale)
    if middle is None:
        return np.zeros_like(cavity), np.zeros_like(heart)
    down, across = (np.arange(n) * s for n, s in zip(cavity.shape, scale, strict=True))
    y, x = np.meshgrid(down - middle[0], across - middle[1], indexing="ij")
    radius = np.hypot(y, x)
    ray = np.floor(np.arctan2(y, x) / (2 * np.pi) * _RAYS).astype(int) % _RAYS
    rays = np.arange(_RAYS)
    seen = np.bincount(ray[inner], minlength=_RAYS) > 0
    endo = ndimage.minimum(radius, np.where(inner, ray, -1), rays[seen])
    thickness = np.median(ndimage.maximum(radius, np.where(wall, ray, -1), rays[seen]) - endo)
    edge = np.interp(rays, rays[seen], endo, period=_RAYS)[ray]
    closed = cavity | (~wall & ~taken & (radius < edge))
    drawn = ~seen[ray] & ~taken & (radius < edge + _THIN * thickness)
    return closed, heart | closed | drawn


def _middle(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    r"""The middle (mm) of the circle through `points` `(N, 2)` by least squares; none where it says nothing.

    Source: Kasa, IEEE Trans. Instrum. Meas. 1976.
    """
    if len(points) < 8:
        return None
    matrix = np.column_stack((2.0 * points, np.ones(len(points))))
    solution, _, rank, _ = np.linalg.lstsq(matrix, (points**2).sum(1), rcond=None)
    middle = solution[:2]
    if rank < 3 or np.sqrt(solution[2] + middle @ middle) > _LARGEST:
        return None
    return np.asarray(middle)
