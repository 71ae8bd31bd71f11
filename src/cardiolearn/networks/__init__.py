r"""The lecture's networks, one file each; none imports another. Here lies what they share: how weights begin."""

from __future__ import annotations

import torch
from torch import nn


def initialise(network: nn.Module, seed: int) -> None:
    r"""Draw every convolution and linear weight of `network` anew from one integer, in place (He normal, zero bias).

    The same seed gives the same weights whatever ran before, because torch's global generator is not asked.

    Source: He et al., ICCV 2015, eq. 10 (fan-in, gain of the rectifier).
    """
    generator = torch.Generator().manual_seed(seed)
    layers = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)
    for module in network.modules():
        if isinstance(module, layers) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
