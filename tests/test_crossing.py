r"""A long-axis picture on a short-axis grid: right place, right signal, nothing elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cardiolearn.phantom.crossing import crossing, look
from cardiolearn.phantom.high_resolution import high_resolution_affine
from cardiolearn.phantom.long_axis import LONG_AXIS_VIEWS, LongAxisView, plan_long_axis
from cardiolearn.phantom.scene import Scene
from cardiolearn.phantom.subject import sample_subject

SHAPE, SPACING = (30, 40, 36), (1.25, 1.25, 2.0)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(sample_subject(1, cohort="train", seed=0))


@pytest.mark.parametrize("view", LONG_AXIS_VIEWS)
def test_a_ramp_is_seen_as_it_is_on_the_plane(scene: Scene, view: LongAxisView) -> None:
    affine = high_resolution_affine(scene, SHAPE)
    plane = plan_long_axis(scene, view, torch.Generator().manual_seed(0))
    index = np.stack([*np.indices(SHAPE)[::-1], np.ones(SHAPE)], -1)  # x, y, z, 1
    places = torch.from_numpy(index @ affine.T)[..., :3].float()  # patient frame
    slope = torch.tensor([1.0, -2.0, 0.5])
    where = crossing(plane, affine)
    seen, there = look(places @ slope + 900.0, SPACING, where, torch.Generator(), breath_hold=0.0, noise=0.0)
    away = (places - plane.middle) @ plane.normal
    assert torch.equal(there > 0, away.abs() < 1.0) or ((there > 0) ^ (away.abs() < 1.0)).sum() < 5  # rounding
    inner = (there > 0) & (away.abs() < 0.99)
    inner[:2] = inner[-2:] = inner[:, :4] = inner[:, -4:] = inner[:, :, :4] = inner[:, :, -4:] = False
    expected = (places - away[..., None] * plane.normal) @ slope + 900.0
    assert inner.sum() > 300
    torch.testing.assert_close(seen[inner], expected[inner], atol=0.05, rtol=0)
    assert (seen[there == 0] == 0).all()


def test_breath_hold_and_noise_are_drawn_from_the_generator(scene: Scene) -> None:
    where = crossing(
        plan_long_axis(scene, "la_4ch", torch.Generator().manual_seed(0)), high_resolution_affine(scene, SHAPE)
    )
    volume = 400.0 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))
    one, two, other = (look(volume, SPACING, where, torch.Generator().manual_seed(s)) for s in (5, 5, 6))
    assert torch.equal(one, two) and not torch.equal(one, other) and torch.equal(one[1], other[1])
