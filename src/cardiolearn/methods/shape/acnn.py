r"""The losses of anatomically constrained networks: what is asked of every voxel, and of the heart as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cardiolearn.errors import InputError
from cardiolearn.methods.shape.frozen import Frozen
from cardiolearn.methods.shape.label_volumes import one_hot


def code_distance(encoder: Frozen, found: Tensor, wanted: Tensor, variance: float) -> Tensor:
    r"""How far the codes of `found` lie from those of `wanted`: a scalar, through which gradients reach `found`.

    The mean over volumes and code numbers of the squared difference, divided by the codes' `variance` over hearts. So 0
    is the same shape, and 2 is what two hearts picked at random have on average.

    Args:
        encoder: frozen; the auto-encoder's for masks, the predictor for pictures.
        found: probabilities `(N, n_classes, *grid)`, softmax and not the likeliest label; or pictures `(N, 1, *grid)`.
        wanted: the same of the truth.
        variance: of :func:`code_variance`.

    Source: Oktay et al., IEEE TMI 2018, the losses of the two ACNN models. Deviation: theirs is not divided by
    anything told to us; without the division the weight of this loss depends on how an encoder happens to scale its
    codes, and on how many there are.
    """
    with torch.no_grad():
        aim = encoder(wanted)
    return F.mse_loss(encoder(found), aim) / variance


def code_variance(codes: Tensor) -> float:
    r"""Variance over hearts of codes `(n, 64)`, the mean of all code numbers.

    Raises:
        InputError: fewer than two hearts, or all have one code.

    >>> code_variance(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
    1.0
    """
    if codes.ndim != 2 or len(codes) < 2:
        raise InputError(f"code variance: expected codes (n, 64) of at least two hearts, got {tuple(codes.shape)}")
    variance = codes.double().var(0).mean().item()
    if not 0 < variance < float("inf"):
        raise InputError(f"code variance: expected hearts with different, finite codes, got a variance of {variance}")
    return variance


@dataclass(frozen=True, eq=False)
class CodePrior:
    r"""`strength` times the `code_distance` by a frozen `encoder` whose codes have this `variance`.

    Args:
        strength: the slides' lambda 1, of the distance as it is normalised here.
    """

    encoder: Frozen
    variance: float
    strength: float

    def __call__(self, found: Tensor, wanted: Tensor) -> Tensor:
        r"""A scalar on the device of `found`, to which the encoder is brought."""
        encoder = self.encoder.to(found.device)
        return self.strength * code_distance(encoder, found, wanted, self.variance)


def segmentation_loss(logits: Tensor, labels: Tensor, prior: CodePrior | None = None) -> Tensor:
    r"""ACNN-Seg: mean cross-entropy of the voxels, and the `prior` on the code of all of them.

    Without a prior it is the loss of the plain network. The third term, the size of the weights, is the optimiser's
    (`TrainingPlan.weight_decay`).

    Args:
        logits: `(N, n_classes, Z, Y, X)`.
        labels: `(N, Z, Y, X)`.

    Source: Oktay et al., IEEE TMI 2018, the objective of ACNN-Seg; deviation: means in the place of sums.
    """
    plain = F.cross_entropy(logits, labels.long())
    return plain if prior is None else plain + prior(logits.softmax(1), one_hot(labels, logits.shape[1]))


def super_resolution_loss(found: Tensor, wanted: Tensor, prior: CodePrior | None = None) -> Tensor:
    r"""ACNN-SR: mean smooth-L1 of the voxels, and the `prior` on the code that a predictor reads in the picture.

    Args:
        found, wanted: pictures `(N, 1, Z, Y, X)` on the predictor's grid.

    Source: Oktay et al., IEEE TMI 2018, the objective of ACNN-SR; deviation: means in the place of sums.
    """
    plain = F.smooth_l1_loss(found, wanted)
    return plain if prior is None else plain + prior(found, wanted)
