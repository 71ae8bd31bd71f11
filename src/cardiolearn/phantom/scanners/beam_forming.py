r"""What a beam hears: the pulse along it, its width across, mirrors, and what leaks in from aside.

Amplitudes are those of the pressure, over that of an even piece of heart muscle.

Source: speckle as the sum of random phasors, Goodman, Statistical Optics, 2.9; width of a beam and reflection at a
border as in Szabo, Diagnostic Ultrasound Imaging: Inside Out (deviation: pulses and beams are Gaussian, the field is a
complex envelope instead of radio-frequency lines).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.imaging.structures import LV_CAVITY
from cardiolearn.phantom.body.tissue import Tissue
from cardiolearn.phantom.scanners.echo_tissue import label_table
from cardiolearn.phantom.scanners.sector import BEAMS, DEPTHS, HALF_ANGLE, STEP, depths, steering

_FWHM = 2.0 * math.sqrt(2.0 * math.log(2.0))  # a Gaussian's full width at half maximum over its standard deviation
_WITHIN = 13  # samples and beams: the width of the box around a place in which the cavity is looked for
_MIRROR = 3  # the specular echo falls with this power of the squared cosine between beam and normal
_STRONGEST = 0.08  # of the pressure: echoes of gas and bone are not shown brighter
_SIDE_LOBE = math.radians(10.0)  # rad, standard deviation: how far aside a beam still hears


def amplitude(level: Tensor) -> Tensor:
    r"""Amplitudes over that of muscle, from levels in dB."""
    return torch.exp(level * (math.log(10.0) / 20.0))


def mirror_echo(impedance: Tensor) -> Tensor:
    r"""What borders send straight back, from the logarithm of the impedance `(n, DEPTHS, BEAMS, BEAMS)`.

    Half its change along the beam is the reflected share of the pressure at normal incidence, the more so the less it
    changes across: of a border along the beam nothing returns.
    """
    even = F.avg_pool3d(impedance[:, None], 3, stride=1, padding=1, count_include_pad=False)[:, 0]
    sharp, along = (F.pad(z[:, 2:] - z[:, :-2], (0, 0, 0, 0, 1, 1)) for z in (impedance, even))
    scale = (STEP / _turn(impedance.device))[:, None, None]
    down = F.pad(even[:, :, 2:] - even[:, :, :-2], (0, 0, 1, 1)) * scale
    right = F.pad(even[..., 2:] - even[..., :-2], (1, 1)) * scale
    squared = along.square()
    cosine = squared / (squared + down.square() + right.square() + 1e-12)
    reflected = 0.5 * sharp.abs()
    return reflected / (1.0 + reflected / _STRONGEST) * cosine**_MIRROR


def runs_along(codes: Tensor) -> Tensor:
    r"""How much beams run along the wall of the left ventricle, `(n, DEPTHS, BEAMS, BEAMS)`: 1 along it, 0 where they
    meet it, and 0 outside of it.

    How the wall lies is told by where, within some 8 mm, there is more of the cavity.

    Source: **ours**, set by eye on a real apical clip, whose lateral wall is fainter than its apex. Fibres are left
    out.
    """
    cavity = (label_table(codes.device)[codes.int()] == LV_CAVITY).float()
    for axis in range(3):
        kernel = [_WITHIN if axis == other else 1 for other in range(3)]
        around = [size // 2 for size in kernel]
        cavity = F.avg_pool3d(cavity[:, None], kernel, stride=1, padding=around, count_include_pad=False)[:, 0]
    down, below, right = torch.gradient(cavity, dim=(1, 2, 3))
    across = (below.square() + right.square()) * (STEP / _turn(codes.device)).square()[:, None, None]
    share = across / (down.square() + across + 1e-9)
    return share.masked_fill(codes != int(Tissue.MYOCARDIUM), 0.0)


def _turn(device: torch.device) -> Tensor:
    # mm from beam to beam at each depth (DEPTHS,).
    return depths(device) * (2.0 * HALF_ANGLE / (BEAMS - 1))


def pulse_matrix(pulse: Tensor) -> Tensor:
    r"""What each sample hears of each other along its beam, `(n, DEPTHS, DEPTHS)`.

    `pulse` `(n,)` mm is a full width at half maximum. Rows have unit power.
    """
    index = torch.arange(DEPTHS, device=pulse.device)
    away = (index[:, None] - index[None]) * STEP
    return _kept_power(torch.exp(-0.5 * (away * _FWHM / pulse[:, None, None]) ** 2))


def beam_matrix(beam: Tensor, aperture: Tensor) -> Tensor:
    r"""What each beam hears of its neighbours at each depth, `(n, DEPTHS, BEAMS, BEAMS)`; rows have unit power.

    `beam` (degrees) and `aperture` (mm), both `(n,)`, are full widths at half maximum: as an angle the beam's width is
    that of diffraction, the same at every depth, and near the probe that of the aperture.
    """
    angle = steering(beam.device)
    width = torch.hypot(torch.deg2rad(beam)[:, None], aperture[:, None] / depths(beam.device))
    away = angle[:, None] - angle[None]
    return _kept_power(torch.exp(-0.5 * (away * _FWHM / width[..., None, None]) ** 2))


def _kept_power(kernel: Tensor) -> Tensor:
    return kernel / kernel.square().sum(-1, keepdim=True).sqrt()


def speckle(
    rough: Tensor, smooth: Tensor, spread: tuple[Tensor, Tensor], compound: Tensor, generator: torch.Generator
) -> Tensor:
    r"""Intensity `(n, DEPTHS, BEAMS, BEAMS)` of the echoes of random scatterers and of mirrors.

    Args:
        rough: the scatterers' amplitude at each sample; where it is even, the mean intensity is its square.
        smooth: the mirrors' amplitude.
        spread: what is heard along the beam `(n, DEPTHS, DEPTHS)` and across it, in either direction,
            `(n, DEPTHS, BEAMS, BEAMS)`; rows have unit power.
        compound: share `(n,)` of the speckle that averaging over frequencies and angles takes away.
        generator: of the scatterers.
    """
    pulse, beam = spread
    parts = torch.randn((2, *rough.shape), generator=generator, device=generator.device) * (rough * math.sqrt(0.5))
    parts[0] += smooth
    heard = (pulse @ (beam @ parts @ beam.transpose(-1, -2)).flatten(-2)).square().sum(0)
    pulse, beam = pulse.square(), beam.square()
    mean = pulse @ (beam @ (rough.square() + smooth.square()) @ beam.transpose(-1, -2)).flatten(-2)
    return torch.lerp(heard, mean, compound[:, None, None]).unflatten(-1, rough.shape[-2:])


def side_lobes(intensity: Tensor, level: Tensor) -> Tensor:
    r"""What is heard from far aside, `level` `(n,)` dB over what lies there (it is negative)."""
    angle = steering(intensity.device)
    kernel = torch.exp(-0.5 * ((angle[:, None] - angle[None]) / _SIDE_LOBE) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)
    return amplitude(2.0 * level)[:, None, None, None] * (kernel @ intensity @ kernel.T)
