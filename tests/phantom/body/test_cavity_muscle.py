r"""Muscle in the cavities: it grows out of the wall, the septum is bare, and a small cavity keeps some blood."""

from __future__ import annotations

import math

import pytest
import torch
from hearts import heart_of
from torch import Tensor

from cardiolearn.phantom.body.anatomy import Anatomy
from cardiolearn.phantom.body.cavity_muscle import CavityMuscle, Papillary
from cardiolearn.phantom.body.disease import GROUPS, Group
from cardiolearn.phantom.body.heart import Heart, Material


def ring(heart: Heart, share: Tensor, s: Tensor, theta: Tensor, a: float) -> Material:
    r"""LV points at shares of the cavity's radius, of its length, and angles, all of one shape."""
    depth = s * heart.length
    endo, endo_now, epi_now = heart._then_and_now(depth, theta, a)
    return Material(share * endo, theta, depth, share * endo_now, endo_now, epi_now)


def grid(*axes: Tensor) -> tuple[Tensor, ...]:
    return torch.meshgrid(*axes, indexing="ij")


def muscle_of(group: Group, index: int = 0) -> CavityMuscle:
    return Anatomy(heart_of(group, "train", index)).muscle


@pytest.mark.parametrize("a", [0.0, 1.0])
def test_trabeculae_thin_out_from_the_wall_inwards(a: float) -> None:
    theta = torch.linspace(-0.6, 0.6, 60)  # lateral, between the papillary muscles
    share, s, theta = grid(torch.tensor([0.99, 0.9, 0.7, 0.2]), torch.linspace(0.5, 0.9, 30), theta)
    each = []
    for group in GROUPS:
        muscle = muscle_of(group)
        each.append(muscle.left(ring(muscle.heart, share, s, theta, a), a).float().mean((1, 2)))
    found = torch.stack(each).mean(0)
    assert 0.5 < found[0] < 0.95  # ragged, but most of the wall bears some
    assert found[0] > found[1] > found[2] > found[3]
    assert found[3] < 0.25  # however small the cavity, its middle is mostly blood


def test_the_septum_and_the_base_are_barer_than_the_lateral_wall_and_the_apex() -> None:
    amount: dict[str, float] = {"lateral": 0.0, "septal": 0.0, "basal": 0.0, "apical": 0.0}
    for group in GROUPS:
        for index in range(3):
            muscle = muscle_of(group, index)
            for name, s, middle in (
                ("lateral", 0.7, 0.0), ("septal", 0.7, math.pi), ("basal", 0.2, 0.0), ("apical", 0.85, 0.0),
            ):  # fmt: skip
                share, depth, theta = grid(
                    torch.linspace(0.7, 1.0, 20),
                    s + torch.linspace(-0.05, 0.05, 5),
                    middle + torch.linspace(-0.5, 0.5, 40),
                )
                amount[name] += muscle.left(ring(muscle.heart, share, depth, theta, 0.0), 0.0).float().mean().item()
    assert amount["septal"] < 0.8 * amount["lateral"]
    assert amount["basal"] < 0.3 * amount["apical"]


def test_a_papillary_muscle_stands_free_above_and_runs_into_the_wall_below() -> None:
    heart = heart_of("NOR", "train")
    head = Papillary(angle=1.0, place=0.6, radius=4.0, tip=0.35, root=0.85)
    share, s = grid(torch.linspace(0.0, 1.0, 400), torch.tensor([0.30, 0.45, 0.80, 0.90]))
    m = ring(heart, share, s, torch.ones_like(s), 0.0)
    inside = CavityMuscle._within(head, m, s, torch.ones_like(s), 0.0)
    assert not inside[:, 0].any() and not inside[:, 3].any()
    assert not inside[-1, 1] and inside[:, 1].any()  # blood between it and the wall
    assert inside[-1, 2]
    middle = (share[:, 1] * m.endo_now[:, 1])[inside[:, 1]]
    assert middle.mean().item() == pytest.approx(0.6 * m.endo_now[0, 1].item(), abs=0.2)
    assert (middle.max() - middle.min()).item() == pytest.approx(8.0 / 0.75, abs=0.2)


@pytest.mark.parametrize("a", [0.0, 1.0])
def test_the_moderator_band_reaches_from_the_septum_to_the_free_wall(a: float) -> None:
    heart = heart_of("NOR", "train")
    muscle = CavityMuscle(heart, Anatomy(heart).noise, [0.0] * 24)
    across = torch.linspace(0.0, 1.0, 50)
    anterior, inferior = heart.right.insertion
    theta = anterior + (0.42 + 0.2 * across) * (inferior - anterior)
    s = 0.42 + (0.66 - 0.42) * across
    depth = s * heart.length
    inner = heart.radii_now(depth, theta, a)[1]
    outer = inner + heart.right.beyond(depth, theta, a)
    m = Material(inner, theta, depth, inner + across * (outer - inner), inner, inner)
    assert muscle.right(m, inner, outer, a).all()


def test_the_right_ventricle_is_coarser_at_the_apex() -> None:
    share = []
    for s in (0.15, 0.75):
        heart = heart_of("NOR", "train")
        anterior, inferior = heart.right.insertion
        across, depth, theta = grid(
            torch.linspace(0.02, 0.98, 30), s * heart.length + torch.linspace(-3, 3, 5),
            torch.linspace(anterior + 0.5, inferior - 0.5, 60),
        )  # fmt: skip
        inner = heart.radii_now(depth, theta, 0.0)[1]
        outer = inner + heart.right.beyond(depth, theta, 0.0)
        m = Material(inner, theta, depth, inner + across * (outer - inner), inner, inner)
        share.append(Anatomy(heart).muscle.right(m, inner, outer, 0.0).float().mean().item())
    assert share[0] < 0.1 and 0.08 < share[1] < 0.6
