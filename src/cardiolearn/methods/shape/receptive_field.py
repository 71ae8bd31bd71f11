r"""How far a network sees: which of its inputs one of its outputs depends on, and how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor, nn


def effective_receptive_field(
    network: nn.Module, shape: tuple[int, ...], generator: torch.Generator, n: int = 16
) -> Tensor:
    r"""How much the output in the middle depends on each input voxel: a map of the input's grid, the greatest value 1.

    The mean over `n` random inputs of the size of the gradient of the output, its channels added with random signs so
    that none cancel for all inputs.

    Args:
        network: in evaluation mode, `(N, C, *shape)` to `(N, classes, *grid)`.
        shape: channels and grid `(C, [Z,] Y, X)` of an input.
        generator: of the inputs (normal) and signs; of the network's device.
        n: inputs.

    Source: Luo et al., NeurIPS 2016: gradients of the central output, averaged over random inputs; the random signs
    are ours.
    """
    total = torch.zeros(shape[1:], device=generator.device)
    for _ in range(n):
        x = torch.randn((1, *shape), generator=generator, device=generator.device).requires_grad_()
        output = network(x)
        middle = output[(0, slice(None), *(size // 2 for size in output.shape[2:]))]
        signs = torch.randint(0, 2, middle.shape, generator=generator, device=generator.device) * 2.0 - 1.0
        (gradient,) = torch.autograd.grad(middle @ signs, x)
        total += gradient[0].norm(dim=0)
    return total / total.max()


def theoretical_width(field: Tensor) -> tuple[int, ...]:
    r"""Voxels along each axis from the first to the last that count at all, of a map `([Z,] Y, X)`."""
    places = torch.nonzero(field > 0)
    return tuple((places.amax(0) - places.amin(0) + 1).tolist())


def effective_width(field: Tensor) -> tuple[float, ...]:
    r"""Four standard deviations, in voxels, of a map `([Z,] Y, X)` along each axis: within so many lie 95 % of a
    Gaussian.

    Source: Luo et al., NeurIPS 2016, find the map to be nearly Gaussian; the width is **our choice**.
    """
    widths = []
    for axis, size in enumerate(field.shape):
        along = field.double().sum([a for a in range(field.ndim) if a != axis])
        weight = along / along.sum()
        place = torch.arange(size, dtype=torch.float64, device=field.device)
        mean = (weight * place).sum()
        widths.append(4.0 * (weight * (place - mean).square()).sum().sqrt().item())
    return tuple(widths)


def described(
    networks: Mapping[str, nn.Module], fields: Mapping[str, Tensor], spacing: Sequence[float]
) -> pd.DataFrame:
    r"""A row for each network: its `parameters`, and along each axis how wide its map is in mm, in all (`reach`) and
    by :func:`effective_width`.

    Args:
        fields: of :func:`effective_receptive_field`, by the names of the networks.
        spacing: of the input's voxels in mm, in the order of a map's axes.
    """
    rows = {}
    for name, network in networks.items():
        rows[name] = {"parameters": sum(weight.numel() for weight in network.parameters())}
        widths = {"reach": theoretical_width(fields[name]), "effective": effective_width(fields[name])}
        for words, voxels in widths.items():
            along = zip("zyx"[-len(voxels) :], voxels, spacing, strict=True)
            rows[name] |= {f"{words} {axis} (mm)": round(width * mm) for axis, width, mm in along}
    return pd.DataFrame(rows).T
