r"""A simulated balanced steady-state (bSSFP) scanner: from tissue codes to magnitude images.

The signal of each tissue follows from density, T1, T2 and flip angle; fat precesses out of phase with water, so a voxel
holding both goes dark and draws the black line round every organ that real cine images show. Then come the coil's
bias, the point spread, texture, flow, and Rician noise. Everything random is drawn from one generator.

Source: bSSFP steady state, Freeman and Hill 1971 as in Bernstein et al., Handbook of MRI Pulse Sequences, 14.1
(deviation: TR << T1, T2; off-resonance only as a smooth dark band).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from cardiolearn.phantom.tissue import N_TISSUES, Tissue, relaxation_table


@dataclass(frozen=True)
class Vendor:
    r"""Ranges a scanner draws its settings from, each `(low, high)`; one draw is one scan.

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


def smooth_field(n: int, shape: tuple[int, int], cell: int, generator: torch.Generator) -> torch.Tensor:
    r"""`(n, *shape)` random fields of unit variance at the nodes, varying over `cell` pixels."""
    coarse = torch.randn((n, 1, shape[0] // cell + 3, shape[1] // cell + 3), generator=generator)
    size = ((coarse.shape[-2] - 1) * cell + 1, (coarse.shape[-1] - 1) * cell + 1)
    fine = F.interpolate(coarse, size=size, mode="bicubic", align_corners=True)
    return fine[:, 0, : shape[0], : shape[1]]


def blur(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    r"""Gaussian blur of `(n, Y, X)` images, one `sigma` `(n,)` in pixels for each; borders are repeated."""
    reach = 4
    offsets = torch.arange(-reach, reach + 1, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma[:, None].clamp_min(0.05)) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)
    n = images.shape[0]
    padded = F.pad(images[None], (reach, reach, reach, reach), mode="replicate")
    rows = F.conv2d(padded, kernel[:, None, :, None], groups=n)
    return F.conv2d(rows, kernel[:, None, None, :], groups=n)[0]


def coil_bias(n: int, shape: tuple[int, int], strength: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    r"""`(n, *shape)` positive coil profiles: bright on one side, smooth, log-range about `strength` `(n,)`."""
    y = torch.linspace(-1, 1, shape[0])[None, :, None]
    x = torch.linspace(-1, 1, shape[1])[None, None, :]
    angle = 2 * math.pi * torch.rand(n, generator=generator)[:, None, None]
    ramp = x * torch.cos(angle) + y * torch.sin(angle)
    wave = smooth_field(n, shape, max(shape) // 2 + 1, generator)
    return torch.exp(strength[:, None, None] * (0.75 * ramp + 0.35 * wave))


def _band(n: int, shape: tuple[int, int], scans: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    # Off resonance by half the inverse repetition time the signal vanishes along a line: one scan in six shows it.
    m = int(scans.max()) + 1
    y = torch.linspace(-1, 1, shape[0])[None, :, None]
    x = torch.linspace(-1, 1, shape[1])[None, None, :]
    angle = 2 * math.pi * torch.rand(m, generator=generator)[:, None, None]
    place, width = uniform(m, (0.3, 1.2), generator)[:, None, None], uniform(m, (0.03, 0.1), generator)[:, None, None]
    depth = 0.8 * (torch.rand(m, generator=generator) < 0.17).float()[:, None, None]
    curve = x * torch.cos(angle) + y * torch.sin(angle) + 0.2 * (x * torch.sin(angle) - y * torch.cos(angle)) ** 2
    return (1.0 - depth * torch.exp(-(((curve - place) / width) ** 2)))[scans]


def magnitude(
    water: torch.Tensor, fat: torch.Tensor, texture: torch.Tensor, vendor: Vendor, generator: torch.Generator,
    scans: torch.Tensor | None = None, grain: torch.Generator | None = None, mottle: torch.Tensor | None = None,
) -> torch.Tensor:  # fmt: skip
    r"""Magnitude images `(n, Y, X)` from water and fat signal and texture strength, each `(n, Y, X)`.

    `scans` `(n,)` numbers the scan each image belongs to: images of one scan share settings and the coil's profile
    (default: each image is a scan of its own). Noise comes from `grain` where it is given, so that frames of one scan,
    drawn with equal generators, differ by nothing else. `mottle` `(n, Y, X)` of unit variance is the texture's pattern
    where it is not to be drawn anew. Blood is near 1.
    """
    n, shape = water.shape[0], (water.shape[-2], water.shape[-1])
    scans = torch.arange(n) if scans is None else scans
    m = int(scans.max()) + 1
    coarse, fine = smooth_field(n, shape, 9, generator), smooth_field(n, shape, 3, generator)
    mix = uniform(m, (0.0, 1.0), generator)[scans, None, None]
    strength = uniform(m, (0.3, 2.0), generator)[scans, None, None]
    pattern = mix * coarse + (1.0 - mix) * fine if mottle is None else mottle
    swirl = (1.0 + texture * strength * pattern).clamp_min(0.0)
    sigma = uniform(m, vendor.blur, generator)[scans]
    water, fat = blur(water * swirl, sigma), blur(fat * (0.5 + 0.5 * swirl), sigma)
    phase = math.pi * uniform(m, vendor.fat_phase, generator)[scans, None, None]
    image = (water**2 + fat**2 + 2.0 * water * fat * torch.cos(phase)).clamp_min(0.0).sqrt()
    image = image * _band(n, shape, scans, generator)
    image = image * coil_bias(m, shape, uniform(m, vendor.bias, generator), generator)[scans]
    level = uniform(m, vendor.noise, generator)[scans, None, None]
    noise = [blur(torch.randn((n, *shape), generator=grain or generator), 0.6 * sigma) for _ in range(2)]
    image = ((image + level * noise[0] * 1.3) ** 2 + (level * noise[1] * 1.3) ** 2).sqrt()
    # Filters for crisp pictures overshoot at every edge.
    crisp = uniform(m, (-0.6, 0.8), generator).clamp_min(0.0)[scans, None, None]
    image = (image + crisp * (image - blur(image, torch.full((n,), 1.5)))).clamp_min(0.0)
    return image ** uniform(m, vendor.gamma, generator)[scans, None, None]
