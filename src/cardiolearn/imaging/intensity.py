r"""Grey values brought to a common scale, by percentiles: the one place that knows how."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

#: Intensities from the 1st to the 99th percentile are scaled to this span, about unit variance: errors of a quarter of
#: it are where the smooth-L1 loss turns from squares to absolute values.
SPAN = 4.0
_ENOUGH = 200_000  # values that tell a scan's percentiles


def percentiles(values: Tensor | np.ndarray, *percents: float) -> list[float]:
    r"""Percentiles of all `values`, linear between neighbours.

    >>> percentiles(torch.arange(11.0), 0, 25, 100)
    [0.0, 2.5, 10.0]
    """
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    return [float(p) for p in np.percentile(array, percents)]


def percentiles_of_some(values: Tensor, *percents: float) -> list[float]:
    r"""As `percentiles`, of at most some 200,000 evenly spread ones of `values` `(N,)`: enough for a whole scan."""
    some = values[:: max(1, len(values) // _ENOUGH)].float()
    found: list[float] = torch.quantile(some, torch.tensor(percents, device=some.device) / 100).tolist()
    return found


def to_unit_range(data: Tensor) -> Tensor:
    r"""Grey values to [0, 1] between the 1st and 99th percentile of what is not exactly empty; all 0 where all is."""
    seen = torch.cat([part[part != 0] for part in data.flatten().split(2**20)])  # ten times less memory
    if not seen.numel():
        return torch.zeros_like(data)
    low, high = percentiles_of_some(seen, 1.0, 99.0)
    del seen
    return (data - low).div_(max(high - low, 1e-6)).clamp_(0.0, 1.0)


def unit_variance(stack: Tensor) -> tuple[float, float]:
    r"""`(middle, width)` with which `(stack - middle) / width` has a mean of 0 and spans `SPAN` between its 1st and
    99th percentile. Inputs that are all positive make a network's first steps too long."""
    low, high = percentiles(stack, 1, 99)
    return float(stack.float().mean()), max(high - low, 1e-6) / SPAN
