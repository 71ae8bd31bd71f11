r"""How well two outlines of one heart agree, structure by structure: a row of numbers for a table."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from cardiolearn.imaging.image import Image, box_around
from cardiolearn.imaging.structures import CHAMBERS, VENTRICLES
from cardiolearn.measures.boundaries import border_offsets
from cardiolearn.measures.metrics import dice, mean_contour_distance


def compare(one: Image, other: Image) -> dict[str, float]:
    r"""`dice.*`, `mcd.*` (mean contour distance, mm), `dropped.*` and `offset.*` of two label maps `(Z, Y, X)` on one
    grid.

    `*` is `lv`, `myocardium`, `rv`. `dropped` counts the slices in which only one of the two has the structure: they
    are no part of the contour distance, which is NaN where no slice has both. Offsets (mm) are those of the borders
    `lv`, `epicardium`, `rv`, positive where `one` lies outside the `other`: see `boundaries`.

    Source: Bai et al. 2018; for the myocardium the outer (epicardial) contour counts, as in their code.
    """
    marked = (one.data > 0) | (other.data > 0)
    # All slices, and of each what lies around the marked pixels: distances cost by the pixel.
    box = box_around(marked, (len(marked), 1, 1)) or (slice(None),) * 3
    row: dict[str, float] = {}
    for name, label in VENTRICLES.items():
        a, b = one.data[box] == label, other.data[box] == label
        contours = mean_contour_distance(a, b, one.spacing)
        row |= {f"dice.{name}": dice(a, b), f"mcd.{name}": contours.mm, f"dropped.{name}": float(contours.n_dropped)}
    offsets = border_offsets(one.data[box], other.data[box], one.spacing)
    return row | {f"offset.{name}": offset.mm for name, offset in offsets.items()}


def compare_pairs(outlines: Mapping[str, Image]) -> list[dict[str, Any]]:
    r"""`compare` for every pair of annotators of one scan, with their names joined as `pair`."""
    return [{"pair": f"{a} vs {b}"} | compare(outlines[a], outlines[b]) for a, b in combinations(outlines, 2)]


def compare_chambers(one: Image, other: Image, view: str) -> dict[str, float]:
    r"""`dice.*` of two long-axis label maps, for every structure in `CHAMBERS` of the `view`."""
    return {f"dice.{name}": dice(one.data == k, other.data == k) for name, k in CHAMBERS[view].items()}
