r"""What a segmenter's hearts are worth: overlap, distance of surfaces, and whether such a heart can be.

Segmentations go by (subject, phase), as in :mod:`~cardiolearn.measures.tables`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor, nn

from cardiolearn.imaging.image import Image
from cardiolearn.imaging.structures import LABELS, VENTRICLES
from cardiolearn.measures.metrics import dice
from cardiolearn.measures.plausibility import faults
from cardiolearn.measures.surfaces import surface_distances
from cardiolearn.measures.tables import Found
from cardiolearn.methods.shape.training_volumes import found_volumes

_ALL = tuple(VENTRICLES)


def units(among: Sequence[str] = _ALL) -> dict[str, str]:
    r"""Units of the columns of `versus_truth`, for records."""
    of_each = {"dice": "1", "surface": "mm", "hausdorff": "mm"}
    each = {f"{what}.{key}": unit for what, unit in of_each.items() for key in among}
    return each | {what: unit for what, unit in of_each.items()} | {"missed": "1", "implausible": "1"}


def segment_all(
    network: nn.Module, images: Tensor, cases: Sequence[tuple[str, str]], spacing: Sequence[float]
) -> dict[tuple[str, str], Image]:
    r"""What a network finds in pictures `(N, 1, Z', Y', X')`, as `as_found`."""
    return as_found(found_volumes(network, images), cases, spacing)


def as_found(
    labels: Tensor, cases: Sequence[tuple[str, str]], spacing: Sequence[float]
) -> dict[tuple[str, str], Image]:
    r"""Label volumes `(N, Z, Y, X)` as images by (subject, phase), with voxels of `spacing` `(dx, dy, dz)` mm."""
    affine = np.diag([*spacing, 1.0])
    return {case: Image(volume, affine) for case, volume in zip(cases, labels, strict=True)}


def versus_truth(truth: Found, segmentations: Mapping[str, Found], among: Sequence[str] = _ALL) -> pd.DataFrame:
    r"""A row for each scan and method: `subject`, `phase`, `method`, the `scores`."""
    return pd.DataFrame(
        {"subject": s, "phase": p, "method": method, **scores(found[s, p], labels, among)}
        for method, found in segmentations.items()
        for (s, p), labels in truth.items()
    )


def scores(found: Image, truth: Image, among: Sequence[str] = _ALL) -> dict[str, Any]:
    r"""How near a segmentation `(Z, Y, X)` is to the truth on the same grid, and whether a heart can be so.

    `dice.*`, `surface.*` (mean surface distance, mm) and `hausdorff.*` (mm) of each structure `among` the ventricles,
    and their means `dice`, `surface`, `hausdorff`; `missed`, the number of structures that only one of both has;
    `implausible`, 1 or 0, with the `reasons` in words. The distances of a missed structure are the diagonal of the
    grid, beyond which nothing can lie: so it counts, and worse than any other.
    """
    row: dict[str, Any] = {}
    extent = [n * mm for n, mm in zip(truth.data.shape[::-1], truth.spacing, strict=True)]
    furthest, missed = math.hypot(*extent), 0
    for key in among:
        ours, theirs = found.data == LABELS[key], truth.data == LABELS[key]
        distances = surface_distances(ours, theirs, truth.spacing)
        missed += distances.missed
        row |= {f"dice.{key}": dice(ours, theirs), f"surface.{key}": min(distances.mean, furthest)}
        row[f"hausdorff.{key}"] = min(distances.hausdorff, furthest)
    means = {what: sum(row[f"{what}.{key}"] for key in among) / len(among) for what in ("dice", "surface", "hausdorff")}
    wrong = faults(found, among)
    said = {"implausible": int(bool(wrong)), "reasons": "; ".join(fault.words for fault in wrong)}
    return row | means | {"missed": missed} | said
