r"""Exercises of lesson 3: right answers written another way pass, each likely mistake is found and named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from skimage.measure import label
from torch.nn import functional as F

from cardiolearn import checks as check


def by_numpy(scores: Any, labels: Any) -> float:
    powers = np.exp(scores.double().numpy())
    chosen = np.take_along_axis(powers / powers.sum(1, keepdims=True), labels.numpy()[:, None], 1)
    return float(-np.log(chosen).mean())


@pytest.mark.parametrize(
    ("attempt", "right"),
    [
        (by_numpy, True),
        (lambda scores, labels: -scores.log_softmax(1).sum(1).mean(), False),  # as the slide prints it
        (lambda scores, labels: F.cross_entropy(scores, labels, reduction="sum"), False),
        (lambda scores, labels: -F.cross_entropy(scores, labels), False),
        (lambda scores, labels: F.nll_loss(scores.softmax(1), labels), False),
    ],
)  # fmt: skip
def test_cross_entropy_needs_the_label_term(attempt: Any, right: bool) -> None:
    assert (check.cross_entropy.mistake(attempt) is None) == right


def truth(scores: Any, labels: Any) -> torch.Tensor:
    return torch.stack([(labels == k).float() for k in range(scores.shape[1])], 1)


def code_loss(encoder: Any, scores: Any, labels: Any, variance: float, into: Any = lambda s: s.softmax(1)) -> Any:
    apart = encoder(into(scores)) - encoder(truth(scores, labels))
    return (apart**2).sum() / apart.numel() / variance


def half_of_the_gradient(encoder: Any, scores: Any, labels: Any, variance: float) -> Any:
    loss = code_loss(encoder, scores, labels, variance)
    return 0.5 * loss + 0.5 * loss.detach()


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (code_loss, None),
        (lambda e, s, y, v: v * code_loss(e, s, y, v), "expected"),  # not divided by the variance
        (lambda e, s, y, v: 5 * code_loss(e, s, y, v), "expected"),  # a sum over codes
        (lambda e, s, y, v: code_loss(e, s, y, v, lambda s: s), "expected"),  # scores in the place of probabilities
        (lambda e, s, y, v: code_loss(e, s, y, v, lambda s: truth(s, s.argmax(1))), "expected"),
        (lambda e, s, y, v: code_loss(e, s, y, v).item(), "no gradient comes with it"),
        (lambda e, s, y, v: code_loss(e, s.detach(), y, v), "no gradient comes with it"),
        (half_of_the_gradient, "its gradient at the scores is not"),
        (lambda e, s, y, v: None, "returned nothing"),
        (lambda e, s, y, v: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_the_code_loss(attempt: Any, message: str | None) -> None:
    mistake = check.code_loss.mistake(attempt)
    assert mistake is None if message is None else message in (mistake or "")


def in_pieces(labels: Any, connectivity: int = 3, more_than: int = 1) -> int:
    return sum(label(labels.numpy() == k, connectivity=connectivity).max() > more_than for k in (1, 2, 3))


@pytest.mark.parametrize(
    ("attempt", "right"),
    [
        (in_pieces, True),
        (lambda labels: in_pieces(labels, connectivity=1), False),  # by faces alone
        (lambda labels: in_pieces(labels, connectivity=2), False),  # by edges
        (lambda labels: in_pieces(labels, more_than=0), False),
        (lambda labels: float(in_pieces(labels) > 0), False),
        (lambda labels: scipy.ndimage.label(labels.numpy() > 0, np.ones((3, 3, 3)))[1] - 1, False),
        (lambda labels: 0, False),
    ],
)  # fmt: skip
def test_hearts_in_pieces(attempt: Any, right: bool) -> None:
    assert (check.pieces.mistake(attempt) is None) == right


def step(
    segmenter: Any, encoder: Any, optimiser: Any, images: Any, labels: Any, strength: float, *,
    still: bool = True, weights: bool = True, codes: bool = True, zero: bool = True, go: bool = True,
) -> float:  # fmt: skip
    if still:
        encoder.eval()
    if weights:
        for parameter in encoder.parameters():
            parameter.requires_grad = False
    scores = segmenter(images)
    with torch.set_grad_enabled(codes):
        distance = code_loss(encoder, scores, labels, 1.0)
    loss = F.nll_loss(scores.log_softmax(1), labels) + strength * distance
    if zero:
        segmenter.zero_grad()
    loss.backward()
    if go:
        optimiser.step()
    return loss.item()


def without_codes(segmenter: Any, encoder: Any, optimiser: Any, images: Any, labels: Any, strength: float) -> float:
    return step(segmenter, encoder, optimiser, images, labels, 0.0)


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (step, None),
        (lambda *given: step(*given, weights=False), "the encoder learnt with it"),
        (lambda *given: step(*given, still=False), "batch normalisation measured this batch"),
        (lambda *given: step(*given, still=False, weights=False), "the encoder learnt with it"),
        (lambda *given: step(*given, codes=False), "not by one step down the gradient of both losses"),
        (lambda *given: step(*given, zero=False), "not by one step down the gradient of both losses"),
        (lambda *given: step(*given, go=False), "did not move"),
        (without_codes, "the loss is wrong"),
        (lambda *given: (step(*given), None)[1], "returned nothing"),
        (lambda *given: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_the_constrained_step(attempt: Any, message: str | None) -> None:
    mistake = check.constrained_step.mistake(attempt)
    assert mistake is None if message is None else message in (mistake or "")
