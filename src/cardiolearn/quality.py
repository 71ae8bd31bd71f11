r"""How good a segmentation is likely to be, from the network's own probabilities, and whether these can be believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cardiolearn.errors import InputError

NEAR = 10  # pixels around the heart that calibration looks at: far away everything is surely background


def expected_dice(labels: torch.Tensor, soft: torch.Tensor, structures: Mapping[str, int]) -> dict[str, float]:
    r"""The Dice each structure of `labels` would have with a truth drawn pixel by pixel from `soft`.

    .. math:: \frac{2 \sum_{i \in M} p_i}{\sum_i p_i + |M|}

    with the probability :math:`p_i` of the structure at pixel :math:`i` and its mask :math:`M`: the ratio of the
    expected overlap and the expected sizes. A structure that was not found has 0: that wants looking at, whatever the
    network thinks of it.

    Args:
        labels: `(Z, Y, X)`.
        soft: `(C, Z, Y, X)`, the probability of each class.
        structures: which label each name stands for.

    Raises:
        InputError: the shapes do not belong together.

    Source: the soft Dice overlap; as a predictor of segmentation quality it is our choice. It can only be as right as
    the probabilities are calibrated, see :func:`calibration`.

    >>> sure = torch.tensor([[[[0.0, 1.0]]], [[[1.0, 0.0]]]])
    >>> expected_dice(torch.tensor([[[1, 0]]]), sure, {"lv": 1})
    {'lv': 1.0}
    """
    _check(labels, soft)
    result = {}
    for name, label in structures.items():
        mask, p = labels == label, soft[label]
        result[name] = float(2 * p[mask].sum() / (p.sum() + mask.sum())) if mask.any() else 0.0
    return result


def doubtful_slices(labels: torch.Tensor, soft: torch.Tensor, below: float = 0.7) -> list[int]:
    r"""Slices in which the found structures, taken together, are expected to overlap the truth by less than `below`.

    A slice where nothing was found is doubtful where the network expected more than it drew.
    """
    _check(labels, soft)
    mask, p = labels > 0, 1.0 - soft[0]
    size = (p.flatten(1).sum(1) + mask.flatten(1).sum(1)).clamp_min(1e-6)
    overlap = 2 * (p * mask).flatten(1).sum(1) / size
    worth_a_look = size > 20  # pixels; less is a stray doubt
    return [int(z) for z in ((overlap < below) & worth_a_look).nonzero().flatten()]


@dataclass(frozen=True)
class Calibration:
    r"""Pixels by the probability of their label: `stated` and `right` are the mean probability and the share of right
    labels in each bin, `count` the pixels; `error` is the expected calibration error."""

    stated: NDArray[np.float64]
    right: NDArray[np.float64]
    count: NDArray[np.int64]

    @property
    def error(self) -> float:
        r"""Mean distance of stated and true accuracy, weighted by pixels."""
        return float(np.abs(self.stated - self.right) @ self.count / self.count.sum())

    def __add__(self, other: Calibration) -> Calibration:
        count = self.count + other.count
        weight = np.maximum(count, 1)
        stated = (self.stated * self.count + other.stated * other.count) / weight
        right = (self.right * self.count + other.right * other.count) / weight
        return Calibration(stated, right, count)


def calibration(soft: torch.Tensor, truth: torch.Tensor, bins: int = 10) -> Calibration:
    r"""How often the likeliest class is right, by how probable the network holds it, near the heart.

    Args:
        soft: `(C, Z, Y, X)`.
        truth: labels `(Z, Y, X)`.
        bins: of equal width on [0, 1].

    Raises:
        InputError: the shapes do not belong together.

    Source: the reliability diagram and expected calibration error of Guo et al. 2017 (deviation: only pixels within
    `NEAR` pixels of a structure that is there or was found; all others would make any network look calibrated).
    """
    from scipy import ndimage

    _check(truth, soft)
    sure, found = soft.max(0)
    heart = ((found > 0) | (truth > 0)).numpy()
    near = np.stack([ndimage.binary_dilation(plane, iterations=NEAR) for plane in heart])
    p, right = sure.numpy()[near].astype(np.float64), (found == truth).numpy()[near]
    which = np.minimum((p * bins).astype(int), bins - 1)
    count = np.bincount(which, minlength=bins)
    weight = np.maximum(count, 1)
    stated, share = np.bincount(which, p, bins) / weight, np.bincount(which, right, bins) / weight
    return Calibration(stated, share, count)


def _check(labels: torch.Tensor, soft: torch.Tensor) -> None:
    if labels.ndim != 3 or soft.shape[1:] != labels.shape:
        raise InputError(
            f"quality: expected labels (Z, Y, X) and probabilities (C, Z, Y, X), got {tuple(labels.shape)} and "
            f"{tuple(soft.shape)}"
        )
