r"""Expected Dice and calibration against simulation, scikit-learn and cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from cardiolearn.errors import InputError
from cardiolearn.measures.confidence import calibration, calibration_error, doubtful_slices, expected_dice, pooled
from cardiolearn.measures.metrics import dice


def two_classes(p: torch.Tensor) -> torch.Tensor:
    return torch.stack((1.0 - p, p))


def test_expected_dice_is_what_sampling_the_truth_many_times_gives() -> None:
    g = torch.Generator().manual_seed(0)
    p = torch.rand((3, 20, 25), generator=g) ** 2
    labels = (p > 0.5).long()
    sampled = [dice(torch.rand(p.shape, generator=g) < p, labels == 1) for _ in range(300)]
    assert expected_dice(labels, two_classes(p), {"lv": 1})["lv"] == pytest.approx(np.mean(sampled), abs=0.005)


@given(st.integers(0, 2**31))
def test_expected_dice_lies_between_0_and_1_and_is_1_when_certain(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (2, 5, 6), generator=g)
    soft = torch.softmax(3 * torch.randn((3, 2, 5, 6), generator=g), 0)
    names = {"one": 1, "two": 2}
    assert all(0.0 <= v <= 1.0 for v in expected_dice(labels, soft, names).values())
    sure = torch.nn.functional.one_hot(labels, 3).movedim(-1, 0).float()
    found = {name for name, k in names.items() if (labels == k).any()}
    assert expected_dice(labels, sure, names) == {name: 1.0 if name in found else 0.0 for name in names}


def test_a_structure_that_was_not_found_wants_looking_at() -> None:
    nothing = torch.zeros((1, 4, 4), dtype=torch.long)
    assert expected_dice(nothing, two_classes(torch.zeros(1, 4, 4)), {"lv": 1}) == {"lv": 0.0}


def test_doubtful_slices_are_those_that_are_half_outlined() -> None:
    p = torch.zeros(4, 12, 12)
    p[:, 2:10, 2:10] = torch.tensor([0.99, 0.4, 0.55, 0.0])[:, None, None]
    labels = (p > 0.5).long()
    assert doubtful_slices(labels, two_classes(p)) == [1]  # seen and not outlined; slice 2 may well be right
    assert doubtful_slices(labels, two_classes(p), below=0.8) == [1, 2]
    assert doubtful_slices(torch.zeros_like(labels), two_classes(torch.zeros_like(p))) == []


def test_calibration_agrees_with_scikit_learn() -> None:
    g = torch.Generator().manual_seed(1)
    p = 0.5 + 0.5 * torch.rand((2, 30, 30), generator=g)  # class 1 is the likeliest everywhere
    truth = (torch.rand(p.shape, generator=g) < p**2).long()
    rows = calibration(two_classes(p), truth)
    right, stated = calibration_curve(truth.ravel(), p.ravel(), n_bins=10)
    held = rows[rows["pixels"] > 0]
    assert held["right"].to_numpy() == pytest.approx(right)
    assert held["stated"].to_numpy() == pytest.approx(stated, abs=1e-6)
    assert rows["pixels"].sum() == p.numel()
    assert calibration_error(rows) == pytest.approx(float((p - p**2).mean()), abs=0.02)


def test_calibration_looks_near_the_heart_only_and_bins_add_up() -> None:
    truth = torch.zeros((1, 60, 60), dtype=torch.long)
    truth[0, 30, 30] = 1
    rows = calibration(two_classes(torch.full((1, 60, 60), 0.2)), truth)
    assert rows["pixels"].sum() == 1 + sum(4 * step for step in range(1, 11))  # a diamond of ten steps about one pixel
    other = calibration(two_classes(torch.full((1, 60, 60), 0.05)), truth)
    both = pooled(pd.concat([rows, rows, other]))
    assert both["pixels"].sum() == 3 * rows["pixels"].sum()
    assert list(both["bin"]) == [8, 9]
    assert both["stated"].to_numpy() == pytest.approx([0.8, 0.95])


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 1, 3, 5)])
def test_shapes_that_do_not_belong_together(shape: tuple[int, ...]) -> None:
    labels = torch.zeros((1, 3, 4), dtype=torch.long)
    for call in (lambda s: expected_dice(labels, s, {"lv": 1}), lambda s: calibration(s, labels)):
        with pytest.raises(InputError, match="expected labels"):
            call(torch.zeros(shape))
