r"""How well two drawings of one heart agree, structure by structure: a row of numbers for a table."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import torch

from cardiolearn.image import Image
from cardiolearn.metrics import dice, mean_contour_distance
from cardiolearn.study import LABELS

VENTRICLES = {"lv": LABELS["lv_cavity"], "myocardium": LABELS["myocardium"], "rv": LABELS["rv_cavity"]}
ATRIA = {"la": LABELS["left_atrium"], "ra": LABELS["right_atrium"]}
#: What is outlined in a long-axis view. The two-chamber view may graze the right ventricle; nobody outlines that.
CHAMBERS = {
    "la_2ch": {name: (VENTRICLES | ATRIA)[name] for name in ("lv", "myocardium", "la")},
    "la_4ch": VENTRICLES | ATRIA,
}


def compare(one: Image, other: Image) -> dict[str, float]:
    r"""`dice.*`, `mcd.*` (mean contour distance, mm) and `dropped.*` of two label maps `(Z, Y, X)` on one grid.

    `*` is `lv`, `myocardium`, `rv`. `dropped` counts the slices in which only one of the two has the structure: they
    are no part of the contour distance, which is NaN where no slice has both.

    Source: Bai et al. 2018; for the myocardium the outer (epicardial) contour counts, as in their code.
    """
    box = _box((one.data > 0) | (other.data > 0))
    row: dict[str, float] = {}
    for name, label in VENTRICLES.items():
        a, b = one.data[box] == label, other.data[box] == label
        contours = mean_contour_distance(a, b, one.spacing)
        row |= {f"dice.{name}": dice(a, b), f"mcd.{name}": contours.mm, f"dropped.{name}": float(contours.n_dropped)}
    return row


def compare_pairs(drawings: Mapping[str, Image]) -> list[dict[str, Any]]:
    r"""`compare` for every pair of annotators of one scan, with their names joined as `pair`."""
    return [{"pair": f"{a} vs {b}"} | compare(drawings[a], drawings[b]) for a, b in combinations(drawings, 2)]


def compare_chambers(one: Image, other: Image, view: str) -> dict[str, float]:
    r"""`dice.*` of two long-axis label maps, for every structure in `CHAMBERS` of the `view`."""
    return {f"dice.{name}": dice(one.data == k, other.data == k) for name, k in CHAMBERS[view].items()}


def _box(marked: torch.Tensor) -> tuple[slice, ...]:
    r"""All slices, and of each what lies around the marked pixels: distances cost by the pixel. Whole without any."""
    rows, columns = (marked.any(0).any(axis).nonzero().flatten().tolist() for axis in (1, 0))
    if not rows:
        return (slice(None),) * 3
    return slice(None), slice(max(rows[0] - 1, 0), rows[-1] + 2), slice(max(columns[0] - 1, 0), columns[-1] + 2)
