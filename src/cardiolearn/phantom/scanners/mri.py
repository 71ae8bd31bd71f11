r"""A simulated balanced steady-state (bSSFP) scanner: its settings, and the signal of every tissue.

The signal follows from density, T1, T2 and flip angle; what the receiver makes of it is in `exposure.py`.

Source: bSSFP steady state, Freeman and Hill 1971 as in Bernstein et al., Handbook of MRI Pulse Sequences, 14.1
(deviation: TR << T1, T2; off-resonance only as a smooth dark band).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from cardiolearn.phantom.body.tissue import N_TISSUES, Tissue, relaxation_table


@dataclass(frozen=True)
class Vendor:
    r"""Ranges a scanner's settings are sampled from, each `(low, high)`; one sample is one scan.

    `flip` in degrees, `t1_scale` for the field strength, `pixel`, `thickness` and `gap` in mm, `blur` the point
    spread's standard deviation in pixels, `noise` relative to blood signal, `fat_phase` in units of pi, `bias` the
    log-range of the coil profile, `gamma` the exponent of the reconstruction's grey scale, `spread` the log-scatter of
    tissue signals.
    """

    name: str
    flip: tuple[float, float]
    t1_scale: tuple[float, float]
    pixel: tuple[float, float]
    thickness: tuple[float, float]
    gap: tuple[float, float]
    blur: tuple[float, float]
    noise: tuple[float, float]
    fat_phase: tuple[float, float]
    bias: tuple[float, float]
    gamma: tuple[float, float]
    spread: tuple[float, float]


TRAINING_VENDORS = (
    Vendor(
        "A", flip=(50, 65), t1_scale=(0.95, 1.05), pixel=(1.7, 1.9), thickness=(7, 8), gap=(1, 2), blur=(0.45, 0.65),
        noise=(0.02, 0.05), fat_phase=(0.9, 1.0), bias=(0.4, 1.0), gamma=(0.9, 1.1), spread=(0.05, 0.15),
    ),
    Vendor(
        "B", flip=(40, 55), t1_scale=(0.95, 1.10), pixel=(1.2, 1.5), thickness=(7, 9), gap=(0, 2), blur=(0.55, 0.90),
        noise=(0.03, 0.07), fat_phase=(0.6, 1.0), bias=(0.6, 1.3), gamma=(0.8, 1.0), spread=(0.05, 0.20),
    ),
    Vendor(
        "C", flip=(60, 75), t1_scale=(0.90, 1.00), pixel=(1.3, 1.6), thickness=(6, 8), gap=(0, 3), blur=(0.50, 0.80),
        noise=(0.02, 0.06), fat_phase=(0.8, 1.0), bias=(0.3, 0.9), gamma=(1.0, 1.2), spread=(0.05, 0.20),
    ),
)  # fmt: skip
UNSEEN_VENDOR = Vendor(
    "unseen", flip=(30, 40), t1_scale=(1.15, 1.30), pixel=(1.4, 1.7), thickness=(8, 10), gap=(0, 2), blur=(0.6, 1.0),
    noise=(0.05, 0.09), fat_phase=(0.7, 0.9), bias=(0.9, 1.5), gamma=(0.75, 0.9), spread=(0.10, 0.25),
)  # fmt: skip
#: For training: wider than every vendor, so that no single scanner's look can be learnt.
ANY_VENDOR = Vendor(
    "any", flip=(30, 80), t1_scale=(0.85, 1.30), pixel=(1.0, 2.2), thickness=(5, 10), gap=(0, 3), blur=(0.3, 1.1),
    noise=(0.01, 0.08), fat_phase=(0.3, 1.0), bias=(0.1, 1.5), gamma=(0.7, 1.4), spread=(0.05, 0.35),
)  # fmt: skip

_BLOOD = (Tissue.LV_BLOOD, Tissue.RV_BLOOD, Tissue.LA_BLOOD, Tissue.RA_BLOOD, Tissue.ARTERY, Tissue.VEIN)
_RIGHT = (Tissue.RV_BLOOD, Tissue.RA_BLOOD, Tissue.VEIN)
_HEART_MUSCLE = (Tissue.MYOCARDIUM, Tissue.RV_WALL, Tissue.ATRIAL_WALL, Tissue.TRABECULA)
_FREE = (
    Tissue.STOMACH_FLUID,
    Tissue.STOMACH_FOOD,
    Tissue.SPLEEN,
    Tissue.LIVER,
    Tissue.MARROW,
    Tissue.LUNG,
    Tissue.KIDNEY,
)


def _texture_table() -> torch.Tensor:
    # How much the signal varies within one tissue, relative to it: swirling blood, veined organs.
    table = torch.full((N_TISSUES,), 0.05)
    for t in _BLOOD:
        table[t] = 0.11
    for t, v in (
        (Tissue.LUNG, 0.5),
        (Tissue.STOMACH_FOOD, 0.25),
        (Tissue.MUSCLE, 0.12),
        (Tissue.MARROW, 0.12),
        (Tissue.RV_BLOOD, 0.14),
    ):
        table[t] = v
    return table


TEXTURE = _texture_table()


def uniform(n: int, bounds: tuple[float, float], generator: torch.Generator) -> torch.Tensor:
    r"""`(n,)` numbers, uniform within `bounds`."""
    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(n, generator=generator)


def signal_table(n: int, vendor: Vendor, generator: torch.Generator) -> torch.Tensor:
    r"""Signal of each tissue for `n` scans: `(n, N_TISSUES, 2)`, water and fat part; LV blood is near 1.

    The tissues scatter by `vendor.spread` (log-normal), organs that vary most between people by twice that. Blood
    is the same blood everywhere up to inflow (a few percent), and stays brighter than heart muscle.
    """
    table = relaxation_table()
    flip = uniform(n, vendor.flip, generator)[:, None] * math.pi / 180.0
    ratio = table[:, 1] / table[:, 2] * uniform(n, vendor.t1_scale, generator)[:, None]
    signal = table[:, 0] * torch.sin(flip) / (ratio * (1.0 - torch.cos(flip)) + 1.0 + torch.cos(flip))
    signal = signal / signal[:, Tissue.LV_BLOOD, None].clone()
    # Fresh blood flows in and is brighter than its steady state; how much depends on thickness and heart rate.
    inflow = 1.0 + uniform(n, (0.0, 0.5), generator)
    scatter = uniform(n, vendor.spread, generator)[:, None] * torch.randn((n, N_TISSUES), generator=generator)
    scatter[:, list(_FREE)] *= 2.0
    shared, muscle = scatter[:, Tissue.LV_BLOOD].clone(), scatter[:, Tissue.MYOCARDIUM].clone()
    for t in _BLOOD:
        scatter[:, t] = shared + 0.35 * scatter[:, t]
    for t in _HEART_MUSCLE:
        scatter[:, t] = muscle + 0.25 * scatter[:, t]
    signal = signal * scatter.exp()
    signal[:, list(_BLOOD)] *= inflow[:, None]
    # Inflow differs between the sides. (That venous blood is darker, having lost oxygen, follows from its shorter T2.)
    signal[:, list(_RIGHT)] *= uniform(n, (0.85, 1.30), generator)[:, None]
    roof = 0.72 * signal[:, list(_BLOOD)].amin(1, keepdim=True)
    signal[:, list(_HEART_MUSCLE)] = torch.minimum(signal[:, list(_HEART_MUSCLE)], roof)
    signal = signal / signal[:, Tissue.LV_BLOOD, None].clone()
    return torch.stack((signal * (1.0 - table[:, 3]), signal * table[:, 3]), dim=-1)
