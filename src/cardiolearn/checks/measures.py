r"""Exercises about measures: overlap of two segmentations, and the share of blood a heart ejects."""

from __future__ import annotations

import torch
from torch import Tensor

from cardiolearn.checks.exercise import Exercise
from cardiolearn.metrics import dice as dice_reference


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


def _two_volumes(generator: torch.Generator) -> tuple[float, float]:
    r"""A random end-diastolic volume of 70-250 mL and the end-systolic one it may have, mL."""
    end_diastolic = 70 + 180 * float(torch.rand((), generator=generator))
    share_left = 0.2 + 0.6 * float(torch.rand((), generator=generator))
    return round(end_diastolic, 1), round(end_diastolic * share_left, 1)


def ejection_fraction_reference(end_diastolic: float, end_systolic: float) -> float:
    r"""Share of the end-diastolic volume (mL) that is ejected, in percent."""
    return 100 * (end_diastolic - end_systolic) / end_diastolic


ejection_fraction = Exercise(
    name="ejection_fraction",
    inputs=_two_volumes,
    reference=ejection_fraction_reference,
    describe=lambda ed, es: f"end-diastolic {ed:.1f} mL and end-systolic {es:.1f} mL",
    steps=(
        "The stroke volume is what the ventricle ejects: end-diastolic minus end-systolic volume.",
        "Divide the stroke volume by the end-diastolic volume, and give it in percent.",
    ),
    answer="""def my_ejection_fraction(end_diastolic, end_systolic):
    return 100 * (end_diastolic - end_systolic) / end_diastolic""",
)
