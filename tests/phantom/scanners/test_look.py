r"""Whether simulated pictures look like real ones, in the numbers that were measured on real ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hearts import seeded
from torch import Tensor
from torch.nn import functional as F

from cardiolearn.measures.appearance import Appearance, appearance
from cardiolearn.measures.profiles import blood_profile
from cardiolearn.phantom.cohorts.slice_maps import PIXEL, SliceMaps, sample_slices
from cardiolearn.phantom.scanners.acquisition import signals_and_texture
from cardiolearn.phantom.scanners.exposure import magnitude, sample_exposure
from cardiolearn.phantom.scanners.free_walls import along_free_walls, near_free_walls
from cardiolearn.phantom.scanners.mri import TRAINING_VENDORS, Vendor

#: The real scans at hand, smallest and largest: course/reference_values.md, "How scans look".
REAL = {
    "grain": (0.006, 0.021), "muscle": (0.24, 0.36), "contrast": (33, 117), "lv_width": (2.1, 4.1),
    "rv_width": (2.2, 3.9),
}  # fmt: skip
#: Blood on its way to the LV's outline, 1 to 6 mm inside it, on two real scans: the same section. Between the pixels of
#: either scan lies half a millimetre, so much of a slope is left to chance.
FREE_WALL = ((0.17, 0.31), (0.33, 0.52), (0.48, 0.62), (0.61, 0.69), (0.65, 0.73), (0.75, 0.75))
SEPTUM = ((0.33, 0.43), (0.75, 0.77), (0.89, 0.93), (0.94, 1.00), (0.93, 0.99), (0.92, 0.99))


@pytest.fixture(scope="module")
def maps() -> SliceMaps:
    r"""Ten subjects: one alone may look like anything."""
    several = [sample_slices(index) for index in range(10)]
    return SliceMaps(torch.cat([m.tissue for m in several]), torch.cat([m.label for m in several]))


def pictures(maps: SliceMaps, vendor: Vendor) -> Iterator[tuple[Tensor, Tensor]]:
    r"""Picture and labels `(1, Y, X)` of the slices that show a large LV, each scanned three times by scanners of its
    own."""
    g = seeded(5)
    large = ((maps.label == 1).flatten(1).sum(1) > 400).nonzero()[:, 0]
    for k in large.repeat(3).tolist():
        mixed = F.embedding(maps.tissue[k].int(), signals_and_texture(vendor, g)).mean(0, keepdim=True)
        exposure = sample_exposure(1, mixed.shape[1:3], vendor, g)
        near = near_free_walls(maps.tissue[k][1:2], PIXEL)
        yield magnitude(*along_free_walls(mixed, near, exposure.free_walls), exposure), maps.label[k][None]


@pytest.mark.parametrize("vendor", TRAINING_VENDORS, ids=lambda v: v.name)
def test_training_scanners_look_like_real_ones(maps: SliceMaps, vendor: Vendor) -> None:
    looks = [appearance(*both, (PIXEL, PIXEL)) for both in pictures(maps, vendor)]
    found = dict(zip(Appearance._fields, np.nanmedian(np.array(looks), 0), strict=True))
    for name, (low, high) in REAL.items():
        assert low <= found[name] <= high, (name, found)


def test_blood_fades_towards_the_free_wall_as_in_real_scans(maps: SliceMaps) -> None:
    found = [blood_profile(*both, (PIXEL, PIXEL)) for both in pictures(maps, TRAINING_VENDORS[0])]
    for profile, real in ((0, FREE_WALL), (1, SEPTUM)):
        median = np.nanmedian(np.array([f[profile] for f in found]), 0)
        low, high = np.array(real).T
        assert ((low - 0.1 <= median) & (median <= high + 0.1)).all(), median.round(2)
