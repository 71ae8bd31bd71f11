r"""Whether pictures that a file stores as slices are the frames of a film, or the other way round.

Some software writes a cine of one slice as a volume `(x, y, t)`. Added up as slices, its frames give the volume of no
heart. The pictures themselves tell: a heart beat ends where it began and its surroundings stay, a stack's ends are far
apart.
"""

from __future__ import annotations

import numpy as np

from cardiolearn.errors import InputError

FEWEST = 6  # pictures that can be told
#: Correlation of pictures, over that of neighbours: of the first with the last, and of those half the way apart.
#: Measured (Sunnybrook, biv-me, imperial, simulated; whole and cropped to the heart): of films at least 1.00 and 0.66,
#: of stacks at most 0.64 and 0.72.
ENDS_MEET, HALF_WAY = 0.92, 0.6
_ALIKE = 0.3  # correlation of neighbours below which the pictures have nothing in common
_SIDE = 128  # pixels along a side that are looked at


def are_frames(pictures: np.ndarray) -> bool | None:
    r"""Whether `pictures` `(N, Y, X)` follow each other in time rather than in space; None where it cannot be told."""
    if len(pictures) < FEWEST:
        return None
    step = max(1, max(pictures.shape[-2:]) // _SIDE)
    flat = pictures[:, ::step, ::step].reshape(len(pictures), -1).astype(np.float64)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1)
    if not (length > 0).all():
        return None
    flat /= length[:, None]
    near = float(np.median((flat[1:] * flat[:-1]).sum(axis=1)))
    if not _ALIKE < near < 1 - 1e-9:  # nothing in common, or one picture repeated
        return None
    half = float(np.median((flat * np.roll(flat, len(flat) // 2, axis=0)).sum(axis=1)))
    return float(flat[0] @ flat[-1]) > ENDS_MEET * near and half > HALF_WAY * near


def check_axes(values: np.ndarray) -> None:
    r"""Refuse a cine `(T, Z, Y, X)` whose slices follow each other in time and whose frames do not.

    Raises:
        InputError: says which axes to exchange.
    """
    n_frames, n_slices = values.shape[:2]
    along_time, along_slices = are_frames(values[:, n_slices // 2]), are_frames(values[0])
    if along_slices and not along_time:
        raise InputError(
            f"expected a cine (x, y, slice, frame), but its {n_slices} slices follow each other like frames of a film: "
            "exchange the third and fourth axis"
        )
    if along_time is False and n_slices == 1:
        raise InputError(
            f"expected a cine (x, y, slice, frame), but its {n_frames} frames differ like slices of a stack: "
            "exchange the third and fourth axis"
        )
