r"""Hearts that cannot be, made by hand; pieces and holes are counted again by scipy and scikit-image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hearts import shell_heart
from skimage.measure import euler_number, label

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.measures.plausibility import count_holes, count_pieces, faults, open_slices

MM = np.diag([2.5, 2.5, 2.5, 1.0])  # a voxel has 0.0156 mL, so 0.1 mL are 7 voxels


def kinds(labels: torch.Tensor, **options: object) -> list[tuple[str, str]]:
    return [(fault.kind, fault.key) for fault in faults(Image(labels, MM), **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize("turned", [lambda heart: heart, lambda heart: heart.flip(0), lambda heart: heart.flip(1)])
def test_a_heart_that_can_be_is_without_faults_whichever_end_is_the_base(
    turned: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    assert kinds(turned(shell_heart())) == []
    assert kinds(turned(shell_heart(base=0.0))[:, 3:-3]) == []  # cut by the volume's edges


def cut(heart: torch.Tensor) -> None:
    heart[9:11][heart[9:11] == 3] = 0


def island(heart: torch.Tensor) -> None:
    heart[17:19, 1:3, 1:3] = 2


def hollow(heart: torch.Tensor) -> None:
    heart[5:7, 11:13, 16:18] = 0


def window(heart: torch.Tensor) -> None:
    heart[12, 12, 17:] = 0


FAULTY = {
    cut: [("pieces", "rv")],
    island: [("pieces", "myocardium")],
    hollow: [("hole", "lv")],
    window: [("open", "myocardium")],
}


@pytest.mark.parametrize("spoil", FAULTY)
def test_each_fault_is_found_and_named_alone(spoil: Callable[[torch.Tensor], None]) -> None:
    heart = shell_heart()
    spoil(heart)
    expected = FAULTY[spoil]
    found = kinds(heart)
    assert [fault for fault in expected if fault not in found] == []
    # a hollow cavity is hollow as the wall's filling too; nothing else is added
    assert set(found) - set(expected) <= {("hole", "myocardium")}
    assert kinds(heart.flip(0)) == found


def test_a_hole_in_the_wall_is_one_although_the_wall_surrounds_a_cavity() -> None:
    z, y, x = torch.meshgrid(*(torch.arange(24.0) - 12 for _ in range(3)), indexing="ij")
    away = (z**2 + y**2 + x**2).sqrt()
    heart = torch.where(away < 5, 1, torch.where(away < 10, 2, 0))
    assert kinds(heart, among=("lv", "myocardium")) == []  # a cavity closed on all sides is no hole
    heart[11:13, 11:13, 18:21] = 0
    assert kinds(heart, among=("lv", "myocardium")) == [("hole", "myocardium")]


def test_crumbs_below_a_tenth_of_a_millilitre_are_passed_over() -> None:
    heart = shell_heart()
    heart[17:19, 1:4, 1] = 3  # six voxels
    heart[5, 11:13, 16:19] = 0
    assert kinds(heart) == []
    heart[17, 4, 1] = 3
    heart[6, 11, 16] = 0
    assert kinds(heart) == [("hole", "lv"), ("hole", "myocardium"), ("pieces", "rv")]
    small = np.diag([1.0, 1.0, 1.0, 1.0])  # the same voxels are less
    assert faults(Image(heart, small)) == []


def test_the_wall_may_be_open_in_the_basal_third_and_not_below() -> None:
    heart = shell_heart()
    cavity = torch.nonzero((heart == 1).flatten(1).any(1)).flatten().tolist()
    third = round(len(cavity) / 3)
    for number, z in enumerate(cavity):
        spoilt = heart.clone()
        spoilt[z, 12, 17:] = 0
        assert (("open", "myocardium") in kinds(spoilt)) == (number >= third), z
        found = open_slices((spoilt == 1).numpy(), (spoilt == 2).numpy())
        assert found == (int(number >= third), len(cavity) - third)


def test_a_wall_that_closes_over_corners_encloses_and_one_pixel_of_way_does_not() -> None:
    ring = np.zeros((1, 7, 7), bool)
    ring[0, [1, 2, 3, 4, 5, 4, 3, 2], [3, 4, 5, 4, 3, 2, 1, 2]] = True  # a diamond, joined at corners alone
    cavity = np.zeros_like(ring)
    cavity[0, 3, 3] = True
    assert open_slices(cavity, ring)[0] == 0
    ring[0, 1, 3] = False
    assert open_slices(cavity, ring)[0] == 1


def test_words_say_what_and_how_many() -> None:
    heart = shell_heart()
    heart[heart == 3] = 0
    island(heart)
    window(heart)
    said = [fault.words for fault in faults(Image(heart, MM))]
    below = open_slices((heart == 1).numpy(), (heart == 2).numpy())[1]
    assert said == [
        "LV myocardium: in 2 pieces",
        "RV cavity: missing",
        f"LV myocardium: does not enclose the cavity in 1 of {below} slices below the base",
    ]


def test_only_what_is_asked_about_counts() -> None:
    cavity = shell_heart()
    cavity[cavity > 1] = 0
    assert kinds(cavity, among=("lv",)) == []
    assert kinds(cavity, among=("lv", "myocardium")) == [("missing", "myocardium"), ("open", "myocardium")]
    empty = torch.zeros(4, 5, 6, dtype=torch.uint8)
    assert kinds(empty) == [("missing", "lv"), ("missing", "myocardium"), ("missing", "rv")]


def test_pieces_and_holes_are_those_of_scikit_image_and_of_the_euler_number() -> None:
    rng = np.random.default_rng(0)
    for density in (0.1, 0.4, 0.7, 0.95):
        mask = rng.random((7, 9, 8)) < density
        pieces = label(mask, connectivity=3)
        assert count_pieces(mask) == pieces.max()
        assert count_pieces(mask, 3) == (np.bincount(pieces.ravel())[1:] >= 3).sum()
        outside = label(np.pad(~mask, 1, constant_values=True), connectivity=1)
        assert count_holes(mask) == outside.max() - 1
    solid = np.ones((9, 9, 9), bool)
    solid[2:4, 2:4, 2:4] = solid[6, 6, 6] = False
    assert count_holes(solid) == euler_number(solid, connectivity=3) - 1 == 2  # pieces + holes - handles
    assert count_holes(solid, 2) == 1


def test_a_film_is_refused() -> None:
    with pytest.raises(InputError, match=r"expected labels \(Z, Y, X\), got \(1, 2, 3, 4\)"):
        faults(Image(torch.zeros(1, 2, 3, 4), MM))
