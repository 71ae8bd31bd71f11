r"""Free-form deformation: register two images from coarse to fine.

Source: Rueckert et al., IEEE TMI 1999, 18(8):712-721 (deviations: Adam instead of steepest descent with a line search;
similarities beside normalised mutual information; a penalty that keeps space from folding). Plain tensors come in, so
2D and 3D, CPU and GPU are one code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.methods.registration.bsplines import FreeForm
from cardiolearn.methods.registration.sampling import Sampler
from cardiolearn.methods.registration.similarity import Unlikeness, mean_squares

_LEAST = 8  # voxels along an axis below which it is not made coarser
_LEAST_SHARE = 1.0 / 3.0  # of its volume that space may keep unpunished


@dataclass(frozen=True)
class RegistrationSettings:
    r"""How to register.

    Args:
        unlike: what is made small, of `similarity`.
        knot: distance of the finest control points, mm; every coarser level has them twice as far apart.
        levels: of images and control points.
        iterations: at each level.
        bending: weight of the bending energy, mm^2.
        squeeze: weight of the penalty on places where space shrinks below a third of itself or folds.
        step: of the optimiser, as a share of the level's smallest voxel size.
    """

    unlike: Unlikeness = mean_squares
    knot: float = 10.0
    levels: int = 3
    iterations: int = 30
    bending: float = 1.0
    squeeze: float = 30.0
    step: float = 0.35


@dataclass(frozen=True)
class _Level:
    fixed: Tensor
    moving: Tensor
    spacing: tuple[float, ...]  # mm
    start: tuple[float, ...]  # mm, of the first voxel's middle


def register(
    fixed: Tensor, moving: Tensor, spacing: Sequence[float], settings: RegistrationSettings | None = None, *,
    start: FreeForm | None = None,
) -> FreeForm:  # fmt: skip
    r"""The deformation `u` with `moving(x + u(x))` like `fixed(x)`: points of `fixed` go to their place in `moving`.

    Args:
        fixed: `(*shape)`, two or three dimensions.
        moving: on the same grid.
        spacing: mm along the axes of the tensors.
        start: an earlier result on the same grid with the same `settings` to begin from, as for the next frame of a
            cine; only the finest level is then run.

    Raises:
        InputError: other shapes than one of two or three dimensions, spacing that is not positive, values
            that are not finite.
    """
    settings = settings or RegistrationSettings()
    _check(fixed, moving, spacing)
    levels = [_Level(fixed, moving, tuple(spacing), (0.0,) * fixed.ndim)]
    for _ in range(settings.levels - 1):
        levels.append(_coarser(levels[-1]))
    if start is not None:
        return _descend(start, levels[0], settings)
    extent = [(n - 1) * s for n, s in zip(fixed.shape, spacing, strict=True)]
    field = FreeForm.identity(extent, settings.knot * 2 ** (settings.levels - 1), fixed.device)
    for i, level in enumerate(reversed(levels)):
        field = _descend(field if i == 0 else field.refined(), level, settings)
    return field


def warp(moving: Tensor, displacement: Tensor, spacing: Sequence[float]) -> Tensor:
    r"""`moving(x + u(x))` on its own grid `(*shape)`; `displacement` `(D, *shape)` mm. Beyond the border it repeats."""
    return Sampler(moving)(_voxels(moving) + displacement / _column(moving, spacing))


def _descend(field: FreeForm, level: _Level, settings: RegistrationSettings) -> FreeForm:
    axes = _axes(level.fixed, level.spacing, level.start)
    matrices, moving = field.matrices(axes), Sampler(level.moving)
    voxels, size = _voxels(level.fixed), _column(level.fixed, level.spacing)
    coefficients = field.coefficients.detach().clone().requires_grad_()
    now = FreeForm(coefficients, field.knots)
    rate = settings.step * min(level.spacing)
    # Adam takes a full step however small the gradient. One point's gradient is its share of the whole, some 0.5 for a
    # voxel's misfit; what is far below that is nearly there and must move less.
    small = 0.03 * coefficients.shape[0] / coefficients.numel()
    optimiser = torch.optim.Adam([coefficients], lr=rate, eps=small)
    for i in range(settings.iterations):
        optimiser.param_groups[0]["lr"] = rate * 0.5 * (1.0 + math.cos(math.pi * i / settings.iterations)) + 0.05 * rate
        warped = moving(voxels + FreeForm(coefficients / size, field.knots).on_grid(matrices))
        smooth = settings.bending * now.bending() + settings.squeeze * now.squeeze(_LEAST_SHARE)
        loss = settings.unlike(level.fixed, warped) + smooth
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    return FreeForm(coefficients.detach(), field.knots)


def _axes(image: Tensor, spacing: Sequence[float], start: Sequence[float]) -> list[Tensor]:
    # Positions in mm of the voxels along each axis.
    return [
        s0 + s * torch.arange(n, dtype=image.dtype, device=image.device)
        for n, s, s0 in zip(image.shape, spacing, start, strict=True)
    ]


def _voxels(image: Tensor) -> Tensor:
    # Where the voxels are, counted in voxels, `(D, *shape)`.
    axes = [torch.arange(n, dtype=image.dtype, device=image.device) for n in image.shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def _column(image: Tensor, spacing: Sequence[float]) -> Tensor:
    # The spacing as `(D, 1, ...)`.
    return image.new_tensor(spacing).reshape(-1, *[1] * image.ndim)


def _coarser(level: _Level) -> _Level:
    # Halved along the axes that are not yet coarser than the others, where enough voxels are left.
    fine = min(
        s
        for s, n in zip(level.spacing, level.fixed.shape, strict=True)
        if n >= 2 * _LEAST or n == max(level.fixed.shape)
    )
    factor = [
        2 if n >= 2 * _LEAST and s < 1.5 * fine else 1 for s, n in zip(level.spacing, level.fixed.shape, strict=True)
    ]
    pool = F.avg_pool2d if level.fixed.ndim == 2 else F.avg_pool3d
    fixed, moving = (pool(image[None, None], tuple(factor))[0, 0] for image in (level.fixed, level.moving))
    start = tuple(s0 + 0.5 * (f - 1) * s for s0, s, f in zip(level.start, level.spacing, factor, strict=True))
    return _Level(fixed, moving, tuple(s * f for s, f in zip(level.spacing, factor, strict=True)), start)


def _check(fixed: Tensor, moving: Tensor, spacing: Sequence[float]) -> None:
    shape = tuple(fixed.shape)
    if fixed.ndim not in (2, 3) or moving.shape != fixed.shape:
        found = f"{shape} and {tuple(moving.shape)}"
        raise InputError(f"register: expected fixed and moving of one shape (Y, X) or (Z, Y, X), got {found}")
    if min(shape) < 2:
        raise InputError(f"register: expected at least 2 voxels along every axis, got {shape}")
    if len(spacing) != fixed.ndim or not all(math.isfinite(s) and s > 0 for s in spacing):
        raise InputError(f"spacing: expected {fixed.ndim} positive numbers in mm, got {tuple(spacing)}")
    if not (torch.isfinite(fixed).all() and torch.isfinite(moving).all()):
        raise InputError("register: expected finite intensities, got NaN or infinite ones")
