r"""Test stacks: the same for every method, each phase from its own volume, a mask that is the grown heart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hearts import seeded, spheres
from scipy import ndimage

from cardiolearn.phantom.cohorts.stacks import MARGIN, TestStack, around, long_axis_channels
from cardiolearn.phantom.scanners.thick_slices import clinical_stack
from cardiolearn.phantom.scanners.thin_slices import SPACING


def test_a_test_stack_is_the_same_for_every_method_and_each_subject_has_its_own() -> None:
    volumes = spheres(2)
    scan, again, other, later = (
        TestStack.of(volumes, subject, seed=seed) for subject, seed in ((1, 4), (1, 4), (0, 4), (1, 5))
    )
    assert scan.stack.shape == (2, 6, 48, 44) and scan.views.shape == (2, 4, 30, 48, 44)
    for name in ("stack", "views", "volume", "labels", "mask"):
        assert torch.equal(getattr(scan, name), getattr(again, name)), name
        assert not torch.equal(getattr(scan, name), getattr(other, name)), name
    assert not torch.equal(scan.stack, later.stack) and torch.equal(scan.volume, later.volume)
    expected = clinical_stack(scan.volume, SPACING, seeded(4 * 1_000_003 + 1))
    assert torch.equal(scan.stack, expected)


@pytest.mark.parametrize("phase", [0, 1])
def test_stack_and_views_of_a_phase_show_that_phases_ball(phase: int) -> None:
    r"""Balls of 20 mm at end-diastole and of 14 mm at end-systole, bright in the dark."""
    scan = TestStack.of(spheres(1), 0, seed=3)
    radius = (20.0, 14.0)[phase]
    middle = scan.stack[phase, 2] > 250.0  # thick slice 2 lies 24 mm deep, 5 mm off the ball's middle
    area = float(middle.sum()) * SPACING[0] * SPACING[1]
    assert (area / np.pi) ** 0.5 == pytest.approx((radius**2 - 5.0**2) ** 0.5, abs=1.0)
    for signal, there in (scan.views[phase, :2], scan.views[phase, 2:]):
        inside = (signal > 250.0) & (there > 0)  # on a plane through the ball's middle
        assert (float(inside.sum()) / float(there.sum()) * area_of(there) / np.pi) ** 0.5 == pytest.approx(
            radius, abs=1.2
        )


def area_of(there: torch.Tensor) -> float:
    r"""mm2 of a plane along two of the axes, from the shadow of its voxels across the third."""
    z, y, x = (int(there.amax(axes).sum()) for axes in ((1, 2), (0, 2), (0, 1)))
    extent = sorted((z * SPACING[2], y * SPACING[1], x * SPACING[0]))
    return extent[1] * extent[2]


def test_the_mask_is_the_heart_grown_by_ten_millimetres_within_each_slice() -> None:
    scan = TestStack.of(spheres(1), 0, seed=4)
    structure = np.ones((1, 2 * MARGIN + 1, 2 * MARGIN + 1), dtype=bool)
    for phase in (0, 1):
        grown = ndimage.binary_dilation(scan.labels[phase].numpy() > 0, structure)
        assert np.array_equal(grown, scan.mask[phase].numpy())
    one = torch.zeros(2, 4, 9, 11, dtype=torch.bool)
    one[1, 2, 4, 5] = True
    near = around(one, 2)
    assert near[1, 2, 2:7, 3:8].all() and int(near.sum()) == 25
    assert pytest.approx(10.0) == MARGIN * SPACING[0]


def test_held_breaths_leave_every_slice_where_it_lies() -> None:
    volumes = spheres(1)
    still, moved = TestStack.of(volumes, 0, seed=3, breath_hold=0.0), TestStack.of(volumes, 0, seed=3)
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in (48, 44)), indexing="ij")

    def middles(scan: TestStack) -> torch.Tensor:
        seen = scan.stack[0, 1:5] > 250.0
        return torch.stack([torch.stack((rows[disc].mean(), columns[disc].mean())) for disc in seen]) * SPACING[0]

    assert (middles(still) - torch.tensor([29.0, 27.0])).abs().max() < 0.4
    assert (middles(moved) - torch.tensor([29.0, 27.0])).abs().max() > 0.8
    assert torch.equal(still.volume, moved.volume)


def test_channels_are_signal_and_presence_of_the_two_and_then_the_four_chamber_plane() -> None:
    volumes = spheres(1)
    channels = long_axis_channels(volumes, 0, 0, seeded(2))
    assert channels.shape == (4, 30, 48, 44)
    assert set(channels[1::2].unique().tolist()) == {0.0, 1.0}
    assert not channels[0::2][channels[1::2] == 0].any()
    first, second = (presence.nonzero() for presence in channels[1::2])
    assert len(first[:, 2].unique()) <= 2 < len(first[:, 1].unique())  # the first plane lies across x
    assert len(second[:, 1].unique()) <= 2 < len(second[:, 2].unique())  # the second one across y
