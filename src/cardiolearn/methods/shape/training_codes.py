r"""What the T-L network's predictor learns from: alone (stage 1b), then together with the auto-encoder (stage 2)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cardiolearn.methods.shape.frozen import Frozen
from cardiolearn.methods.shape.label_volumes import one_hot
from cardiolearn.methods.shape.soft_masks import soften
from cardiolearn.methods.shape.tl_network import TLNetwork, parts, reader
from cardiolearn.methods.shape.training_volumes import HeartBatches, mean_dice


@dataclass(frozen=True)
class TrainingPredictor(HeartBatches):
    r"""What a predictor learns from: pictures, and the codes that a frozen `encoder` gives their masks (stage 1b).

    Args:
        variance: of the codes over hearts, by :func:`~cardiolearn.methods.shape.acnn.code_variance`.

    Source: Oktay et al., IEEE TMI 2018; deviation: the distance is divided by the codes' number and variance.
    """

    batch: int = 8
    encoder: Frozen = field(kw_only=True)
    variance: float = field(kw_only=True)

    def loss(self, code: Tensor, labels: Tensor) -> Tensor:
        r"""Squared distance of codes `(N, 64)` from those of the masks: 1 where every answer is the mean code."""
        with torch.no_grad():
            aim = self.encoder.to(code.device)(one_hot(labels, self.n_classes))
        return F.mse_loss(code, aim) / self.variance

    @torch.no_grad()
    def held_out_score(self, network: nn.Module) -> float:
        r"""The share of the codes' variance that the predictor explains in hearts that are held out, at most 1."""
        images, labels = self.held_out
        device = next(network.parameters()).device
        pairs = zip(images.split(self.batch), labels.split(self.batch), strict=True)
        missed = [self.loss(network(part.to(device)), truth.to(device)) * len(part) for part, truth in pairs]
        return 1.0 - torch.stack(missed).sum().item() / len(images)


@dataclass(frozen=True)
class TrainingTL(HeartBatches):
    r"""What a T-L network learns from as a whole: soft masks with the pictures of the same hearts (stage 2).

    Args:
        strength: of the codes' distance beside the cross-entropy. Here the distance is divided by the variance of the
            batch's own codes: divided by a number, it would fall if all codes were scaled down, and nothing learnt.

    Source: Oktay et al., IEEE TMI 2018; deviation: as said.
    """

    batch: int = 8
    strength: float = field(kw_only=True)

    def inputs(self, images: Tensor, labels: Tensor, generator: torch.Generator | None) -> Tensor:
        r"""Masks and pictures `(N, n_classes + 1, Z, Y, X)`."""
        masks = one_hot(labels, self.n_classes) if generator is None else soften(labels, self.n_classes, generator)
        return torch.cat((masks, images), 1)

    def loss(self, output: Tensor, labels: Tensor) -> Tensor:
        r"""Mean cross-entropy of the masks rebuilt, and `strength` times the distance between both codes."""
        z, y, x = labels.shape[1:]
        logits, mask_code, image_code = parts(output, self.n_classes, (z, y, x))
        apart = F.mse_loss(image_code, mask_code) / mask_code.var(0).mean()
        return F.cross_entropy(logits, labels.long()) + self.strength * apart

    def held_out_score(self, network: nn.Module) -> float:
        r"""Mean Dice of the structures rebuilt from the *pictures* of hearts that are not learnt from: high where codes
        can be read in pictures, and shapes made of them."""
        assert isinstance(network, TLNetwork)
        both, labels = self.held_out
        return mean_dice(reader(network), both[:, self.n_classes :], labels, self.n_classes)
