r"""Exercises about volumes: from labelled voxels to millilitres, and to the share of blood a heart ejects."""

from __future__ import annotations

import torch
from torch import Tensor

from cardiolearn.checks.exercise import Exercise

Spacing = tuple[float, float, float]


def _mask_and_spacing(generator: torch.Generator) -> tuple[Tensor, Spacing]:
    r"""A random mask (Z, Y, X) and voxel size (dx, dy, dz) in mm; the slices are far apart, as in short-axis stacks."""
    shape = [int(torch.randint(2, 9, (), generator=generator)) for _ in range(3)]
    mask = torch.rand(shape, generator=generator) < 0.4
    pixel, step = torch.rand(2, generator=generator).tolist()
    return mask, (round(1.2 + pixel, 2), round(1.2 + pixel, 2), round(8.0 + 2 * step, 1))


def volume_reference(mask: Tensor, spacing: Spacing) -> float:
    r"""Volume in mL of the voxels set in `mask` (Z, Y, X), each `spacing` (dx, dy, dz) mm large."""
    dx, dy, dz = spacing
    return int(mask.sum()) * dx * dy * dz / 1000


volume = Exercise(
    name="volume",
    inputs=_mask_and_spacing,
    reference=volume_reference,
    describe=lambda mask, spacing: f"{int(mask.sum())} voxels of {' x '.join(map(str, spacing))} mm",
    steps=(
        "Count the voxels that are set, and multiply by the volume of one.",
        "One voxel has dx * dy * dz cubic millimetres.",
        "A millilitre is a cubic centimetre: 1000 cubic millimetres.",
    ),
    answer="""def my_volume(mask, spacing):
    dx, dy, dz = spacing
    return int(mask.sum()) * dx * dy * dz / 1000""",
)


def _two_phases(generator: torch.Generator) -> tuple[Tensor, Tensor, Spacing]:
    r"""Masks (Z, Y, X) of a cavity at end-diastole and, smaller, at end-systole, with their voxel size."""
    full, spacing = _mask_and_spacing(generator)
    full = full.clone()
    full[0, 0, 0] = True
    return full, full & (torch.rand(full.shape, generator=generator) < 0.5), spacing


def ejection_fraction_reference(end_diastole: Tensor, end_systole: Tensor, spacing: Spacing) -> float:
    r"""Share of the end-diastolic volume that is ejected, in percent, from the masks `(Z, Y, X)` of both phases."""
    most, least = volume_reference(end_diastole, spacing), volume_reference(end_systole, spacing)
    return 100 * (most - least) / most


ejection_fraction = Exercise(
    name="ejection_fraction",
    inputs=_two_phases,
    reference=ejection_fraction_reference,
    describe=lambda ed, es, spacing: f"{int(ed.sum())} voxels at end-diastole, {int(es.sum())} at end-systole",
    steps=(
        "The stroke volume is what the ventricle ejects: end-diastolic minus end-systolic volume.",
        "Divide the stroke volume by the end-diastolic volume, and give it in percent.",
        "Both volumes have the same voxels: does the spacing matter at all?",
    ),
    answer="""def my_ejection_fraction(end_diastole, end_systole, spacing):
    most, least = int(end_diastole.sum()), int(end_systole.sum())
    return 100 * (most - least) / most""",
)
