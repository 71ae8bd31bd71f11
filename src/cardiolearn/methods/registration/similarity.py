r"""How unlike two images on one grid are: what a registration makes small. Differentiable in the second image.

All take images `(*shape)` of two or three dimensions and return a number.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Unlikeness = Callable[[Tensor, Tensor], Tensor]

_RADIUS = 2  # voxels of the window of `local_correlation`
_BINS = 32
_SMALL = 1e-5


def mean_squares(fixed: Tensor, warped: Tensor) -> Tensor:
    r"""Mean of the squared difference, relative to the variance of `fixed`: one scanner, one contrast."""
    variance = ((fixed - fixed.mean()) ** 2).mean()
    return ((fixed - warped) ** 2).mean() / variance.clamp_min(_SMALL**2)


def local_correlation(fixed: Tensor, warped: Tensor) -> Tensor:
    r"""1 minus the mean of the squared correlation within windows of 5 voxels: brightness may vary smoothly.

    Source: Cachier et al., CVIU 2003; as in Avants et al., Med Image Anal 2008 (deviation: cubes for Gaussian windows).
    """
    images = torch.stack((fixed, warped, fixed * fixed, warped * warped, fixed * warped))
    f, w, ff, ww, fw = _windows(images)
    cross, var_f, var_w = fw - f * w, (ff - f * f).clamp_min(0.0), (ww - w * w).clamp_min(0.0)
    squared = cross**2 / (var_f * var_w + _SMALL)
    return 1.0 - squared.mean()


def mutual_information(fixed: Tensor, warped: Tensor) -> Tensor:
    r"""2 minus the normalised mutual information `(H(f) + H(w)) / H(f, w)`: contrasts may differ altogether.

    Each image is spread over 32 bins between its extremes, a value over the two nearest bins in proportion.

    Source: Studholme et al., Pattern Recognition 1999 (deviation: linear Parzen windows, so that it is differentiable).
    """
    f, w = _binned(fixed.flatten(), fixed), _binned(warped.flatten(), warped.detach())
    joint = f.T @ w
    joint = joint / joint.sum().clamp_min(_SMALL)
    entropy = [_entropy(p) for p in (joint.sum(1), joint.sum(0), joint)]
    return 2.0 - (entropy[0] + entropy[1]) / entropy[2].clamp_min(_SMALL)


def _windows(images: Tensor) -> Tensor:
    # Means over cubes, one axis after the other.
    n, dims = len(images), images.ndim - 1
    for axis in range(1, dims + 1):
        lines = images.movedim(axis, -1)
        shape = lines.shape
        size = min(2 * _RADIUS + 1, 2 * (shape[-1] - 1) + 1)
        mean = F.avg_pool1d(lines.reshape(n, -1, shape[-1]), size, 1, size // 2, count_include_pad=False)
        images = mean.reshape(shape).movedim(-1, axis)
    return images


def _binned(values: Tensor, whole: Tensor) -> Tensor:
    low, high = whole.min(), whole.max()
    place = (values - low) / (high - low).clamp_min(_SMALL) * (_BINS - 1)
    return (1.0 - (place[:, None] - torch.arange(_BINS, device=values.device)).abs()).clamp_min(0.0)


def _entropy(p: Tensor) -> Tensor:
    return -(p * (p + 1e-12).log()).sum()
