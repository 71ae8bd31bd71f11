r"""Soft masks are probabilities, most of them of the heart they were made of, each volume spoilt by its own amounts."""

from __future__ import annotations

import numpy as np
import torch
from hearts import seeded, shell_heart, shell_hearts
from scipy.ndimage import uniform_filter

from cardiolearn.methods.shape import soft_masks
from cardiolearn.methods.shape.label_volumes import one_hot
from cardiolearn.methods.shape.soft_masks import soften


def test_they_are_probabilities_and_follow_from_the_generator() -> None:
    labels = shell_hearts(5)
    soft = soften(labels, 4, seeded())
    assert soft.shape == (5, 4, 20, 24, 28) and (soft >= 0).all()
    torch.testing.assert_close(soft.sum(1), torch.ones(5, 20, 24, 28))
    assert torch.equal(soft, soften(labels, 4, seeded())) and not torch.equal(soft, soften(labels, 4, seeded(1)))


def test_half_stay_as_they_are_and_the_others_differ_in_how_far_they_are_spoilt() -> None:
    one = shell_heart((16, 16, 16), apex=13.0, radius=3.0)[None].expand(400, -1, -1, -1)
    soft, hard = soften(one, 4, seeded()), one_hot(one, 4)
    untouched = (soft == hard).flatten(1).all(1)
    assert 0.38 < untouched.float().mean() < 0.62
    right = (soft.argmax(1) == one)[~untouched].float().flatten(1).mean(1)
    assert right.min() < 0.85 and right.max() > 0.98 and right.median() > 0.85
    sure = soft.amax(1).flatten(1).mean(1)[~untouched]
    assert sure.min() < 0.8 and sure.max() > 0.95


def test_slices_are_lost_whole() -> None:
    labels = torch.ones(60, 20, 4, 4, dtype=torch.uint8)
    soft = soften(labels, 2, seeded())
    lost = (soft[:, 0] == 1).flatten(2).all(2)
    share = lost.float().mean()
    assert 0.015 < share < 0.07  # up to 15 % of a volume, of half of them
    even = torch.full((60, 2, 20, 4, 4), 0.5)
    kept = soft_masks._without_slices(even, seeded())
    gone = (kept[:, 0] == 1).flatten(2).all(2)
    assert gone.any() and (kept[:, 1].movedim(1, 0).flatten(2).movedim(0, 1)[gone] == 0).all()
    assert not (kept[:, 0] == 1).any(-1).any(-1)[~gone].any()  # never in part


def test_the_blur_is_scipys_mean_of_neighbours_twice_with_the_edges_going_on() -> None:
    masks = torch.rand(2, 3, 5, 4, 7, generator=seeded())
    expected = masks.numpy()
    for _ in range(2):
        expected = uniform_filter(expected, (0, 0, 3, 3, 3), mode="nearest")
    np.testing.assert_allclose(soft_masks.blur(masks), expected, atol=1e-6)
