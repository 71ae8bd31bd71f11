r"""What a first look at a heart tells of its shape and pose, as one row of numbers for the whole picture.

A node that sorts hearts asks these: they are the same at every place, so that it sends a whole heart left or right.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from skimage.feature import hog
from torch import Tensor

from cardiolearn.errors import InputError

WINDOW = (24, 48, 48)  # voxels (z, y, x) of the edge map about the landmarks' middle
SHRUNK = 3  # voxels of the map to one of the window's means
ORIENTATIONS, CELL = 8, 12  # of a histogram of gradients, and the voxels of the map along a cell's side
_LEAST = 1.0  # mm, by which a distance is divided at least


def feature_count(landmarks: int) -> int:
    r"""How many features there are with so many landmarks.

    >>> feature_count(6)  # 15 distances, 105 ratios, 8 slices of 16 histograms, and 8 x 16 x 16 means
    3192
    """
    distances = landmarks * (landmarks - 1) // 2
    slices, rows, columns = (size // SHRUNK for size in WINDOW)
    cells = (WINDOW[1] // CELL) * (WINDOW[2] // CELL)
    return distances + distances * (distances - 1) // 2 + slices * (ORIENTATIONS * cells + rows * columns)


def shape_features(landmarks: Tensor, edges: Tensor, spacing: Sequence[float]) -> NDArray[np.float32]:
    r"""The features `(f,)` of a heart whose landmarks `(L, 3)`, in voxels (z, y, x), and edge map `(Z, Y, X)` were
    predicted.

    They are the distances of every two landmarks (mm); the ratios of every two distances; and of a window of the edge
    map about the landmarks' middle, shrunk to means: histograms of its gradients' orientations in each of its slices,
    and these means themselves. Outside of the map there are no edges.

    Args:
        spacing: mm along (z, y, x).

    Source: Oktay et al., IEEE TMI 2017 (deviation: for our larger voxels the window is 24 x 48 x 48 instead of
    18 x 102 x 102 of them, and the histograms are those of its shrunk slices, not of each slice of the whole map).

    Raises:
        InputError: another shape, or landmarks that are not finite.
    """
    if landmarks.ndim != 2 or landmarks.shape[1] != 3 or edges.ndim != 3:
        raise InputError(f"landmarks: expected (L, 3) and an edge map (Z, Y, X), got {tuple(landmarks.shape)} and "
                         f"{tuple(edges.shape)}")  # fmt: skip
    if not landmarks.isfinite().all():
        raise InputError("landmarks: expected finite numbers, got others")
    points = landmarks.detach().cpu().double()
    apart = torch.pdist(points * torch.tensor(spacing, dtype=torch.float64)).numpy()
    ratios = [one / max(other, _LEAST) for one, other in combinations(apart, 2)]
    slices = window_about(edges, points.mean(0).round().long().tolist())
    gradients = [
        hog(plane, ORIENTATIONS, (CELL // SHRUNK, CELL // SHRUNK), (1, 1), feature_vector=True) for plane in slices
    ]
    return np.concatenate([apart, ratios, *gradients, slices.ravel()]).astype(np.float32)


def window_about(edges: Tensor, middle: Sequence[int]) -> NDArray[np.float64]:
    r"""The window of an edge map about a voxel (z, y, x) of it, as means of `SHRUNK` voxels along each axis; 0 outside
    of the map."""
    padded = F.pad(edges.detach().float(), [width // 2 for width in reversed(WINDOW) for _ in range(2)])
    begins = [min(max(at, 0), size - 1) for at, size in zip(middle, edges.shape, strict=True)]
    cut = tuple(slice(begin, begin + width) for begin, width in zip(begins, WINDOW, strict=True))
    return F.avg_pool3d(padded[cut][None, None], SHRUNK)[0, 0].cpu().double().numpy()
