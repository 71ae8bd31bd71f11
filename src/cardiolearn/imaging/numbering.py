r"""Whether a label map numbers the structures as the kit does: the cavity is what the wall encloses.

Data sets number them otherwise (ACDC: 1 RV, 2 wall, 3 LV), and a map read with the wrong table gives a heart, only not
this one. So the numbers are not taken on trust.
"""

from __future__ import annotations

import numpy as np

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.slices import slice_axis
from cardiolearn.imaging.structures import LABELS, LV_CAVITY, MYOCARDIUM, STRUCTURES

#: Shares of a structure's edge, within the slices. Of the LV cavity 0.93 to 1.00 touches the wall in short axis, 0.74
#: to 0.85 in long axis (simulated, imperial A and D); of any other structure no neighbour holds more than 0.47.
ENCLOSED, NOT_ENCLOSED = 0.6, 0.5


def check_numbering(labels: Image) -> None:
    r"""Refuse a label map `(Z, Y, X)` or `(T, Z, Y, X)` in which another structure than the LV cavity is enclosed.

    Where the map holds both, the cavity must be enclosed by the wall; whatever it holds, nothing else may be enclosed
    by anything. Of a cine all frames are judged together.

    Raises:
        InputError: says which label encloses which.
    """
    shares = _shares(labels)
    names = ", ".join(f"{s.label} {s.name}" for s in STRUCTURES.values())
    said = f"expected labels numbered {names}, in which label {MYOCARDIUM} encloses label {LV_CAVITY}"
    for (inner, outer), share in sorted(shares.items(), key=lambda item: -item[1]):
        if share >= ENCLOSED and (inner, outer) != (LV_CAVITY, MYOCARDIUM):
            raise InputError(f"{said}, but label {outer} encloses label {inner} (over {share:.0%} of its edge)")
    if shares.get((LV_CAVITY, MYOCARDIUM), 1.0) < NOT_ENCLOSED:
        raise InputError(f"{said}, but only over {shares[LV_CAVITY, MYOCARDIUM]:.0%} of its edge")


def _shares(labels: Image) -> dict[tuple[int, int], float]:
    r"""For each two labels the share of the first one's edge, within the slices, beyond which the second lies."""
    values = labels.data.cpu().numpy()
    n, through = int(values.max()) + 1, slice_axis(labels)
    beside = np.zeros((n, n), dtype=np.int64)  # how often two labels are neighbours
    for axis in (values.ndim - 1 - a for a in range(3) if a != through):
        low, high = (np.take(values, range(k, values.shape[axis] - 1 + k), axis).astype(np.intp) for k in (0, 1))
        beside += np.bincount((n * low + high).ravel(), minlength=n * n).reshape(n, n)
        for end in (0, -1):  # what the picture cuts off borders on nothing, as background does
            beside[:, 0] += np.bincount(np.take(values, end, axis).ravel(), minlength=n)
    beside += beside.T
    np.fill_diagonal(beside, 0)
    edge = beside.sum(axis=1)
    present = [label for label in LABELS.values() if label < n and edge[label]]
    return {(i, o): float(beside[i, o] / edge[i]) for i in present for o in present if i != o}
