r"""How well images are aligned: misalignments of a known size, the error that is left, and from how far it works.

Points are in mm of the fixed image's world; an alignment `(4, 4)` maps columns (x, y, z, 1) of it to the moving one's.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.spatial.transform import Rotation
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.methods.registration.block_matching import begun

_MOST = 0.5 * math.pi  # rad, the largest turn of a misalignment
_APART = 1e-6  # mm of the points from an axis, on average, below which a turn moves nothing


def target_registration_error(found: Tensor, true: Tensor, points: Tensor) -> float:
    r"""The mean distance in mm, over `points` `(n, 3)`, of where `found` takes them from where `true` does, both
    `(4, 4)`.

    Source: Fitzpatrick et al., IEEE TMI 2001, for the name (deviation: the mean distance, not the root mean square).

    Raises:
        InputError: no points, or others than `(n, 3)`.
    """
    _check(points)
    apart = (found.double() - true.double()).to(points.device)
    return (points.double() @ apart[:3, :3].T + apart[:3, 3]).norm(dim=1).mean().item()


def sample_misalignment(points: Tensor, size: float, generator: torch.Generator) -> Tensor:
    r"""A rigid motion `(4, 4)` (float64, CPU) that moves `points` `(n, 3)` by `size` mm on average.

    It turns about the points' middle, around an axis of any direction, and shifts along any direction. Turn and shift
    have equal parts: the turn's arc, at the points' mean distance from the axis, is as long as the shift.

    Args:
        generator: of the CPU.

    Raises:
        InputError: no points or others than `(n, 3)`, all at one place, or a size that is negative or asks for a turn
            of more than 90 degrees.
    """
    _check(points)
    places = points.double().cpu()
    middle = places.mean(0)
    sampled = torch.randn((2, 3), generator=generator, dtype=torch.float64, device="cpu")
    axis, direction = F.normalize(sampled, dim=1)
    radius = torch.linalg.cross(axis.expand_as(places), places - middle).norm(dim=1).mean()
    if radius < _APART:
        raise InputError("points: expected some that are apart, got all at one place")

    def motion(shift: float) -> Tensor:
        found = begun(None)
        found[:3, :3] = torch.from_numpy(Rotation.from_rotvec((axis * shift / radius).numpy()).as_matrix())
        found[:3, 3] = middle - found[:3, :3] @ middle + shift * direction
        return found

    def moved(shift: float) -> float:
        return target_registration_error(motion(shift), begun(None), places)

    most = _MOST * radius.item()
    if not 0.0 <= size <= moved(most):
        raise InputError(f"size: expected 0 to {moved(most):.1f} mm, got {size}")
    return motion(float(brentq(lambda shift: moved(shift) - size, 0.0, most, xtol=1e-9)))


def capture_range(starts: ArrayLike, errors: ArrayLike, tolerance: float, share: float = 0.9) -> float:
    r"""From how far off an alignment succeeds: the largest size of `starts`, mm, such that of the alignments begun at
    this size, and of those begun at every smaller size that was tried, at least `share` end with an error below
    `tolerance`, mm. 0 where this holds for none.

    Args:
        starts: sizes of the misalignments that the alignments began with, mm, `(n,)`: a few sizes, each many times.
        errors: what was left of each, mm, `(n,)`; infinite or NaN where an alignment failed.

    Raises:
        InputError: no alignments, not one error for each start, or a share outside 0 to 1.

    >>> capture_range([5, 5, 10, 10, 20, 20], [0.4, 0.3, 0.5, 0.2, 0.1, 14.0], tolerance=2.0)
    10.0
    """
    begun, left = np.asarray(starts, dtype=float), np.asarray(errors, dtype=float)
    if begun.ndim != 1 or begun.shape != left.shape or not len(begun):
        raise InputError(f"errors: expected one for each of the starts (n,), got {begun.shape} and {left.shape}")
    if not 0.0 <= share <= 1.0:
        raise InputError(f"share: expected a number from 0 to 1, got {share}")
    reached = 0.0
    for size in np.unique(begun):
        if (left[begun == size] < tolerance).mean() < share:
            break
        reached = float(size)
    return reached


def _check(points: Tensor) -> None:
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise InputError(f"points: expected (n, 3), at least one, got {tuple(points.shape)}")
