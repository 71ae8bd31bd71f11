r"""Exercises on lesson 3: cross-entropy with its labels, the loss of codes, hearts in pieces, a constrained step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cardiolearn.checks.exercise import Exercise
from cardiolearn.imaging.structures import VENTRICLES
from cardiolearn.measures.plausibility import count_pieces
from cardiolearn.methods.shape.acnn import CodePrior, code_distance, segmentation_loss
from cardiolearn.methods.shape.frozen import frozen
from cardiolearn.methods.shape.label_volumes import one_hot

RATE = 0.1
CLASSES, SIDE, CODES = 3, 4, 5  # of the small networks: volumes of 4 x 4 x 4 voxels


def _scores_and_labels(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    r"""Scores `(N, C, Z, Y, X)` before softmax and labels `(N, Z, Y, X)`."""
    n, classes, *grid = (int(torch.randint(2, 5, (), generator=generator)) for _ in range(5))
    labels = torch.randint(0, classes, (n, *grid), generator=generator)
    return 3 * torch.randn((n, classes, *grid), generator=generator), labels


cross_entropy = Exercise(
    name="cross_entropy",
    inputs=_scores_and_labels,
    reference=lambda scores, labels: float(F.cross_entropy(scores, labels)),
    describe=lambda scores, labels: f"scores {tuple(scores.shape)} and labels {tuple(labels.shape)}",
    steps=(
        "The slide's fraction is softmax, and its logarithm is scores.log_softmax(1).",
        "As printed, the sum takes the logarithms of all classes. Only that of the voxel's true class may count: "
        "multiply by 1 for the true class and by 0 for the others, or pick it with gather.",
        "labels[:, None] has the shape that gather wants: log_p.gather(1, labels[:, None]).",
        "Take the mean over all voxels, and a minus in front of it.",
    ),
    answer="""def my_cross_entropy(scores, labels):
    log_p = scores.log_softmax(1)
    return -log_p.gather(1, labels[:, None]).mean()""",
)


class CodeLoss(Exercise):
    r"""A loss whose gradient counts as much as its value: a network is to learn by it."""

    def tried(self, attempt: Callable[..., Any], *arguments: Any) -> str | None:
        encoder, scores, labels, variance = arguments
        theirs, ours = (scores.clone().requires_grad_() for _ in range(2))
        came = attempt(encoder, theirs, labels.clone(), variance)
        expected = self.reference(encoder, ours, labels, variance)
        assert isinstance(expected, Tensor)
        if came is None or came is ...:
            return "it returned nothing. Is there a return?"
        if (wrong := self.differs(came, float(expected.detach()))) is not None:
            return wrong
        if not isinstance(came, Tensor) or not came.requires_grad:
            return "the number is right, but no gradient comes with it, so nothing can be learnt. What cut it off?"
        slope, right_slope = torch.autograd.grad(came, theirs)[0], torch.autograd.grad(expected, ours)[0]
        right = torch.allclose(slope, right_slope, rtol=self.tolerance, atol=self.tolerance)
        return None if right else "the number is right, but its gradient at the scores is not."


def _random_weights(network: nn.Module, generator: torch.Generator) -> nn.Module:
    r"""All weights and statistics anew, variances positive."""
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                sample = 0.5 * torch.randn(value.shape, generator=generator)
                value.copy_(sample.abs() + 0.5 if name.endswith("running_var") else sample)
    return network


def _small_encoder(generator: torch.Generator) -> nn.Module:
    r"""Masks `(N, 3, 4, 4, 4)` to codes `(N, 5)`, with a batch normalisation."""
    layers = (nn.Conv3d(CLASSES, 2, 3, 2, 1), nn.BatchNorm3d(2), nn.Tanh(), nn.Flatten(), nn.Linear(16, CODES))
    return _random_weights(nn.Sequential(*layers), generator)


def _small_hearts(generator: torch.Generator) -> Tensor:
    n = int(torch.randint(2, 5, (), generator=generator))
    return torch.randint(0, CLASSES, (n, SIDE, SIDE, SIDE), generator=generator)


def _codes_to_compare(generator: torch.Generator) -> tuple[nn.Module, Tensor, Tensor, float]:
    r"""A frozen encoder, scores `(N, 3, 4, 4, 4)` before softmax, labels `(N, 4, 4, 4)`, and the codes' variance."""
    labels = _small_hearts(generator)
    scores = 2 * torch.randn((len(labels), CLASSES, SIDE, SIDE, SIDE), generator=generator)
    return frozen(_small_encoder(generator)), scores, labels, float(0.2 + torch.rand((), generator=generator))


