r"""Blood along the free walls: where it is darker, how much, and what stays as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

from cardiolearn.phantom.body.tissue import N_TISSUES, Tissue
from cardiolearn.phantom.scanners.free_walls import along_free_walls, near_free_walls, with_blood

PIXEL = 1.5


def chest() -> Tensor:
    r"""Tissue `(1, 90, 110)`: a round LV with its wall, an RV on the left of it, lung around."""
    y, x = torch.meshgrid(torch.arange(90.0), torch.arange(110.0), indexing="ij")
    lv = ((y - 45) ** 2 + (x - 60) ** 2).sqrt() * PIXEL
    rv = ((y - 45) ** 2 + (x - 35) ** 2).sqrt() * PIXEL
    tissue = torch.full((90, 110), int(Tissue.LUNG), dtype=torch.uint8)
    tissue[rv < 33.0] = int(Tissue.RV_BLOOD)
    tissue[lv < 34.0] = int(Tissue.MYOCARDIUM)
    tissue[lv < 25.0] = int(Tissue.LV_BLOOD)
    return tissue[None]


def pictured(tissue: Tensor, strength: float) -> Tensor:
    table = torch.zeros((N_TISSUES, 3))
    for blood in (Tissue.LV_BLOOD, Tissue.RV_BLOOD):
        table[blood, 0] = 1.0
    mixed = F.embedding(tissue.int(), with_blood(table))
    water, fat, texture = along_free_walls(mixed, near_free_walls(tissue, PIXEL), torch.full((1, 1, 1), strength))
    assert fat.abs().max() == texture.abs().max() == 0.0
    return water


def test_blood_is_darker_along_the_free_wall_and_not_along_the_septum() -> None:
    tissue = chest()
    shown = pictured(tissue, 0.75)[0, 45]  # a row through the middle of both
    lv = (tissue[0, 45] == int(Tissue.LV_BLOOD)).nonzero()[:, 0]
    septal, free, middle = shown[lv[0]], shown[lv[-1]], shown[60]
    assert free < 0.8 * middle and septal > 0.93 * middle
    assert (shown[lv[20:]].diff() < 0.0).all()  # it falls steadily towards the free wall
    rv = (tissue[0, 45] == int(Tissue.RV_BLOOD)).nonzero()[:, 0]
    assert shown[rv[0]] < 0.85 * shown[rv[-1]]


def test_the_neighbourhood_is_a_gaussian_one() -> None:
    r"""Muscle without an RV: what is near is scipy's Gaussian of 6 mm, but for the pixels taken together first."""
    tissue = torch.where(chest() == int(Tissue.RV_BLOOD), int(Tissue.LUNG), chest())
    expected = gaussian_filter((tissue[0] == int(Tissue.MYOCARDIUM)).double().numpy(), 6.0 / PIXEL, mode="nearest")
    found = near_free_walls(tissue, PIXEL)[0, 0].numpy()
    assert np.abs(found - expected).max() < 0.03


def test_blood_keeps_its_mean_and_nothing_else_changes() -> None:
    tissue = chest()
    before, after = pictured(tissue, 0.0), pictured(tissue, 0.9)
    for blood in (Tissue.LV_BLOOD, Tissue.RV_BLOOD):
        there = tissue == int(blood)
        assert after[there].mean().item() == pytest.approx(before[there].mean().item(), abs=1e-5)
        assert after[there].std() > 0.03
    elsewhere = (tissue != int(Tissue.LV_BLOOD)) & (tissue != int(Tissue.RV_BLOOD))
    torch.testing.assert_close(after[elsewhere], before[elsewhere], atol=1e-6, rtol=0)


def test_slices_without_a_heart_stay_as_they_are() -> None:
    tissue = torch.full((2, 31, 40), int(Tissue.LIVER), dtype=torch.uint8)
    table = torch.rand((N_TISSUES, 3), generator=torch.Generator().manual_seed(1))
    mixed = F.embedding(tissue.int(), with_blood(table))
    water, fat, texture = along_free_walls(mixed, near_free_walls(tissue, PIXEL), torch.ones(2, 1, 1))
    assert torch.equal(torch.stack((water, fat, texture), -1), mixed[..., :3])


def test_odd_pictures_and_other_pixels_are_served() -> None:
    tissue = chest()[:, :81, :97]
    assert near_free_walls(tissue, 0.8).shape == near_free_walls(tissue, 2.6).shape == (1, 2, 81, 97)
    assert near_free_walls(tissue.to("meta"), PIXEL).device.type == "meta"
