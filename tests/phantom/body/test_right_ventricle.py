r"""The right ventricle in short axis: between a crescent and a triangle, and deepest at the acute margin."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cardiolearn.phantom.body.right_ventricle import RightVentricle
from cardiolearn.phantom.body.subject import SHAPE_MODES


def right(**modes: float) -> RightVentricle:
    c = [0.0] * SHAPE_MODES
    for name, value in modes.items():
        c[int(name[1:])] = value
    ventricle = RightVentricle(tuple(c), 90.0)
    ventricle.depth = 30.0
    return ventricle


def profile(ventricle: RightVentricle, depth: float, a: float = 0.0) -> tuple[Tensor, Tensor]:
    theta = torch.linspace(0.0, 2 * math.pi, 2001)
    return theta, ventricle.beyond(torch.full_like(theta, depth), theta, a)


def test_it_lies_between_the_insertions_and_ends_below_the_outflow() -> None:
    ventricle = right()
    theta, deep = profile(ventricle, 0.0)
    there = theta[deep > 1e-3]
    assert abs(there[0].item() - ventricle.insertion[0]) < 0.01
    assert abs(there[-1].item() - ventricle.insertion[1]) < 0.01
    assert not profile(ventricle, 90.0)[1].any()
    assert not profile(ventricle, -ventricle.outflow_length - 0.1)[1].any()


def test_a_triangle_has_a_corner_and_a_crescent_none() -> None:
    crescent, triangle = (profile(right(m24=z, m17=-2.0), 30.0)[1] for z in (-3.0, 3.0))
    # The share of the arc over which it is nearly as deep as it gets: wide for a crescent, narrow at a corner.
    wide, narrow = ((deep > 0.85 * deep.max()).sum() / (deep > 0).sum() for deep in (crescent, triangle))
    assert wide > 1.3 * narrow
    theta, deep = profile(right(m24=3.0), 0.0)
    first, last = right().insertion
    assert 0.55 < (theta[deep.argmax()].item() - first) / (last - first) < 0.75  # at the acute margin


def test_systole_makes_it_shallower_by_its_share() -> None:
    ventricle = right()
    ventricle.systole = 0.6
    rest, contracted = (profile(ventricle, 25.0, a)[1] for a in (0.0, 1.0))
    torch.testing.assert_close(contracted, 0.6 * rest)
