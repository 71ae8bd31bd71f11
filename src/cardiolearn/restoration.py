r"""Restoring thin slices from clinical stacks: what a network learns from, what methods are tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from cardiolearn.metrics import psnr, ssim
from cardiolearn.networks.superresolution import SLIM, Deconvolution, Interpolated
from cardiolearn.phantom.crossing import look
from cardiolearn.phantom.high_resolution import SPACING
from cardiolearn.phantom.stacks import BREATH_HOLD, clinical_stack
from cardiolearn.phantom.volumes import Volumes
from cardiolearn.study import PHASES
from cardiolearn.thin_slices import SPAN, Order, network_input, restore, scaling, upsample

THICKNESS = (8.0, 10.0)  # mm, of the slices that are learnt from; tests have the latter
_NOISE = (0.01, 0.03)  # of the stacks that are learnt from, as a share of the brightest signal
_MARGIN = 8  # thin-slice pixels around the heart where pictures are compared: 10 mm
_VIEW_CHANNELS = (10, 10)  # signal and presence in five thin slices, of either long-axis view

Method = Order | nn.Module


@dataclass(frozen=True)
class Pairs:
    r"""What a network learns from: stacks made anew of the first `n` subjects of `volumes`, and their thin slices.

    A batch holds `batch` patches of `size` x `size` pixels of all slices, each somewhere on the heart; with `views` the
    long-axis pictures come as further channels. The slices of a stack are shifted by up to `breath_hold` mm (standard
    deviation; each stack has its own).
    """

    volumes: Volumes = field(repr=False)
    n: int
    views: bool = False
    size: int = 40
    batch: int = 2
    breath_hold: float = BREATH_HOLD

    def __call__(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        r"""Inputs `(batch, C, Z, size, size)` and thin slices `(batch, 1, 5 Z, size, size)`; what `training.train`
        asks for."""
        pairs = [self._pair(generator) for _ in range(self.batch)]
        return torch.cat([inputs for inputs, _ in pairs]), torch.cat([target for _, target in pairs])

    def _pair(self, g: torch.Generator) -> tuple[Tensor, Tensor]:
        subject, phase = (int(torch.randint(n, (1,), generator=g)) for n in (self.n, len(PHASES)))
        volume = self.volumes.image[subject, phase].float()
        bounds = (THICKNESS, _NOISE, (0.0, self.breath_hold))
        thickness, noise, shift = (low + (high - low) * torch.rand(1, generator=g).item() for low, high in bounds)
        stack = clinical_stack(volume, SPACING, g, thickness=thickness, breath_hold=shift, noise=noise)
        views = seen_along(self.volumes, subject, phase, g)[None] if self.views else None
        middle, width = scaling(stack)
        inputs, target = network_input(stack[None], views, middle, width), (volume[None, None] - middle) / width
        y, x = _on_the_heart(self.volumes.label[subject, phase] > 0, self.size, g)
        flips = [axis for axis in (-2, -1) if torch.rand(1, generator=g).item() < 0.5]
        return inputs[..., y, x].flip(flips), target[..., y, x].flip(flips)

    @staticmethod
    def loss(found: Tensor, wanted: Tensor) -> Tensor:
        r"""Mean of `0.5 e^2` where an error is below 1, else of `|e| - 0.5`.

        Source: the smooth-L1 norm of the slides (deviation: the mean over voxels).
        """
        return nn.functional.smooth_l1_loss(found, wanted)

    def held_out_score(self, network: nn.Module) -> float:
        r"""Mean PSNR in dB of the subjects that are not learnt from, at end-diastole."""
        values = []
        for stack, views, volume, mask in self._held_out:
            found = restore(stack, network, views if self.views else None)
            values.append(psnr(found, volume, mask, SPAN * scaling(volume)[1]))
        return sum(values) / len(values)

    @cached_property
    def _held_out(self) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        subjects = range(self.n, len(self.volumes))
        tests = [TestScan.of(self.volumes, subject, seed=99, breath_hold=self.breath_hold) for subject in subjects]
        return [(t.stack[0], t.views[0], t.volume[0], t.mask[0]) for t in tests]


def _on_the_heart(heart: Tensor, size: int, generator: torch.Generator) -> list[slice]:
    # Rows and columns of a patch of `size` pixels: within the heart and its border, or around them where it is larger.
    patch = []
    shadow = heart.any(0)
    for across, n in ((1, shadow.shape[0]), (0, shadow.shape[1])):
        there = torch.nonzero(shadow.any(across)).flatten()
        low, high = sorted((int(there[0]) - _MARGIN, int(there[-1]) + _MARGIN + 1 - size))
        corner = min(max(int(torch.randint(low, high + 1, (1,), generator=generator)), 0), n - size)
        patch.append(slice(corner, corner + size))
    return patch


def seen_along(volumes: Volumes, subject: int, phase: int, generator: torch.Generator) -> Tensor:
    r"""The subject's long-axis pictures on the thin slices' grid: signal and presence of each view, `(4, Z, Y, X)`."""
    volume = volumes.image[subject, phase].float()
    return torch.cat([look(volume, SPACING, where, generator) for where in volumes.crossings(subject)])


@dataclass(frozen=True)
class TestScan:
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
    def of(cls, volumes: Volumes, subject: int, seed: int, breath_hold: float = BREATH_HOLD) -> TestScan:
        r"""Reproducible from the arguments; every method is given the same pictures. With a `breath_hold` of 0 mm the
        slices lie where they should."""
        g = torch.Generator().manual_seed(seed * 1_000_003 + subject)
        volume, labels = volumes.image[subject].float(), volumes.label[subject]
        stack = clinical_stack(volume, SPACING, g, breath_hold=breath_hold)
        views = torch.stack([seen_along(volumes, subject, phase, g) for phase in range(len(PHASES))])
        return cls(stack, views, volume, labels, around(labels > 0))

    def restored(self, method: Method) -> Tensor:
        r"""Thin slices `(2, 5 Z, Y, X)` of both phases."""
        return torch.stack([thin(stack, method, views) for stack, views in zip(self.stack, self.views, strict=True)])


def thin(stack: Tensor, method: Method, views: Tensor | None = None) -> Tensor:
    r"""Thin slices `(5 Z, Y, X)` of a stack by an order of `upsample` or a network, which gets the views if it takes
    them."""
    if isinstance(method, str):
        return upsample(stack, method)
    return restore(stack, method, views if takes_views(method) else None)


def takes_views(network: nn.Module) -> bool:
    r"""Whether a network has inputs beside the short-axis stack."""
    return sum(getattr(network, "inputs", [1])) > 1


def around(mask: Tensor, margin: int = _MARGIN) -> Tensor:
    r"""A mask `(T, Z, Y, X)` grown by `margin` pixels within each slice: the heart and its border."""
    return nn.functional.max_pool2d(mask.float(), 2 * margin + 1, 1, margin) > 0


def scores(scan: TestScan, methods: Mapping[str, Method]) -> list[dict[str, Any]]:
    r"""PSNR (dB) and SSIM of each method (`who`) at both phases, within the mask; the data range is that from the 1st
    to the 99th percentile of the thin slices."""
    rows = []
    for who, method in methods.items():
        for phase, found, volume, mask in zip(PHASES, scan.restored(method), scan.volume, scan.mask, strict=True):
            span = SPAN * scaling(volume)[1]
            values = {"psnr": psnr(found, volume, mask, span), "ssim": ssim(found, volume, mask, span)}
            rows.append({"who": who, "phase": phase, **values})
    return rows


#: Networks that are compared, all with filters that two CPU cores can train.
NETWORKS = {
    "shallow": lambda seed: Interpolated((12, 12), seed=seed),
    "deep": lambda seed: Interpolated((12, 12, 12, 12), seed=seed),
    "deconvolution": lambda seed: Deconvolution(SLIM, seed=seed),
    "channels": lambda seed: Deconvolution(SLIM, _VIEW_CHANNELS, seed=seed),
    "siamese": lambda seed: Deconvolution(SLIM, _VIEW_CHANNELS, views="siamese", seed=seed),
}
