r"""A sector and its upright box: places and angles of closed form, fields and balls that come out as they went in."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cardiolearn.phantom.body.tissue import Tissue
from cardiolearn.phantom.scanners.sector import (
    BEAMS,
    DEPTHS,
    HALF_ANGLE,
    NEAREST,
    STEP,
    box_points,
    depths,
    in_sector,
    scan_convert,
    sector_points,
    steering,
)

CPU = torch.device("cpu")
WIDE = torch.tensor([2.0 * HALF_ANGLE])
GRID = (1, DEPTHS, BEAMS, BEAMS)


def empty(code: Tissue = Tissue.MUSCLE) -> Tensor:
    return torch.full(GRID, int(code), dtype=torch.uint8)


def test_samples_lie_at_their_depths_along_their_beams() -> None:
    x, y, z = sector_points(CPU).unbind(-1)
    torch.testing.assert_close((x**2 + y**2 + z**2).sqrt(), depths(CPU)[:, None, None].expand_as(x))
    torch.testing.assert_close(torch.atan2(x, z), steering(CPU)[None, None].expand_as(x))
    torch.testing.assert_close(torch.atan2(y, z), steering(CPU)[None, :, None].expand_as(x))
    assert steering(CPU)[[0, -1]].tolist() == pytest.approx([-HALF_ANGLE, HALF_ANGLE])


def test_a_box_begins_at_the_skin_below_the_middle_of_the_probe() -> None:
    points = box_points((3, 4, 5), 2.0, CPU)
    assert points.shape == (3, 4, 5, 3)
    assert points[0, 0, 0].tolist() == [-4.0, -3.0, NEAREST + 1.0]  # (x, y, z)
    assert points[2, 3, 4].tolist() == [4.0, 3.0, NEAREST + 5.0]


def test_what_is_linear_along_depth_and_angles_is_read_exactly() -> None:
    r, a = depths(CPU)[:, None, None], steering(CPU)
    echoes = 0.3 + r / 500.0 + 0.2 * a[None, None] - 0.1 * a[None, :, None]
    picture, _ = scan_convert(echoes[None], empty(), WIDE, (40, 30, 36), 3.0)
    x, y, z = box_points((40, 30, 36), 3.0, CPU).unbind(-1)
    away, right, down = (x**2 + y**2 + z**2).sqrt(), torch.atan2(x, z), torch.atan2(y, z)
    within = (torch.maximum(right.abs(), down.abs()) < HALF_ANGLE) & (away > NEAREST)
    within &= away < NEAREST + STEP * (DEPTHS - 1)
    expected = 0.3 + away / 500.0 + 0.2 * right - 0.1 * down
    torch.testing.assert_close(picture[0][within], expected[within], atol=1e-5, rtol=0)
    assert within.float().mean() > 0.3


def test_each_scan_has_its_own_sector() -> None:
    narrow, wide = math.radians(15.0), math.radians(30.0)
    picture, _ = scan_convert(torch.ones(2, *GRID[1:]), empty().repeat(2, 1, 1, 1), torch.tensor([narrow, wide]))
    x, y, z = box_points(picture.shape[1:], 1.6, CPU).unbind(-1)
    steered, away = torch.maximum(torch.atan2(x, z).abs(), torch.atan2(y, z).abs()), (x**2 + y**2 + z**2).sqrt()
    for seen, half in zip(picture, (narrow, wide), strict=True):
        assert (seen[steered > half] == 0.0).all()
        inner = (steered < half - math.radians(2.1)) & (z > NEAREST + 1.0) & (away < 170.0)
        torch.testing.assert_close(seen[inner], torch.ones_like(seen[inner]))


@settings(max_examples=5)
@given(depth=st.floats(75.0, 110.0), side=st.floats(-15.0, 15.0), radius=st.floats(14.0, 24.0))
def test_balls_keep_their_volume_and_place(depth: float, side: float, radius: float) -> None:
    r"""A ball of blood in a wall of 10 mm: what is labelled in the box are the same balls."""
    away = (sector_points(CPU) - torch.tensor([side, 0.5 * side, depth])).norm(dim=-1)
    codes = empty()[0].masked_fill(away < radius + 10.0, int(Tissue.MYOCARDIUM))
    codes = codes.masked_fill(away < radius, int(Tissue.LV_BLOOD))[None]
    _, label = scan_convert(torch.zeros(GRID), codes, WIDE)
    voxels = (box_points(label.shape[1:], 1.6, CPU) - torch.tensor([side, 0.5 * side, depth])).norm(dim=-1)
    for r, inside in ((radius, label[0] == 1), (radius + 10.0, label[0] > 0)):
        assert inside.sum().item() * 1.6**3 == pytest.approx(4.0 / 3.0 * math.pi * r**3, rel=0.03)
        assert ((voxels < r) != inside)[(voxels - r).abs() > 2.0].sum() == 0


def test_what_lies_in_a_sector_is_within_its_angle_and_below_the_skin() -> None:
    shape, spacing, angle = (20, 18, 22), 4.0, 0.5
    x, y, z = box_points(shape, spacing, torch.device("cpu")).unbind(-1)
    inside = in_sector(shape, spacing, angle, torch.device("cpu"))
    narrow = (x.abs() <= z * math.tan(angle)) & (y.abs() <= z * math.tan(angle))
    assert torch.equal(inside, narrow & (torch.stack((x, y, z)).norm(dim=0) > NEAREST)) and inside.any()
