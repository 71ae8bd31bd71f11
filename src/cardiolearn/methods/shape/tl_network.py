r"""The T-L network: an auto-encoder of masks, and a predictor that finds the same codes in pictures."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from cardiolearn.methods.shape.autoencoder import CODE, AutoEncoder, Encoder
from cardiolearn.methods.shape.layers import Grid


class TLParts(NamedTuple):
    r"""What a T-L network says of hearts: `logits` `(N, n_classes, *grid)` of the masks that were rebuilt from their
    `mask_code` `(N, 64)`, and the `image_code` `(N, 64)` that the predictor read in the pictures."""

    logits: Tensor
    mask_code: Tensor
    image_code: Tensor


class TLNetwork(nn.Module):
    r"""Masks and pictures on one grid, `(N, n_classes + 1, *grid)`, to all that `parts` takes apart again.

    One tensor goes in and one comes out, because that is what the training loop knows. It is trained in three stages:
    `autoencoder` alone on masks (1a), `predictor` alone on pictures, its aim the codes of their masks (1b), and both
    together with both losses (2). Afterwards a copy by :func:`~cardiolearn.methods.shape.frozen.frozen` of the encoder
    (for masks) or of the predictor (for pictures) judges what other networks make.

    Args:
        grid: `(Z, Y, X)` of masks and pictures.
        n_classes: background included.
        seed: the integer the weights are drawn from.

    Source: Oktay et al., IEEE TMI 2018, after Girdhar et al., ECCV 2016.

    >>> network = TLNetwork((48, 56, 56))
    >>> sum(p.numel() for p in network.predictor.parameters())  # 0.8 MB as 16-bit numbers
    376992
    """

    def __init__(self, grid: Grid, n_classes: int = 4, *, seed: int = 0) -> None:
        super().__init__()
        self.grid, self.n_classes = grid, n_classes
        self.autoencoder = AutoEncoder(grid, n_classes, seed=seed)
        self.predictor = Encoder(1, grid, seed=seed + 2)

    def forward(self, masks_and_images: Tensor) -> Tensor:
        if masks_and_images.shape[1:] != (self.n_classes + 1, *self.grid):
            wanted = ", ".join(str(n) for n in (self.n_classes + 1, *self.grid))
            raise ValueError(f"TLNetwork: expected (N, {wanted}), got {tuple(masks_and_images.shape)}")
        masks, images = masks_and_images.split([self.n_classes, 1], 1)
        code = self.autoencoder.encoder(masks)
        return torch.cat((self.autoencoder.decoder(code).flatten(1), code, self.predictor(images)), 1)


def parts(output: Tensor, n_classes: int, grid: Grid) -> TLParts:
    r"""The three answers in what a `TLNetwork` gave, `(N, n_classes * Z * Y * X + 128)`."""
    logits, mask_code, image_code = output.split([output.shape[1] - 2 * CODE, CODE, CODE], 1)
    return TLParts(logits.unflatten(1, (n_classes, *grid)), mask_code, image_code)


def reader(network: TLNetwork) -> nn.Sequential:
    r"""The horizontal way through the network: pictures `(N, 1, *grid)` to the logits of the shapes seen in them."""
    return nn.Sequential(network.predictor, network.autoencoder.decoder)
