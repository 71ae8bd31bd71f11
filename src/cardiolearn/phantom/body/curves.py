r"""Curves the phantom is made of: smooth steps and unions in space, and contraction over the heart beat."""

from __future__ import annotations

import math

import torch


def smoothstep(x: torch.Tensor) -> torch.Tensor:
    r"""Cubic step from 0 at `x <= 0` to 1 at `x >= 1`."""
    x = x.clamp(0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def smooth_minimum(a: torch.Tensor, b: torch.Tensor, width: float) -> torch.Tensor:
    r"""The smaller of two, rounded where they are within `width` of each other: it fills the groove between surfaces.

    Source: the polynomial smooth minimum of Quilez (2013).
    """
    h = (0.5 + 0.5 * (b - a) / width).clamp(0.0, 1.0)
    return b + (a - b) * h - width * h * (1.0 - h)


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
