r"""Everything in a chest slice but the heart: chest wall, lungs, spine, great vessels, organs under the diaphragm.

**Patient frame**: RAS+ in mm (x to the right, y anterior, z superior), origin in the middle of the chest at the height
of the heart's base. The shapes are simple; what matters is that a network meets every rival of the heart it will meet
in patients: round bright stomachs, spleens, aortas and liver vessels, and fat as bright as blood.
"""

from __future__ import annotations

import math

import torch

from cardiolearn.phantom.body.curves import smoothstep
from cardiolearn.phantom.body.noise import Noise
from cardiolearn.phantom.body.shapes import tube
from cardiolearn.phantom.body.subject import Subject
from cardiolearn.phantom.body.tissue import Tissue

_FRONT, _TOUCHING = 1, 2  # bits of `Thorax.contact`


def _away(points: torch.Tensor, centre: tuple[float, ...], radii: tuple[float, ...] = (1.0, 1.0, 1.0)) -> torch.Tensor:
    # Distance `(N,)` of points from a centre, along each axis in units of a radius.
    x, y, z = ((axis - c) / r for axis, c, r in zip(points.unbind(-1), centre, radii, strict=True))
    return (x * x + y * y + z * z).sqrt()


class Thorax:
    r"""Tissue of one subject's trunk at any point of the patient frame.

    Args:
        subject: sex and body size set the proportions, the seed the rest.
        heart_centre: middle of the ventricles in the patient frame, mm; the diaphragm and the chest make room for it.
    """

    def __init__(self, subject: Subject, heart_centre: tuple[float, float, float]) -> None:
        g = torch.Generator().manual_seed((subject.seed * 7 + 3) % 2**62)
        self.noise = Noise((subject.seed * 7 + 4) % 2**62)
        u = (torch.rand(64, generator=g, device="cpu") * 2 - 1).tolist()
        self._centre = heart_centre
        size = (subject.body_surface_area / 1.9) ** 0.5
        bulk = subject.weight / (subject.height / 100.0) ** 2  # body mass index
        self._half = (150.0 * size + 12 * u[0], 92.0 * size + 10 * u[1])  # inside of the ribs
        self._fat = max(3.0, 0.9 * (bulk - 17.0) + 5.0 * u[2])
        self._breast = (16.0 + 12.0 * u[3]) if subject.sex == "female" else 2.0 + 2.0 * u[3]
        self._muscle = 13.0 + 5.0 * u[4]
        # How far (mm) outside the ribs there can be anything: muscle along the spine, fat at its thickest, skin.
        self._wall_reach = 1.9 * self._muscle + 1.2 * self._fat * (1.0 + 0.25 * self.noise.bound) + self._breast + 2.0
        self._rib = (23.0 + 3 * u[5], u[6] * math.pi, 0.35 + 0.15 * u[7])
        self._set_vessels(u)
        self._set_abdomen(u)

    def _set_vessels(self, u: list[float]) -> None:
        self._spine = (3.0 * u[8], -self._half[1] + 22.0 + 5 * u[9], 17.0 + 2.5 * u[10])
        x, y, _ = self._spine
        self._aorta = ((x - 20.0 + 6 * u[11], y + 18.0 + 6 * u[12]), 10.5 + 2.0 * u[13])
        self._cava = ((x + 26.0 + 5 * u[14], y + 42.0 + 6 * u[15]), 10.0 + 3.0 * u[16])
        self._oesophagus = ((x - 6.0, y + 26.0 + 3 * u[17]), 7.0)
        self._mediastinum = 13.0 + 8.0 * u[18]
        self._marrow = u[19]
        self._anterior_fat = max(0.0, 1.0 + 9.0 * u[20])

    def _set_abdomen(self, u: list[float]) -> None:
        hx, hy, hz = self._centre
        self._dome = (hz - 27.0 + 7 * u[21], hz - 6.0 + 14 * u[22], hz - 14.0 + 14 * u[23])  # under heart, right, left
        self._liver_edge = hx - 22.0 + 35.0 * u[24]  # how far the left lobe reaches
        self._stomach = (
            (hx - 20.0 + 22 * u[25], hy - 20.0 + 25 * u[26], hz - 62.0 + 18 * u[27]),
            (38.0 + 12 * u[28], 34.0 + 12 * u[29], 36.0 + 10 * u[30]),
        )
        self._fundus = ((hx - 42.0 + 12 * u[31], hy - 62.0 + 12 * u[32], hz - 46.0 + 14 * u[33]), 30.0 + 9 * u[34])
        self._spleen = (
            (hx - 62.0 + 12 * u[35], hy - 78.0 + 14 * u[36], hz - 56.0 + 16 * u[37]),
            (25.0 + 6 * u[38], 42.0 + 10 * u[39], 40.0 + 8 * u[40]),
        )
        self._content = u[41]  # gas, fluid or food in the stomach
        self._level = u[42]
        self._colon = ((hx - 48.0 + 20 * u[43], hy + 14.0 + 16 * u[44], hz - 70.0 + 18 * u[45]), 20.0 + 6 * u[46])
        self._vessel = 7.0 + 1.5 * u[47]
        self._kidney = ((hx - 30.0 + 8 * u[48], hy - 85.0, hz - 105.0 + 12 * u[49]), (24.0, 22.0, 46.0))

    # ------------------------------------------------------------------ the map
    def contact(self, points: torch.Tensor, outside: torch.Tensor) -> torch.Tensor:
        r"""What of the heart's nearness the trunk shows at `points` `(N, 3)`, as bits `(N,)` (uint8); 0 far from it.

        `outside` `(N,)` is the rough distance (mm) to the heart: fat lies in front of it, and where it touches the
        diaphragm, that is not seen.
        """
        pad = (3.0 + self._anterior_fat) * smoothstep((points[..., 1] - self._centre[1]) / 30.0)
        front = outside < pad * (0.7 + 0.5 * self.noise.at(points, 10.0, 23.0))
        return front.to(torch.uint8) * _FRONT + (outside <= 1.0).to(torch.uint8) * _TOUCHING

    def at(self, points: torch.Tensor, contact: torch.Tensor) -> torch.Tensor:
        r"""Tissue codes `(N,)` at `points` `(N, 3)` mm; `contact` `(N,)` is what `contact` says of them."""
        x, y, z = (axis.contiguous() for axis in points.unbind(-1))
        wobble = self.noise.at(points, 45.0, 2.0)
        rim = self._rim(x, y, z) + 2.5 * wobble
        inside = rim < 0.0
        above = z - (self._diaphragm(x, y) + 4.0 * wobble)
        tissue = torch.full_like(rim, int(Tissue.OUTER_AIR), dtype=torch.uint8)
        # Each region is worked out on its own points alone: most of a picture is one thing.
        wall = (~inside & (rim < self._wall_reach)).nonzero()[:, 0]
        tissue.index_copy_(0, wall, self._wall(points.index_select(0, wall), rim.index_select(0, wall)))
        chest = (inside & (above > 0.0)).nonzero()[:, 0]
        front = (contact.index_select(0, chest) & _FRONT) > 0
        tissue.index_copy_(0, chest, self._lungs(points.index_select(0, chest), front))
        belly = (inside & (above <= 0.0)).nonzero()[:, 0]
        tissue.index_copy_(0, belly, self._abdomen(points.index_select(0, belly), above.index_select(0, belly)))
        diaphragm = inside & (above.abs() < 1.6) & ((contact & _TOUCHING) == 0)
        tissue[diaphragm] = int(Tissue.MUSCLE)
        self._vessels(tissue, points, inside)
        self._backbone(tissue, x, y, z)
        return tissue

    def _ragged(
        self, distance: torch.Tensor, limit: float, points: torch.Tensor, amplitude: float, scale: float, offset: float
    ) -> torch.Tensor:
        # A distance with noise added where that can bring it below `limit`: elsewhere the noise decides nothing.
        near = (distance < limit + amplitude * self.noise.bound).nonzero()[:, 0]
        return distance.index_add(0, near, amplitude * self.noise.at(points.index_select(0, near), scale, offset))

    def _rim(self, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        # Distance (mm) outwards from the inside of the rib cage: a rounded box, flatter in front, wider downwards.
        wide, deep = self._half
        wide = wide * (1.0 - 0.12 * smoothstep((z - 10.0) / 120.0))
        front = deep * (1.0 - 0.18 * smoothstep(z / 140.0))
        scale = torch.where(y > 0, front, torch.full_like(y, deep))
        q = ((x / wide).abs() ** 2.5 + (y / scale).abs() ** 2.5) ** (1 / 2.5)
        return (q - 1.0) * scale

    def _wall(self, points: torch.Tensor, rim: torch.Tensor) -> torch.Tensor:
        x, y, z = (axis.contiguous() for axis in points.unbind(-1))
        tissue = torch.full_like(rim, int(Tissue.OUTER_AIR), dtype=torch.uint8)
        angle = torch.atan2(y, x)
        breast = self._breast * torch.exp(-(((x.abs() - 75.0) / 45.0) ** 2) - ((z + 25.0) / 55.0) ** 2) * (y > 0)
        long_muscles = torch.exp(-(((angle + math.pi / 2) / 0.5) ** 2))  # along the spine
        muscle = self._muscle * (1.0 + 0.9 * long_muscles)
        fat = self._fat * (1.0 + 0.25 * self.noise.at(points, 60.0, 7.0)) * (0.7 + 0.5 * (y < 0)) + breast
        wall, layer = rim < muscle, rim < muscle + fat
        tissue[rim < muscle + fat + 2.0] = int(Tissue.SKIN)
        tissue[layer] = int(Tissue.SUBCUTANEOUS_FAT)
        thin = (layer & ~wall).nonzero()[:, 0]
        septa = self.noise.at(points.index_select(0, thin), 9.0, 4.0).abs() < 0.03
        tissue[thin[septa]] = int(Tissue.SKIN)  # septa of the fat
        tissue[wall] = int(Tissue.MUSCLE)
        thick = wall.nonzero()[:, 0]
        marbled = self.noise.at(points.index_select(0, thick), 11.0, 1.0) > 1.0
        tissue[thick[marbled]] = int(Tissue.MUSCLE_FAT)
        tissue[wall & ((rim - 0.62 * muscle).abs() < 1.2 + 0.8 * self._marrow)] = int(Tissue.MUSCLE_FAT)
        self._ribs(tissue, (x, y, z), angle, rim, wall)
        return tissue

    def _ribs(
        self,
        tissue: torch.Tensor,
        place: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        angle: torch.Tensor,
        rim: torch.Tensor,
        wall: torch.Tensor,
    ) -> None:
        x, y, z = place
        pitch, start, slope = self._rib
        turn = (z - slope * (angle.abs() - 1.5) * 60.0 + start * pitch) % pitch
        rib = wall & (rim < 9.0) & ((turn - 6.0).abs() < 5.5) & (y > self._spine[1])
        cartilage = rib & (y > 0.55 * self._half[1]) & (x.abs() < 85.0)
        tissue[rib] = int(Tissue.CORTICAL_BONE)
        tissue[rib & ((turn - 6.0).abs() < 4.2) & ((rim - 4.5).abs() < 3.2)] = int(Tissue.MARROW)
        tissue[cartilage] = int(Tissue.CARTILAGE)
        sternum = wall & (x.abs() < 17.0) & (y > 0) & (rim < 11.0) & (z > self._centre[2] - 55.0)
        tissue[sternum] = int(Tissue.CORTICAL_BONE)
        tissue[sternum & (x.abs() < 15.0) & ((rim - 5.5).abs() < 4.0)] = int(Tissue.MARROW)

    def _diaphragm(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        hx, hy, _ = self._centre
        under, right, left = self._dome
        fall = 0.0032 * (y - hy + 18.0) ** 2 * (1.0 + 1.8 * (y < hy - 18.0))
        blend_right, blend_left = smoothstep((x - hx - 15.0) / 75.0), smoothstep((hx - 10.0 - x) / 70.0)
        top = under * (1 - blend_right) * (1 - blend_left) + right * blend_right + left * blend_left * (1 - blend_right)
        return top - fall - 0.004 * (x - hx - 80.0).clamp_min(0.0) ** 2 - 0.004 * (hx - 70.0 - x).clamp_min(0.0) ** 2

    def _lungs(self, points: torch.Tensor, front: torch.Tensor) -> torch.Tensor:
        x, y, z = (axis.contiguous() for axis in points.unbind(-1))
        tissue = torch.full_like(x, int(Tissue.LUNG), dtype=torch.uint8)
        hilum = torch.exp(-(((x.abs() - 45.0) / 45.0) ** 2) - ((y + 15.0) / 50.0) ** 2 - ((z - 20.0) / 70.0) ** 2)
        # Where two random fields cross zero together there are lines: branching vessels.
        narrow = 0.08 + 0.30 * hilum
        tissue[self._crossing(points, narrow, (12.0, 9.0), (13.0, 13.0))] = int(Tissue.LUNG_VESSEL)
        tissue[self.noise.at(points, 4.5, 21.0) > 2.0 - 0.7 * hilum] = int(Tissue.LUNG_VESSEL)  # cut across: dots
        half = self._mediastinum * (0.55 + 0.45 * smoothstep(-(y + 5.0) / 40.0)) + 10.0 * smoothstep((z - 30.0) / 40.0)
        half = half * smoothstep((self._centre[1] + 12.0 - y) / 50.0)  # in front of the heart the lungs meet
        aside = x - 0.15 * self._centre[0]
        near = (aside.abs() < half + 7.0 * self.noise.bound).nonzero()[:, 0]
        aside = aside.index_add(0, near, 7.0 * self.noise.at(points.index_select(0, near), 50.0, 12.0))
        tissue[(aside.abs() < half) | front] = int(Tissue.MEDIASTINAL_FAT)
        return tissue

    def _crossing(
        self, points: torch.Tensor, width: torch.Tensor, one: tuple[float, float], other: tuple[float, float]
    ) -> torch.Tensor:
        # Numbers of the points where two random fields, given by scale and offset, are together within `width` of zero.
        line = self.noise.at(points, *one).abs()
        near = (line < width).nonzero()[:, 0]
        line = line.index_select(0, near) + self.noise.at(points.index_select(0, near), *other).abs()
        return near[line < width.index_select(0, near)]

    def _abdomen(self, points: torch.Tensor, above: torch.Tensor) -> torch.Tensor:
        x, z = points[:, 0].contiguous(), points[:, 2].contiguous()
        # Between the organs lies fat, and bowel and muscle in no order: nothing there has straight edges.
        filled = self.noise.at(points, 15.0, 26.0) > 0.25 + 0.5 * self._level
        tissue = torch.where(filled, int(Tissue.STOMACH_WALL), int(Tissue.VISCERAL_FAT)).to(torch.uint8)
        edge = self._liver_edge + 0.35 * (self._dome[0] - z)
        liver = self._ragged(edge - x, 0.0, points, 11.0, 22.0, 6.0) < 0.0
        tissue[liver] = int(Tissue.LIVER)
        deep = (liver & (above < -8.0)).nonzero()[:, 0]
        within = points.index_select(0, deep)
        narrow = torch.full_like(within[:, 0], 0.019 * self._vessel)
        tissue[deep[self._crossing(within, narrow, (20.0, 14.0), (22.0, 17.0))]] = int(Tissue.LIVER_VESSEL)
        tissue[self._organ(points, *self._kidney)] = int(Tissue.KIDNEY)
        tissue[self._organ(points, *self._spleen)] = int(Tissue.SPLEEN)
        centre, radius = self._colon
        colon = self._ragged(_away(points, centre) - radius, 2.0, points, 5.0, 15.0, 8.0)
        tissue[~liver & (colon < 2.0)] = int(Tissue.STOMACH_WALL)
        tissue[~liver & (colon < 0.0)] = int(Tissue.BOWEL_GAS if self._level > -0.2 else Tissue.STOMACH_FOOD)
        self._fill_stomach(tissue, points, ~liver)
        return tissue

    def _organ(self, points: torch.Tensor, centre: tuple[float, ...], radii: tuple[float, ...]) -> torch.Tensor:
        return self._ragged(_away(points, centre, radii), 1.0, points, 0.12, 22.0, 5.0) < 1.0

    def _fill_stomach(self, tissue: torch.Tensor, points: torch.Tensor, where: torch.Tensor) -> None:
        centre, radii = self._stomach
        body = (_away(points, centre, radii) - 1.0) * min(radii)
        fundus = _away(points, self._fundus[0]) - self._fundus[1]
        distance = self._ragged(torch.minimum(body, fundus), 3.5, points, 4.5, 17.0, 10.0)
        tissue[where & (distance < 3.5)] = int(Tissue.STOMACH_WALL)
        hollow = where & (distance < 0.0)
        gas = points[..., 1] > centre[1] + 25.0 * self._level  # gas rises to the front of a patient lying on the back
        tissue[hollow] = int(Tissue.STOMACH_FLUID if self._content > 0.1 else Tissue.STOMACH_FOOD)
        if self._content > -0.6:
            tissue[hollow & gas] = int(Tissue.BOWEL_GAS)

    def _vessels(self, tissue: torch.Tensor, points: torch.Tensor, inside: torch.Tensor) -> None:
        x, y, z = (axis.contiguous() for axis in points.unbind(-1))
        lean = 0.04 * z
        for (centre, radius), wall, code in (
            (self._oesophagus, 0.0, Tissue.OESOPHAGUS),
            (self._aorta, 1.5, Tissue.ARTERY),
            (self._cava, 1.0, Tissue.VEIN),
        ):
            away = torch.hypot(x - centre[0] - lean, y - centre[1] + lean) - radius
            here = inside & (away < wall)
            if code == Tissue.VEIN:
                here = here & (z < self._centre[2] + 8.0)
            tissue[here] = int(Tissue.VESSEL_WALL)
            tissue[here & (away < 0.0)] = int(code)
        (left, back), bottom, radius = self._cava[0], self._centre[2] + 30.0, 9.0
        high = (inside & (z > bottom - radius)).nonzero()[:, 0]
        path = [(left, back + 8.0, bottom), (28.0, 5.0, 140.0)]
        upper_cava = tube(points.index_select(0, high), path, [radius, radius])
        tissue[high[upper_cava < 0.0]] = int(Tissue.VEIN)

    def _backbone(self, tissue: torch.Tensor, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> None:
        sx, sy, r = self._spine
        body = (((x - sx) / 1.15) ** 2 + (y - sy) ** 2).sqrt() - r
        disc = ((z + 7.0 * self._marrow) % 27.0) < 6.0
        tissue[body < 0.0] = int(Tissue.CORTICAL_BONE)
        tissue[body < -1.5] = int(Tissue.MARROW)
        tissue[(body < -1.0) & disc] = int(Tissue.CARTILAGE)
        canal = ((x - sx) ** 2 + ((y - sy + r + 8.0) / 0.85) ** 2).sqrt()
        arch = (canal < 14.0) & (body >= 0.0)
        tissue[arch] = int(Tissue.CORTICAL_BONE)
        process = ((x - sx).abs() < 4.0) & (y < sy - r - 14.0) & (y > sy - r - 38.0) & ~disc
        tissue[process] = int(Tissue.MARROW)
        tissue[canal < 9.0] = int(Tissue.CSF)
        tissue[canal < 5.0] = int(Tissue.CORD)
