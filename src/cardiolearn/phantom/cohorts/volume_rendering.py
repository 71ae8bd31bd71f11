r"""Endless training stacks: every batch scans whole hearts anew, and spoils them as clinical scans are spoilt.

What stays fixed is anatomy. A new scanner pictures thin slices of each heart; a clinical stack is made of them: thick
slices a centimetre apart, each in a breath-hold of its own, some with hardly any contrast, some missing. The labels
are those of the thin slices at rest: a network must find a whole heart in a spoilt stack.

Source: the acquisition model and the "motion augmentation" named in Oktay et al., TMI 2018 (deviation: shifts are
Gaussian; missing and low-contrast slices are ours).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.imaging.intensity import percentiles_of_some
from cardiolearn.phantom.cohorts.mr_volumes import thin_slices
from cardiolearn.phantom.cohorts.volume_maps import SHAPE, SPACING, VolumeMaps
from cardiolearn.phantom.scanners.mri import ANY_VENDOR, Vendor, uniform
from cardiolearn.phantom.scanners.thick_slices import clinical_stack

FACTOR = 4  # thin slices to a thick one: 10 mm from slice to slice
THICKNESS = (8.0, 10.0)  # mm, of a thick slice
STACK_SHAPE = (SHAPE[0] // FACTOR, *SHAPE[1:])  # voxels of a stack, (Z, Y, X)
_DARKEST, _BRIGHTEST = (0.0, 3.0), (97.0, 99.8)  # percentiles of a stack that are shown black and white
_CONTRAST = (0.1, 0.4)  # what is left of a low-contrast slice's


@dataclass(frozen=True)
class Degradation:
    r"""How much clinical stacks are spoilt.

    `shift` is the standard deviation of a slice's breath-hold shift along either axis of its plane, mm; `missing` and
    `low_contrast` are the shares of slices that are not there, and that have a tenth to four tenths of their contrast.

    Raises:
        InputError: a negative shift, a share outside 0 to 1, or a number that is none.
    """

    shift: float
    missing: float
    low_contrast: float

    def __post_init__(self) -> None:
        for field, most in zip(fields(self), (float("inf"), 1.0, 1.0), strict=True):
            value = getattr(self, field.name)
            if not 0.0 <= value <= most or value == float("inf"):
                raise InputError(f"{field.name}: expected a number from 0 to {most:g}, got {value}")


EASY = Degradation(shift=1.0, missing=0.0, low_contrast=0.05)
TRAINING = Degradation(shift=4.0, missing=0.15, low_contrast=0.2)
TEST = Degradation(shift=5.0, missing=0.2, low_contrast=0.25)


def without_motion(degradation: Degradation) -> Degradation:
    r"""The same without breath-hold shifts: what ACNN-SR trains on without motion augmentation."""
    return replace(degradation, shift=0.0)


@dataclass(frozen=True)
class RenderedStacks:
    r"""A batch: clinical stacks `(n, 1, Z / 4, Y, X)` and thin slices `(n, 1, Z, Y, X)`, both in [0, 1] on one grey
    scale, and labels `(n, Z, Y, X)` (int64, 0 to 3). Slice `k` of a stack lies amid thin slices `4 k` to `4 k + 3`; a
    missing one is 0 everywhere."""

    stack: Tensor
    thin: Tensor
    label: Tensor


def render_stacks(
    maps: VolumeMaps, picks: Tensor, generator: torch.Generator, *,
    degradation: Degradation = TRAINING, vendor: Vendor = ANY_VENDOR,
) -> RenderedStacks:  # fmt: skip
    r"""Scans of the hearts `picks` `(n,)`, each by another sample of `vendor`'s scanners.

    `picks` counts moments: `2 i` is subject `i` at end-diastole, `2 i + 1` at end-systole. All of it happens on the
    device of the maps, which must be that of the `generator`. About 0.06 s of one core a heart.
    """
    tissue, label = maps.tissue.flatten(0, 1)[picks], maps.label.flatten(0, 1)[picks]
    thin = thin_slices(tissue, maps.spacing, vendor, generator)
    stack = torch.stack([_thick_slices(volume, degradation.shift, generator) for volume in thin])
    stack = _fade(stack, degradation.low_contrast, generator)
    noise = uniform(len(picks), vendor.noise, generator)[:, None, None, None]
    grain = noise * torch.randn((2, *stack.shape), generator=generator, device=generator.device)
    stack = torch.hypot(stack + grain[0], grain[1])
    stack, thin = _normalised(stack, thin, generator)
    there = torch.rand(stack.shape[:2], generator=generator, device=generator.device) >= degradation.missing
    return RenderedStacks((stack * there[..., None, None])[:, None], thin[:, None], label.long())


def _thick_slices(thin: Tensor, shift: float, generator: torch.Generator) -> Tensor:
    thickness = uniform(1, THICKNESS, generator).item()
    return clinical_stack(
        thin, (SPACING,) * 3, generator, thickness=thickness, factor=FACTOR, breath_hold=shift, noise=0.0
    )


def _fade(stack: Tensor, share: float, generator: torch.Generator) -> Tensor:
    # Some slices of (n, Z, Y, X) lose contrast: they come nearer to their own mean, while noise is yet to come.
    chance = torch.rand((2, *stack.shape[:2], 1, 1), generator=generator, device=generator.device)
    low, high = _CONTRAST
    left = torch.where(chance[0] < share, low + (high - low) * chance[1], 1.0)
    return torch.lerp(stack.mean((2, 3), keepdim=True), stack, left)


def _normalised(stack: Tensor, thin: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    # Both to [0, 1] on one grey scale, that of the stack, which is all a network will know: between the darkest and the
    # brightest few per cent.
    n = len(stack)
    low, high = uniform(n, _DARKEST, generator).tolist(), uniform(n, _BRIGHTEST, generator).tolist()
    ends = [percentiles_of_some(one.flatten(), a, b) for one, a, b in zip(stack, low, high, strict=True)]
    black, white = stack.new_tensor(ends)[:, :, None, None, None].unbind(1)
    span = (white - black).clamp_min(1e-6)
    return ((stack - black) / span).clamp(0.0, 1.0), ((thin - black) / span).clamp(0.0, 1.0)
