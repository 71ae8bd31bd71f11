r"""Exercises on the network: right answers written another way pass, each likely mistake is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from cardiolearn import checks as check
from cardiolearn.checks.fully_convolutional import joined, repeat_pixels


def test_repeated_pixels_are_numpys() -> None:
    x = torch.rand(2, 3, 4, 5)
    np.testing.assert_array_equal(repeat_pixels(x, 4), np.kron(x, np.ones((1, 1, 4, 4), np.float32)))


def joined_by_numpy(fine: Any, coarse: Any, upsample: Any) -> torch.Tensor:
    factor = fine.shape[2] // coarse.shape[2]
    return torch.from_numpy(np.concatenate([fine.numpy(), np.kron(coarse, np.ones((factor, factor)))], 1))


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (joined_by_numpy, None),
        (lambda fine, coarse, upsample: joined(fine, coarse, upsample).roll(1, dims=1), "expected"),
        (lambda fine, coarse, upsample: torch.cat((fine, upsample(coarse, 2)), 1), "raised RuntimeError"),
        (lambda fine, coarse, upsample: fine, "of shape"),
        (lambda fine, coarse, upsample: torch.cat((fine, coarse), 1), "raised RuntimeError"),
        (lambda fine, coarse, upsample: [fine, coarse], "returned a list"),
        (lambda fine, coarse, upsample: None, "returned nothing"),
    ],
)  # fmt: skip
def test_the_skip_join(attempt: Any, message: str | None) -> None:
    mistake = check.skip_join.mistake(attempt)
    assert mistake is None if message is None else message in (mistake or "")


def weighted_by_numpy(scores: Any, labels: Any, weights: Any) -> float:
    powers = np.exp(scores.double().numpy())
    chosen = np.take_along_axis(powers / powers.sum(1, keepdims=True), labels.numpy()[:, None], 1)[:, 0]
    return float(np.average(-np.log(chosen), weights=weights.numpy()[labels.numpy()]))


@pytest.mark.parametrize(
    ("attempt", "right"),
    [
        (weighted_by_numpy, True),
        (lambda scores, labels, weights: functional.cross_entropy(scores, labels), False),
        (lambda s, labels, w: functional.cross_entropy(s, labels, w, reduction="none").mean(), False),
    ],
)  # fmt: skip
def test_the_weighted_loss(attempt: Any, right: bool) -> None:
    assert (check.weighted_loss.mistake(attempt) is None) == right


def step(network: Any, optimiser: Any, images: Any, labels: Any, *, zero: bool = True, go: bool = True) -> float:
    loss = functional.nll_loss(network(images).log_softmax(1), labels)
    if zero:
        network.zero_grad()
    loss.backward()
    if go:
        optimiser.step()
    return loss.item()


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (step, None),
        (lambda *given: step(*given, zero=False), "gradients of the first were still there"),
        (lambda *given: step(*given, go=False), "did not move"),
        (lambda *given: (step(*given), None)[1], "returned nothing"),
        (lambda *given: (step(*given), step(*given))[0], "not by one step"),
        (lambda *given: (step(*given), step(*given))[1], "the loss of the first step is wrong"),
        (lambda network, optimiser, images, labels: network(images), "expected one number"),
        (lambda network, optimiser, images, labels: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_the_training_step(attempt: Any, message: str | None) -> None:
    mistake = check.training_step.mistake(attempt)
    assert mistake is None if message is None else message in (mistake or "")
