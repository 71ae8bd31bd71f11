r"""Muscle within the cavities: trabeculae, papillary muscles, the moderator band. Annotators count it as cavity.

Trabeculae are ragged ridges that grow out of the wall and run along the ventricle, dense at the wall and sparse farther
in; the septum of the LV bears few, the RV and the apex are coarse. A fringe of fine ones covers all of the endocardium,
finer than a pixel: what a picture shows as the edge of the blood lies a millimetre inside the wall proper, where people
draw it. All of it is fixed to the heart's material, and what a contracting ventricle holds it holds in less room: the
same muscle fills more of a smaller cavity, until little blood is seen between the ridges.

Source: our own construction. How much muscle the LV holds: cohorts whose contours count it as muscle have 11 mL less
end-systolic volume and 29 g more mass than one whose contours do not, so between 11 and 28 mL ("Other cohorts, for
scale" in course/reference_values.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cardiolearn.phantom.body.curves import smoothstep
from cardiolearn.phantom.body.heart import Heart, Material
from cardiolearn.phantom.body.noise import Noise

_GROUPS = (math.radians(58.0), math.radians(-62.0))  # anterolateral and posteromedial papillary muscles
_OBLONG = 0.75  # width over height of a papillary muscle, which stands on the wall
_MOST_CROWDED = 2.6  # a cavity narrows gradually: however small, its middle stays blood
_MOST_LAYER = 3.2  # share of the cross-section: so deep do ridges reach into a cavity that is nearly closed


@dataclass(frozen=True)
class Papillary:
    r"""One papillary muscle: its `angle` (rad), the `place` of its free head (share of the cavity's radius), its
    `radius` (mm) and the depth of its `tip` and `root` (shares of the cavity's length)."""

    angle: float
    place: float
    radius: float
    tip: float
    root: float


class CavityMuscle:
    r"""Where the ventricles hold muscle instead of blood.

    Args:
        heart: whose ventricles.
        noise: the field that makes the ridges ragged.
        u: 24 numbers in [-1, 1] that tell this subject's muscle from another's.
    """

    def __init__(self, heart: Heart, noise: Noise, u: list[float]) -> None:
        self.heart, self.noise = heart, noise
        self._papillary = [muscle for i, angle in enumerate(_GROUPS) for muscle in _heads(angle, u[5 * i : 5 * i + 5])]
        self._layer = 0.40 * math.exp(0.65 * u[10])  # of the trabeculae, share of the cavity's cross-section
        self._ridge = 2.4 + 0.6 * u[11]  # mm, their width
        self._bare = 0.30 + 0.2 * u[12]  # how much of it the septum has
        self._from = 0.16 + 0.12 * u[13]  # share of the length above which the wall is smooth
        self._rv_layer = 6.0 + 2.5 * u[14]  # mm
        self._rv_ridge = 3.4 + 0.8 * u[15]
        self._bands = 0.17 + 0.11 * u[16]  # how much of the apical RV muscle bands cross
        self._moderator = (1.9 + 1.1 * u[17], 0.42 + 0.06 * u[18], 0.66 + 0.06 * u[19])  # mm; depth at either end
        self._fringe = 4.0 * math.exp(0.4 * u[20])  # mm; half of the wall's neighbourhood is muscle at a fifth of it

    def left(self, m: Material, a: float) -> Tensor:
        r"""Which points of the LV cavity are muscle at activation `a`: bool, of the shape of `m`."""
        heart = self.heart
        s = m.depth / heart.length
        inward = 1.0 - (m.rho_now / m.endo_now.clamp_min(1e-3)) ** 2  # share of the cross-section nearer to the wall
        crowd = (1.0 / (heart.cavity_factor(m.depth, a) * heart.stretch(a))).clamp_max(_MOST_CROWDED)
        x, y = torch.cos(m.theta), torch.sin(m.theta)
        free = self._bare + (1.0 - self._bare) * (0.5 + 0.5 * x)
        patchy = (1.0 + 0.5 * self.noise.at(torch.stack((x * 25, y * 25, m.depth), -1), 14.0, 6.0)).clamp_min(0.1)
        along = 0.05 + 1.2 * smoothstep((s - self._from) / 0.5) + smoothstep((s - 0.65) / 0.3)
        fringe = 2.0 * self._fringe / m.endo_now.clamp_min(8.0) * (0.4 + 0.6 * smoothstep(s / 0.3))  # as a share
        layer = crowd * patchy * (self._layer * free * along) + crowd.sqrt() * fringe
        layer = layer.clamp_max(_MOST_LAYER)
        r = 12.5 + 0.5 * m.rho
        strands = torch.stack((x * r + 0.25 * m.depth, y * r, 0.35 * m.depth), -1)  # they run a little aslant
        ridges = 0.8 * self.noise.at(strands, self._ridge) + 0.7 * self.noise.at(strands, 2.6 * self._ridge, 8.0)
        muscle = ridges > 3.1 * inward / layer - 0.65
        ragged = 1.0 + 0.28 * ridges
        for head in self._papillary:
            muscle |= self._within(head, m, s, ragged, a)
        return muscle & (s > 0.02)

    @staticmethod
    def _within(head: Papillary, m: Material, s: Tensor, ragged: Tensor, a: float) -> Tensor:
        # A column whose head stands free and whose root runs into the wall; it keeps its cross-section.
        along = (s - head.tip - 0.08 * a) / (head.root - head.tip)
        place = head.place + (1.0 - head.place) * smoothstep((along - 0.35) / 0.65)
        radius = torch.minimum(head.radius * ragged, 0.45 * m.endo_now)
        radius = radius * (along / 0.15).clamp(0.0, 1.0).sqrt() * (along < 1.0)
        turned = 2.0 - 2.0 * torch.cos(m.theta - head.angle)
        inward = _OBLONG * (m.rho_now - place * m.endo_now)
        return inward**2 + m.rho_now**2 * turned * place < radius**2

    def right(self, m: Material, inner: Tensor, outer: Tensor, a: float) -> Tensor:
        r"""Which points of the RV cavity are muscle at activation `a`; it lies between the radii `inner` and `outer`
        (mm, of the moment)."""
        s = (m.depth / self.heart.length).clamp(0.0, 1.0)
        across = (m.rho_now - inner) / (outer - inner).clamp_min(1e-3)  # 0 at the septum, 1 at the free wall
        r = 30.0 + 36.0 * across
        at = torch.stack((torch.cos(m.theta) * r, torch.sin(m.theta) * r, 0.5 * m.depth), -1)
        ridges = self.noise.at(at, self._rv_ridge, 5.0)
        diaphragm = 0.5 - 0.5 * torch.sin(m.theta)  # the mesh is densest on the diaphragm's side
        layer = self._rv_layer * (1.0 + 0.5 * a) * (0.75 + 1.5 * s) * (0.7 + 0.7 * diaphragm)
        muscle = ridges > 3.0 * (outer - m.rho_now) / layer - 0.5
        muscle |= ridges > 3.0 * (m.rho_now - inner) / (0.35 * layer) - 0.5
        broken = self.noise.at(at, 9.0, 17.0) > 0.2  # bands do not run on for ever
        bands = self.noise.at(at, 8.0, 11.0).abs() < self._bands * smoothstep((s - 0.3) / 0.4)
        return muscle | (bands & broken) | self._within_band(m, s, across)

    def _within_band(self, m: Material, s: Tensor, across: Tensor) -> Tensor:
        # The moderator band, from the septum to the free wall near the acute margin.
        radius, start, end = self._moderator
        anterior, inferior = self.heart.right.insertion
        angle = anterior + (0.42 + 0.2 * across) * (inferior - anterior)
        aside = (m.theta % (2.0 * math.pi) - angle) * m.rho_now
        along = (s - start - (end - start) * across) * self.heart.length
        return aside**2 + along**2 < radius**2


def _heads(angle: float, u: list[float]) -> list[Papillary]:
    # A papillary muscle has one to three heads side by side, with a common root.
    heads = 1 + int(1.5 * (1.0 + u[0]) * 0.999)
    radius = (4.6 + 1.3 * u[1]) / heads**0.35
    place, tip, root = 0.70 + 0.13 * u[2], 0.34 + 0.06 * u[3], 0.80 + 0.08 * u[4]
    return [
        Papillary(
            angle + 0.26 * u[2] + 0.34 * (i - 0.5 * (heads - 1)), place + 0.05 * ((i % 2) - 0.5), radius,
            tip + 0.04 * i * u[1], root,
        )
        for i in range(heads)
    ]  # fmt: skip
