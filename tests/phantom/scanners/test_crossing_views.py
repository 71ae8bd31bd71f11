r"""A long-axis picture on a short-axis grid: right place, right signal, nothing elsewhere."""

from __future__ import annotations

import pytest
import torch
from hearts import scene_of, seeded, voxel_places
from scipy.stats import rice

from cardiolearn.imaging.image import Image
from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.scanners.crossing_views import Crossing, crossing, long_axis_picture
from cardiolearn.phantom.scanners.long_axis import LONG_AXIS_VIEWS, LongAxisView, plan_long_axis
from cardiolearn.phantom.scanners.thin_slices import high_resolution_affine

SHAPE, SPACING = (30, 40, 36), (1.25, 1.25, 2.0)


@pytest.fixture
def scene() -> Scene:
    return scene_of(1, "train")


@pytest.mark.parametrize("view", LONG_AXIS_VIEWS)
def test_a_ramp_is_seen_as_it_is_on_the_plane(scene: Scene, view: LongAxisView) -> None:
    affine = high_resolution_affine(scene, SHAPE)
    plane = plan_long_axis(scene, view, seeded())
    places = voxel_places(Image(torch.zeros(SHAPE), affine))
    slope = torch.tensor([1.0, -2.0, 0.5])
    where = crossing(plane, affine)
    seen, there = long_axis_picture(
        places @ slope + 900.0, SPACING, where, torch.Generator(), breath_hold=0.0, noise=0.0
    )
    away = (places - plane.middle) @ plane.normal
    assert torch.equal(there > 0, away.abs() < 1.0) or ((there > 0) ^ (away.abs() < 1.0)).sum() < 5  # rounding
    inner = (there > 0) & (away.abs() < 0.99)
    inner[:2] = inner[-2:] = inner[:, :4] = inner[:, -4:] = inner[:, :, :4] = inner[:, :, -4:] = False
    expected = (places - away[..., None] * plane.normal) @ slope + 900.0
    assert inner.sum() > 300
    torch.testing.assert_close(seen[inner], expected[inner], atol=0.05, rtol=0)
    assert (seen[there == 0] == 0).all()


def test_breath_hold_and_noise_come_from_the_generator(scene: Scene) -> None:
    where = crossing(plan_long_axis(scene, "la_4ch", seeded()), high_resolution_affine(scene, SHAPE))
    volume = 400.0 * torch.rand(SHAPE, generator=seeded(1))
    one, two, other = (long_axis_picture(volume, SPACING, where, seeded(s)) for s in (5, 5, 6))
    assert torch.equal(one, two) and not torch.equal(one, other) and torch.equal(one[1], other[1])


def test_a_picture_is_shifted_within_its_plane_and_its_noise_is_rician() -> None:
    r"""A ramp along the picture's columns tells how far it moved; one along the normal would not change."""
    z, y, x = torch.meshgrid(*(s * torch.arange(n) for n, s in zip(SHAPE, SPACING[::-1], strict=True)), indexing="ij")
    across, along = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0])
    where = Crossing(torch.tensor([29.0, 25.0, 22.0]), across, along)  # a picture of x to the right and z down
    inner = (slice(8, -8), slice(None), slice(12, -12))
    shifts = []
    for seed in range(40):
        moved = [
            long_axis_picture(ramp, SPACING, where, seeded(seed), breath_hold=2.0, noise=0.0) for ramp in (x, z, y)
        ]
        there = moved[0][1][inner] > 0
        shifts.append(
            [(picture[0][inner] - ramp[inner])[there] for picture, ramp in zip(moved, (x, z, y), strict=True)]
        )
        assert all(shift.std() < 1e-2 for shift in shifts[-1])  # the whole picture moves alike
    means = torch.tensor([[shift.mean() for shift in three] for three in shifts])
    assert means[:, 2].abs().max() < 1e-3  # never out of its plane
    assert means[:, :2].std(0).tolist() == pytest.approx([2.0, 2.0], rel=0.35)
    seen, there = long_axis_picture(torch.zeros(SHAPE).index_fill_(2, torch.tensor([0]), 400.0), SPACING, where,
                                    seeded(3), breath_hold=0.0, noise=0.1)  # fmt: skip
    dark = seen[..., 6:][there[..., 6:] > 0]
    assert dark.mean().item() == pytest.approx(rice(0.0, scale=40.0).mean(), rel=0.05)
    assert dark.std().item() == pytest.approx(rice(0.0, scale=40.0).std(), rel=0.05)
