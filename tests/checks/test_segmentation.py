r"""Exercises of lesson 1, answered by scipy and by hand: volume, ejection fraction and contour distance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from cardiolearn import checks as check


def test_the_volume_knows_right_from_wrong() -> None:
    assert check.volume.reference(torch.ones(10, 10, 10), (1.0, 2.0, 5.0)) == 10.0  # 1000 voxels of 10 cubic mm
    assert check.volume.mistake(lambda mask, spacing: mask.sum() * np.prod(spacing) / 1000) is None
    assert "returned nothing" in (check.volume.mistake(lambda mask, spacing: None) or "")
    without_depth = check.volume.mistake(lambda mask, spacing: mask.sum() * spacing[0] * spacing[1] / 1000)
    assert without_depth is not None


@given(st.integers(1, 60), st.integers(0, 60))
def test_ejection_fraction(full: int, left: int) -> None:
    ed, es = (torch.arange(60).reshape(3, 4, 5) < n for n in (full, min(left, full)))
    expected = pytest.approx((full - min(left, full)) / full * 100)
    assert check.ejection_fraction.reference(ed, es, (1.5, 1.5, 10.0)) == expected
    share = lambda ed, es, spacing: 1 - int(es.sum()) / int(ed.sum())  # noqa: E731
    assert check.ejection_fraction.mistake(share) is not None


def test_contour_distance_is_scipys_and_needs_both_ways() -> None:
    def right(a: torch.Tensor, b: torch.Tensor) -> float:
        return 0.5 * float(cKDTree(b).query(a)[0].mean() + cKDTree(a).query(b)[0].mean())

    assert check.contour_distance.mistake(right) is None
    assert check.contour_distance.mistake(lambda a, b: float(cKDTree(b).query(a)[0].mean())) is not None
    assert check.contour_distance.mistake(lambda a, b: float(torch.cdist(a, b).mean())) is not None
