r"""Profiles of blood: discs whose brightness at each depth is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.measures.profiles import DISTANCES, blood_profile


def heart(pixel: tuple[float, float], fade: float, side: float = 1.0) -> tuple[Tensor, Tensor]:
    r"""Image and labels `(2, Y, X)`: blood of 300 that falls to 100, the muscle's, within `fade` mm of the wall, on the
    side away from the RV alone; `side` -1 has the RV on the right."""
    x, y = (torch.arange(-60.0, 60.1, p) for p in pixel)
    down, across = torch.meshgrid(y, x, indexing="ij")
    r = (across**2 + down**2).sqrt()
    labels = torch.zeros(r.shape, dtype=torch.uint8)
    labels[((across + side * 35) ** 2 + down**2).sqrt() < 20.0] = 3
    labels[r < 36.0], labels[r < 28.0] = 2, 1
    depth = 28.0 - r
    image = torch.full(r.shape, 100.0)
    free = across * side > 0.0
    image[labels == 1] = torch.where(free, 100.0 + 200.0 * (depth / fade).clamp(0.0, 1.0), 300.0)[labels == 1].float()
    return image.expand(2, -1, -1), labels.expand(2, -1, -1)


@pytest.mark.parametrize("pixel", [(1.0, 1.0), (0.8, 1.3)])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_linear_fade_is_found_on_its_side_alone(pixel: tuple[float, float], side: float) -> None:
    image, labels = heart(pixel, 7.0, side)
    found = blood_profile(image, labels, (*pixel, 10.0))
    np.testing.assert_allclose(found.free_wall, np.array(DISTANCES) / 7.0, atol=0.08)
    np.testing.assert_allclose(found.septum, 1.0, atol=1e-9)
    scaled = blood_profile(0.3 * image + 20.0, labels, pixel)
    np.testing.assert_allclose(scaled.free_wall, found.free_wall, rtol=1e-5)  # the grey scale does not enter


def test_slices_that_show_too_little_do_not_count() -> None:
    image, labels = heart((1.0, 1.0), 7.0)
    alone = torch.where(labels == 3, 0, labels)
    small = torch.where(labels == 1, 2, labels)
    for nothing in (alone, small, torch.zeros_like(labels)):
        assert np.isnan(blood_profile(image, nothing, (1.0, 1.0))).all()
    assert np.isnan(blood_profile(400.0 - image, labels, (1.0, 1.0))).all()  # blood darker than muscle
    both = blood_profile(image, torch.stack((labels[0], alone[0])), (1.0, 1.0))
    np.testing.assert_array_equal(both, blood_profile(image, labels, (1.0, 1.0)))
    assert blood_profile(image[:0], labels[:0], (1.0, 1.0)).septum.shape == (6,)


def test_what_is_no_scan_is_refused() -> None:
    image, labels = heart((1.0, 1.0), 7.0)
    with pytest.raises(InputError, match=r"expected an image and labels \(Z, Y, X\), got .* and \(121, 121\)"):
        blood_profile(image, labels[0], (1.0, 1.0))
    with pytest.raises(InputError, match=r"expected \(dx, dy\[, dz\]\) in mm, got \(1.0, 0.0\)"):
        blood_profile(image, labels, (1.0, 0.0))
