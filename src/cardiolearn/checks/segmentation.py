r"""Exercises on lesson 1: overlap and contours of two segmentations, volumes, and the share of blood a heart ejects."""

from __future__ import annotations

import torch
from torch import Tensor

from cardiolearn.checks.exercise import Exercise
from cardiolearn.measures.metrics import dice as dice_reference

Spacing = tuple[float, float, float]


def _two_masks(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    r"""Two random masks (Y, X) of one shape; now and then one or both are empty."""
    height, width = (int(torch.randint(3, 12, (), generator=generator)) for _ in range(2))
    fill = torch.tensor([0.0, 0.3, 0.6])[torch.randint(0, 3, (2, 1, 1), generator=generator)]
    masks = torch.rand(2, height, width, generator=generator) < fill
    return masks[0], masks[1]


dice = Exercise(
    name="dice",
    inputs=_two_masks,
    reference=lambda a, b: float(dice_reference(a, b)),
    describe=lambda a, b: (
        f"two masks of {a.shape[0]} x {a.shape[1]} pixels with {int(a.sum())} and {int(b.sum())} pixels set, "
        f"{int((a & b).sum())} of them in both"
    ),
    steps=(
        "Dice is twice the number of pixels in both masks, divided by the sum of their two sizes.",
        "(a & b).sum() counts the pixels in both masks; a.sum() is the size of one.",
        "Two empty masks agree perfectly: say 1 before you divide by 0.",
    ),
    answer="""def my_dice(a, b):
    total = a.sum() + b.sum()
    if total == 0:
        return 1.0
    return float(2 * (a & b).sum() / total)""",
)


def _two_contours(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    r"""Two random closed curves `(N, 2)` and `(M, 2)` of points in mm, with different numbers of points."""
    curves = []
    for _ in range(2):
        n = int(torch.randint(5, 40, (), generator=generator))
        angle = 2 * torch.pi * torch.arange(n) / n
        centre, radius = 5 * torch.randn(2, generator=generator), 15 + 10 * torch.rand((), generator=generator)
        curves.append(centre + radius * torch.stack((angle.cos(), angle.sin()), 1))
    return curves[0], curves[1]


def contour_distance_reference(a: Tensor, b: Tensor) -> float:
    r"""Mean of the mean distances (mm) from the points `a` `(N, 2)` to the nearest of `b` `(M, 2)`, and back."""
    apart = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    return float(0.5 * (apart.min(1).values.mean() + apart.min(0).values.mean()))


contour_distance = Exercise(
    name="contour_distance",
    inputs=_two_contours,
    reference=contour_distance_reference,
    describe=lambda a, b: f"contours of {len(a)} and {len(b)} points",
    steps=(
        "torch.cdist(a, b), or (a[:, None] - b[None]).norm(dim=2), is how far each point of a is from each of b.",
        "For each point of a, the nearest point of b is the minimum over b. Take the mean of these minima.",
        "Do the same from b to a, and take the mean of both: the distance from a to b is not that from b to a.",
    ),
    answer="""def my_contour_distance(a, b):
    apart = (a[:, None] - b[None]).norm(dim=2)
    return 0.5 * float(apart.min(1).values.mean() + apart.min(0).values.mean())""",
)


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
