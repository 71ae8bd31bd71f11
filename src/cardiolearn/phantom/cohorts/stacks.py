r"""Clinical stacks of a test cohort, with all that is known of them: what every method is given and compared with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cardiolearn.imaging.structures import PHASES
from cardiolearn.phantom.cohorts.volumes import Volumes
from cardiolearn.phantom.scanners.crossing_views import long_axis_picture
from cardiolearn.phantom.scanners.thick_slices import BREATH_HOLD, clinical_stack
from cardiolearn.phantom.scanners.thin_slices import SPACING

MARGIN = 8  # thin-slice pixels around the heart where pictures are compared: 10 mm


@dataclass(frozen=True)
class TestStack:
    r"""A subject of a test cohort: its clinical `stack` `(2, Z, Y, X)` at end-diastole and -systole, its long-axis
    `views` `(2, 4, 5 Z, Y, X)`, the thin-slice `volume`, true `labels`, and `mask` `(2, 5 Z, Y, X)` around the heart.
    """

    __test__ = False  # no test of pytest

    stack: Tensor
    views: Tensor
    volume: Tensor
    labels: Tensor
    mask: Tensor

    @classmethod
    def of(cls, volumes: Volumes, subject: int, seed: int, breath_hold: float = BREATH_HOLD) -> TestStack:
        r"""Reproducible from the arguments; every method is given the same pictures. With a `breath_hold` of 0 mm the
        slices lie where they should."""
        g = torch.Generator().manual_seed(seed * 1_000_003 + subject)
        volume, labels = volumes.image[subject].float(), volumes.label[subject]
        stack = clinical_stack(volume, SPACING, g, breath_hold=breath_hold)
        views = torch.stack([long_axis_channels(volumes, subject, phase, g) for phase in range(len(PHASES))])
        return cls(stack, views, volume, labels, around(labels > 0))


def long_axis_channels(volumes: Volumes, subject: int, phase: int, generator: torch.Generator) -> Tensor:
    r"""The subject's long-axis pictures on the thin slices' grid: signal and presence of each view, `(4, Z, Y, X)`."""
    volume = volumes.image[subject, phase].float()
    return torch.cat([long_axis_picture(volume, SPACING, where, generator) for where in volumes.crossings(subject)])


def around(mask: Tensor, margin: int = MARGIN) -> Tensor:
    r"""A mask `(T, Z, Y, X)` grown by `margin` pixels within each slice: the heart and its border."""
    size = 2 * margin + 1
    rows = nn.functional.max_pool2d(mask.float(), (size, 1), 1, (margin, 0))  # a square is rows, and then columns
    return nn.functional.max_pool2d(rows, (1, size), 1, (0, margin)) > 0
