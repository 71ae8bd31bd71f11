r"""How unlike two images on one grid are: what a registration makes small. Differentiable in the second image.

All take images `(*shape)` of two or three dimensions and return a number. A `mask` `(*shape)`, bool, says which voxels
count; by default all of them do. What compares windows leaves out those that hold a voxel outside of the mask.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

_RADIUS = 2  # voxels of the window of `local_correlation`; as far a descriptor of `self_similarity` reaches
_PATCH = 1  # voxels, radius of the patches that `self_similarity` compares
_LIMITS = (1e-3, 1e3)  # of a place's variance in `self_similarity`, times that of the whole image
_BINS = 32
_SMALL = 1e-5


class Unlikeness(Protocol):
    r"""How unlike `warped` is to `fixed`, where `mask` is true."""

    def __call__(self, fixed: Tensor, warped: Tensor, mask: Tensor | None = None) -> Tensor: ...


def mean_squares(fixed: Tensor, warped: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Mean of the squared difference, relative to the variance of `fixed`: one scanner, one contrast."""
    fixed, warped = _counted(fixed, mask), _counted(warped, mask)
    variance = ((fixed - fixed.mean()) ** 2).mean()
    return ((fixed - warped) ** 2).mean() / variance.clamp_min(_SMALL**2)


def local_correlation(fixed: Tensor, warped: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""1 minus the mean of the squared correlation within windows of 5 voxels: brightness may vary smoothly.

    Source: Cachier et al., CVIU 2003; as in Avants et al., Med Image Anal 2008 (deviation: cubes for Gaussian windows).
    """
    images = torch.stack((fixed, warped, fixed * fixed, warped * warped, fixed * warped))
    f, w, ff, ww, fw = _windows(images, _RADIUS)
    cross, var_f, var_w = fw - f * w, (ff - f * f).clamp_min(0.0), (ww - w * w).clamp_min(0.0)
    squared = cross**2 / (var_f * var_w + _SMALL)
    return 1.0 - _counted(squared, _whole(mask)).mean()


def mutual_information(fixed: Tensor, warped: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""2 minus the normalised mutual information `(H(f) + H(w)) / H(f, w)`: contrasts may differ altogether.

    Each image is spread over 32 bins between its extremes, a value over the two nearest bins in proportion.

    Source: Studholme et al., Pattern Recognition 1999 (deviation: linear Parzen windows, so that it is differentiable).
    """
    fixed, warped = _counted(fixed, mask), _counted(warped, mask)
    f, w = _binned(fixed.flatten(), fixed), _binned(warped.flatten(), warped.detach())
    joint = f.T @ w
    joint = joint / joint.sum().clamp_min(_SMALL)
    entropy = [_entropy(p) for p in (joint.sum(1), joint.sum(0), joint)]
    return 2.0 - (entropy[0] + entropy[1]) / entropy[2].clamp_min(_SMALL)


def self_similarity(fixed: Tensor, warped: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Mean of the squared difference of descriptors that say, at each voxel, to which of its neighbours the place is
    alike: whatever brightness means in either image, structures are where their neighbours differ.

    Source: Heinrich et al., Med Image Anal 2012 (deviation: squared for absolute differences, smooth at their least).
    """
    apart = (self_similarity_descriptors(fixed) - self_similarity_descriptors(warped)) ** 2
    return _counted(apart.mean(0), _whole(mask)).mean()


def self_similarity_descriptors(image: Tensor) -> Tensor:
    r"""MIND, the modality independent neighbourhood descriptor, of an image `(*shape)` of D axes, `(2 D, *shape)`: how
    alike the patch around each voxel is to those one voxel before and behind it along each axis, 1 for the most alike
    of them. Beyond the border the image repeats.

    Source: Heinrich et al., Med Image Anal 2012, eq. 4, with the variance of section 3.2 and the six-neighbourhood of
    section 3.3 (deviations: patches are cubes of 3 voxels, not Gaussian; the variance is kept within 0.001 to 1000
    times its mean).
    """
    squares = []
    for axis in range(image.ndim):
        steps = image.movedim(axis, -1).diff(dim=-1) ** 2
        squares += [F.pad(steps, ends).movedim(-1, axis) for ends in ((1, 0), (0, 1))]
    distances = _windows(torch.stack(squares), _PATCH)
    variance = distances.mean(0)
    low, high = (limit * variance.mean() for limit in _LIMITS)
    variance = variance.maximum(low).minimum(high).clamp_min(_SMALL**2)
    return ((distances.amin(0) - distances) / variance).exp()


def _counted(values: Tensor, mask: Tensor | None) -> Tensor:
    return values if mask is None else values[mask]


def _whole(mask: Tensor | None) -> Tensor | None:
    # Where a window of `_RADIUS` lies in the mask.
    return None if mask is None else _windows(mask[None].float(), _RADIUS)[0] > 1.0 - 1e-4


def _windows(images: Tensor, radius: int) -> Tensor:
    # Means over cubes, one axis after the other.
    n, dims = len(images), images.ndim - 1
    for axis in range(1, dims + 1):
        lines = images.movedim(axis, -1)
        shape = lines.shape
        size = min(2 * radius + 1, 2 * (shape[-1] - 1) + 1)
        mean = F.avg_pool1d(lines.reshape(n, -1, shape[-1]), size, 1, size // 2, count_include_pad=False)
        images = mean.reshape(shape).movedim(-1, axis)
    return images


def _binned(values: Tensor, whole: Tensor) -> Tensor:
    low, high = whole.min(), whole.max()
    place = (values - low) / (high - low).clamp_min(_SMALL) * (_BINS - 1)
    return (1.0 - (place[:, None] - torch.arange(_BINS, device=values.device)).abs()).clamp_min(0.0)


def _entropy(p: Tensor) -> Tensor:
    return -(p * (p + 1e-12).log()).sum()
