r"""Known points, surfaces and motion of a heart: the ground truth of landmark, shape and tracking lessons.

Everything is in the heart frame in mm (see `heart.py`); `to_patient` brings it to where a scan's affine lives. Nothing
is measured on a picture: the heart's own closed forms are evaluated, so the answers are exact at any activation.
"""

from __future__ import annotations

import math
from typing import Literal

import torch

from cardiolearn.errors import InputError
from cardiolearn.phantom.body.heart import Heart, Material
from cardiolearn.phantom.body.scene import Scene

Surface = Literal["lv_endocardium", "lv_epicardium", "rv_endocardium"]

_MARGIN = (
    1e-3  # share of the RV's height left out at its very top and bottom, where its cross-section has shrunk to nothing
)


def to_patient(scene: Scene, points: torch.Tensor) -> torch.Tensor:
    r"""Points `(..., 3)` of the heart frame in the patient frame (RAS+), mm."""
    return points @ scene.frame.T + scene.origin


def landmarks(heart: Heart, a: float, device: torch.device | str = "cpu") -> dict[str, torch.Tensor]:
    r"""Six landmarks at activation `a`, each `(3,)` mm in the heart frame, on `device`.

    `apex` (outer tip of the wall), `mitral_valve` (middle of its plane), and at mid-ventricle `rv_insertion_anterior`
    and `rv_insertion_inferior` (where the free wall meets the LV), `lv_lateral_wall` (middle of the wall)
    and `rv_lateral_wall` (free-wall side of the cavity, half-way between the insertions).

    Source: the set of Oktay et al., IEEE TMI 2017 (deviation: closed form instead of an expert's click).
    """
    zero, middle = torch.zeros(1, device=device), torch.full((1,), 0.5 * heart.length, device=device)
    first, last = _rv_span(heart, middle)
    wall = 0.5 * (heart.endo_radius(middle, zero) + heart.epi_radius(middle, zero))
    found = {
        "apex": heart.to_space(zero, zero, zero + heart.height, a),
        "mitral_valve": heart.to_space(zero, zero, zero, a),
        "rv_insertion_anterior": heart.to_space(heart.epi_radius(middle, first), first, middle, a),
        "rv_insertion_inferior": heart.to_space(heart.epi_radius(middle, last), last, middle, a),
        "lv_lateral_wall": heart.to_space(wall, zero, middle, a),
        "rv_lateral_wall": _rv_point(heart, 0.5 * (first + last), middle, a, outer=True),
    }
    return {name: point[0] for name, point in found.items()}


def displacement(heart: Heart, material: Material, a0: float, a1: float) -> torch.Tensor:
    r"""How far material points `(...)` move from activation `a0` to `a1`: `(..., 3)` mm in the heart frame.

    `material` is what `heart.to_material` found. Meant for the LV wall: the chart carries the blood along as if it
    did not flow.

    >>> from cardiolearn.phantom.body.subject import sample_subject
    >>> heart = Heart(sample_subject(0, cohort="train", group="NOR"))
    >>> basal = heart.to_material(torch.tensor([[30.0, 0.0, 10.0]]), 0.0)
    >>> bool(displacement(heart, basal, 0.0, 1.0)[0, 2] > 5)  # the base descends towards the apex
    True
    """
    start, end = (heart.to_space(material.rho, material.theta, material.depth, a) for a in (a0, a1))
    return end - start


