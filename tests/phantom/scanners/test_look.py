r"""Whether simulated pictures look like real ones, in the numbers that were measured on real ones."""

from __future__ import annotations

import numpy as np
import pytest
from hearts import seeded
from torch.nn import functional as F

from cardiolearn.measures.appearance import Appearance, appearance
from cardiolearn.phantom.cohorts.slice_maps import PIXEL, SliceMaps, sample_slices
from cardiolearn.phantom.scanners.acquisition import signals_and_texture
from cardiolearn.phantom.scanners.exposure import magnitude, sample_exposure
from cardiolearn.phantom.scanners.mri import TRAINING_VENDORS, Vendor

#: The real scans at hand, smallest and largest: course/reference_values.md, "How scans look".
REAL = {
    "grain": (0.006, 0.021), "muscle": (0.24, 0.36), "contrast": (33, 117), "lv_width": (2.1, 4.1),
    "rv_width": (2.2, 3.9),
}  # fmt: skip


@pytest.fixture(scope="module")
def maps() -> SliceMaps:
    return sample_slices(3)


def looks(maps: SliceMaps, vendor: Vendor) -> np.ndarray:
    r"""Appearance `(n, 6)` of the slices that show a large LV, each scanned three times by scanners of its own."""
    g, rows = seeded(5), []
    large = ((maps.label == 1).flatten(1).sum(1) > 400).nonzero()[:, 0]
    for k in large.repeat(3).tolist():
        mixed = F.embedding(maps.tissue[k].int(), signals_and_texture(vendor, g)).mean(0, keepdim=True)
        shown = magnitude(*mixed.unbind(-1), sample_exposure(1, mixed.shape[1:3], vendor, g))
        rows.append(appearance(shown, maps.label[k][None], (PIXEL, PIXEL)))
    return np.array(rows)


@pytest.mark.parametrize("vendor", TRAINING_VENDORS, ids=lambda v: v.name)
def test_training_scanners_look_like_real_ones(maps: SliceMaps, vendor: Vendor) -> None:
    found = dict(zip(Appearance._fields, np.nanmedian(looks(maps, vendor), 0), strict=True))
    for name, (low, high) in REAL.items():
        assert low <= found[name] <= high, (name, found)
