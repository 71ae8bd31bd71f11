r"""Hearts of plain tensors: those that were asked for, and none that are not hearts."""

from __future__ import annotations

import pytest
import torch
from hearts import seeded, shell_hearts

from cardiolearn.errors import InputError
from cardiolearn.methods.shape.volume_source import FixedVolumes, look_at

HEARTS = shell_hearts(5)
IMAGES = torch.rand(5, 1, 5, 24, 28)


def test_those_picked_come_as_they_are() -> None:
    source, picks = FixedVolumes(HEARTS, IMAGES), torch.tensor([3, 0, 3])
    images, labels = look_at(source, picks, seeded(), 4)
    assert len(source) == 5 and torch.equal(images, IMAGES[picks]) and torch.equal(labels, HEARTS[picks])
    images, labels = look_at(FixedVolumes(HEARTS), picks, seeded(), 4)
    assert images.shape == (3, 0) and torch.equal(labels, HEARTS[picks])


@pytest.mark.parametrize("images", [IMAGES[:4], IMAGES[:, 0], IMAGES.repeat(1, 2, 1, 1, 1)])
def test_pictures_that_do_not_belong_to_the_labels_are_refused(images: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"expected pictures \(5, 1, Z, Y, X\), got"):
        FixedVolumes(HEARTS, images)


def test_labels_are_looked_at_and_nobody_is_tested_on_nothing() -> None:
    with pytest.raises(InputError, match="whole numbers"):
        look_at(FixedVolumes(HEARTS.float()), torch.tensor([0]), seeded(), 4)
    with pytest.raises(InputError, match="at least one heart to test on, got 5 in all"):
        look_at(FixedVolumes(HEARTS), torch.tensor([], dtype=torch.long), seeded(), 4)
