r"""Two wrong masks: a border that moves within the wall, crumbs anywhere, and losses that only count."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hearts import shell_heart
from scipy.spatial.distance import cdist
from torch.nn import functional as F

from cardiolearn.methods.shape.equal_dice import SURE, TwoMasks

TWO = TwoMasks(shell_heart((20, 28, 32), base=3.0, apex=15.0, radius=6.0, wall=3.0, turn=0.2).to(torch.uint8), 2.5)


@pytest.mark.parametrize("mm", [0.0, 2.5, 3.6])
def test_the_border_moves_into_the_wall_by_so_many_mm(mm: float) -> None:
    moved = TWO.moved(mm)
    cavity, wall = (2.5 * torch.nonzero(TWO.labels == k).numpy() for k in (1, 2))
    near = cdist(wall, cavity).min(1) <= mm
    changed = 2.5 * torch.nonzero(moved != TWO.labels).numpy()
    assert len(changed) == near.sum() and {tuple(p) for p in changed} == {tuple(p) for p in wall[near]}
    assert (moved[TWO.labels == 1] == 1).all() and (moved[TWO.labels == 3] == 3).all()
    assert near.any() == (mm > 0)


def test_more_crumbs_are_more_wrong_voxels_in_balls() -> None:
    wrong = [(TWO.crumbled(n) != TWO.labels) for n in (0, 1, 5, 20)]
    counts = [int(mask.sum()) for mask in wrong]
    assert counts[0] == 0 and counts == sorted(counts) and counts[3] > 5 * counts[1]
    ball = np.indices((7, 7, 7)) - 3
    assert counts[1] <= ((ball**2).sum(0) <= 2.6**2).sum()
    spoilt = TWO.crumbled(20)
    assert (spoilt[wrong[3] & (TWO.labels == 0)] == 1).all() and (spoilt[wrong[3] & (TWO.labels > 0)] == 0).all()


def test_losses_count_voxels_and_faults_do_not() -> None:
    masks = {"moved": TWO.moved(2.5), "crumbs": TWO.crumbled(20)}
    for mask in masks.values():
        share = float((mask != TWO.labels).float().mean())
        expected = -(1 - share) * math.log(SURE) - share * math.log((1 - SURE) / 3)
        assert TWO.cross_entropy(mask) == pytest.approx(expected, rel=1e-5)
        torch.testing.assert_close(TWO.soft(mask).sum(1), torch.ones(1, *mask.shape))
        assert torch.equal(TWO.soft(mask).argmax(1)[0], mask.long())
        overlap = [(mask == k) & (TWO.labels == k) for k in (1, 2, 3)]
        sizes = [int((mask == k).sum() + (TWO.labels == k).sum()) for k in (1, 2, 3)]
        dice = np.mean([2 * int(o.sum()) / n for o, n in zip(overlap, sizes, strict=True)])
        assert TWO.dice(mask) == pytest.approx(dice)
    assert "no fault found" in TWO.said(masks["moved"]) and "that no heart has" in TWO.said(masks["crumbs"])
    assert F.cross_entropy(TWO.soft(TWO.labels).log(), TWO.labels[None].long()).item() == pytest.approx(-math.log(SURE))


def test_both_are_drawn_with_what_is_said_of_them() -> None:
    figure = TWO.draw(2.5, 20)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[0].startswith("border moved\nDice") and titles[1].startswith("crumbs\nDice")
    assert "Two wrong masks" in str(figure.get_label())
    plt.close(figure)
