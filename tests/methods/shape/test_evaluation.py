r"""Scores of segmentations against MONAI and by hand; nothing that was missed is left out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hearts import ReadsGrey, shell_hearts
from monai.metrics import compute_dice, compute_hausdorff_distance
from torch import Tensor

from cardiolearn.imaging.image import Image
from cardiolearn.methods.shape.evaluation import as_found, scores, segment_all, units, versus_truth
from cardiolearn.methods.shape.label_volumes import one_hot

HEARTS = shell_hearts(4)
CASES = [("a", "ED"), ("a", "ES"), ("b", "ED"), ("b", "ES")]
SPACING = (2.0, 2.5, 3.0)


def image(labels: Tensor) -> Image:
    return next(iter(as_found(labels[None], CASES[:1], SPACING).values()))


def test_dice_and_hausdorff_distance_are_monais() -> None:
    row = scores(image(HEARTS[0]), image(HEARTS[1]))
    one, other = one_hot(HEARTS[:1], 4), one_hot(HEARTS[1:2], 4)
    dices = compute_dice(one, other, include_background=False)[0].tolist()
    far = compute_hausdorff_distance(one, other, spacing=SPACING[::-1])[0].tolist()
    for i, key in enumerate(("lv", "myocardium", "rv")):
        assert row[f"dice.{key}"] == pytest.approx(dices[i])
        assert row[f"hausdorff.{key}"] == pytest.approx(far[i], rel=1e-5)
        assert 0 < row[f"surface.{key}"] < row[f"hausdorff.{key}"]
    assert row["dice"] == pytest.approx(np.mean(dices)) and row["hausdorff"] == pytest.approx(np.mean(far), rel=1e-5)
    assert (row["missed"], row["implausible"], row["reasons"]) == (0, 0, "")


def test_a_missed_structure_counts_as_far_as_anything_can_lie() -> None:
    lost = HEARTS[0].clone()
    lost[lost == 3] = 0
    row, right = scores(image(lost), image(HEARTS[0])), scores(image(HEARTS[0]), image(HEARTS[0]))
    diagonal = math.hypot(28 * 2.0, 24 * 2.5, 20 * 3.0)
    assert row["hausdorff.rv"] == row["surface.rv"] == pytest.approx(diagonal)
    assert row["hausdorff"] == pytest.approx(diagonal / 3) and row["dice"] == pytest.approx(2 / 3)
    assert (row["missed"], row["implausible"], row["reasons"]) == (1, 1, "RV cavity: missing")
    assert (right["dice"], right["hausdorff"], right["missed"]) == (1.0, 0.0, 0)
    assert scores(image(lost), image(lost))["missed"] == 0  # both have none: they agree


def test_only_the_structures_that_are_asked_about() -> None:
    cavity = torch.where(HEARTS == 1, 1, 0)
    row = scores(image(cavity[0]), image(cavity[1]), ["lv"])
    assert {name for name in row if "." in name} == {"dice.lv", "surface.lv", "hausdorff.lv"}
    assert row["dice"] == row["dice.lv"] and row["implausible"] == 0
    assert set(units(["lv"])) == set(row) - {"reasons"}
    assert set(units()) == set(scores(image(HEARTS[0]), image(HEARTS[1]))) - {"reasons"}


def test_the_table_has_a_row_for_each_scan_and_method() -> None:
    class Grey(ReadsGrey):
        def forward(self, x: Tensor) -> Tensor:
            return -self.sharp * (x - self.levels[None, :, None, None, None]) ** 2

    grey = torch.tensor([0.0, 1.0, 0.6, 0.3])[HEARTS.long()][:, None]
    truth = as_found(HEARTS, CASES, SPACING)
    found = segment_all(Grey(), grey, CASES, SPACING)
    table = versus_truth(truth, {"network": found, "mirrored": as_found(HEARTS.flip(3), CASES, SPACING)})
    assert len(table) == 8 and (table[table["method"] == "network"]["dice"] == 1).all()
    assert list(table["subject"]) == ["a", "a", "b", "b"] * 2 and list(table["phase"]) == ["ED", "ES"] * 4
    mirrored = table[table["method"] == "mirrored"]
    assert (mirrored["dice"] < 0.9).all() and (mirrored["implausible"] == 0).all()
    for case, row in zip(CASES, mirrored.to_dict("records"), strict=True):
        one = scores(image(HEARTS.flip(3)[CASES.index(case)]), truth[case])
        assert all(row[name] == value for name, value in one.items())
    assert found["a", "ED"].spacing == SPACING