def code_loss_reference(encoder: nn.Module, scores: Tensor, labels: Tensor, variance: float) -> Tensor:
    r"""Mean squared difference of the codes of probabilities and of true masks, over the codes' variance."""
    return code_distance(frozen(encoder), scores.softmax(1), one_hot(labels, scores.shape[1]), variance)


code_loss = CodeLoss(
    name="code_loss",
    inputs=_codes_to_compare,
    reference=code_loss_reference,
    describe=lambda encoder, scores, labels, variance: f"scores {tuple(scores.shape)} and a variance of {variance:.3f}",
    steps=(
        "The encoder wants masks, one channel for each class. Of the network's scores these are the probabilities: "
        "scores.softmax(1). Not the likeliest label: argmax has no gradient.",
        "Of the labels they are one-hot masks: torch.nn.functional.one_hot(labels, scores.shape[1]), its last axis "
        "moved to place 1, as float.",
        "Encode both, and take the mean of the squared differences over hearts and code numbers.",
        "Divide by variance, and return the tensor: without .item(), which forgets where a number came from.",
    ),
    answer="""def my_code_loss(encoder, scores, labels, variance):
    truth = torch.nn.functional.one_hot(labels, scores.shape[1]).movedim(-1, 1).float()
    apart = encoder(scores.softmax(1)) - encoder(truth)
    return apart.square().mean() / variance""",
)


def _a_heart_of_boxes(generator: torch.Generator) -> tuple[Tensor]:
    r"""Labels `(6, 12, 12)`: of each structure a box or two, apart or touching at a corner; one may be missing."""
    labels = torch.zeros(6, 12, 12, dtype=torch.uint8)
    for row, label in enumerate(VENTRICLES.values()):
        kind, y, x = (int(torch.randint(0, n, (), generator=generator)) for n in (4, 2, 3))
        y += 4 * row
        boxes = {0: [], 1: [(1, y, x)], 2: [(1, y, x), (3, y + 1, x + 2)], 3: [(1, y, x), (3, y + 1, x + 5)]}[kind]
        for z, top, left in boxes:
            labels[z : z + 2, top, left : left + 2] = label
    return (labels,)


def pieces_reference(labels: Tensor) -> float:
    r"""How many of the three structures lie in more than one piece; what touches at a corner is one piece."""
    return float(sum(count_pieces((labels == k).numpy()) > 1 for k in VENTRICLES.values()))


pieces = Exercise(
    name="pieces",
    inputs=_a_heart_of_boxes,
    reference=pieces_reference,
    describe=lambda labels: f"a heart with {', '.join(f'{int((labels == k).sum())} voxels of {k}' for k in (1, 2, 3))}",
    steps=(
        "For each label k of 1, 2 and 3 the mask is labels == k. Count how many of the three masks are in pieces.",
        "scipy.ndimage.label(mask, structure) gives the pieces and how many there are.",
        "By default two voxels belong together only where they share a face. With structure=numpy.ones((3, 3, 3)) they "
        "do so also where they share an edge or a corner.",
        "A structure that is missing has 0 pieces. It is not in pieces: count those with more than one.",
    ),
    answer="""import numpy
import scipy.ndimage

def my_pieces(labels):
    count = 0
    for k in (1, 2, 3):
        _, n = scipy.ndimage.label(labels.numpy() == k, numpy.ones((3, 3, 3)))
        count += n > 1
    return count""",
)


