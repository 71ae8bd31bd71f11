r"""A trained network that others learn from: it lets gradients through, and nothing changes it."""

from __future__ import annotations

import copy

from torch import Tensor, nn


class Frozen(nn.Module):
    r"""A copy of `network` without gradients of its own, in evaluation mode for good.

    Gradients pass through it to its input. Batch normalisation keeps its statistics even where the copy is part of a
    network that is set to training mode.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Frozen:
        r"""Stays in evaluation mode, whatever `mode` says."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.network(x)
        return answer


def frozen(network: nn.Module) -> Frozen:
    r"""`network`, copied and frozen; one that is frozen already stays the same."""
    return network if isinstance(network, Frozen) else Frozen(network)
