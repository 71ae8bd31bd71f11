r"""Failures named in words: hearts made of discs, spoilt in ways that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cardiolearn.imaging.image import Image
from cardiolearn.measures.failures import name_failure
from cardiolearn.measures.metrics import dice

RADII = (14, 14, 13, 12, 11, 10, 9, 8, 6)  # pixels, from base to apex


def heart(radii: tuple[int, ...] = RADII) -> torch.Tensor:
    r"""A stack of rings round discs, with a crescent beside them: labels `(Z, Y, X)`."""
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    planes = []
    for radius in radii:
        away = (y - 32).square() + (x - 36).square()
        plane = torch.zeros(64, 64, dtype=torch.uint8)
        plane[(y - 32).square() + (x - 22).square() < radius**2] = 3
        plane[away < (radius + 3) ** 2] = 2
        plane[away < (radius - 2) ** 2] = 1
        planes.append(plane)
    return torch.stack(planes)


def image(labels: torch.Tensor) -> Image:
    return Image(labels, np.eye(4))


@pytest.mark.parametrize("from_apex", [False, True])
def test_a_structure_left_out_at_the_base_is_named(from_apex: bool) -> None:
    truth = heart()
    found = truth.clone()
    found[:2][found[:2] == 3] = 0
    if from_apex:
        truth, found = truth.flip(0), found.flip(0)
    failure = name_failure(image(found), image(truth))
    assert (failure.key, failure.part, failure.only_reference, failure.only_found) == ("rv", "base", 2, 0)
    assert failure.dice == pytest.approx(dice(found == 3, truth == 3))
    assert failure.larger == pytest.approx(int((found == 3).sum()) / int((truth == 3).sum()) - 1)
    assert "RV cavity" in failure.words() and "too small" in failure.words() and "at the base" in failure.words()
    assert "2 slices were left out" in failure.words()


def test_a_heart_drawn_beyond_its_apex_is_named() -> None:
    truth, found = heart((*RADII[:8], 0)), heart((*RADII[:8], 8))
    truth[8] = 0
    failure = name_failure(image(found), image(truth))
    assert (failure.part, failure.only_found, failure.only_reference) == ("apex", 1, 0)
    assert failure.larger > 0 and "1 slice was added" in failure.words()


def test_a_shift_is_no_matter_of_size_and_lies_all_along() -> None:
    truth = heart((12,) * 9)
    failure = name_failure(image(truth.roll(3, dims=2)), image(truth))
    assert failure.part is None and failure.larger == pytest.approx(0.0)
    assert "wrong place" in failure.words() and "all along" in failure.words()


def test_a_structure_that_is_nowhere_in_the_reference() -> None:
    truth = heart()
    truth[truth == 3] = 0
    failure = name_failure(image(heart()), image(truth))
    assert (
        failure.key == "rv" and failure.dice == 0.0 and failure.words().startswith("RV cavity, Dice 0.00: too large,")
    )
