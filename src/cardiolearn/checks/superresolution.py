r"""Exercises on lesson 2: what a thick slice sees, how far a restored picture is off, what a network learns by."""

from __future__ import annotations

import torch
from torch import Tensor

from cardiolearn.checks.exercise import Exercise
from cardiolearn.measures.metrics import psnr as psnr_reference
from cardiolearn.phantom.scanners.thick_slices import slice_profile


def _column(generator: torch.Generator) -> tuple[Tensor, float, float]:
    r"""Signals `(n,)` of an odd number of thin slices one behind the other, their distance and a thickness in mm."""
    n = 2 * int(torch.randint(3, 20, (), generator=generator)) + 1
    thin, thickness = (0.5 + 2 * torch.rand((), generator=generator)).item(), torch.rand((), generator=generator).item()
    return 400 * torch.rand(n, generator=generator), thin, 2 + 10 * thickness


def thick_slice_reference(signal: Tensor, thin: float, thickness: float) -> float:
    r"""What a slice of `thickness` mm sees of thin slices `(n,)`, `thin` mm apart, the middle one in its middle."""
    return float(slice_profile(len(signal), len(signal), thickness, thin)[0] @ signal)


thick_slice = Exercise(
    name="thick_slice",
    inputs=_column,
    reference=thick_slice_reference,
    describe=lambda signal, step, thickness: (
        f"{len(signal)} thin slices {step:.2f} mm apart and a thickness of {thickness:.2f} mm"
    ),
    steps=(
        "Each thin slice counts by a weight; the answer is sum(weight * signal) / sum(weight).",
        "The weight falls with the distance from the middle slice: step * (torch.arange(n) - (n - 1) / 2) mm.",
        "The Gaussian 2 ** -(2 * distance / thickness) ** 2 is 1 in the middle and 1/2 at half the thickness: its full "
        "width at half maximum is the thickness.",
    ),
    answer="""def my_thick_slice(signal, step, thickness):
    distance = step * (torch.arange(len(signal)) - (len(signal) - 1) / 2)
    weight = 2 ** -((2 * distance / thickness) ** 2)
    return float((weight * signal).sum() / weight.sum())""",
)


def _two_pictures(generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
    r"""A picture (Y, X), one that is a little off, and the largest minus the smallest possible value."""
    shape = [int(n) for n in torch.randint(3, 12, (2,), generator=generator)]
    largest = float(torch.tensor([1.0, 255.0, 400.0])[torch.randint(3, (), generator=generator)])
    reference = largest * torch.rand(shape, generator=generator)
    return reference + 0.1 * largest * torch.randn(shape, generator=generator), reference, largest


psnr = Exercise(
    name="psnr",
    inputs=_two_pictures,
    reference=lambda image, reference, data_range: psnr_reference(
        image, reference, torch.ones_like(image, dtype=torch.bool), data_range
    ),
    describe=lambda image, reference, data_range: (
        f"pictures of {image.shape[0]} x {image.shape[1]} pixels with values from 0 to {data_range:.0f}"
    ),
    steps=(
        "The mean squared error is ((image - reference) ** 2).mean().",
        "PSNR compares it with the squared data range: data_range ** 2 / error.",
        "In decibel: 10 times the logarithm to the base 10 of that.",
    ),
    answer="""def my_psnr(image, reference, data_range):
    error = ((image - reference) ** 2).mean()
    return float(10 * torch.log10(data_range**2 / error))""",
)


def _guesses(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    r"""What a network found and what it should have found, `(n,)`: some errors are below 1, some above."""
    n = int(torch.randint(2, 30, (), generator=generator))
    wanted = 10 * torch.rand(n, generator=generator)
    return wanted + 1.5 * torch.randn(n, generator=generator), wanted


smooth_l1 = Exercise(
    name="smooth_l1",
    inputs=_guesses,
    reference=lambda found, wanted: float(torch.nn.functional.smooth_l1_loss(found, wanted)),
    describe=lambda found, wanted: f"{len(found)} voxels with errors up to {(found - wanted).abs().max():.2f}",
    steps=(
        "Take the absolute error e of each voxel first.",
        "Where e is below 1 the loss is e ** 2 / 2, elsewhere e - 1/2. torch.where chooses.",
        "Then the mean over all voxels.",
    ),
    answer="""def my_smooth_l1(found, wanted):
    error = (found - wanted).abs()
    return float(torch.where(error < 1, error**2 / 2, error - 0.5).mean())""",
)
