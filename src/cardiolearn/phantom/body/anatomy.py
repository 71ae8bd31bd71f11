r"""What a point near the heart is made of: ventricles, what lies above them, fat, coronary vessels, the sac.

Labels follow one convention, the lecture's annotators': papillary muscles and trabeculae belong to the cavity, the RV
ends at the pulmonary valve, and what lies above the mitral plane is neither LV cavity nor myocardium.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cardiolearn.imaging.structures import LV_CAVITY, MYOCARDIUM, RV_CAVITY
from cardiolearn.phantom.body.cavity_muscle import CavityMuscle
from cardiolearn.phantom.body.chambers_above import ChambersAbove
from cardiolearn.phantom.body.curves import smooth_minimum, smoothstep
from cardiolearn.phantom.body.heart import Heart, Material
from cardiolearn.phantom.body.noise import Noise
from cardiolearn.phantom.body.tissue import Tissue

_HIGH = 45.0  # mm below the base: atria and vessels reach no further down


@dataclass(frozen=True)
class HeartMap:
    r"""Tissue codes and labels `(...)` (uint8) and a rough distance in mm to the heart's outside (negative within)."""

    tissue: Tensor
    label: Tensor
    outside: Tensor


class Anatomy:
    r"""Tissue and labels of one subject's heart at any point (heart frame, mm) and activation.

    Sizes that no clinical index fixes (atria, vessels, papillary muscles, fat) come from the subject's seed.
    """

    def __init__(self, heart: Heart) -> None:
        self.heart = heart
        g = torch.Generator().manual_seed((heart.subject.seed * 7 + 1) % 2**62)
        self.noise = Noise((heart.subject.seed * 7 + 2) % 2**62)
        u = (torch.rand(48, generator=g, device="cpu") * 2 - 1).tolist()  # uniform on [-1, 1]
        self.above = ChambersAbove(heart, u[:16])
        self.muscle = CavityMuscle(heart, self.noise, u[16:40])
        self._fat = 1.6 + 1.4 * u[40]  # mm of fat on the epicardium of the RV; the LV has less
        self._groove = 8.0 + 4.0 * u[41]  # mm over which the grooves between the chambers are filled
        self._sac = 0.9 + 0.4 * u[42]  # mm of pericardium
        self.effusion = max(0.0, 2.5 * u[43] - 1.0)
        self._coronary = 1.5 + 0.5 * u[44]  # mm, radius

    def at(self, points: Tensor, a: float) -> HeartMap:
        r"""Tissue, label and outside distance at `points` `(..., 3)` at activation `a`."""
        m = self.heart.to_material(points, a)
        tissue = torch.zeros(points.shape[:-1], dtype=torch.uint8, device=points.device)
        label = torch.zeros_like(tissue)
        moved = points - points.new_tensor([0.0, 0.0, (1.0 - self.heart.stretch(a)) * self.heart.height])
        outside = torch.full_like(m.depth, 1e3)
        inflow = self.above.inflow(moved, a)
        high = (moved[..., 2] < _HIGH).nonzero(as_tuple=True)
        tissue[high], label[high], outside[high] = self.above.at(moved[high], m.depth[high] < 0.0, inflow[high], a)
        right = self._right(tissue, label, m, inflow < 0.0, a)
        left = self._left(tissue, label, m, a)
        outside = smooth_minimum(outside, torch.minimum(right, left), self._groove)
        self._cover(tissue, points, m, outside)
        return HeartMap(tissue, label, outside)

    def _left(self, tissue: Tensor, label: Tensor, m: Material, a: float) -> Tensor:
        body = (m.depth >= 0.0) & (m.depth < self.heart.height)
        cavity = body & (m.rho_now < m.endo_now)
        wall = body & ~cavity & (m.rho_now < m.epi_now)
        tissue[wall], label[wall] = int(Tissue.MYOCARDIUM), MYOCARDIUM
        label[cavity] = LV_CAVITY
        muscle = self.muscle.left(m.only(cavity), a)
        tissue[cavity] = torch.where(muscle, int(Tissue.TRABECULA), int(Tissue.LV_BLOOD)).to(torch.uint8)
        beyond = torch.maximum(m.depth - self.heart.height, -m.depth)
        return torch.maximum(m.rho_now - m.epi_now, beyond)

    def _right(self, tissue: Tensor, label: Tensor, m: Material, opening: Tensor, a: float) -> Tensor:
        heart, top = self.heart, -self.heart.right.outflow_length
        inner = heart.right.septal_radius(m.depth, m.epi_now)
        outer, shell, swell = self._right_walls(m, inner, a)
        span = (m.depth > top) & (m.depth < heart.height) & (m.rho_now >= inner)
        cavity = span & (outer - inner > 0.3) & (m.rho_now < outer)
        near = span & (shell - inner > 1.6 * heart.right.wall) & (m.rho_now < shell)
        tissue[near & ~cavity & ~opening] = int(Tissue.RV_WALL)
        label[cavity] = RV_CAVITY
        muscle = self.muscle.right(m.only(cavity), inner[cavity], outer[cavity], a)
        tissue[cavity] = torch.where(muscle, int(Tissue.TRABECULA), int(Tissue.RV_BLOOD)).to(torch.uint8)
        return torch.maximum(m.rho_now - swell, torch.maximum(m.depth - heart.height, top - m.depth))

    def _right_walls(self, m: Material, inner: Tensor, a: float) -> tuple[Tensor, Tensor, Tensor]:
        # In- and outside of the RV's free wall as radii; only the septal side is worked out, elsewhere both hug the LV.
        # The third is the outside with the grooves along the insertions filled in, as by fat.
        right = self.heart.right
        thickness = right.wall * (0.6 + 0.4 * (1 - a)) / self.heart.stretch(a)
        outer, shell, swell = inner.clone(), inner + thickness, inner.clone()
        side = (right.septal_angle(m.theta) > 0.0) | (inner < 15.0)
        depth, theta, septum = m.depth[side], m.theta[side], inner[side]
        near = septum + right.beyond(depth, theta, a)
        # The wall is as thick across a slanted free wall as across a radial one: look a little to both sides as well.
        turn = right.wall / near.clamp_min(1.0)
        around = [
            septum + right.beyond(depth + dz, theta + sign * turn, a) for sign, dz in ((-1, 0.0), (1, 0.0), (0, 2.5))
        ]
        outer[side], shell[side] = near, torch.stack([near, *around]).amax(0) + thickness
        half = self._groove / near.clamp_min(5.0)
        wide = [septum + right.beyond(depth, theta + sign * half, a) for sign in (-1.0, 1.0)]
        reach = torch.stack([near, near, *around[:2], *wide])
        swell[side] = (reach + (reach - septum).clamp(0.0, thickness)).mean(0)
        return outer, shell, swell

    def _cover(self, tissue: Tensor, points: Tensor, m: Material, outside: Tensor) -> None:
        # What hugs the heart and is not yet anything: fat of varying thickness, perhaps fluid, then the sac.
        near = ((tissue == 0) & (outside < 40.0)).nonzero(as_tuple=True)
        here, beyond = points[near], outside[near]
        m, right = m.only(near), smoothstep((5.0 - here[..., 0]) / 45.0)
        lobes = self.noise.at(here, 13.0, 3.0)
        patchy = (self._fat - 1.6 + (1.6 + 1.3 * self._fat) * lobes).clamp_min(0.0)  # half of it is bare
        thickness = patchy * (0.4 + 0.6 * right)
        sac = self._sac * smoothstep(0.9 - lobes.abs())  # seen here and there, and no line all round
        above = m.depth < 0.0  # there is no sac between the chambers, but fat, and muscle towards the septum
        wedge = m.epi_now + 3.0 + 0.9 * m.depth  # it narrows upwards
        thickness = torch.where(above & (m.rho_now < wedge), 40.0, thickness)
        beyond = beyond - thickness
        layers = torch.where((beyond < self.effusion + sac) & ~above, int(Tissue.PERICARDIUM), 0)
        layers = torch.where(beyond < self.effusion, int(Tissue.EFFUSION), layers)
        layers = torch.where(beyond < 0.0, int(Tissue.EPICARDIAL_FAT), layers)
        septal = above & (m.rho_now < m.epi_now) & (torch.cos(m.theta) < 0.35 * lobes - 0.3) & (m.depth > -9.0)
        layers = torch.where(septal, int(Tissue.ATRIAL_WALL), layers)
        vessel = (beyond < 1.0) & self._coronaries(m)
        tissue[near] = torch.where(vessel, int(Tissue.ARTERY), layers).to(torch.uint8)

    def _coronaries(self, m: Material) -> Tensor:
        # The descending branches run in the grooves along the insertions, the circular ones round the base.
        gap = m.rho_now - m.epi_now
        inside = (gap - 7.0) ** 2 + (m.depth + 5.0) ** 2 < (1.2 * self._coronary) ** 2
        for angle in self.heart.right.insertion:
            aside = m.rho_now * (torch.remainder(m.theta - angle + math.pi, 2.0 * math.pi) - math.pi)
            below = (m.depth > -5.0) & (m.depth < 0.85 * self.heart.length)
            inside |= below & ((gap - 3.2) ** 2 + aside**2 < self._coronary**2)
        return inside
