r"""Codes of a cohort: how they are read, the same number of numbers by principal components, and a walk along one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cardiolearn.errors import InputError
from cardiolearn.methods.shape.autoencoder import CODE
from cardiolearn.methods.shape.label_volumes import one_hot

_AT_ONCE = 8  # volumes


@torch.no_grad()
def codes_of_labels(encoder: nn.Module, labels: Tensor, n_classes: int = 4) -> Tensor:
    r"""Codes `(N, 64)`, on the CPU, of label volumes `(N, Z, Y, X)`."""
    device = next(encoder.parameters()).device
    return torch.cat([encoder(one_hot(part.to(device), n_classes)).cpu() for part in labels.split(_AT_ONCE)])


@torch.no_grad()
def codes_of_images(predictor: nn.Module, images: Tensor) -> Tensor:
    r"""Codes `(N, 64)`, on the CPU, of the shapes that a predictor sees in pictures `(N, 1, Z, Y, X)`."""
    device = next(predictor.parameters()).device
    return torch.cat([predictor(part.to(device)).cpu() for part in images.split(_AT_ONCE)])


@torch.no_grad()
def walk(decoder: nn.Module, code: Tensor, direction: Tensor, values: Sequence[float]) -> Tensor:
    r"""Hearts on a straight line through the space of codes: label volumes `(len(values), Z, Y, X)`, uint8 on the CPU.

    Args:
        decoder: codes to logits, in evaluation mode.
        code: `(64,)`, where `values` are 0: the mean code of a cohort.
        direction: `(64,)`: a unit vector to move one code number, or that times its standard deviation.
        values: steps along `direction`.
    """
    device = next(decoder.parameters()).device
    places = torch.stack([code + value * direction for value in values]).to(device)
    return torch.cat([decoder(part).argmax(1).to(torch.uint8).cpu() for part in places.split(_AT_ONCE)])


@dataclass(frozen=True)
class MaskComponents:
    r"""The principal components of masks: as many numbers for a heart as its code has.

    Args:
        mean: `(V,)`, of the masks' voxels, background left out.
        axes: `(n, V)`, orthonormal, the greatest variance first.
        n_classes: background included.
    """

    mean: Tensor
    axes: Tensor
    n_classes: int

    @classmethod
    def fit(cls, labels: Tensor, n: int = CODE, n_classes: int = 4) -> MaskComponents:
        r"""The first `n` components of label volumes `(N, Z, Y, X)`: of other subjects than those they are used for.

        Hearts are far fewer than voxels, so the eigenvectors are those of the hearts' products with each other.

        Raises:
            InputError: the hearts have fewer than `n` components.
        """
        masks = torch.cat([_voxels(part, n_classes) for part in labels.split(_AT_ONCE)])
        mean = masks.mean(0)
        masks -= mean
        values, vectors = torch.linalg.eigh((masks @ masks.T).double())
        values, vectors = values.flip(0)[:n], vectors.flip(1)[:, :n]
        if values[-1] <= 1e-6 * values[0]:
            rank = int((values > 1e-6 * values[0]).sum())
            raise InputError(f"components: expected hearts with {n} components, got {len(labels)} hearts with {rank}")
        return cls(mean, (vectors / values.sqrt()).T.float() @ masks, n_classes)

    def of(self, labels: Tensor) -> Tensor:
        r"""Components `(N, n)` of label volumes `(N, Z, Y, X)`."""
        parts = [(_voxels(part, self.n_classes) - self.mean) @ self.axes.T for part in labels.split(_AT_ONCE)]
        return torch.cat(parts)


def _voxels(labels: Tensor, n_classes: int) -> Tensor:
    r"""Masks of all structures in one row for each heart, `(N, V)`."""
    return one_hot(labels, n_classes)[:, 1:].flatten(1)
