r"""From the tissues' signals to magnitude images: everything a scanner adds that is no anatomy.

Fat precesses out of phase with water, so a voxel holding both goes dark: the black line round every organ that real
cine images show. Then come the coil's bias, the point spread, texture, and Rician noise. Everything random about a scan
is sampled once, as an :class:`Exposure`; its frames differ in nothing but the heart and the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.phantom.scanners.mri import Vendor, uniform


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


def _off_resonance(n: int, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    # Off resonance by half the inverse repetition time the signal vanishes along a line: one scan in six shows it.
    y = torch.linspace(-1, 1, shape[0])[None, :, None]
    x = torch.linspace(-1, 1, shape[1])[None, None, :]
    angle = 2 * math.pi * torch.rand(n, generator=generator)[:, None, None]
    place, width = uniform(n, (0.3, 1.2), generator)[:, None, None], uniform(n, (0.03, 0.1), generator)[:, None, None]
    depth = 0.8 * (torch.rand(n, generator=generator) < 0.17).float()[:, None, None]
    curve = x * torch.cos(angle) + y * torch.sin(angle) + 0.2 * (x * torch.sin(angle) - y * torch.cos(angle)) ** 2
    return 1.0 - depth * torch.exp(-(((curve - place) / width) ** 2))


@dataclass(frozen=True)
class Exposure:
    r"""What chance settles about `n` pictures, each a scan of its own (`m` = `n`) or all of one scan (`m` = 1).

    `pattern` `(n, Y, X)` of unit variance is that of the texture and `noise` two fields `(n, Y, X)` of white noise.
    `line` `(m, Y, X)` is the dark line off resonance and `coil` `(m, Y, X)` the receiver's profile. `point_spread` is a
    standard deviation in pixels, `(n,)`; the others are `(m, 1, 1)`.
    """

    pattern: Tensor
    texture: Tensor
    point_spread: Tensor
    fat_phase: Tensor
    line: Tensor
    coil: Tensor
    noise_level: Tensor
    noise: tuple[Tensor, Tensor]
    crispness: Tensor
    gamma: Tensor

    def with_noise(self, generator: torch.Generator) -> Exposure:
        r"""Another frame of the same scan: the noise alone is new."""
        return replace(self, noise=_white(self.pattern, generator))


def _white(like: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return torch.randn(like.shape, generator=generator), torch.randn(like.shape, generator=generator)


def sample_exposure(
    n: int, shape: tuple[int, int], vendor: Vendor, generator: torch.Generator, *, noise: torch.Generator | None = None
) -> Exposure:
    r"""The settings of `n` scans of one picture each; with a generator of its own for the `noise`, of one scan of `n`
    slices, whose frames follow by `with_noise`."""
    m = n if noise is None else 1
    coarse, fine = smooth_field(n, shape, 9, generator), smooth_field(n, shape, 3, generator)
    mix = uniform(m, (0.0, 1.0), generator)[:, None, None]
    texture = uniform(m, (0.3, 2.0), generator)[:, None, None]
    point_spread = uniform(m, vendor.blur, generator).expand(n)
    fat_phase = math.pi * uniform(m, vendor.fat_phase, generator)[:, None, None]
    line = _off_resonance(m, shape, generator)
    coil = coil_bias(m, shape, uniform(m, vendor.bias, generator), generator)
    noise_level = uniform(m, vendor.noise, generator)[:, None, None]
    white = _white(coarse, noise or generator)
    # Filters for crisp pictures overshoot at every edge.
    crispness = uniform(m, (-0.6, 0.8), generator).clamp_min(0.0)[:, None, None]
    gamma = uniform(m, vendor.gamma, generator)[:, None, None]
    pattern = mix * coarse + (1.0 - mix) * fine
    return Exposure(pattern, texture, point_spread, fat_phase, line, coil, noise_level, white, crispness, gamma)


def magnitude(water: Tensor, fat: Tensor, texture: Tensor, exposure: Exposure) -> Tensor:
    r"""Magnitude images from water and fat signal and texture strength, all `(n, Y, X)`; blood is near 1."""
    swirl = (1.0 + texture * exposure.texture * exposure.pattern).clamp_min(0.0)
    sigma = exposure.point_spread
    water, fat = blur(water * swirl, sigma), blur(fat * (0.5 + 0.5 * swirl), sigma)
    image = (water**2 + fat**2 + 2.0 * water * fat * torch.cos(exposure.fat_phase)).clamp_min(0.0).sqrt()
    image = image * exposure.line * exposure.coil
    real, imaginary = (exposure.noise_level * blur(white, 0.6 * sigma) * 1.3 for white in exposure.noise)
    image = ((image + real) ** 2 + imaginary**2).sqrt()
    image = (image + exposure.crispness * (image - blur(image, torch.full((len(image),), 1.5)))).clamp_min(0.0)
    return image**exposure.gamma
