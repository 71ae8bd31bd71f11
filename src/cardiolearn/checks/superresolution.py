r"""Exercises on lesson 2: the residual join, a training step by hand, a displacement spanned by B-splines."""

from __future__ import annotations

import torch
from torch import Tensor

from cardiolearn.checks.exercise import Exercise
from cardiolearn.methods.registration.bsplines import spline_matrix
from cardiolearn.methods.superresolution.networks import FACTOR
from cardiolearn.methods.superresolution.whole_scan import upsample


def _a_column(generator: torch.Generator) -> tuple[Tensor, Tensor, int]:
    r"""Thick slices `(Z,)` of one column of voxels, a residual `(5 Z,)`, and the number of a thin slice."""
    count = int(torch.randint(2, 9, (), generator=generator))
    residual = 20 * torch.randn(FACTOR * count, generator=generator)
    return (
        400 * torch.rand(count, generator=generator),
        residual,
        int(torch.randint(FACTOR * count, (), generator=generator)),
    )


def thin_slice_reference(stack: Tensor, residual: Tensor, i: int) -> float:
    r"""Thin slice `i` of a column: linear interpolation of the thick slices `(Z,)` plus the residual `(5 Z,)`."""
    return float(upsample(stack[:, None, None], "linear")[i, 0, 0] + residual[i])


thin_slice = Exercise(
    name="thin_slice",
    inputs=_a_column,
    reference=thin_slice_reference,
    describe=lambda stack, residual, i: f"thin slice {i} of a column of {len(stack)} thick slices",
    steps=(
        "Count in thick slices: thin slice i lies at (i - 2) / 5. Below 0 and above len(stack) - 1 take the end slice.",
        "With place = k + share, where k is a whole number, linear interpolation is (1 - share) * stack[k] + share * "
        "stack[k + 1].",
        "At the last middle there is no slice k + 1: let k be at most len(stack) - 2, so that share may become 1.",
        "Then add residual[i].",
    ),
    answer="""def my_thin_slice(stack, residual, i):
    place = min(max((i - 2) / 5, 0), len(stack) - 1)  # counted in thick slices
    k = min(int(place), len(stack) - 2)
    linear = stack[k] + (place - k) * (stack[k + 1] - stack[k])
    return float(linear + residual[i])""",
)


def _a_smallest_network(generator: torch.Generator) -> tuple[float, Tensor, Tensor, Tensor, float]:
    r"""A weight; linear interpolation, a feature and the truth `(n,)` with errors below and above 1; a rate."""
    n = int(torch.randint(2, 30, (), generator=generator))
    linear, feature, error = torch.randn((3, n), generator=generator)
    w, rate = torch.rand(2, generator=generator).tolist()
    return w, linear, feature, linear + w * feature + 1.5 * error, 0.1 + rate


def gradient_step_reference(w: float, linear: Tensor, feature: Tensor, wanted: Tensor, rate: float) -> float:
    r"""The weight after one step of gradient descent on the smooth-L1 loss of `linear + w * feature`, all `(n,)`."""
    weight = torch.tensor(w, requires_grad=True)
    torch.autograd.backward(torch.nn.functional.smooth_l1_loss(linear + weight * feature, wanted))
    assert weight.grad is not None
    return w - rate * float(weight.grad)


gradient_step = Exercise(
    name="gradient_step",
    inputs=_a_smallest_network,
    reference=gradient_step_reference,
    describe=lambda w, linear, feature, wanted, rate: (
        f"{len(linear)} voxels, a weight of {w:.3f} and a rate of {rate:.3f}"
    ),
    steps=(
        "The error of each voxel is linear + w * feature - wanted.",
        "The derivative of smooth-L1 is the error itself between -1 and 1, and -1 or 1 beyond: error.clamp(-1, 1).",
        "By the chain rule, the derivative by w of a voxel's loss is that, times feature. The loss is a mean, so take "
        "the mean over all voxels.",
        "The new weight is w - rate * that mean: downhill, so with a minus.",
    ),
    answer="""def my_gradient_step(w, linear, feature, wanted, rate):
    error = linear + w * feature - wanted
    slope = error.clamp(-1, 1)
    return float(w - rate * (slope * feature).mean())""",
)


def _four_control_points(generator: torch.Generator) -> tuple[Tensor, float]:
    r"""Displacements `(4,)` in mm of four neighbouring control points, and a place between the middle two."""
    return 5 * torch.randn(4, generator=generator), float(torch.rand((), generator=generator))


def displacement_reference(c: Tensor, t: float) -> float:
    r"""Displacement in mm at a share `t` of the way from the second to the third of four control points `(4,)`."""
    return float(spline_matrix(torch.tensor([t], dtype=torch.float64), 1.0, 4)[0] @ c.double())


displacement = Exercise(
    name="displacement",
    inputs=_four_control_points,
    reference=displacement_reference,
    describe=lambda c, t: f"control points moved by {', '.join(f'{x:.2f}' for x in c.tolist())} mm and t = {t:.3f}",
    steps=(
        "The displacement is a weighted sum of the four: c[0] * weight[0] + ... + c[3] * weight[3].",
        "The weights are the four formulas in the text, in the order of the control points. They sum to 1.",
        "With spline: the point lies t + 1 from the first control point, t from the second, t - 1 from the third and "
        "t - 2 from the fourth.",
    ),
    answer="""def my_displacement(c, t):
    first, second = (1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6
    third, fourth = (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6
    return float(first * c[0] + second * c[1] + third * c[2] + fourth * c[3])""",
)
