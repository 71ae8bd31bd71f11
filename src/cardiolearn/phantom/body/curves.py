r"""Two curves the phantom is made of: a smooth step in space, and contraction over the heart beat."""

from __future__ import annotations

import math

import torch


def smoothstep(x: torch.Tensor) -> torch.Tensor:
    r"""Cubic step from 0 at `x <= 0` to 1 at `x >= 1`."""
    x = x.clamp(0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def activation(phase: float, systole: float = 0.36) -> float:
    r"""How far contraction has gone at `phase` of the cycle: 0 at end-diastole (phase 0), 1 at end-systole.

    Rapid filling, diastasis and the atrial kick follow. `systole` is the phase of end-systole.
    """
    phase = phase % 1.0
    if phase <= systole:
        return 0.5 - 0.5 * math.cos(math.pi * phase / systole)
    early = 0.5 + 0.5 * math.cos(math.pi * min((phase - systole) / (0.62 - systole + 0.1), 1.0))
    kick = 0.5 + 0.5 * math.cos(math.pi * min(max((phase - 0.82) / 0.18, 0.0), 1.0))
    return 0.8 * early + 0.2 * kick
