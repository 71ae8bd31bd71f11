r"""The mean of a network's weights over the last part of its training, and what batch normalisation makes of it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class WeightAverage:
    r"""The mean of the weights a network had whenever it was added: `mean[name]` of `n` times.

    Source: stochastic weight averaging, Izmailov et al., UAI 2018 (deviation: a falling learning rate, every step).
    """

    def __init__(self) -> None:
        self.n = 0
        self.mean: dict[str, Tensor] = {}

    def add(self, network: nn.Module) -> None:
        r"""Count the network's present weights in."""
        self.n += 1
        for name, weight in network.named_parameters():
            if self.n == 1:
                self.mean[name] = weight.detach().clone()
            else:
                self.mean[name].lerp_(weight.detach(), 1 / self.n)

    @torch.no_grad()
    def put_into(self, network: nn.Module) -> None:
        r"""Give the network the mean; its batch normalisation still holds the statistics of other weights."""
        for name, weight in network.named_parameters():
            weight.copy_(self.mean[name])


@torch.no_grad()
def measure_statistics(network: nn.Module, inputs: Iterable[Tensor]) -> None:
    r"""Set each batch normalisation's mean and variance to their mean over the batches `inputs`, in place.

    The network ends in training mode. Without batch normalisation nothing is computed.
    """
    layers = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if not layers:
        return
    before = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's sign for the mean of all batches
    network.train()
    for batch in inputs:
        network(batch)
    for layer, momentum in zip(layers, before, strict=True):
        layer.momentum = momentum
