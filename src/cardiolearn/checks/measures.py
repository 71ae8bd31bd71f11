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
