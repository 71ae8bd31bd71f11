r"""What lies above the ventricles: atria with their appendages, aorta, pulmonary artery, veins, and the tricuspid
valve's opening. The base of a heart is crowded, and much of it is as bright as the ventricles."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cardiolearn.imaging.structures import LEFT_ATRIUM, RIGHT_ATRIUM
from cardiolearn.phantom.body.heart import Heart
from cardiolearn.phantom.body.shapes import ellipsoid, tube
from cardiolearn.phantom.body.tissue import Tissue

_LA_EMPTY, _RA_EMPTY = 0.86, 0.90  # sizes of the atria at end-diastole, for `_filled`

Ellipsoid = tuple[tuple[float, float, float], tuple[float, float, float]]


def _filled(centre: tuple[float, ...], radii: tuple[float, ...], empty: float, a: float) -> Ellipsoid:
    # An atrium at activation `a`: it fills while the ventricles empty, from `empty` to 1.1 of its size, and grows away
    # from the valves, where it hangs.
    grow = empty + (1.10 - empty) * a
    (x, y, z), (rx, ry, rz) = centre, radii
    return (x, y, grow * z), (grow * rx, grow * ry, grow * rz)


class ChambersAbove:
    r"""Atria and great vessels, in the heart frame moved along with the base (mm, negative z is above it).

    Args:
        heart: below them.
        u: 16 numbers in [-1, 1] that no clinical index fixes: sizes and places.
    """

    def __init__(self, heart: Heart, u: list[float]) -> None:
        self.heart = heart
        size = 1.0 + 0.12 * u[0]
        self._la = ((10.0 + 3 * u[1], -12.0 + 3 * u[2], -25.0 - 4 * u[0]), (25.0 * size, 21.0 * size, 26.0 * size))
        size = 1.0 + 0.12 * u[3]
        self._ra = ((-38.0 + 4 * u[4], -26.0 + 4 * u[5], -22.0), (23.0 * size, 26.0 * size, 28.0 * size))
        self._aorta, self._lean = 12.5 + 1.8 * u[6], 6.0 * u[8]
        self._artery = 12.0 + 1.5 * u[7]
        self._leaflets = u[9] > 0.0
        self._walls = 1.3 + 0.5 * u[10]  # mm, of the atria
        self._ears = (7.5 + 2.0 * u[11], 8.5 + 2.5 * u[12], 6.0 * u[13])  # appendages: radii left, right; how low

    def right_atrium(self, a: float) -> Ellipsoid:
        r"""Centre and radii (mm) of the right atrium at activation `a`, relative to the base."""
        return _filled(*self._ra, _RA_EMPTY, a)

    def inflow(self, points: Tensor, a: float) -> Tensor:
        r"""Distance (mm) to the tricuspid opening, a tube from the right atrium into the ventricle.

        In half the subjects the leaflets of the closed valve are seen as a wall between the two; in the others both are
        one pool of blood all the time.
        """
        if self._leaflets and a > 0.3:
            return torch.full(points.shape[:-1], 1e3, device=points.device)
        heart = self.heart
        theta, depth = torch.tensor([[math.radians(212.0)], [8.0]], device="cpu")
        epi = heart.radii_now(depth, theta, a)[1]
        width = heart.right.beyond(depth, theta, a).item()
        middle = epi.item() + 0.5 * width
        end = (middle * math.cos(theta.item()), middle * math.sin(theta.item()), depth.item())
        centre, radii = self.right_atrium(a)
        return tube(points, [end, centre], [min(15.0, 0.42 * width), 0.7 * radii[0]])

    def at(self, points: Tensor, base: Tensor, inflow: Tensor, a: float) -> tuple[Tensor, Tensor, Tensor]:
        r"""Tissue, label (uint8) and distance (mm) of what is at `points` `(N, 3)`.

        `base` `(N,)` says which of them lie above the mitral plane, `inflow` how far they are from the tricuspid one.
        """
        tissue = torch.zeros(len(points), dtype=torch.uint8, device=points.device)
        label = torch.zeros_like(tissue)
        la, ra = self._atria(points, inflow, a)
        aorta, artery, veins = self._vessels(points)
        outflow = points[:, 2] > -9.0  # there the ventricle opens into the root: no wall lies between
        veins = torch.where(la < 0.0, 1e3, veins)  # they end where they open into the atrium
        for distance, wall, code, name in (
            (la, self._walls, Tissue.LA_BLOOD, LEFT_ATRIUM),
            (veins, 0.8, Tissue.VEIN, 0),
            (ra, self._walls, Tissue.RA_BLOOD, RIGHT_ATRIUM),
            (artery, 1.0, Tissue.ARTERY, 0),
            (aorta, torch.where(outflow, 0.0, 1.4), Tissue.ARTERY, 0),
        ):
            shell = (distance < wall) & (base | (name == RIGHT_ATRIUM))
            tissue[shell] = int(Tissue.VESSEL_WALL if name == 0 else Tissue.ATRIAL_WALL)
            label[shell] = 0
            lumen = shell & (distance < 0.0)
            tissue[lumen], label[lumen] = int(code), name
        return tissue, label, torch.stack([la, ra - 2.0, artery, aorta, veins]).amin(0) - 2.0

    def _atria(self, points: Tensor, inflow: Tensor, a: float) -> tuple[Tensor, Tensor]:
        (la_centre, la_radii), (ra_centre, ra_radii) = _filled(*self._la, _LA_EMPTY, a), self.right_atrium(a)
        la, ra = ellipsoid(points, la_centre, la_radii), ellipsoid(points, ra_centre, ra_radii)
        mitral = 0.72 * self.heart.mitral_radius(a)  # blood runs on from ventricle to atrium through the open ring
        la = torch.minimum(la, tube(points, [(4.0, -5.0, 6.0), la_centre], [mitral, 0.8 * la_radii[0]]))
        left, right, low = self._ears
        la = torch.minimum(la, tube(points, [(24.0, 6.0, -18.0), (33.0, 22.0, -13.0 + low)], [left, 0.6 * left]))
        ear = tube(points, [(-38.0, -6.0, -30.0), (-30.0, 24.0, -34.0 + low)], [right, 0.6 * right])
        return la, torch.stack([ra, inflow, ear]).amin(0)

    def _vessels(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        lean, r, p = self._lean, self._aorta, self._artery
        out = -self.heart.right.outflow_length
        root = [(-8.0, 8.0, 2.0), (-14.0 + lean, 9.0, -25.0), (-24.0 + lean, 8.0, -55.0), (-20.0 + lean, -5.0, -85.0)]
        aorta = tube(points, root, [r, r * 1.15, r * 1.1, r])
        trunk = [(6.0, 36.0, out + 4.0), (12.0, 26.0, out - 14.0), (14.0, 4.0, out - 34.0), (2.0, -25.0, out - 42.0)]
        artery = tube(points, trunk, [p, p * 1.1, p, 0.8 * p])
        branch = [trunk[2], (-20.0, -22.0, out - 42.0), (-60.0, -30.0, out - 40.0)]  # to the right lung
        artery = torch.minimum(artery, tube(points, branch, [0.8 * p, 0.7 * p, 0.6 * p]))
        veins = tube(points, [(20.0, -20.0, -42.0), (45.0, -30.0, -52.0), (70.0, -36.0, -60.0)], [9.0, 6.0, 4.0])
        veins = torch.minimum(veins, tube(points, [(-10.0, -26.0, -40.0), (-45.0, -48.0, -48.0)], [8.0, 5.0]))
        return aorta, artery, veins
