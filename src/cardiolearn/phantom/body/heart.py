r"""The beating ventricles: a closed-form chart between material points and positions in time.

**Heart frame** (mm, right-handed): origin at the centre of the mitral plane at end-diastole, `z` points along the LV
axis from base to apex, `x` from the septum to the lateral wall, `y` to the anterior wall. A short-axis slice seen from
the apex with `x` to the right and `y` up looks as radiologists show it: the RV on the left.

**Material coordinates** are cylindrical at end-diastole: radius :math:`\rho_0`, angle :math:`\theta_0`, depth :math:`Z`
(0 at the mitral plane). With activation `a` (0 at end-diastole, 1 at end-systole), longitudinal stretch
:math:`\lambda = 1 - a\,e_l` and cavity area factor :math:`g(Z)`:

.. math::
    z = H - \lambda (H - Z), \qquad \theta = \theta_0 + \varphi(Z, a), \qquad
    \rho^2 = g\,R_{en}^2 + (\rho_0^2 - R_{en}^2)/\lambda

whose Jacobian determinant is exactly 1 in the wall: the muscle is incompressible, so it must thicken when the cavity
shrinks. A centre line, a tilt of the mitral plane and smooth shape modes follow, all shears of determinant 1.

Source: our own construction; incompressible prolate kinematics in the spirit of Arts et al., J Biomech 1991 (deviation:
cylindrical instead of prolate layers, so the inverse needs no iteration).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch

from cardiolearn.imaging.structures import MYOCARDIAL_DENSITY
from cardiolearn.phantom.body.curves import smoothstep
from cardiolearn.phantom.body.right_ventricle import RightVentricle
from cardiolearn.phantom.body.subject import Subject

_DEGREE = math.pi / 180.0
_ROOT = 135.0 * _DEGREE  # where the aortic root stands on the base: there the septum thins to a membrane
_BELOW_ROOT = 0.65  # by so much at most


@dataclass(frozen=True)
class Material:
    r"""Material coordinates of N points: radius and depth in mm, angle in rad, and the radii there now."""

    rho: torch.Tensor
    theta: torch.Tensor
    depth: torch.Tensor
    rho_now: torch.Tensor
    endo_now: torch.Tensor
    epi_now: torch.Tensor

    def only(self, where: torch.Tensor | tuple[torch.Tensor, ...]) -> Material:
        r"""Some of the points: those at indices or where a mask is true."""
        return Material(*(getattr(self, f.name)[where] for f in fields(self)))


@dataclass(frozen=True)
class _Cells:
    r"""Pieces of the RV around the axis: depth (mm) and angle, inner radius (mm), and mL in 1 mm2 of ring."""

    depth: torch.Tensor
    theta: torch.Tensor
    inner: torch.Tensor
    weight: torch.Tensor


class Heart:
    r"""Both ventricles of one subject, from its volumes, mass and shape modes.

    Args:
        subject: volumes in mL, mass in g, length in mm; `shape` holds 30 standard-normal mode weights and
            `unseen_shape` 8 more that are zero in every training subject.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        c = subject.shape
        self.length = subject.lv_length
        self.shortening = subject.longitudinal_shortening
        self._set_left(c, subject.unseen_shape)
        self.right = RightVentricle(c, self.length)
        self._set_modes(c, subject.unseen_shape)
        self._solve_left(subject)
        self._solve_right(subject)

    # ------------------------------------------------------------------ shape
    def _set_left(self, c: tuple[float, ...], unseen: tuple[float, ...]) -> None:
        self._bullet = 2.5 * math.exp(0.13 * c[0])  # 2 is an ellipsoid, more is a bullet
        self._waist = min(max(0.20 + 0.05 * c[1], 0.06), 0.34)  # narrowing towards the valves
        fourth, unseen_third = (4, 0.02 * unseen[2], 1.5 * unseen[3]), (3, 0.06 * unseen[4], 1.5 * unseen[5])
        self._ovals = ((2, 0.035 * c[2], 1.5 * c[3]), (3, 0.018 * c[4], 1.5 * c[5]), fourth)
        self._wall_modes = (
            (1, 0.07 * c[6], 1.5 * c[7]), (2, 0.06 * c[8], 1.5 * c[26]),
            (3, 0.045 * c[27], 1.5 * c[28]), (5, 0.03 * c[29], 0.0), unseen_third,
        )  # fmt: skip
        self._apex_wall = min(max(0.60 + 0.10 * c[9], 0.35), 0.9)

    def _set_modes(self, c: tuple[float, ...], unseen: tuple[float, ...]) -> None:
        self._bend = (3.0 * c[19], 3.0 * c[20])
        self._tilt = (0.10 * c[21], 0.06 + 0.10 * c[22])
        self._shear = ((1.6 * c[23], 95.0, 0.7), (1.5 * unseen[0], 60.0, 2.0), (1.5 * unseen[1], 70.0, 4.0))
        self._bulge = (0.08 * abs(unseen[6]), 2.0 * unseen[7])  # an apical bulge, as after an infarct

    def _profile(self, s: torch.Tensor, waist: float) -> torch.Tensor:
        # Relative radius along the axis: slightly narrow at the base, a bullet below it, 0 at the apex (s = 1).
        below = ((s - 0.2) / 0.8).clamp(0.0, 1.0)
        above = ((0.2 - s) / 0.2).clamp(0.0, 1.0)
        return (1.0 - below**self._bullet).clamp_min(0.0).sqrt() * (1.0 - waist * above**2)

    def _ring(self, theta: torch.Tensor, modes: tuple[tuple[int, float, float], ...]) -> torch.Tensor:
        ring = torch.ones_like(theta)
        for order, amplitude, angle in modes:
            if amplitude:
                ring = ring + amplitude * torch.cos(order * (theta - angle))
        return ring

    def endo_radius(self, depth: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        r"""LV cavity radius in mm at end-diastole, at depths (mm) and angles (rad) of any one shape."""
        return self._radii(depth, theta)[0]

    def epi_radius(self, depth: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        r"""Outer radius of the LV wall in mm at end-diastole; never thinner than a quarter of the mean wall."""
        return self._radii(depth, theta)[1]

    def _radii(self, depth: torch.Tensor, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        s, ovals = depth / self.length, self._ring(theta, self._ovals)
        endo = self._radius * self._profile(s, self._waist) * ovals
        if self._bulge[0]:
            apical, side = smoothstep((s - 0.4) / 0.3), torch.cos(theta - self._bulge[1]).clamp_min(0)
            endo = endo * (1 + self._bulge[0] * apical * side)
        septum = torch.cos(0.5 * (theta - math.pi)) ** 4
        # Thick and thin places wind round the ventricle: no slice's wall is like its neighbour's.
        regional = self._ring(theta - 1.2 * s, self._wall_modes)
        wall = self.wall * regional * (1.0 + self.subject.septal_asymmetry * septum)
        if self.subject.apical_thickening:
            wall = wall * (1.0 + self.subject.apical_thickening * smoothstep((s - 0.3) / 0.4))
        wall = wall * (1.0 - _BELOW_ROOT * torch.cos(0.5 * (theta - _ROOT)) ** 8 * smoothstep(1.0 - s / 0.22))
        epi = (self._radius * ovals + wall) * self._profile(depth / self.height, 0.8 * self._waist)
        inside = (depth < self.height).to(depth.dtype)
        return endo, torch.maximum(epi, (endo + 0.25 * self.wall) * inside)

    @property
    def height(self) -> float:
        r"""Depth of the epicardial apex in mm: cavity length plus apical wall."""
        return self.length + self._apex_wall * (1.0 + self.subject.apical_thickening) * self.wall

    # ------------------------------------------------------------------ solving for the subject's volumes
    def _solve_left(self, subject: Subject) -> None:
        depth, theta, cell = self._grid(0.0, self.length)
        self._radius, self.wall = 1.0, 8.0
        unit = (0.5 * self.endo_radius(depth, theta) ** 2).sum().item() * cell
        self._radius = math.sqrt(subject.lv_edv * 1e3 / unit)
        target = subject.lv_mass / MYOCARDIAL_DENSITY * 1e3
        low, high = 1.5, 40.0
        for _ in range(30):
            self.wall = 0.5 * (low + high)
            low, high = (self.wall, high) if self._wall_volume() < target else (low, self.wall)
        area = 0.5 * self.endo_radius(depth, theta) ** 2
        s = depth / self.length
        total = area.sum().item()
        gradient = 0.5  # the apex empties more than the base
        remain = subject.lv_esv / subject.lv_edv / (1.0 - self.shortening)
        while True:
            weight = (area * (1.0 + gradient * (s - 0.45))).sum().item()
            self._emptying = (1.0 - remain) * total / weight
            if self._emptying * (1.0 + 0.55 * gradient) < 0.96 or gradient < 0.01:
                break
            gradient *= 0.7
        self._emptying_gradient = gradient

    def _solve_right(self, subject: Subject) -> None:
        diastole, systole = self._rv_reach(0.0, subject.rv_edv), self._rv_reach(1.0, subject.rv_esv)
        self.right.depth, self.right.systole = diastole, min(max(systole / diastole, 0.05), 1.6)

    def _rv_reach(self, a: float, volume: float) -> float:
        # The RV's depth in mm at activation `a` with which it holds `volume` mL. The depth enters linearly, so the
        # volume is a quadratic function of it.
        cells = self._rv_cells(a)
        self.right.depth = 0.0
        outflow = self.right.beyond(cells.depth, cells.theta, a)
        self.right.depth = 1.0
        unit = self.right.beyond(cells.depth, cells.theta, a) - outflow
        c2 = (unit**2 * cells.weight).sum().item()
        c1 = 2.0 * (unit * (cells.inner + outflow) * cells.weight).sum().item()
        c0 = (outflow * (outflow + 2.0 * cells.inner) * cells.weight).sum().item() - volume
        return min(max((math.sqrt(max(c1**2 - 4.0 * c2 * c0, 0.0)) - c1) / (2.0 * c2), 1.0), 120.0)

    def _grid(self, top: float, bottom: float, n: int = 96) -> tuple[torch.Tensor, torch.Tensor, float]:
        step = (bottom - top) / n
        depth = top + step * (torch.arange(n, device="cpu") + 0.5)
        theta = 2.0 * math.pi * (torch.arange(n, device="cpu") + 0.5) / n
        return depth[:, None].expand(n, n), theta[None].expand(n, n), step * 2.0 * math.pi / n

    def _wall_volume(self) -> float:
        depth, theta, cell = self._grid(0.0, self.height)
        endo, epi = self._radii(depth, theta)
        return 0.5 * (epi**2 - endo**2).sum().item() * cell

    # ------------------------------------------------------------------ motion
    def stretch(self, a: float) -> float:
        r"""Longitudinal stretch :math:`\lambda` at activation `a`."""
        return 1.0 - a * self.shortening

    def cavity_factor(self, depth: torch.Tensor, a: float) -> torch.Tensor:
        r"""Cavity cross-section now, relative to end-diastole, at material depth (mm)."""
        s = (depth / self.length).clamp(0.0, 1.0)
        return (1.0 - a * self._emptying * (1.0 + self._emptying_gradient * (s - 0.45))).clamp_min(0.02)

    def _twist(self, depth: torch.Tensor, a: float) -> torch.Tensor:
        return a * self.subject.twist * _DEGREE * ((depth / self.length).clamp(0.0, 1.2) - 0.3)

    def radii_now(self, depth: torch.Tensor, theta: torch.Tensor, a: float) -> tuple[torch.Tensor, torch.Tensor]:
        r"""Endo- and epicardial radius in mm at activation `a`, at material depth and angle."""
        return self._then_and_now(depth, theta, a)[1:]

    def _then_and_now(
        self, depth: torch.Tensor, theta: torch.Tensor, a: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        # Endocardial radius at end-diastole, endo- and epicardial radius now.
        endo, epi = self._radii(depth, theta)
        cavity, wall = endo**2 * self.cavity_factor(depth, a), (epi**2 - endo**2).clamp_min(0.0)
        return endo, cavity.sqrt(), (cavity + wall / self.stretch(a)).sqrt()

    def mitral_radius(self, a: float) -> float:
        r"""Mean radius of the LV cavity at the mitral plane in mm at activation `a`."""
        zero = torch.zeros(1, device="cpu")
        return (self.endo_radius(zero, zero) * self.cavity_factor(zero, a).sqrt()).item()

    # ------------------------------------------------------------------ volumes by integration
    def lv_volume(self, a: float) -> float:
        r"""LV cavity volume in mL at activation `a`, papillary muscles and trabeculae included."""
        depth, theta, cell = self._grid(0.0, self.length)
        area = 0.5 * self.radii_now(depth, theta, a)[0] ** 2
        return area.sum().item() * cell * self.stretch(a) * 1e-3

    def wall_volume(self) -> float:
        r"""LV wall volume in mL; the same at every time, the wall is incompressible."""
        return self._wall_volume() * 1e-3

    def rv_volume(self, a: float) -> float:
        r"""RV cavity volume in mL up to the pulmonary valve at activation `a`."""
        cells = self._rv_cells(a)
        ring = (cells.inner + self.right.beyond(cells.depth, cells.theta, a)) ** 2 - cells.inner**2
        return (ring * cells.weight).sum().item()

    def _rv_cells(self, a: float) -> _Cells:
        depth, theta, cell = self._grid(-self.right.outflow_length, self.length)
        inner = self.right.septal_radius(depth, self.radii_now(depth.clamp_min(0.0), theta, a)[1])
        return _Cells(depth, theta, inner, torch.where(depth > 0, self.stretch(a), 1.0) * (0.5 * cell * 1e-3))

    # ------------------------------------------------------------------ the chart
    def _offset(self, depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        arc = torch.sin(math.pi * (depth / self.height).clamp(-0.3, 1.0))
        return self._bend[0] * arc, self._bend[1] * arc

    def _warp(self, points: torch.Tensor, sign: float) -> torch.Tensor:
        # Three shears, each moving one axis by a wave along another: determinant 1, undone in reverse order.
        x, y, z = points.unbind(-1)
        for axis in (0, 1, 2) if sign > 0 else (2, 1, 0):  # x along y, y along z, x along z
            amplitude, wave, phase = self._shear[axis]
            if not amplitude:
                continue
            shift = sign * amplitude * torch.sin(2 * math.pi * (y if axis == 0 else z) / wave + phase)
            if axis == 1:
                y = y + shift
            else:
                x = x + shift
        return torch.stack((x, y, z), -1)

    def to_material(self, points: torch.Tensor, a: float) -> Material:
        r"""Which material point is at `points` `(..., 3)` mm (heart frame) at activation `a`."""
        x, y, z = self._warp(points, -1.0).unbind(-1)
        z = z - self._tilt[0] * x - self._tilt[1] * y
        stretch, base = self.stretch(a), (1.0 - self.stretch(a)) * self.height
        depth = torch.where(z > base, self.height - (self.height - z) / stretch, z - base)
        dx, dy = self._offset(depth)
        x, y = x - dx, y - dy
        theta = torch.atan2(y, x) - self._twist(depth, a)
        below = depth.clamp_min(0.0)
        endo, endo_now, epi_now = self._then_and_now(below, theta, a)
        rho_now = (x * x + y * y).sqrt()
        rho = (endo**2 + stretch * (rho_now**2 - endo_now**2)).clamp_min(0.0).sqrt()
        rho = torch.where(rho_now < endo_now, rho_now * endo / endo_now.clamp_min(1e-3), rho)
        return Material(rho, theta, depth, rho_now, endo_now, epi_now)

    def to_space(self, rho: torch.Tensor, theta: torch.Tensor, depth: torch.Tensor, a: float) -> torch.Tensor:
        r"""Where material points are at activation `a`: `(..., 3)` mm (heart frame); inverse of `to_material`."""
        stretch = self.stretch(a)
        below = depth.clamp_min(0.0)
        endo, endo_now, _ = self._then_and_now(below, theta, a)
        wall = (endo_now**2 + (rho**2 - endo**2) / stretch).clamp_min(0.0).sqrt()
        radius = torch.where(rho < endo, rho * endo_now / endo.clamp_min(1e-3), wall)
        angle = theta + self._twist(depth, a)
        dx, dy = self._offset(depth)
        x, y = radius * torch.cos(angle) + dx, radius * torch.sin(angle) + dy
        base = (1.0 - stretch) * self.height
        z = torch.where(depth > 0, self.height - stretch * (self.height - depth), depth + base)
        z = z + self._tilt[0] * x + self._tilt[1] * y
        return self._warp(torch.stack((x, y, z), -1), 1.0)
