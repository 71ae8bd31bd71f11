r"""From the tissues' signals to magnitude images: everything a scanner adds that is no anatomy.

Fat precesses out of phase with water, so a voxel holding both goes dark: the black line round every organ that real
cine images show. Then come the coil's bias, texture, noise, and the reconstruction: signal and noise pass the same
filter and are shown on a finer grid than they were acquired on, so that noise is smooth, as in real pictures.
Everything random about a scan is sampled once, as an :class:`Exposure`; its frames differ in nothing but the heart and
the noise. Tensors are made on the device of the generator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.phantom.scanners.free_walls import STRENGTH
from cardiolearn.phantom.scanners.mri import Vendor, uniform

_ROLL_OFF = 0.3  # the share of the acquired frequencies over which the filter goes down to nothing
_CRISP = 1.5  # pixels: what is coarser than this Gaussian is not lifted by a crisp filter
_MARGIN = 8  # pixels beyond the picture that the reconstruction knows: what leaves on one side must not enter opposite


def smooth_field(n: int, shape: tuple[int, int], cell: int, generator: torch.Generator) -> Tensor:
    r"""`(n, *shape)` random fields of unit variance at the nodes, varying over `cell` pixels."""
    nodes = (n, 1, shape[0] // cell + 3, shape[1] // cell + 3)
    coarse = torch.randn(nodes, generator=generator, device=generator.device)
    size = ((coarse.shape[-2] - 1) * cell + 1, (coarse.shape[-1] - 1) * cell + 1)
    fine = F.interpolate(coarse, size=size, mode="bicubic", align_corners=True)
    return fine[:, 0, : shape[0], : shape[1]]


def transfer(shape: tuple[int, int], blur: Tensor, zero_fill: Tensor, crispness: Tensor) -> Tensor:
    r"""What a reconstruction makes of each frequency: `(n, *shape)`, in the order of `torch.fft`.

    Frequencies that were not acquired are filled with zeros, the outermost acquired ones are rolled off by a cosine
    against ringing (Tukey's window), a Gaussian smooths, and a crisp filter lifts what is finer than 1.5 pixels.

    Args:
        shape: rows and columns.
        blur: standard deviation of the Gaussian in pixels, `(n,)`.
        zero_fill: acquired over shown pixel size, `(n,)`, at least 1.
        crispness: how much fine detail is lifted, `(n,)`: 0.5 by half.

    Source: Bernstein et al., Handbook of MRI Pulse Sequences, 13.1 (zero filling and windows).
    """
    squares, window = torch.zeros_like(blur[:, None, None]), torch.ones_like(blur[:, None, None])
    for axis, length in enumerate(shape):
        cycles = torch.fft.fftfreq(length, device=blur.device, dtype=blur.dtype)  # a pixel
        cycles = cycles[:, None] if axis == 0 else cycles
        acquired = 2.0 * cycles.abs() * zero_fill[:, None, None]  # 1: the highest
        falling = ((acquired - (1.0 - _ROLL_OFF)) / _ROLL_OFF).clamp(0.0, 1.0)
        whole = zero_fill[:, None, None] <= 1.0  # nothing was filled, nothing rings
        window = window * torch.where(whole, 1.0, 0.5 + 0.5 * torch.cos(math.pi * falling))
        squares = squares + cycles**2
    gauss = torch.exp(-2.0 * (math.pi * blur[:, None, None]) ** 2 * squares)
    lifted = 1.0 + crispness[:, None, None] * (1.0 - torch.exp(-2.0 * (math.pi * _CRISP) ** 2 * squares))
    return window * gauss * lifted


def coil_bias(n: int, shape: tuple[int, int], strength: Tensor, generator: torch.Generator) -> Tensor:
    r"""`(n, *shape)` positive coil profiles: bright on one side, smooth, log-range about `strength` `(n,)`."""
    wave = smooth_field(n, shape, max(shape) // 2 + 1, generator)
    return torch.exp(strength[:, None, None] * (0.75 * _ramp(n, shape, generator) + 0.35 * wave))


def _ramp(n: int, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    # Slopes `(n, *shape)` in any direction, from about -1 to 1.
    x, y = _axes(shape, generator.device)
    angle = 2 * math.pi * uniform(n, (0.0, 1.0), generator)[:, None, None]
    return x * torch.cos(angle) + y * torch.sin(angle)


def _axes(shape: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    # Places across (1, 1, X) and down (1, Y, 1) the picture, from -1 to 1.
    x, y = (torch.linspace(-1, 1, n, device=device) for n in shape[::-1])
    return x[None, None, :], y[None, :, None]


def _off_resonance(n: int, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    # Off resonance by half the inverse repetition time the signal vanishes along a line: one scan in six shows it.
    x, y = _axes(shape, generator.device)
    angle = 2 * math.pi * uniform(n, (0.0, 1.0), generator)[:, None, None]
    place, width = uniform(n, (0.3, 1.2), generator)[:, None, None], uniform(n, (0.03, 0.1), generator)[:, None, None]
    depth = 0.8 * (uniform(n, (0.0, 1.0), generator) < 0.17).float()[:, None, None]
    curve = x * torch.cos(angle) + y * torch.sin(angle) + 0.2 * (x * torch.sin(angle) - y * torch.cos(angle)) ** 2
    return 1.0 - depth * torch.exp(-(((curve - place) / width) ** 2))


def _swirls(n: int, shape: tuple[int, int], mix: Tensor, generator: torch.Generator) -> Tensor:
    # Broad shades and fine ones; more of either from picture to picture.
    broad, fine = (smooth_field(n, shape, cell, generator) for cell in (14, 3))
    return mix * broad + (1.2 - mix) * fine


@dataclass(frozen=True)
class Exposure:
    r"""What chance settles about `n` pictures, each a scan of its own (`m` = `n`) or all of one scan (`m` = 1).

    `pattern` `(n, Y, X)` is that of the texture, its variance about 1, and `noise` two fields `(n, Y, X)` of white
    noise. `line` `(m, Y, X)` is the dark line off resonance, `coil` `(m, Y, X)` the receiver's profile, `fat_phase`
    `(m, Y, X)` the angle in radians between fat and water. `blur`, `zero_fill` and `crispness` `(m,)` are those of
    :func:`transfer`; the others are `(m, 1, 1)`. `free_walls` is how much darker blood is along them, `noise_level` the
    noise's standard deviation in the picture, before its grey scale.
    """

    pattern: Tensor
    texture: Tensor
    blur: Tensor
    zero_fill: Tensor
    crispness: Tensor
    fat_phase: Tensor
    line: Tensor
    coil: Tensor
    free_walls: Tensor
    noise_level: Tensor
    noise: tuple[Tensor, Tensor]
    gamma: Tensor

    def with_noise(self, generator: torch.Generator) -> Exposure:
        r"""Another frame of the same scan: the noise alone is new."""
        return replace(self, noise=_white(self.pattern, generator))


def _white(like: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    real, imaginary = torch.randn((2, *like.shape), generator=generator, device=generator.device)
    return real, imaginary


def sample_exposure(
    n: int, shape: tuple[int, int], vendor: Vendor, generator: torch.Generator, *, noise: torch.Generator | None = None
) -> Exposure:
    r"""The settings of `n` scans of one picture each; with a generator of its own for the `noise`, of one scan of `n`
    slices, whose frames follow by `with_noise`."""
    m = n if noise is None else 1

    def sampled(bounds: tuple[float, float]) -> Tensor:
        return uniform(m, bounds, generator)[:, None, None]

    pattern = _swirls(n, shape, sampled((0.0, 1.0)), generator)
    # The field is never quite even, and with it the angle between fat and water.
    fat_phase = math.pi * (sampled(vendor.fat_phase) + 0.15 * _ramp(m, shape, generator))
    return Exposure(
        pattern=pattern,
        texture=sampled(vendor.texture),
        blur=uniform(m, vendor.blur, generator),
        zero_fill=uniform(m, vendor.zero_fill, generator),
        crispness=uniform(m, vendor.crispness, generator),
        fat_phase=fat_phase,
        line=_off_resonance(m, shape, generator),
        coil=coil_bias(m, shape, uniform(m, vendor.bias, generator), generator),
        free_walls=sampled(STRENGTH),
        noise_level=sampled(vendor.noise),
        noise=_white(pattern, noise or generator),
        gamma=sampled(vendor.gamma),
    )


def magnitude(water: Tensor, fat: Tensor, texture: Tensor, exposure: Exposure) -> Tensor:
    r"""Magnitude images from water and fat signal and texture strength, all `(n, Y, X)`; blood is near 1."""
    swirl = (1.0 + texture * exposure.texture * exposure.pattern).clamp_min(0.0)
    water, fat = water * swirl, fat * (0.5 + 0.5 * swirl)
    light = exposure.line * exposure.coil
    real = (water + fat * torch.cos(exposure.fat_phase)) * light
    imaginary = fat * torch.sin(exposure.fat_phase) * light
    rows, columns = (length + 2 * _MARGIN for length in water.shape[-2:])
    filtering = transfer((rows, columns), exposure.blur, exposure.zero_fill, exposure.crispness)
    # Filters thin the noise; its level is that in the picture.
    level = exposure.noise_level / filtering.square().mean((1, 2), keepdim=True).sqrt()
    parts = (part + level * white for part, white in zip((real, imaginary), exposure.noise, strict=True))
    acquired = torch.complex(*(F.pad(part[None], (_MARGIN,) * 4, mode="replicate")[0] for part in parts))
    image = torch.fft.ifft2(torch.fft.fft2(acquired) * filtering).abs()
    return image[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN] ** exposure.gamma