class ConstrainedStep(Exercise):
    r"""Two steps of the learner's with an encoder that is not frozen yet, held against two with one that is.

    The optimiser holds the weights of both networks: those that have no gradient it leaves alone.
    """

    def tried(self, attempt: Callable[..., Any], *arguments: Any) -> str | None:
        segmenter, encoder, images, labels, strength = arguments
        theirs, ours, judge = copy.deepcopy(segmenter), copy.deepcopy(segmenter), copy.deepcopy(encoder)
        descent = torch.optim.SGD([*theirs.parameters(), *judge.parameters()], RATE)
        our_descent = torch.optim.SGD(ours.parameters(), RATE)
        for _ in range(2):
            came = attempt(theirs, judge, descent, images.clone(), labels.clone(), strength)
            if came is None or came is ...:
                return "it returned nothing. Is there a return?"
            if (wrong := _changed(judge, encoder)) is not None:
                return wrong
            before = _weights(ours)
            expected = self.reference(ours, encoder, images, labels, strength, our_descent)
            if (wrong := self.differs(came, expected)) is not None:
                return f"the loss is wrong: {wrong}"
            if torch.equal(_weights(theirs), before):
                return "the segmenter's weights did not move. Are backward() and optimiser.step() called?"
            if not torch.allclose(_weights(theirs), _weights(ours), rtol=self.tolerance, atol=self.tolerance):
                return (
                    "the segmenter moved, but not by one step down the gradient of both losses. Does the gradient of "
                    "the codes reach it, and is it set to zero before?"
                )
        return None


def _changed(judge: nn.Module, encoder: nn.Module) -> str | None:
    r"""What happened to the learner's encoder, in words; None where it is as it was."""
    now, before = judge.state_dict(), encoder.state_dict()
    moved = [name for name, value in now.items() if not torch.equal(value, before[name])]
    if any(name in dict(judge.named_parameters()) for name in moved):
        return "the encoder learnt with it: its weights moved. What makes them stay, encoder.requires_grad_(...)?"
    if moved:
        return "the encoder's batch normalisation measured this batch. In which mode does it keep its statistics?"
    return None


def _weights(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def _two_networks(generator: torch.Generator) -> tuple[nn.Module, nn.Module, Tensor, Tensor, float]:
    r"""A segmenter and an encoder in training mode, pictures `(N, 1, 4, 4, 4)`, labels, and lambda 1."""
    segmenter = _random_weights(nn.Conv3d(1, CLASSES, 3, padding=1), generator)
    labels = _small_hearts(generator)
    images = torch.rand((len(labels), 1, SIDE, SIDE, SIDE), generator=generator)
    return segmenter, _small_encoder(generator), images, labels, float(1 + torch.rand((), generator=generator))


def constrained_step_reference(
    segmenter: nn.Module, encoder: nn.Module, images: Tensor, labels: Tensor, strength: float,
    optimiser: torch.optim.Optimizer | None = None,
) -> float:  # fmt: skip
    r"""One step down cross-entropy and `strength` times the squared distance of codes, in place where there is an
    `optimiser`; returns the loss before it."""
    loss = segmentation_loss(segmenter(images), labels, CodePrior(frozen(encoder), 1.0, strength))
    if optimiser is not None:
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    return loss.item()


constrained_step = ConstrainedStep(
    name="constrained_step",
    inputs=_two_networks,
    reference=constrained_step_reference,
    describe=lambda segmenter, encoder, images, labels, strength: (
        f"{len(images)} small volumes and lambda 1 = {strength:.3f}"
    ),
    steps=(
        "First freeze the encoder: encoder.eval() keeps the statistics of its batch normalisation, and "
        "encoder.requires_grad_(False) keeps its weights.",
        "scores = segmenter(images). The first loss is torch.nn.functional.cross_entropy(scores, labels).",
        "The second is the mean squared difference of encoder(scores.softmax(1)) and encoder(the one-hot masks of "
        "labels). Not under torch.no_grad(): the gradient must pass the encoder to reach the segmenter.",
        "loss = first + strength * second. Then optimiser.zero_grad(), loss.backward(), optimiser.step(), and return "
        "loss.item().",
    ),
    answer="""def my_constrained_step(segmenter, encoder, optimiser, images, labels, strength):
    encoder.eval().requires_grad_(False)
    scores = segmenter(images)
    truth = torch.nn.functional.one_hot(labels, scores.shape[1]).movedim(-1, 1).float()
    apart = (encoder(scores.softmax(1)) - encoder(truth)).square().mean()
    loss = torch.nn.functional.cross_entropy(scores, labels) + strength * apart
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()""",
)
