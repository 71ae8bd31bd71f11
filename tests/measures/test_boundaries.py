r"""Signed offsets of borders: discs whose radii are known, shifts that cancel, slices that show one of the two."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.measures.boundaries import BORDERS, border_offset, border_offsets, signed_distance


def disc(radius: float, shape: tuple[int, int] = (61, 75), middle: tuple[float, float] = (30.0, 37.0)) -> Tensor:
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in shape), indexing="ij")
    return (y - middle[0]) ** 2 + (x - middle[1]) ** 2 < radius**2


@pytest.mark.parametrize(("ours", "theirs"), [(20.3, 17.3), (15.2, 22.2), (18.4, 18.4)])
@pytest.mark.parametrize("pixel", [1.0, 1.8])
def test_concentric_discs_differ_by_their_radii(ours: float, theirs: float, pixel: float) -> None:
    found = border_offset(disc(ours), disc(theirs), (pixel, pixel))
    # The nearest point of a jagged contour is a little nearer than that of a smooth one.
    assert found.mm == pytest.approx((ours - theirs) * pixel, abs=0.25 * pixel)
    assert (found.n_slices, found.n_dropped) == (1, 0)
    assert border_offset(disc(theirs), disc(ours), (pixel, pixel)).mm == pytest.approx(-found.mm)


def test_a_shift_is_no_offset() -> None:
    assert abs(border_offset(disc(18.2, middle=(30.0, 41.0)), disc(18.2), (1.0, 1.0)).mm) < 0.1


def test_pixels_may_be_oblong() -> None:
    r"""Rectangles: four pixels more on either side across are 8 mm there, and nothing down."""
    narrow, wide = torch.zeros((2, 40, 60), dtype=torch.bool)
    narrow[10:30, 20:40], wide[10:30, 16:44] = True, True
    tall = torch.zeros((40, 60), dtype=torch.bool)
    tall[6:34, 20:40] = True
    across = border_offset(wide, narrow, (2.0, 0.01))
    down = border_offset(tall, narrow, (2.0, 0.01))
    assert across.mm > 1.5
    assert 0.0 < down.mm < 0.05


def test_signed_distances_are_those_to_the_nearest_contour_point() -> None:
    mask = np.asarray(disc(7.3, (23, 27), (11.0, 12.0)))
    mask[11, 12] = False  # a hole is inside
    spacing = (1.4, 0.9)
    found = signed_distance(mask, spacing)
    filled = np.asarray(disc(7.3, (23, 27), (11.0, 12.0)))
    edge = filled & ~(np.roll(filled, 1, 0) & np.roll(filled, -1, 0) & np.roll(filled, 1, 1) & np.roll(filled, -1, 1))
    scale = np.array([spacing[1], spacing[0]])
    every = np.argwhere(np.ones_like(mask)) * scale
    nearest = cdist(every, np.argwhere(edge) * scale).min(1).reshape(mask.shape)
    np.testing.assert_allclose(found, np.where(filled, -nearest, nearest), atol=1e-9)


def test_slices_pool_by_their_points_and_those_of_one_mask_are_counted() -> None:
    empty = torch.zeros((61, 75), dtype=torch.bool)
    ours = torch.stack([disc(22.3), disc(6.3), disc(9.0), empty, empty])
    theirs = torch.stack([disc(20.3), disc(8.3), empty, disc(9.0), empty])
    found = border_offset(ours, theirs, (1.0, 1.0, 8.0))
    assert (found.n_slices, found.n_dropped) == (2, 2)
    assert 0.5 < found.mm < 1.5  # +2 of the long border weighs more than -2 of the short one


def test_nothing_to_compare_is_nan() -> None:
    empty = torch.zeros((2, 5, 6), dtype=torch.bool)
    found = border_offset(empty, empty, (1.0, 1.0))
    assert math.isnan(found.mm) and (found.n_slices, found.n_dropped) == (0, 0)


def test_a_mask_may_fill_its_picture() -> None:
    full = torch.ones((9, 12), dtype=torch.bool)
    inner = torch.zeros_like(full)
    inner[2:7, 2:10] = True
    assert border_offset(full, inner, (1.0, 1.0)).mm == pytest.approx(2.0, abs=0.2)


def test_label_maps_have_three_borders() -> None:
    def heart(lv: float, outer: float, rv: float) -> Tensor:
        labels = torch.zeros((1, 61, 75), dtype=torch.uint8)
        labels[0][disc(rv, middle=(30.0, 14.0))] = 3
        labels[0][disc(outer, middle=(30.0, 50.0))] = 2
        labels[0][disc(lv, middle=(30.0, 50.0))] = 1
        return labels

    found = border_offsets(heart(11.4, 18.4, 9.4), heart(10.4, 20.4, 9.4), (1.5, 1.5))
    assert list(found) == list(BORDERS) == ["lv", "epicardium", "rv"]
    assert found["lv"].mm == pytest.approx(1.5, abs=0.2)
    assert found["epicardium"].mm == pytest.approx(-3.0, abs=0.2)
    assert found["rv"].mm == 0.0


@pytest.mark.parametrize(
    ("shapes", "spacing"),
    [(((4, 5), (5, 4)), (1.0, 1.0)), (((3,), (3,)), (1.0, 1.0)), (((4, 5), (4, 5)), (1.0, 0.0)),
     (((4, 5), (4, 5)), (1.0,))],
)  # fmt: skip
def test_what_is_no_pair_of_masks_is_refused(shapes: tuple[tuple[int, ...], ...], spacing: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="border offset: expected"):
        border_offset(*(torch.zeros(s) for s in shapes), spacing)
