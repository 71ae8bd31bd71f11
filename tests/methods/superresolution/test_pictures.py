r"""Cuts along the heart: through its middle, with room around it, and thick slices as thick as they are."""

from __future__ import annotations

import pytest
import torch

from cardiolearn.errors import InputError
from cardiolearn.methods.superresolution.pictures import HeartCut, cuts, ideal, nearer, restored
from cardiolearn.phantom.cohorts.stacks import TestStack, around


def scan() -> TestStack:
    r"""A test stack of 4 thick and 20 thin slices, whose grey value says the slice, with a block for a heart."""
    labels = torch.zeros(2, 20, 30, 40, dtype=torch.uint8)
    labels[:, 8:12, 10:15, 20:25] = 1
    volume = torch.arange(20.0)[None, :, None, None].expand(2, 20, 30, 40) * torch.linspace(0.9, 1.1, 40)
    stack = volume.reshape(2, 4, 5, 30, 40).mean(2)
    return TestStack(stack, torch.zeros(2, 4, 20, 30, 40), volume, labels, around(labels > 0))


def test_the_cut_goes_through_the_middle_with_twelve_millimetres_around() -> None:
    cut = HeartCut.through(scan().labels[0])
    assert cut.row == 12
    assert (cut.slices.start, cut.slices.stop) == (2, 18)  # 12 mm are 6 slices of 2 mm
    assert (cut.columns.start, cut.columns.stop) == (10, 35)  # ... and 10 pixels of 1.25 mm
    with pytest.raises(InputError, match="left ventricle"):
        HeartCut.through(torch.zeros(5, 5, 5))


def test_all_planes_show_the_same_place() -> None:
    test = scan()
    planes = cuts(test, restored(test, {"linear": "linear", "nearest": "nearest"}))
    assert list(planes) == ["thick slices", "linear", "nearest", "thin slices"]
    assert {tuple(plane.shape) for plane in planes.values()} == {(16, 25)}
    assert torch.equal(planes["thick slices"], planes["nearest"])  # repeated: as thick as they are
    torch.testing.assert_close(planes["thin slices"], test.volume[0, 2:18, 12, 10:35])
    torch.testing.assert_close(
        planes["linear"], planes["thin slices"]
    )  # grey rises evenly, and so does a straight line


def test_nearer_is_positive_where_the_first_is_and_in_percent_of_the_range() -> None:
    truth = torch.linspace(0, 1, 101)
    gain = nearer(truth + 0.01, truth - 0.05, truth)
    torch.testing.assert_close(gain, torch.full_like(gain, 4.0 / 0.98), rtol=1e-3, atol=0)  # the 1st to 99th percentile
    torch.testing.assert_close(nearer(truth - 0.05, truth + 0.01, truth), -gain)


def test_what_a_network_should_add_is_what_interpolation_lacks() -> None:
    test = scan()
    test.volume[:, 7:13] += 50.0
    test.views[0, 0, :, 12] = 1.0  # the two-chamber plane runs along x
    test.views[0, 2, :, :, 20] = 2.0  # the four-chamber plane along y
    ends = ideal(test)
    torch.testing.assert_close(ends["linear"] + ends["residual"], ends["output"])
    assert ends["output"].shape == ends["stack"].shape == (16, 25)
    assert ends["2-chamber"].shape == (20, 40) and (ends["2-chamber"] == 1.0).all()
    assert ends["4-chamber"].shape == (20, 30) and (ends["4-chamber"] == 2.0).all()
