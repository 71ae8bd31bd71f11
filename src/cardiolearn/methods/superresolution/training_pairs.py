r"""What a super-resolution network learns from: stacks made anew for every batch, and their thin slices."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from cardiolearn.imaging.intensity import SPAN, unit_variance
from cardiolearn.imaging.structures import PHASES
from cardiolearn.measures.metrics import psnr
from cardiolearn.methods.superresolution.whole_scan import network_input, restore
from cardiolearn.phantom.cohorts.stacks import MARGIN, TestStack, long_axis_channels
from cardiolearn.phantom.cohorts.volumes import Volumes
from cardiolearn.phantom.scanners.thick_slices import BREATH_HOLD, clinical_stack
from cardiolearn.phantom.scanners.thin_slices import SPACING

THICKNESS = (8.0, 10.0)  # mm, of the slices that are learnt from; tests have the latter
_NOISE = (0.01, 0.03)  # of the stacks that are learnt from, as a share of the brightest signal


@dataclass(frozen=True)
class TrainingPairs:
    r"""What a network learns from: stacks made anew of the first `n` subjects of `volumes`, and their thin slices.

    A batch holds `batch` patches of `size` x `size` pixels of all slices, each somewhere on the heart; with `views` the
    long-axis pictures come as further channels. The slices of a stack are shifted by up to `breath_hold` mm (standard
    deviation; each stack has its own).

    `volumes` may be anywhere: a copy goes to the device of the generator that asks for a batch first, and stays there.
    The stacks that test are made on the CPU, so they are the same for a training on any device.
    """

    volumes: Volumes = field(repr=False)
    n: int
    views: bool = False
    size: int = 40
    batch: int = 2
    breath_hold: float = BREATH_HOLD
    _there: dict[torch.device, Volumes] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        r"""Inputs `(batch, C, Z, size, size)` and thin slices `(batch, 1, 5 Z, size, size)`; what `training.train`
        asks for."""
        pairs = [self._pair(generator) for _ in range(self.batch)]
        return torch.cat([inputs for inputs, _ in pairs]), torch.cat([target for _, target in pairs])

    def _pair(self, g: torch.Generator) -> tuple[Tensor, Tensor]:
        volumes = self._on(g.device)
        subject, phase = (_randint(0, n, g) for n in (self.n, len(PHASES)))
        volume = volumes.image[subject, phase].float()
        bounds = (THICKNESS, _NOISE, (0.0, self.breath_hold))
        thickness, noise, shift = (low + (high - low) * _rand(g) for low, high in bounds)
        stack = clinical_stack(volume, SPACING, g, thickness=thickness, breath_hold=shift, noise=noise)
        views = long_axis_channels(volumes, subject, phase, g)[None] if self.views else None
        middle, width = unit_variance(stack)
        inputs, target = network_input(stack[None], views, middle, width), (volume[None, None] - middle) / width
        y, x = _on_the_heart(volumes.label[subject, phase] > 0, self.size, g)
        flips = [axis for axis in (-2, -1) if _rand(g) < 0.5]
        return inputs[..., y, x].flip(flips), target[..., y, x].flip(flips)

    def _on(self, device: torch.device) -> Volumes:
        if device not in self._there:
            tensors = (self.volumes.image, self.volumes.label, self.volumes.planes)
            self._there[device] = Volumes(*(tensor.to(device) for tensor in tensors))
        return self._there[device]

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
            values.append(psnr(found, volume, mask, SPAN * unit_variance(volume)[1]))
        return sum(values) / len(values)

    @cached_property
    def _held_out(self) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        subjects = range(self.n, len(self.volumes))
        tests = [TestStack.of(self.volumes, subject, seed=99, breath_hold=self.breath_hold) for subject in subjects]
        return [(t.stack[0], t.views[0], t.volume[0], t.mask[0]) for t in tests]


def _on_the_heart(heart: Tensor, size: int, generator: torch.Generator) -> list[slice]:
    # Rows and columns of a patch of `size` pixels: within the heart and its border, or around them where it is larger.
    patch = []
    shadow = heart.any(0)
    for across, n in ((1, shadow.shape[0]), (0, shadow.shape[1])):
        there = torch.nonzero(shadow.any(across)).flatten()
        low, high = sorted((int(there[0]) - MARGIN, int(there[-1]) + MARGIN + 1 - size))
        corner = min(
            max(int(torch.randint(low, high + 1, (1,), generator=generator, device=generator.device)), 0), n - size
        )
        patch.append(slice(corner, corner + size))
    return patch


def _rand(generator: torch.Generator) -> float:
    return torch.rand(1, generator=generator, device=generator.device).item()


def _randint(low: int, high: int, generator: torch.Generator) -> int:
    return int(torch.randint(low, high, (1,), generator=generator, device=generator.device))
