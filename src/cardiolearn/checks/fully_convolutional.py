r"""Exercises on the network of lesson 1: two levels joined, a loss with a weight for each class, one training step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cardiolearn.checks.exercise import Exercise

RATE = 0.3  # of the descent in the training step's check


def repeat_pixels(x: Tensor, factor: int) -> Tensor:
    r"""Each pixel repeated: `(N, C, Y, X)` to `(N, C, factor * Y, factor * X)`; stands for any upsampling."""
    return functional.interpolate(x, scale_factor=factor, mode="nearest")


def _two_levels(generator: torch.Generator) -> tuple[Tensor, Tensor, Callable[[Tensor, int], Tensor]]:
    r"""Feature maps `(N, C, Y, X)` of two levels, the fine one 2 to 16 times as large, and a way to upsample."""
    n, rows, columns, few, many = (int(torch.randint(1, 4, (), generator=generator)) for _ in range(5))
    factor = 2 ** int(torch.randint(1, 5, (), generator=generator))
    coarse = torch.rand(n, many, rows, columns, generator=generator)
    return torch.rand(n, few, factor * rows, factor * columns, generator=generator), coarse, repeat_pixels


def joined(fine: Tensor, coarse: Tensor, upsample: Callable[[Tensor, int], Tensor]) -> Tensor:
    r"""The fine channels `(N, C, Y, X)`, and behind them the coarse ones brought to their size: `(N, C + D, Y, X)`."""
    return torch.cat((fine, upsample(coarse, fine.shape[-1] // coarse.shape[-1])), 1)


skip_join = Exercise(
    name="skip_join",
    inputs=_two_levels,
    reference=joined,
    describe=lambda fine, coarse, upsample: f"fine {tuple(fine.shape)} and coarse {tuple(coarse.shape)}",
    steps=(
        "How many times larger is the fine level? Divide its last size by that of the coarse one: fine.shape[-1] "
        "// coarse.shape[-1].",
        "upsample(coarse, factor) has as many rows and columns as fine.",
        "torch.cat((first, second), dim=1) lays the channels of both one behind the other; the fine ones come first.",
    ),
    answer="""def my_skip_join(fine, coarse, upsample):
    factor = fine.shape[-1] // coarse.shape[-1]
    return torch.cat((fine, upsample(coarse, factor)), dim=1)""",
)


def _scores_and_weights(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    r"""Scores `(N, C, Y, X)`, true labels `(N, Y, X)` and a weight for each class `(C,)`."""
    n, classes, rows, columns = (int(torch.randint(2, 6, (), generator=generator)) for _ in range(4))
    scores = 3 * torch.randn(n, classes, rows, columns, generator=generator)
    labels = torch.randint(0, classes, (n, rows, columns), generator=generator)
    return scores, labels, 0.1 + torch.rand(classes, generator=generator)


weighted_loss = Exercise(
    name="weighted_loss",
    inputs=_scores_and_weights,
    reference=lambda scores, labels, weights: float(functional.cross_entropy(scores, labels, weights)),
    describe=lambda scores, labels, weights: f"scores {tuple(scores.shape)} and weights {weights.numpy().round(2)}",
    steps=(
        "scores.log_softmax(1) is the logarithm of the probability of each class. .gather(1, labels[:, None])[:, 0] "
        "picks that of the true class of each pixel.",
        "weights[labels] has the shape (N, Y, X): the weight of each pixel.",
        "A weighted mean is sum(weight * value) / sum(weight).",
    ),
    answer="""def my_weighted_loss(scores, labels, weights):
    pixels = -scores.log_softmax(1).gather(1, labels[:, None])[:, 0]
    weight = weights[labels]
    return (weight * pixels).sum() / weight.sum()""",
)


class TrainingStep(Exercise):
    r"""Two steps of the learner's on a small network, held against two plain ones: the second one shows whether the
    gradients of the first were set to zero."""

    def tried(self, attempt: Callable[..., Any], *arguments: Any) -> str | None:
        network, images, labels = arguments
        theirs, ours = copy.deepcopy(network), copy.deepcopy(network)
        descents = [torch.optim.SGD(net.parameters(), RATE) for net in (theirs, ours)]
        for step in ("first", "second"):
            before = _weights(theirs)
            came = attempt(theirs, descents[0], images.clone(), labels.clone())
            expected = self.reference(ours, images, labels, descents[1])
            if came is None or came is ...:
                return "it returned nothing. Is there a return?"
            if (wrong := self.differs(came, expected)) is not None:
                return f"the loss of the {step} step is wrong: {wrong}"
            if torch.equal(_weights(theirs), before):
                return f"the weights did not move in the {step} step. Are backward() and optimiser.step() called?"
            if not torch.allclose(_weights(theirs), _weights(ours), rtol=self.tolerance, atol=self.tolerance):
                return _astray(step)
        return None


def _weights(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def _astray(step: str) -> str:
    if step == "first":
        return "the weights moved, but not by one step down the gradient. Are backward() and step() called once each?"
    return "the second step went astray: the gradients of the first were still there. Who sets them to zero?"


def _small_network(generator: torch.Generator) -> tuple[nn.Module, Tensor, Tensor]:
    r"""One convolution from a picture to four classes, pictures `(N, 1, 6, 6)` and their labels `(N, 6, 6)`."""
    network = nn.Conv2d(1, 4, 3, padding=1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    n = int(torch.randint(1, 5, (), generator=generator))
    images = torch.rand(n, 1, 6, 6, generator=generator)
    return network, images, torch.randint(0, 4, (n, 6, 6), generator=generator)


def training_step_reference(
    network: nn.Module, images: Tensor, labels: Tensor, optimiser: torch.optim.Optimizer | None = None
) -> float:
    r"""One step down the mean cross-entropy, in place where there is an `optimiser`; returns the loss before it."""
    loss = functional.cross_entropy(network(images), labels)
    if optimiser is not None:
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    return loss.item()


training_step = TrainingStep(
    name="training_step",
    inputs=_small_network,
    reference=training_step_reference,
    describe=lambda network, images, labels: f"a small network and {len(images)} pictures",
    steps=(
        "Ask the network first: scores = network(images). The loss compares them with the labels: "
        "torch.nn.functional.cross_entropy(scores, labels).",
        "loss.backward() computes the slope of the loss along each weight, and adds it to the slope that is stored: "
        "call optimiser.zero_grad() before.",
        "optimiser.step() moves every weight a little down its slope. Return the loss as a number: loss.item().",
    ),
    answer="""def my_training_step(network, optimiser, images, labels):
    loss = torch.nn.functional.cross_entropy(network(images), labels)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()""",
)
