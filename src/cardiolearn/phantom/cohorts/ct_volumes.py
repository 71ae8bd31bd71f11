r"""Whole hearts in a CT scan: every batch is another scan of the same tissue, with other contrast, noise and window."""

from __future__ import annotations

import torch
from torch import Tensor

from cardiolearn.phantom.cohorts.volume_maps import VolumeMaps
from cardiolearn.phantom.scanners.ct import ANY_CT, CTScanner, scan_ct


def render_ct(
    maps: VolumeMaps, picks: Tensor, generator: torch.Generator, *, scanner: CTScanner = ANY_CT
) -> tuple[Tensor, Tensor]:
    r"""Pictures `(n, 1, Z, Y, X)` in [0, 1] and labels `(n, Z, Y, X)` (int64, 0 to 3) of the hearts `picks` `(n,)`.

    `picks` counts moments: `2 i` is subject `i` at end-diastole, `2 i + 1` at end-systole. All of it happens on the
    device of the maps, which must be that of the `generator`.
    """
    tissue, label = maps.tissue.flatten(0, 1)[picks], maps.label.flatten(0, 1)[picks]
    return scan_ct(tissue, maps.spacing, scanner, generator)[:, None], label.long()
