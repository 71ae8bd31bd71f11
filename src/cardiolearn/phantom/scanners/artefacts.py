r"""Doing things to a finished scan that no anatomy does: what does a network make of them?

Each takes an image `(Z, Y, X)` and its labels and returns both, changed alike. The first four are *cue conflicts*: they
keep most of what tells a heart and turn one cue round. The others degrade the picture as poor acquisitions do.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.intensity import percentiles_of_some
from cardiolearn.imaging.structures import MYOCARDIUM, RV_CAVITY

ImageAndLabels = tuple[Image, Image]


def with_contrast(image: Image, contrast: float) -> Image:
    r"""The grey scale stretched about its middle: 1 leaves it, 0 makes all grey, -1 turns it upside down."""
    middle = 0.5 * _brightest(image, 99.5)
    return image.with_data((middle + contrast * (image.data - middle)).clamp_min(0.0))


def invert_contrast(image: Image, labels: Image) -> ImageAndLabels:
    r"""Blood dark, lung bright: the grey scale upside down between 0 and the 99.5th percentile."""
    return with_contrast(image, -1.0), labels


def move(image: Image, labels: Image) -> ImageAndLabels:
    r"""The patient shifted by a quarter of the picture both ways, what leaves it coming in again at the other side."""
    shift = (image.data.shape[-2] // 4, image.data.shape[-1] // 4)
    return _both(image, labels, lambda data: data.roll(shift, (-2, -1)))


def mirror(image: Image, labels: Image) -> ImageAndLabels:
    r"""Left and right exchanged: a heart on the right-hand side, as nobody's in training unless mirrored there too."""
    return _both(image, labels, lambda data: data.flip(-1))


def erase_right_ventricle(image: Image, labels: Image) -> ImageAndLabels:
    r"""The right ventricle's blood painted as grey as the LV myocardium: is the left one found without it?"""
    right, wall = labels.data == RV_CAVITY, labels.data == MYOCARDIUM
    if not wall.any():
        return image, labels
    painted = torch.where(right, image.data[wall].median(), image.data)
    return image.with_data(painted), labels.with_data(torch.where(right, 0, labels.data).to(labels.data.dtype))


CONFLICTS: dict[str, Callable[[Image, Image], ImageAndLabels]] = {
    "contrast inverted": invert_contrast,
    "heart moved": move,
    "mirrored": mirror,
    "RV erased": erase_right_ventricle,
}


def degrade(image: Image, kind: str, level: float, generator: torch.Generator) -> Image:
    r"""A worse scan of the same heart, `level` from 0 (as it was) to 1 (nobody would accept it).

    `kind` is `noise` (Gaussian, up to half the brightest signal), `blur` (up to 6 mm standard deviation), `ghosts` (up
    to 0.8 of a copy shifted by a third of the picture along y, as of a mistriggered scan) or `fading` (up to 97 % of
    the signal lost towards one side, as far from the coil).

    Raises:
        InputError: another kind.
    """
    data = image.data
    top = _brightest(image, 99.0)
    if kind == "noise":
        grain = torch.randn(data.shape, generator=generator, device=generator.device)
        data = (data + 0.5 * level * top * grain).abs()
    elif kind == "blur":
        data = _blur(data, 6.0 * level / image.spacing[0])
    elif kind == "ghosts":
        data = data + 0.8 * level * data.roll(data.shape[-2] // 3, -2)
    elif kind == "fading":
        side = torch.linspace(1.0, 1.0 - 0.97 * level, data.shape[-1], device=data.device)
        data = data * (side if torch.rand(1, generator=generator, device=generator.device) < 0.5 else side.flip(0))
    else:
        raise InputError(f"degrade: expected noise, blur, ghosts or fading, got {kind!r}")
    return image.with_data(data)


KINDS = ("noise", "blur", "ghosts", "fading")


def _brightest(image: Image, percent: float) -> float:
    return percentiles_of_some(image.data.flatten(), percent)[0]


def _both(image: Image, labels: Image, change: Callable[[torch.Tensor], torch.Tensor]) -> ImageAndLabels:
    return image.with_data(change(image.data)), labels.with_data(change(labels.data))


def _blur(data: torch.Tensor, sigma: float) -> torch.Tensor:
    # Separable Gaussian in the plane of each slice, `sigma` in pixels.
    if sigma < 1e-3:
        return data
    reach = int(3 * sigma) + 1
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=data.device) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(data[:, None], (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])[:, 0]
