r"""How a heart lies, in two numbers: by how much its landmarks are turned about z, and how large they are, against the
mean of a cohort. Points are rows (z, y, x) in mm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cardiolearn.errors import InputError

Floats = NDArray[np.float64]
_FLAT = 1e-6  # a scatter below this share of the widest one is none


def mean_landmarks(landmarks: Floats) -> Floats:
    r"""The mean `(L, 3)` of landmarks `(N, L, 3)`, each set about its own middle."""
    return np.asarray((landmarks - landmarks.mean(1, keepdims=True)).mean(0))


def poses(landmarks: Floats, reference: Floats) -> Floats:
    r"""Of each of `landmarks` `(N, L, 3)`: the rotation about z (rad, positive from x to y) and the scale, `(N, 2)`,
    that take `reference` `(L, 3)` to it.

    The rotation is that of a rigid fit, the scale the cube root of the determinant of an affine fit.

    Source: Oktay et al., IEEE TMI 2017 (deviation: the affine fit is least squares of all of its 12 numbers).

    Raises:
        InputError: another shape, numbers that are not finite, or a reference of less than four points or in one plane.
    """
    if landmarks.ndim != 3 or landmarks.shape[1:] != reference.shape or reference.shape[1:] != (3,):
        raise InputError(f"landmarks: expected (N, L, 3) and a reference (L, 3), got {landmarks.shape} and "
                         f"{reference.shape}")  # fmt: skip
    if not np.isfinite(landmarks).all() or not np.isfinite(reference).all():
        raise InputError("landmarks: expected finite numbers, got others")
    still = reference - reference.mean(0)
    sizes = np.linalg.svd(still, compute_uv=False)
    if len(still) < 4 or sizes[-1] < _FLAT * sizes[0]:
        raise InputError("reference: expected four landmarks at least, not all in one plane")
    moved = landmarks - landmarks.mean(1, keepdims=True)
    turns = rotations(still, moved)
    affine = np.linalg.pinv(still) @ moved
    return np.stack([np.arctan2(turns[:, 2, 1], turns[:, 2, 2]), np.cbrt(np.linalg.det(affine))], 1)


def rotations(still: Floats, moved: Floats) -> Floats:
    r"""The rotations `(N, 3, 3)` that take the rows of `still` `(L, 3)` nearest to those of `moved` `(N, L, 3)`, both
    about their middle: `still @ rotation`.

    Source: Kabsch, Acta Cryst. A 1976.
    """
    u, _, vt = np.linalg.svd(still.T @ moved)
    signs = np.ones((len(moved), 3))
    signs[:, 2] = np.sign(np.linalg.det(u @ vt))
    return np.asarray(u @ (signs[..., None] * vt))
