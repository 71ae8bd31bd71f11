r"""What segmenters and auto-encoders of hearts learn from: batches, loss, and a score on hearts that are held out."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from cardiolearn.imaging.structures import LABELS
from cardiolearn.measures.metrics import dice
from cardiolearn.methods.shape.acnn import CodePrior, segmentation_loss
from cardiolearn.methods.shape.label_volumes import one_hot
from cardiolearn.methods.shape.soft_masks import soften
from cardiolearn.methods.shape.volume_source import Batch, VolumeSource, look_at

_AT_ONCE = 4  # volumes that a network is asked for in one go where it is tested


@dataclass(frozen=True)
class HeartBatches:
    r"""Batches of `batch` hearts picked at random from the first `n` of `source`; the others are held out.

    Labels are below `n_classes` and looked at in each batch. The pictures that test are made on the CPU, so they are
    the same for a training on any device.
    """

    source: VolumeSource = field(repr=False)
    n: int
    batch: int = 2
    n_classes: int = 4

    def __call__(self, step: int, generator: torch.Generator) -> Batch:
        r"""Inputs and labels `(batch, Z, Y, X)`; what `training.train` asks for."""
        picks = torch.randint(0, self.n, (self.batch,), generator=generator, device=generator.device)
        images, labels = look_at(self.source, picks, generator, self.n_classes)
        return self.inputs(images, labels, generator), labels

    @cached_property
    def held_out(self) -> Batch:
        r"""Inputs as they are for tests, and labels, of all hearts that are not learnt from."""
        picks = torch.arange(self.n, len(self.source), device="cpu")
        images, labels = look_at(self.source, picks, torch.Generator("cpu").manual_seed(99), self.n_classes)
        return self.inputs(images, labels, None), labels

    def inputs(self, images: Tensor, labels: Tensor, generator: torch.Generator | None) -> Tensor:
        r"""What goes into the network: the pictures. With a `generator` it is to be learnt from, without tested."""
        return images


@dataclass(frozen=True)
class TrainingVolumes(HeartBatches):
    r"""What a segmenter learns from: pictures and labels; with a `prior` on the heart's code as well as its voxels."""

    prior: CodePrior | None = None

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        r"""See :func:`~cardiolearn.methods.shape.acnn.segmentation_loss`."""
        return segmentation_loss(logits, labels, self.prior)

    def held_out_score(self, network: nn.Module) -> float:
        r"""Mean Dice of the structures over the hearts that are not learnt from, each pictured once."""
        return mean_dice(network, *self.held_out, self.n_classes)


@dataclass(frozen=True)
class TrainingMasks(HeartBatches):
    r"""What an auto-encoder learns from: masks made soft and faulty, and the labels they were made of (stage 1a).

    Without `faulty` the masks are given as they are.
    """

    batch: int = 8
    faulty: bool = True

    def inputs(self, images: Tensor, labels: Tensor, generator: torch.Generator | None) -> Tensor:
        r"""Masks `(N, n_classes, Z, Y, X)`: soft and faulty to learn from, as they are to test."""
        if generator is None or not self.faulty:
            return one_hot(labels, self.n_classes)
        return soften(labels, self.n_classes, generator)

    @staticmethod
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        r"""Mean cross-entropy of the voxels."""
        return segmentation_loss(logits, labels)

    def held_out_score(self, network: nn.Module) -> float:
        r"""Mean Dice of the structures, rebuilt, over the hearts that are not learnt from."""
        return mean_dice(network, *self.held_out, self.n_classes)


@torch.no_grad()
def found_volumes(network: nn.Module, inputs: Tensor) -> Tensor:
    r"""The likeliest label `(N, Z, Y, X)`, uint8 on the CPU, of each voxel that a network finds in `inputs`.

    Raises:
        ValueError: batch normalisation that still learns: what it finds in a scan would depend on the other scans.
    """
    if any(isinstance(layer, nn.BatchNorm3d) and layer.training for layer in network.modules()):
        raise ValueError(
            "found_volumes: expected a network in evaluation mode, got one with batch normalisation that learns"
        )
    device = next(network.parameters()).device
    parts = [network(part.to(device)).argmax(1) for part in inputs.split(_AT_ONCE)]
    return torch.cat([part.to(torch.uint8).cpu() for part in parts])


def dice_of_structures(network: nn.Module, inputs: Tensor, labels: Tensor, n_classes: int) -> dict[str, float]:
    r"""Dice of each structure, by its key, of what a network finds in all of `inputs` together."""
    found, truth = found_volumes(network, inputs), labels.cpu()
    return {key: dice(found == k, truth == k) for key, k in LABELS.items() if k < n_classes}


def mean_dice(network: nn.Module, inputs: Tensor, labels: Tensor, n_classes: int) -> float:
    r"""The mean of `dice_of_structures`."""
    scores = dice_of_structures(network, inputs, labels, n_classes)
    return sum(scores.values()) / len(scores)
