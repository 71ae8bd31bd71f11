r"""What a point near the heart is made of: ventricles with papillary muscles, atria, great vessels, epicardial fat.

Labels follow one convention, the lecture's annotators': papillary muscles and trabeculae belong to the cavity, the RV
ends at the pulmonary valve, and what lies above the mitral plane is neither LV cavity nor myocardium.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from cardiolearn.imaging.structures import LEFT_ATRIUM, LV_CAVITY, MYOCARDIUM, RIGHT_ATRIUM, RV_CAVITY
from cardiolearn.phantom.body.curves import smoothstep
from cardiolearn.phantom.body.heart import Heart, Material
from cardiolearn.phantom.body.noise import Noise
from cardiolearn.phantom.body.tissue import Tissue

_LA_EMPTY, _RA_EMPTY = 0.86, 0.90  # sizes of the atria at end-diastole, for `_filled`


@dataclass(frozen=True)
class HeartMap:
    r"""Tissue codes and labels `(...)` (uint8) and a rough distance in mm to the heart's outside (negative within)."""

    tissue: torch.Tensor
    label: torch.Tensor
    outside: torch.Tensor


def _ellipsoid(points: torch.Tensor, centre: tuple[float, ...], radii: tuple[float, ...]) -> torch.Tensor:
    # Rough signed distance in mm: exact on the surface, right in sign everywhere.
    q = ((points - torch.tensor(centre)) / torch.tensor(radii)).norm(dim=-1)
    return (q - 1.0) * min(radii)


def tube(points: torch.Tensor, path: list[tuple[float, float, float]], radii: list[float]) -> torch.Tensor:
    r"""Signed distance (mm) to a tube along straight pieces of `path`, with a radius at each of its corners."""
    best = torch.full(points.shape[:-1], math.inf)
    for start, end, r0, r1 in zip(path[:-1], path[1:], radii[:-1], radii[1:], strict=True):
        a, along = torch.tensor(start), torch.tensor(end) - torch.tensor(start)
        from_a = points - a
        t = (from_a @ along / along.dot(along)).clamp_(0.0, 1.0)
        best = torch.minimum(best, (from_a - t[..., None] * along).square().sum(-1).sqrt() - (r0 + t * (r1 - r0)))
    return best


def _smooth_minimum(a: torch.Tensor, b: torch.Tensor, width: float) -> torch.Tensor:
    # Polynomial smooth minimum: fills the groove between two surfaces over about `width` mm.
    h = (0.5 + 0.5 * (b - a) / width).clamp(0.0, 1.0)
    return b + (a - b) * h - width * h * (1.0 - h)


