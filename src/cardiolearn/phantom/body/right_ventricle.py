r"""The right ventricle's shape: hung on the septum between two insertion lines, its outflow turning forwards above."""

from __future__ import annotations

import math

import torch

from cardiolearn.phantom.body.curves import smooth_minimum, smoothstep

_DEGREE = math.pi / 180.0
_OUTFLOW = (72.0 * _DEGREE, 150.0 * _DEGREE)  # where the outflow tract lies around the LV axis


class RightVentricle:
    r"""The cavity as a depth (mm) beyond the septum, around the LV axis and along it.

    In short axis it is a mixture of a crescent, that hugs the septum, and of a triangle, whose corner is the acute
    margin between the free wall and the diaphragm side; how much of either differs from person to person.

    Args:
        c: the subject's shape modes, standard-normal.
        lv_length: mm, end-diastolic.
    """

    def __init__(self, c: tuple[float, ...], lv_length: float) -> None:
        self.insertion = ((118.0 + 6.0 * c[10]) * _DEGREE, (246.0 + 7.0 * c[11]) * _DEGREE)
        self._reach = min(max(0.92 + 0.04 * c[12], 0.78), 1.0) * lv_length
        self._taper = 2.3 * math.exp(0.15 * c[13])
        self._skew = math.exp(0.16 * c[14] + 0.24)  # where along the septum the crescent is deepest
        self._blunt = 0.55 * math.exp(0.12 * c[15])
        self._margin = max(0.0, 0.38 + 0.22 * c[17])  # how far the crescent bulges at the acute margin
        self._triangle = min(max(0.65 + 0.3 * c[24], 0.0), 1.0)  # share of the triangle
        self._corner = min(max(0.64 + 0.06 * c[25], 0.45), 0.80)  # its corner, from the anterior insertion (0) to 1
        self.outflow_length = 25.0 + 3.5 * c[16]  # above the mitral plane, mm
        self._outflow_depth = 22.0 + 2.0 * c[16]
        self.wall = min(max(2.6 + 0.4 * c[18], 1.6), 4.5)  # mm at end-diastole
        self.depth = 1.0  # mm at mid-septum and end-diastole; set so that the volumes are the subject's
        self.systole = 1.0  # the same at end-systole, as a share

    def beyond(self, depth: torch.Tensor, theta: torch.Tensor, a: float) -> torch.Tensor:
        r"""How far (mm) the cavity reaches beyond its septal side at activation `a`; 0 where there is no RV.

        Above the mitral plane (negative `depth`, mm) it narrows and turns anteriorly into the outflow tract, which ends
        at the pulmonary valve.
        """
        above = smoothstep(-depth / 16.0)
        anterior = self.insertion[0] + above * (_OUTFLOW[0] - self.insertion[0])
        inferior = self.insertion[1] + above * (_OUTFLOW[1] - self.insertion[1])
        reach = (depth / self._reach).clamp(0.0, 1.0)
        narrow = 0.20 * reach**2 * (inferior - anterior)  # the crescent narrows to the apex
        u = ((theta % (2.0 * math.pi)) - anterior - narrow) / (inferior - anterior - 2.0 * narrow)
        taper = (1.0 - reach**self._taper).clamp_min(0.0) ** 0.85
        top = (1.0 - (-depth / self.outflow_length).clamp(0.0, 1.0) ** 6).clamp_min(0.0).sqrt()
        reach_now = self.depth * (1.0 - a * (1.0 - self.systole))
        out_now = self._outflow_depth * (1.0 - 0.32 * a)
        return (reach_now * (1.0 - above) + out_now * above) * taper * top * self._across(u.clamp(0.0, 1.0), above)

    def _across(self, u: torch.Tensor, above: torch.Tensor) -> torch.Tensor:
        # Relative depth from the anterior (0) to the inferior insertion (1): about 1 where it is deepest.
        crescent = torch.sin(math.pi * u**self._skew).clamp_min(0.0) ** self._blunt
        crescent = crescent * (1.0 + self._margin * torch.exp(-(((u - 0.68) / 0.17) ** 2)))
        corner = smooth_minimum(u / self._corner, (1.0 - u) / (1.0 - self._corner), 0.3) / 0.925
        triangle = 1.6 * corner.clamp_min(0.0) ** 1.1
        share = self._triangle * (1.0 - above)
        return torch.lerp(crescent, triangle, share)

    def septal_angle(self, theta: torch.Tensor) -> torch.Tensor:
        r"""How far (rad) an angle lies within the sector that can hold RV, with a margin; negative laterally."""
        first, last = min(_OUTFLOW[0], self.insertion[0]), max(_OUTFLOW[1], self.insertion[1])
        turned = theta % (2.0 * math.pi)
        return torch.minimum(turned - first, last - turned) + 0.35

    @staticmethod
    def septal_radius(depth: torch.Tensor, epi_now: torch.Tensor) -> torch.Tensor:
        r"""Inner radius of the RV (mm): the septum below the mitral plane, drawn in beside the aortic root above it."""
        return epi_now * (1.0 - 0.3 * smoothstep(-depth / 30.0))
