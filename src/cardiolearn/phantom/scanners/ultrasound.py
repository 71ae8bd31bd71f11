r"""A simulated 3D echograph: from the tissues that its beams meet to the brightness of a sector.

A sample of a beam sums the echoes of many scatterers smaller than the wave, whose phases are random: speckle. The pulse
is short, so echoes are told apart finely along the beam; the beam is as wide as a fixed angle, so across it they blur
the more the deeper they are. Smooth borders reflect as mirrors do, best where the beam meets them at right angles.
On the way sound is swallowed; the receiver's gain grows with depth and makes good for a part of it. What lung and ribs
hide is dark all along the beam. Tensors are made on the device of the generator, which must be that of the codes.

Source: attenuation, time-gain compensation and log compression as in Szabo, Diagnostic Ultrasound Imaging: Inside Out
(deviation: all of it is linear; reverberations are a haze in layers).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.phantom.body.curves import smoothstep
from cardiolearn.phantom.body.tissue import Tissue
from cardiolearn.phantom.scanners.beam_forming import (
    amplitude,
    beam_matrix,
    mirror_echo,
    pulse_matrix,
    runs_along,
    side_lobes,
    speckle,
)
from cardiolearn.phantom.scanners.echo_tissue import BLOOD, N_ECHO_TISSUES, acoustic_table
from cardiolearn.phantom.scanners.mri import uniform
from cardiolearn.phantom.scanners.sector import (
    BEAMS,
    DEPTHS,
    HALF_ANGLE,
    NEAREST,
    SHAPE,
    SPACING,
    STEP,
    depths,
    scan_convert,
    steering,
)

_AVERAGE = 0.4  # dB/cm at 1 MHz, one way: what the receiver's gain takes tissue to swallow
_RINGING, _CLUTTER = 3.0, 22.0  # mm over which what rings in the probe, and the clutter below it, fall to a third
_NEAR = 60.0  # mm below the skin over which the gain is turned down
_RINGS = 1.0  # dB: how much stronger the ringing is
_BRIGHTEST = 0.9985  # of the samples are darker than full brightness


@dataclass(frozen=True)
class Echograph:
    r"""Ranges a scan's settings are sampled from, each `(low, high)`.

    `frequency` in MHz; `pulse` is the resolution along the beam (mm), `beam` that across (degrees) and `aperture` the
    beam's width at the probe (mm), all full widths at half maximum; `compound` is the share of the speckle that is
    averaged away. In dB: `scatter` is how much tissues differ from scan to scan, `patchy` how much a tissue varies
    (standard deviations), `along_wall` how much weaker muscle echoes where beams run along it than where they meet it,
    `blood` is the level of blood over muscle, `specular` the gain of mirror echoes, `drop_out` what is lost behind the
    lung and `ribs` behind the ribs, `clutter` the level of the haze at the probe, `haze` that of side lobes, `noise`
    that of the receiver; `near` is how far the gain is turned down at the skin, `gain` how far over white the brightest
    echoes are.
    `tgc` is the share of the attenuation that is made good; `dynamic_range` (dB) is shown as black to white, `gamma`
    is the exponent of the grey scale, `half_angle` that of the sector in degrees.
    """

    name: str
    frequency: tuple[float, float]
    pulse: tuple[float, float]
    beam: tuple[float, float]
    aperture: tuple[float, float]
    compound: tuple[float, float]
    scatter: tuple[float, float]
    blood: tuple[float, float]
    patchy: tuple[float, float]
    along_wall: tuple[float, float]
    specular: tuple[float, float]
    drop_out: tuple[float, float]
    ribs: tuple[float, float]
    clutter: tuple[float, float]
    haze: tuple[float, float]
    noise: tuple[float, float]
    near: tuple[float, float]
    tgc: tuple[float, float]
    gain: tuple[float, float]
    dynamic_range: tuple[float, float]
    gamma: tuple[float, float]
    half_angle: tuple[float, float]


#: For training: wider than any one machine.
ANY_ECHOGRAPH = Echograph(
    "any", frequency=(1.6, 2.8), pulse=(1.4, 2.6), beam=(1.4, 3.4), aperture=(2, 5), compound=(0.1, 0.7),
    scatter=(1, 3), blood=(-36, -20), patchy=(3, 10), along_wall=(0, 8), specular=(14, 26), drop_out=(0, 30),
    ribs=(8, 40), clutter=(-8, 4), haze=(-36, -24), noise=(-70, -44), near=(2, 15), tgc=(0.6, 0.95), gain=(-14, -2),
    dynamic_range=(44, 60), gamma=(1.2, 2.6), half_angle=(34, 40),
)  # fmt: skip
#: Outside those ranges in three respects: a wider beam, more noise, and fewer steps from black to white.
UNSEEN_ECHOGRAPH = Echograph(
    "unseen", frequency=(2.0, 2.6), pulse=(2.0, 2.6), beam=(3.6, 4.4), aperture=(3, 5), compound=(0.1, 0.6),
    scatter=(1, 3), blood=(-26, -18), patchy=(4, 9), along_wall=(0, 6), specular=(14, 24), drop_out=(5, 28),
    ribs=(8, 35), clutter=(-8, 2), haze=(-32, -24), noise=(-42, -36), near=(2, 10), tgc=(0.65, 0.9), gain=(-12, -2),
    dynamic_range=(38, 43), gamma=(1.2, 1.8), half_angle=(35, 39),
)  # fmt: skip


def scan_ultrasound(
    codes: Tensor, echograph: Echograph, generator: torch.Generator, *,
    shape: Sequence[int] = SHAPE, spacing: float = SPACING,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    r"""Pictures `(n, Z, Y, X)` in [0, 1] and labels `(n, Z, Y, X)` (uint8: 1 LV cavity, 2 its wall) of `n` scans.

    The probe is at the top, z is depth; seen along y, the lateral wall is on the right. Labels are the truth, also
    where nothing can be seen of it. About 0.3 s of one core a volume of 96^3.

    Args:
        codes: `(n, DEPTHS, BEAMS, BEAMS)` (uint8), of :func:`~cardiolearn.phantom.scanners.probe.met_by_beams`.
        echograph: every scan is another sample of its settings.
        generator: on the codes' device.
        shape: voxels of the box.
        spacing: their size, mm.

    Raises:
        InputError: codes of another grid.
    """
    half_angle = torch.deg2rad(uniform(len(codes), echograph.half_angle, generator))
    return scan_convert(echo(codes, echograph, generator), codes, half_angle, shape, spacing)


def echo(codes: Tensor, echograph: Echograph, generator: torch.Generator) -> Tensor:
    r"""Brightness in [0, 1] along the beams, `(n, DEPTHS, BEAMS, BEAMS)`; arguments as for `scan_ultrasound`."""
    if codes.shape[1:] != (DEPTHS, BEAMS, BEAMS):
        raise InputError(f"codes: expected (n, {DEPTHS}, {BEAMS}, {BEAMS}), got {tuple(codes.shape)}")
    n = len(codes)
    frequency = uniform(n, echograph.frequency, generator)
    scatter, impedance, swallowed = _by_tissue(codes, echograph, generator)
    gain = _receiver_gain(frequency, *(uniform(n, r, generator) for r in (echograph.tgc, echograph.near)))
    heard = gain - _on_the_way(swallowed, frequency) - _hidden(echograph, n, generator)
    texture = _level(uniform(n, echograph.patchy, generator)) * _patches(n, generator)
    clutter = amplitude(_level(uniform(n, echograph.clutter, generator)) - _below_probe(n, generator))
    weaker = _level(uniform(n, echograph.along_wall, generator)) * runs_along(codes)
    rough = amplitude(scatter + texture - weaker + heard) + clutter
    smooth = amplitude(_level(uniform(n, echograph.specular, generator)) + texture + heard) * mirror_echo(impedance)
    pulse, beam, aperture = (uniform(n, r, generator) for r in (echograph.pulse, echograph.beam, echograph.aperture))
    spread = pulse_matrix(pulse), beam_matrix(beam, aperture)
    intensity = speckle(rough, smooth, spread, uniform(n, echograph.compound, generator), generator)
    intensity = intensity + side_lobes(intensity, uniform(n, echograph.haze, generator))
    floor = torch.rand(intensity.shape, generator=generator, device=generator.device).clamp_min(1e-7).log().neg()
    intensity = intensity + amplitude(2.0 * (_level(uniform(n, echograph.noise, generator)) + gain)) * floor
    shown = (echograph.gain, echograph.dynamic_range, echograph.gamma)
    return compress(intensity, *(uniform(n, bounds, generator) for bounds in shown))


def _level(values: Tensor) -> Tensor:
    # (n,) as (n, 1, 1, 1), to be spread over a sector.
    return values[:, None, None, None]


def _by_tissue(codes: Tensor, echograph: Echograph, generator: torch.Generator) -> Sequence[Tensor]:
    # Backscatter (dB), logarithm of the impedance and attenuation (dB/cm at 1 MHz) at each sample; tissues differ from
    # scan to scan, and blood is the same blood everywhere.
    n = len(codes)
    table = acoustic_table(generator.device).repeat(n, 1, 1)
    table[..., 1] = table[..., 1].log()
    scatter = torch.randn((n, N_ECHO_TISSUES), generator=generator, device=generator.device)
    table[..., 0] += uniform(n, echograph.scatter, generator)[:, None] * scatter
    table[:, int(Tissue.MYOCARDIUM), 0] = 0.0
    table[:, list(BLOOD), 0] = uniform(n, echograph.blood, generator)[:, None]
    rows = torch.arange(n, device=codes.device)[:, None, None, None] * N_ECHO_TISSUES
    return F.embedding(codes.int() + rows, table.flatten(0, 1)).unbind(-1)


def _receiver_gain(frequency: Tensor, tgc: Tensor, near: Tensor) -> Tensor:
    # The gain (dB) at each depth, (n, DEPTHS, 1, 1).
    below = (depths(frequency.device) - NEAREST)[:, None, None]
    return _level(frequency * tgc) * (2.0 * _AVERAGE * below / 10.0) - _level(near) * (1.0 - below / _NEAR).clamp_min(0)


def _on_the_way(swallowed: Tensor, frequency: Tensor) -> Tensor:
    # What is lost (dB) to and from each sample.
    return _level(2.0 * frequency * STEP / 10.0) * swallowed.cumsum(1)


def _hidden(echograph: Echograph, n: int, generator: torch.Generator) -> Tensor:
    # What each beam loses (dB), (n, 1, BEAMS, BEAMS), from the start: lung before the lateral or anterior wall, and the
    # ribs on both sides of the gap that the probe looks through.
    angle = steering(generator.device) / HALF_ANGLE
    y, x = angle[:, None], angle[None, :]
    lung = uniform(n, (-2.2, 0.6), generator)[:, None, None]  # rad: from the anterior (-y) to the lateral (x) side
    beyond = x * torch.cos(lung) + y * torch.sin(lung) - uniform(n, (0.1, 0.7), generator)[:, None, None]
    lost = uniform(n, echograph.drop_out, generator)[:, None, None] * smoothstep(beyond / 0.35)
    gap = math.pi * uniform(n, (0.0, 1.0), generator)[:, None, None]
    aside = (x * torch.cos(gap) + y * torch.sin(gap)).abs() - uniform(n, (0.45, 1.0), generator)[:, None, None]
    return (lost + uniform(n, echograph.ribs, generator)[:, None, None] * smoothstep(aside / 0.25))[:, None]


def _patches(n: int, generator: torch.Generator) -> Tensor:
    # Random fields (n, DEPTHS, BEAMS, BEAMS) of unit variance: broad patches, some two centimetres long and ten degrees
    # wide, and as much from sample to sample, as few strong scatterers make it.
    nodes = torch.randn((n, 1, DEPTHS // 16, BEAMS // 13, BEAMS // 13), generator=generator, device=generator.device)
    broad = F.interpolate(nodes, size=(DEPTHS, BEAMS, BEAMS), mode="trilinear", align_corners=True)[:, 0]
    fine = torch.randn(broad.shape, generator=generator, device=generator.device)
    # Between its nodes a field of linear pieces varies less: by two thirds along each axis.
    return math.sqrt(0.5) * (1.5**1.5 * broad + fine)


def _below_probe(n: int, generator: torch.Generator) -> Tensor:
    # How much weaker (dB) the clutter is at each depth, (n, DEPTHS, 1, 1): echoes that run to and fro between probe and
    # skin come back in layers.
    away = depths(generator.device)
    phase = uniform(n, (0.0, 2.0 * math.pi), generator)[:, None]
    layers = 2.0 * torch.sin(2.0 * math.pi * away / uniform(n, (5.0, 9.0), generator)[:, None] + phase)
    below = away - NEAREST
    steep = 8.7 * below / _RINGING - _RINGS
    return (torch.minimum(steep, 8.7 * below / _CLUTTER) - layers)[:, :, None, None]


def compress(intensity: Tensor, gain: Tensor, dynamic_range: Tensor, gamma: Tensor) -> Tensor:
    r"""Grey values in [0, 1]: the brightest samples are `gain` dB over white, `dynamic_range` dB below white is black;
    `gamma` bends the scale. All three are `(n,)`."""
    few = intensity[:, ::3, ::3, ::3].flatten(1).sort(1).values
    brightest = few[:, int(_BRIGHTEST * (few.shape[1] - 1))]
    level = 10.0 * torch.log10(intensity / _level(brightest) + 1e-12) + _level(gain)
    return (1.0 + level / _level(dynamic_range)).clamp(0.0, 1.0) ** _level(gamma)