def _filled(
    centre: tuple[float, ...], radii: tuple[float, ...], empty: float, a: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    # An atrium at activation `a`: it fills while the ventricles empty, from `empty` to 1.1 of its size, and grows away
    # from the valves, where it hangs.
    grow = empty + (1.10 - empty) * a
    (x, y, z), (rx, ry, rz) = centre, radii
    return (x, y, grow * z), (grow * rx, grow * ry, grow * rz)


class Anatomy:
    r"""Tissue and labels of one subject's heart at any point (heart frame, mm) and activation.

    Sizes that no clinical index fixes (atria, vessels, papillary muscles, fat) come from the subject's seed.
    """

    def __init__(self, heart: Heart) -> None:
        self.heart = heart
        g = torch.Generator().manual_seed((heart.subject.seed * 7 + 1) % 2**62)
        self.noise = Noise((heart.subject.seed * 7 + 2) % 2**62)
        u = (torch.rand(24, generator=g) * 2 - 1).tolist()  # uniform on [-1, 1], one per size below
        self._papillary = tuple(
            (angle + 0.3 * u[i], 0.72 + 0.18 * u[i + 2], (5.4 + 1.9 * u[i + 4]), 0.52 + 0.08 * u[i + 6])
            for i, angle in enumerate((math.radians(58.0), math.radians(-62.0)))
        )
        self._trabeculation = 0.17 + 0.12 * u[8]  # share of the cavity radius
        self._rv_trabeculation = 7.0 + 5.0 * u[9]  # mm
        self._bundles = 0.10 + 0.08 * u[23]  # share of the apical RV crossed by muscle bundles
        self._fat = 1.5 + 1.5 * u[10]  # mm of fat on the epicardium
        self._groove = 9.0 + 4.0 * u[11]  # mm over which the grooves between the chambers are filled
        size = 1.0 + 0.12 * u[12]
        self._la = ((10.0 + 3 * u[13], -12.0 + 3 * u[14], -25.0 - 4 * u[12]), (25.0 * size, 21.0 * size, 26.0 * size))
        size = 1.0 + 0.12 * u[15]
        self._ra = ((-38.0 + 4 * u[16], -26.0 + 4 * u[17], -22.0), (23.0 * size, 26.0 * size, 28.0 * size))
        self._aorta = 12.5 + 1.8 * u[18]
        self._artery = 12.0 + 1.5 * u[19]
        self._aorta_lean = 6.0 * u[20]
        self._leaflets = u[22] > 0.0
        self.effusion = max(0.0, 2.5 * u[21] - 1.0)

    def at(self, points: torch.Tensor, a: float) -> HeartMap:
        r"""Tissue, label and outside distance at `points` `(..., 3)` at activation `a`."""
        m = self.heart.to_material(points, a)
        tissue = torch.zeros(points.shape[:-1], dtype=torch.uint8)
        label = torch.zeros_like(tissue)
        above = points - torch.tensor([0.0, 0.0, (1.0 - self.heart.stretch(a)) * self.heart.height])
        outside = torch.full_like(m.depth, 1e3)
        inflow = self._inflow(above, a)
        high = (above[..., 2] < 45.0).nonzero(as_tuple=True)  # atria and vessels reach no further down
        tissue[high], label[high], outside[high] = self._above_the_valves(
            above[high], m.depth[high] < 0.0, inflow[high], a
        )
        right = self._right(tissue, label, points, m, inflow < 0.0, a)
        left = self._left(tissue, label, points, m, a)
        outside = _smooth_minimum(outside, torch.minimum(right, left), self._groove)
        self._cover(tissue, points, outside)
        return HeartMap(tissue, label, outside)

    def _left(
        self, tissue: torch.Tensor, label: torch.Tensor, points: torch.Tensor, m: Material, a: float
    ) -> torch.Tensor:
        body = (m.depth >= 0.0) & (m.depth < self.heart.height)
        cavity = body & (m.rho_now < m.endo_now)
        wall = body & ~cavity & (m.rho_now < m.epi_now)
        tissue[wall], label[wall] = int(Tissue.MYOCARDIUM), MYOCARDIUM
        label[cavity] = LV_CAVITY
        muscle = self._inside_cavity_muscle(m.rho_now[cavity], m.theta[cavity], m.depth[cavity], m.endo_now[cavity], a)
        tissue[cavity] = torch.where(muscle, int(Tissue.TRABECULA), int(Tissue.LV_BLOOD)).to(torch.uint8)
        beyond = torch.maximum(m.depth - self.heart.height, -m.depth)
        return torch.maximum(m.rho_now - m.epi_now, beyond)

    def _inside_cavity_muscle(
        self, rho: torch.Tensor, theta: torch.Tensor, depth: torch.Tensor, endo: torch.Tensor, a: float
    ) -> torch.Tensor:
        # Trabeculae: a ragged inner lining, thicker to the apex.
        # Papillary muscles: two columns that keep their cross-section.
        s = depth / self.heart.length
        ratio = rho / endo.clamp_min(1e-3)
        ragged = self.noise.at(torch.stack((torch.cos(theta) * 9, torch.sin(theta) * 9, depth * 0.35), -1), 2.2)
        crowd = 1.0 + 0.8 * a  # the same muscle in a smaller cavity
        lining = self._trabeculation * crowd * (0.2 + 1.1 * smoothstep((s - 0.25) / 0.6)) * (ragged + 0.1)
        muscle = ratio > 1.0 - lining
        for angle, place, radius, middle in self._papillary:
            taper = (1.0 - ((s - middle - 0.1 * a) / 0.27) ** 2).clamp_min(0.0).sqrt()
            away = (rho - place * endo) ** 2 + rho**2 * (2 - 2 * torch.cos(theta - angle)) * place
            muscle |= away < (radius * taper) ** 2
        return muscle & (s > 0.12)

    def _right(
        self,
        tissue: torch.Tensor,
        label: torch.Tensor,
        points: torch.Tensor,
        m: Material,
        opening: torch.Tensor,
        a: float,
    ) -> torch.Tensor:
        heart = self.heart
        inner = heart.base_radius(m.depth, m.epi_now)
        outer, shell, swell = self._right_walls(m, inner, a)
        has_rv = (outer - inner) > 0.3
        span = (m.depth > -heart.outflow_length) & (m.depth < heart.height)
        cavity = span & has_rv & (m.rho_now >= inner) & (m.rho_now < outer)
        near = span & (shell - inner > heart.rv_wall * 1.6) & (m.rho_now >= inner) & (m.rho_now < shell)
        wall = near & ~cavity & ~opening
        tissue[wall] = int(Tissue.RV_WALL)
        label[cavity] = RV_CAVITY
        here, s = points[cavity], (m.depth[cavity] / heart.length).clamp(0.0, 1.0)
        lining = self._rv_trabeculation * (0.4 + 1.1 * s) * (self.noise.at(here, 5.0, 5.0) + 0.15)
        bundles = (self.noise.at(here, 7.0, 11.0).abs() < self._bundles) & (s > 0.15)
        muscle = ((outer - m.rho_now)[cavity] < lining) | ((m.rho_now - inner)[cavity] < 0.3 * lining) | bundles
        tissue[cavity] = torch.where(muscle, int(Tissue.TRABECULA), int(Tissue.RV_BLOOD)).to(torch.uint8)
        return torch.maximum(m.rho_now - swell, torch.maximum(m.depth - heart.height, -heart.outflow_length - m.depth))

    def _right_walls(
        self, m: Material, inner: torch.Tensor, a: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        # In- and outside of the RV's free wall as radii; only the septal side is worked out, elsewhere both hug the LV.
        # The third is the outside with the grooves along the insertions filled in, as by fat.
        heart = self.heart
        thickness = heart.rv_wall * (0.6 + 0.4 * (1 - a)) / heart.stretch(a)
        outer, shell, swell = inner.clone(), inner + thickness, inner.clone()
        side = (heart.septal_angle(m.theta) > 0.0) | (inner < 15.0)
        depth, theta, epi = m.depth[side], m.theta[side], inner[side]
        near = heart.rv_outer(depth, theta, epi, a)
        # The wall is as thick across a slanted free wall as across a radial one: look a little to both sides as well.
        turn = heart.rv_wall / near.clamp_min(1.0)
        around = [
            heart.rv_outer(depth + dz, theta + sign * turn, epi, a) for sign, dz in ((-1, 0.0), (1, 0.0), (0, 2.5))
        ]
        outer[side], shell[side] = near, torch.stack([near, *around]).amax(0) + thickness
        half = self._groove / near.clamp_min(5.0)
        wide = [heart.rv_outer(depth, theta + sign * half, epi, a) for sign in (-1.0, 1.0)]
        reach = torch.stack([near, near, *around[:2], *wide])
        swell[side] = (reach + (reach - epi).clamp(0.0, thickness)).mean(0)
        return outer, shell, swell

    def _inflow(self, points: torch.Tensor, a: float) -> torch.Tensor:
        # Distance (mm) to the tricuspid opening, a tube from the right atrium into the ventricle. In half the subjects
        # the leaflets of the closed valve are seen as a wall between the two.
        if self._leaflets and a > 0.3:
            return torch.full(points.shape[:-1], 1e3)
        theta, depth = torch.tensor([math.radians(212.0)]), torch.tensor([8.0])
        epi = self.heart.radii_now(depth, theta, a)[1]
        outer = self.heart.rv_outer(depth, theta, epi, a)
        width, middle = (outer - epi).item(), (0.5 * (outer + epi)).item()
        end = (middle * math.cos(theta.item()), middle * math.sin(theta.item()), depth.item())
        centre, radii = _filled(*self._ra, _RA_EMPTY, a)
        return tube(points, [end, centre], [min(14.0, 0.4 * width), 0.7 * radii[0]])

    def _above_the_valves(
        self, points: torch.Tensor, base: torch.Tensor, inflow: torch.Tensor, a: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        # Tissue, label and distance of atria and great vessels; `base` says which points lie above the mitral plane.
        tissue = torch.zeros(len(points), dtype=torch.uint8)
        label = torch.zeros_like(tissue)
        lean, r, p = self._aorta_lean, self._aorta, self._artery
        out = -self.heart.outflow_length
        (la_centre, la_radii), (ra_centre, ra_radii) = (
            _filled(*self._la, _LA_EMPTY, a),
            _filled(*self._ra, _RA_EMPTY, a),
        )
        la, ra = _ellipsoid(points, la_centre, la_radii), _ellipsoid(points, ra_centre, ra_radii)
        ra = torch.minimum(ra, inflow)
        mitral = 0.72 * self.heart.mitral_radius(a)  # blood runs on from ventricle to atrium through the open ring
        la = torch.minimum(la, tube(points, [(4.0, -5.0, 6.0), la_centre], [mitral, 0.8 * la_radii[0]]))
        root = [(-8.0, 8.0, 2.0), (-14.0 + lean, 9.0, -25.0), (-24.0 + lean, 8.0, -55.0), (-20.0 + lean, -5.0, -85.0)]
        aorta = tube(points, root, [r, r * 1.15, r * 1.1, r])
        trunk = [(6.0, 36.0, out + 4.0), (12.0, 26.0, out - 14.0), (14.0, 4.0, out - 34.0), (2.0, -25.0, out - 42.0)]
        artery = tube(points, trunk, [p, p * 1.1, p, 0.8 * p])
        branch = [trunk[2], (-20.0, -22.0, out - 42.0), (-60.0, -30.0, out - 40.0)]  # to the right lung
        artery = torch.minimum(artery, tube(points, branch, [0.8 * p, 0.7 * p, 0.6 * p]))
        veins = tube(points, [(20.0, -20.0, -42.0), (45.0, -30.0, -52.0), (70.0, -36.0, -60.0)], [9.0, 6.0, 4.0])
        veins = torch.minimum(veins, tube(points, [(-10.0, -26.0, -40.0), (-45.0, -48.0, -48.0)], [8.0, 5.0]))
        veins = torch.where(la < 0.0, 1e3, veins)  # they end where they open into the atrium
        appendage = tube(points, [(24.0, 8.0, -18.0), (30.0, 24.0, -14.0)], [8.0, 5.0])
        for distance, wall, code, name in (
            (torch.minimum(la, appendage), 2.0, Tissue.LA_BLOOD, LEFT_ATRIUM),
            (veins, 1.0, Tissue.VEIN, 0),
            (ra, 2.0, Tissue.RA_BLOOD, RIGHT_ATRIUM),
            (artery, 1.5, Tissue.ARTERY, 0),
            (aorta, 1.8, Tissue.ARTERY, 0),
        ):
            shell = (distance < wall) & (base | (name == RIGHT_ATRIUM))
            tissue[shell] = int(Tissue.VESSEL_WALL if name == 0 else Tissue.ATRIAL_WALL)
            label[shell] = 0
            lumen = shell & (distance < 0.0)
            tissue[lumen], label[lumen] = int(code), name
        return tissue, label, torch.stack([la, ra - 2.0, artery, aorta, veins]).amin(0) - 2.0

    def _cover(self, tissue: torch.Tensor, points: torch.Tensor, outside: torch.Tensor) -> None:
        # What hugs the heart and is not yet anything: fat of varying thickness, perhaps fluid, then the sac.
        near = ((tissue == 0) & (outside < 40.0)).nonzero(as_tuple=True)
        thickness = (self._fat + (1.0 + self._fat) * self.noise.at(points[near], 26.0, 3.0)).clamp_min(0.0)
        beyond = outside[near] - thickness
        layers = torch.where(beyond < self.effusion + 1.4, int(Tissue.PERICARDIUM), 0)
        layers = torch.where(beyond < self.effusion, int(Tissue.EFFUSION), layers)
        tissue[near] = torch.where(beyond < 0.0, int(Tissue.EPICARDIAL_FAT), layers).to(torch.uint8)
