r"""Masks made soft and faulty, as a network's probabilities are: what a denoising auto-encoder is given."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from cardiolearn.methods.shape.label_volumes import one_hot

_UNTOUCHED = 0.5  # share of the volumes that stay as they are
_FLOOR = 0.01  # probability of a class that a voxel has not, before noise
_NOISE = (2.0, 3.0)  # of logarithms of probabilities, at most: grain, and patches of some voxels
_PATCH = 4  # voxels: how wide those patches are
_TEMPERATURE = (0.5, 2.0)
_DROPPED = 0.15  # share of a volume's slices that are lost, at most


def soften(labels: Tensor, n_classes: int, generator: torch.Generator) -> Tensor:
    r"""Soft masks `(N, n_classes, Z, Y, X)` of label volumes `(N, Z, Y, X)`; the classes of a voxel sum to 1.

    Each volume by its own amounts: blurred, noise added to the logarithms, brought to another temperature by softmax,
    and slices lost, which become background. Half of the volumes stay as they are.

    Source: **our choice**: the encoder of an anatomically constrained network sees probabilities and not labels, so it
    must know them; what the paper gave its auto-encoder is not told. Denoising as in Vincent et al., ICML 2008.
    """
    masks = one_hot(labels, n_classes)
    picked = torch.nonzero(_amounts(len(masks), generator).flatten() >= _UNTOUCHED).flatten()
    if len(picked):
        masks[picked] = _spoilt(masks[picked], generator)
    return masks


def _spoilt(masks: Tensor, generator: torch.Generator) -> Tensor:
    n = len(masks)
    blurred = masks.lerp(blur(masks), _amounts(n, generator))
    scores = blurred.clamp_(min=_FLOOR).log_().add_(_noise(masks, generator))
    low, high = _TEMPERATURE
    soft = scores.div_(low * (high / low) ** _amounts(n, generator)).softmax(1)
    return _without_slices(soft, generator)


def _amounts(n: int, generator: torch.Generator) -> Tensor:
    r"""A number from 0 to 1 for each volume, `(n, 1, 1, 1, 1)`."""
    return torch.rand((n, 1, 1, 1, 1), generator=generator, device=generator.device)


def blur(masks: Tensor) -> Tensor:
    r"""Masks `(N, n_classes, Z, Y, X)`, each the mean of 3 x 3 x 3 voxels, twice; the edges go on."""
    for axis in 2 * (-3, -2, -1):  # axis by axis: sooner than torch's pooling in 3D
        longer = torch.cat((masks.narrow(axis, 0, 1), masks, masks.narrow(axis, -1, 1)), axis)
        before, here, after = (longer.narrow(axis, i, masks.shape[axis]) for i in range(3))
        masks = (before + here).add_(after).mul_(1 / 3)
    return masks


def _noise(masks: Tensor, generator: torch.Generator) -> Tensor:
    n, classes, *grid = masks.shape
    coarse = [-(-size // _PATCH) for size in grid]
    grain = torch.randn(masks.shape, generator=generator, device=generator.device)
    patches = torch.randn((n, classes, *coarse), generator=generator, device=generator.device)
    patches = F.interpolate(patches, grid, mode="trilinear", align_corners=False)
    return _NOISE[0] * _amounts(n, generator) * grain + _NOISE[1] * _amounts(n, generator) * patches


def _without_slices(soft: Tensor, generator: torch.Generator) -> Tensor:
    lost = torch.rand((len(soft), 1, soft.shape[2], 1, 1), generator=generator, device=generator.device)
    background = torch.zeros_like(soft)
    background[:, 0] = 1.0
    return torch.where(lost < _DROPPED * _amounts(len(soft), generator), background, soft)