def ventricle_mesh(
    heart: Heart, surface: Surface, a: float, n_depth: int = 48, n_around: int = 96
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Closed surface at activation `a`: vertices `(V, 3)` mm (heart frame), triangles `(F, 3)` turning outward.

    Vertex `i` is the same material point at every activation, so differences of vertices are displacements (on the RV,
    which has no material chart of its own: the same share of its height and width). The LV surfaces end in a vertex at
    the apex and are closed by a flat lid on the mitral plane, the RV's by lids at the pulmonary valve and at its tip.
    `V = n_depth * n_around + 2`; the last two vertices are the middle of the upper lid and the apex.

    Args:
        heart: whose.
        surface: `"lv_endocardium"` (papillary muscles inside), `"lv_epicardium"`, `"rv_endocardium"` (septum included).
        a: activation, 0 at end-diastole, 1 at end-systole.
        n_depth: rings from base to apex.
        n_around: vertices of a ring, even.

    Raises:
        InputError: another surface, fewer than 2 rings or 4 vertices a ring, an odd number of them.
    """
    if n_depth < 2 or n_around < 4 or n_around % 2:
        raise InputError(f"mesh: expected n_depth >= 2 and even n_around >= 4, got {n_depth} and {n_around}")
    if surface == "rv_endocardium":
        rings = _right_rings(heart, a, n_depth, n_around)
        top, tip = rings[0].mean(0), rings[-1].mean(0)
    elif surface in ("lv_endocardium", "lv_epicardium"):
        rings = _left_rings(heart, surface, a, n_depth, n_around)
        ends = torch.tensor([0.0, heart.length if surface == "lv_endocardium" else heart.height])
        top, tip = heart.to_space(torch.zeros(2), torch.zeros(2), ends, a)
    else:
        raise InputError(f"surface: expected lv_endocardium, lv_epicardium or rv_endocardium, got {surface!r}")
    return torch.cat((rings.reshape(-1, 3), top[None], tip[None])), _triangles(n_depth, n_around)


def _left_rings(heart: Heart, surface: Surface, a: float, n_depth: int, n_around: int) -> torch.Tensor:
    # Rings crowd towards the apex, where the radius falls as the square root of what is left of the depth.
    left = 1.0 - torch.arange(n_depth) / n_depth
    share = 1.0 - left**2
    theta = 2.0 * math.pi * torch.arange(n_around) / n_around
    bottom, radius = (
        (heart.length, heart.endo_radius) if surface == "lv_endocardium" else (heart.height, heart.epi_radius)
    )
    depth, theta = torch.broadcast_tensors(bottom * share[:, None], theta[None])
    return heart.to_space(radius(depth, theta), theta, depth, a)


def _right_rings(heart: Heart, a: float, n_depth: int, n_around: int) -> torch.Tensor:
    # A ring runs along the free wall from the anterior to the inferior insertion and back along the septum.
    arc = torch.linspace(0.0, math.pi, n_depth)
    share = _MARGIN + (1.0 - 2.0 * _MARGIN) * (0.5 - 0.5 * torch.cos(arc))
    top, bottom = -heart.right.outflow_length, _rv_bottom(heart)
    depth = top + (bottom - top) * share
    first, last = (angle[:, None] for angle in _rv_span(heart, depth))
    half = n_around // 2
    across = 0.5 - 0.5 * torch.cos(math.pi * torch.arange(half) / half)
    free, septum = first + (last - first) * across, last + (first - last) * across
    depth = depth[:, None].expand(n_depth, half)
    return torch.cat((_rv_point(heart, free, depth, a, outer=True), _rv_point(heart, septum, depth, a, outer=False)), 1)


def _rv_point(heart: Heart, theta: torch.Tensor, depth: torch.Tensor, a: float, *, outer: bool) -> torch.Tensor:
    # The heart gives the RV's walls as radii of the moment; the chart wants the radius at end-diastole.
    below = depth.clamp_min(0.0)
    endo, (endo_now, epi_now) = heart.endo_radius(below, theta), heart.radii_now(below, theta, a)
    now = heart.right.septal_radius(depth, epi_now)
    if outer:
        now = now + heart.right.beyond(depth, theta, a)
    wall = (endo**2 + heart.stretch(a) * (now**2 - endo_now**2)).clamp_min(0.0).sqrt()
    rho = torch.where(now < endo_now, now * endo / endo_now.clamp_min(1e-3), wall)
    return heart.to_space(rho, theta, depth, a)


def _rv_depth(heart: Heart, depth: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    # How deep (mm) the RV cavity is from septum to free wall at end-diastole; 0 where there is none.
    return heart.right.beyond(depth, theta, 0.0)


def _rv_bottom(heart: Heart) -> float:
    # Depth (mm) where the RV's cross-section vanishes near the apex.
    depth, theta = torch.arange(0.0, heart.height, 0.05), torch.arange(0.0, 2.0 * math.pi, 0.1)
    there = _rv_depth(heart, *torch.broadcast_tensors(depth[:, None], theta[None])).amax(1) > 0.0
    return depth[there][-1].item()


def _rv_span(heart: Heart, depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    # Angles (rad) of the anterior and inferior insertion at each of `depth` (N,), by bisection from coarse angles.
    coarse = torch.arange(0.0, 2.0 * math.pi, 0.02, device=depth.device)
    there = _rv_depth(heart, *torch.broadcast_tensors(depth[:, None], coarse[None])) > 0.0
    first = coarse[there.float().argmax(1)]
    last = coarse[len(coarse) - 1 - there.flip(1).float().argmax(1)]
    ends = []
    for inside, sign in ((first, -1.0), (last, 1.0)):
        outside = inside + sign * 0.02
        for _ in range(16):
            middle = 0.5 * (inside + outside)
            has = _rv_depth(heart, depth, middle) > 0.0
            inside, outside = torch.where(has, middle, inside), torch.where(has, outside, middle)
        ends.append(inside)
    return ends[0], ends[1]


def _triangles(n_depth: int, n_around: int) -> torch.Tensor:
    # Two triangles for each square between neighbouring rings, a fan at either end.
    ring, here = torch.meshgrid(torch.arange(n_depth), torch.arange(n_around), indexing="ij")
    following = (here + 1) % n_around
    a, b = (ring * n_around + here)[:-1], (ring * n_around + following)[:-1]
    c, d = a + n_around, b + n_around
    squares = torch.cat((torch.stack((a, b, c), -1).reshape(-1, 3), torch.stack((b, d, c), -1).reshape(-1, 3)))
    top = torch.full((n_around,), n_depth * n_around)
    lid = torch.stack((top, following[0], here[0]), -1)
    last = (n_depth - 1) * n_around
    tip = torch.stack((last + here[0], last + following[0], top + 1), -1)
    return torch.cat((squares, lid, tip))
