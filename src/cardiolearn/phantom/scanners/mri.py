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

    `flip` in degrees, `t1_scale` on the ratio of T1 to T2 for the field strength, `pixel`, `thickness` and `gap` in mm;
    `blur` (SD in pixels), `zero_fill` (acquired over shown pixel size) and `crispness` of the reconstruction's filter;
    `noise` in the picture relative to blood signal, `texture` relative to :data:`TEXTURE`, `fat_phase` in units of pi,
    `bias` the log-range of the coil profile, `gamma` the exponent of the reconstruction's grey scale, `spread` the
    log-scatter of tissue signals.
    """

    name: str
    flip: tuple[float, float]
    t1_scale: tuple[float, float]
    pixel: tuple[float, float]
    thickness: tuple[float, float]
    gap: tuple[float, float]
    blur: tuple[float, float]
    zero_fill: tuple[float, float]
    crispness: tuple[float, float]
    noise: tuple[float, float]
    texture: tuple[float, float]
    fat_phase: tuple[float, float]
    bias: tuple[float, float]
    gamma: tuple[float, float]
    spread: tuple[float, float]


# Where the numbers come from: course/reference_values.md, "How scans look". The ranges below were set so that the
# medians of pictures by each training vendor lie within those of real scans; `tests/phantom/scanners/test_look.py`.
# Noise: blood-muscle contrast over noise is 44 at 1.5 T, 48 at 3 T (Maroules 2008) and 69 (PMC8147553, Table 1): with
# 0.7 for the contrast, a noise of 0.010 to 0.016 of the blood.
TRAINING_VENDORS = (
    Vendor(
        "A", flip=(50, 65), t1_scale=(0.95, 1.05), pixel=(1.7, 1.9), thickness=(7, 8), gap=(1, 2),
        blur=(0.45, 0.65), zero_fill=(1.0, 1.2), crispness=(0.0, 0.3), noise=(0.009, 0.018), texture=(0.4, 1.4),
        fat_phase=(0.7, 0.95), bias=(0.4, 1.0), gamma=(0.9, 1.1), spread=(0.05, 0.15),
    ),
    Vendor(
        "B", flip=(45, 58), t1_scale=(0.95, 1.10), pixel=(1.2, 1.5), thickness=(7, 9), gap=(0, 2),
        blur=(0.30, 0.55), zero_fill=(1.2, 1.5), crispness=(0.1, 0.6), noise=(0.010, 0.022), texture=(0.4, 1.4),
        fat_phase=(0.5, 0.9), bias=(0.5, 1.1), gamma=(0.9, 1.1), spread=(0.05, 0.20),
    ),
    Vendor(
        "C", flip=(52, 68), t1_scale=(0.92, 1.02), pixel=(1.3, 1.6), thickness=(6, 8), gap=(0, 3),
        blur=(0.35, 0.65), zero_fill=(1.1, 1.4), crispness=(0.2, 0.6), noise=(0.009, 0.018), texture=(0.4, 1.4),
        fat_phase=(0.6, 0.95), bias=(0.3, 0.9), gamma=(0.9, 1.1), spread=(0.05, 0.20),
    ),
)  # fmt: skip
#: Outside the ranges of `ANY_VENDOR` in four respects, so that no network has seen its like; each is something real
#: scanners do. `flip`: at 3 T the flip angle in the heart is 81 +- 13 % of the one asked for (PMC3750927, without
#: shimming), and what may be asked for is limited by heating: 45 degrees become 36. `t1_scale`: T1/T2 of muscle is
#: 996/55.8 ms at 1.5 T and 1184/51.6 ms at 3 T, 1.29 times as much (Granitz 2019). `zero_fill`: fast cine acquires
#: coarse pixels (2.5 mm: PMC8147553; here 2.4 to 3.2) and shows fine ones; Sunnybrook's slow direction: 1.6 times.
#: `bias`: a surface coil's profile left uncorrected, up to some ten times from edge to edge. Its noise is ordinary.
UNSEEN_VENDOR = Vendor(
    "unseen", flip=(30, 38), t1_scale=(1.25, 1.35), pixel=(1.25, 1.45), thickness=(8, 10), gap=(0, 2),
    blur=(0.2, 0.4), zero_fill=(1.9, 2.2), crispness=(0.3, 0.8), noise=(0.016, 0.030), texture=(0.4, 1.4),
    fat_phase=(0.6, 0.9), bias=(1.3, 1.6), gamma=(0.9, 1.1), spread=(0.05, 0.12),
)  # fmt: skip
#: For training: wider than every training vendor, so that no single scanner's look can be learnt.
ANY_VENDOR = Vendor(
    "any", flip=(40, 80), t1_scale=(0.85, 1.20), pixel=(1.0, 2.2), thickness=(5, 10), gap=(0, 3),
    blur=(0.2, 1.0), zero_fill=(1.0, 1.8), crispness=(0.0, 0.8), noise=(0.002, 0.050), texture=(0.2, 2.0),
    fat_phase=(0.3, 1.0), bias=(0.1, 1.2), gamma=(0.7, 1.4), spread=(0.05, 0.35),
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
        table[t] = 0.09
    for t, v in (
        (Tissue.LUNG, 0.5),
        (Tissue.STOMACH_FOOD, 0.25),
        (Tissue.MUSCLE, 0.12),
        (Tissue.MARROW, 0.12),
        (Tissue.LIVER, 0.09),
        (Tissue.SUBCUTANEOUS_FAT, 0.16),
        (Tissue.VISCERAL_FAT, 0.12),
        (Tissue.MEDIASTINAL_FAT, 0.12),
    ):
        table[t] = v
    return table


TEXTURE = _texture_table()


def uniform(n: int, bounds: tuple[float, float], generator: torch.Generator) -> torch.Tensor:
    r"""`(n,)` numbers, uniform within `bounds`."""
    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(n, generator=generator, device=generator.device)


def signal_table(n: int, vendor: Vendor, generator: torch.Generator) -> torch.Tensor:
    r"""Signal of each tissue for `n` scans: `(n, N_TISSUES, 2)`, water and fat part; LV blood is near 1.

    The tissues scatter by `vendor.spread` (log-normal), organs that vary most between people by twice that. Blood
    is the same blood everywhere up to inflow (a few percent), and stays brighter than heart muscle.
    """
    device = generator.device
    table = relaxation_table().to(device)
    flip = uniform(n, vendor.flip, generator)[:, None] * math.pi / 180.0
    ratio = table[:, 1] / table[:, 2] * uniform(n, vendor.t1_scale, generator)[:, None]
    signal = table[:, 0] * torch.sin(flip) / (ratio * (1.0 - torch.cos(flip)) + 1.0 + torch.cos(flip))
    signal = signal / signal[:, Tissue.LV_BLOOD, None].clone()
    # Fresh blood flows in and is brighter than its steady state; how much depends on thickness and heart rate.
    inflow = 1.0 + uniform(n, (0.1, 0.7), generator)
    scatter = torch.randn((n, N_TISSUES), generator=generator, device=device)
    scatter = scatter * uniform(n, vendor.spread, generator)[:, None]
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
