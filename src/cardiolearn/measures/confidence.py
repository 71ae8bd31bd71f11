r"""How good a segmentation is likely to be, from the network's own probabilities, and whether these can be believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from cardiolearn.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

BINS = 10
NEAR = 10  # pixels around the heart that calibration looks at: far away everything is surely background


def expected_dice(labels: torch.Tensor, soft: torch.Tensor, structures: Mapping[str, int]) -> dict[str, float]:
    r"""The Dice each structure of `labels` would have with a truth sampled pixel by pixel from `soft`.

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

    A slice where nothing was found is doubtful where the network expected more than it outlined.
    """
    _check(labels, soft)
    mask, p = labels > 0, 1.0 - soft[0]
    size = (p.flatten(1).sum(1) + mask.flatten(1).sum(1)).clamp_min(1e-6)
    overlap = 2 * (p * mask).flatten(1).sum(1) / size
    worth_a_look = size > 20  # pixels; less is a stray doubt
    return [int(z) for z in ((overlap < below) & worth_a_look).nonzero().flatten()]


def calibration(soft: torch.Tensor, truth: torch.Tensor) -> pd.DataFrame:
    r"""How often the likeliest class is right, by how probable the network holds it, near the heart.

    One row for each of `BINS` bins of equal width on [0, 1]: `stated` is the mean probability, `right` the share of
    pixels whose likeliest class is the true one, `pixels` their number. Rows of several scans may be put together.

    Args:
        soft: `(C, Z, Y, X)`.
        truth: labels `(Z, Y, X)`, below C.

    Raises:
        InputError: the shapes do not belong together.

    Source: the reliability diagram of Guo et al. 2017 (deviation: only pixels within `NEAR` pixels of a structure that
    is there or was found; all others would make any network look calibrated).
    """
    import pandas as pd
    from scipy import ndimage

    _check(truth, soft)
    sure, found = soft.max(0)
    heart = ((found > 0) | (truth > 0)).numpy()
    near = np.stack([ndimage.binary_dilation(plane, iterations=NEAR) for plane in heart])
    p, right = sure.numpy()[near].astype(np.float64), (found == truth).numpy()[near]
    which = np.minimum((p * BINS).astype(int), BINS - 1)
    count = np.bincount(which, minlength=BINS)
    stated, share = (np.bincount(which, v, BINS) / np.maximum(count, 1) for v in (p, right))
    return pd.DataFrame({"bin": range(BINS), "stated": stated, "right": share, "pixels": count})


def pooled(rows: pd.DataFrame) -> pd.DataFrame:
    r"""Rows of :func:`calibration` of several scans put together, one row per bin that holds pixels."""
    held = rows[rows["pixels"] > 0]
    sums = (
        held[["stated", "right"]].mul(held["pixels"], axis=0).assign(pixels=held["pixels"]).groupby(held["bin"]).sum()
    )
    return sums.assign(stated=sums["stated"] / sums["pixels"], right=sums["right"] / sums["pixels"]).reset_index()


def calibration_error(rows: pd.DataFrame) -> float:
    r"""Expected calibration error: mean distance of stated and true accuracy, weighted by pixels; 0 is perfect."""
    bins = pooled(rows)
    return float((bins["stated"] - bins["right"]).abs() @ bins["pixels"] / bins["pixels"].sum())


def _check(labels: torch.Tensor, soft: torch.Tensor) -> None:
    if labels.ndim != 3 or soft.shape[1:] != labels.shape:
        raise InputError(
            f"confidence: expected labels (Z, Y, X) and probabilities (C, Z, Y, X), got {tuple(labels.shape)} and "
            f"{tuple(soft.shape)}"
        )
