r"""How well borders are found: a row for each method, modality and scan, by what an edge map is praised for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cardiolearn.methods.forests.boundary_scores import (
    average_precision,
    best_f,
    curve,
    mass_beyond,
    roughness,
    thinned,
)
from cardiolearn.methods.forests.hearts import MOMENTS, HeartScan
from cardiolearn.methods.forests.training_patches import borders

TOLERANCE = 4.0  # mm: two voxels
BEYOND = 5.0  # mm, from where on an edge belongs to something else
EdgeFinder = Callable[[Tensor], Tensor]  # a picture (Z, Y, X) to an edge map of the same shape


def scored(edges: Tensor, scan: HeartScan) -> dict[str, float]:
    r"""What an edge map `(Z, Y, X)` of a scan is worth: `ap`, `f`, `beyond` and `rough` (mm).

    `f` is the best harmonic mean of precision and recall of this scan. Roughness is that of the strongest edge voxels
    of the thinned map, half as many as the true borders have.
    """
    border, spacing = borders(scan.labels.data), scan.labels.spacing[::-1]
    thin = thinned(edges)
    thin = thin / thin.max().clamp_min(1e-9)
    found = curve(thin, border, spacing, TOLERANCE)
    return {
        "ap": average_precision(found), "f": best_f(found), "beyond": mass_beyond(edges, border, spacing, BEYOND),
        "rough": roughness(strongest(thin, int(border.sum()) // 2) * spacing),
    }  # fmt: skip


def strongest(edges: Tensor, count: int) -> np.ndarray:
    r"""The places `(n, 3)` in voxels of the `count` highest values of a map `(Z, Y, X)`; of the positive ones."""
    order = edges.flatten().topk(min(count, int((edges > 0).sum()))).indices
    return torch.stack(torch.unravel_index(order, edges.shape), 1).cpu().double().numpy()


def edge_scores(
    finders: Mapping[str, EdgeFinder],
    scans: Iterable[HeartScan],
    modality: str,
    done: Callable[[], object] = lambda: None,
) -> pd.DataFrame:
    r"""A row for each of the `scans`, which are all moments of their subjects in order, and each of the `finders`: what
    `scored` says, and `subject`, `phase`, `modality`, `method`. The row of the method `truth` has the roughness of the
    true borders. `done` is called after each scan."""
    rows: list[dict[str, Any]] = []
    for moment, scan in enumerate(scans):
        of = {"subject": f"{moment // MOMENTS:05d}", "phase": ("ED", "ES")[moment % MOMENTS], "modality": modality}
        rows += [of | {"method": name} | scored(find(scan.picture.data), scan) for name, find in finders.items()]
        border = borders(scan.labels.data).nonzero().double().numpy()
        rows.append(of | {"method": "truth", "rough": roughness(border * scan.labels.spacing[::-1])})
        done()
    return pd.DataFrame(rows)


def alike(one: Tensor, other: Tensor, seen: Tensor) -> float:
    r"""Correlation of two edge maps on one grid `(Z, Y, X)`, over the voxels that are `seen` (bool)."""
    return float(np.corrcoef(one[seen].double().cpu().numpy(), other[seen].double().cpu().numpy())[0, 1])
