r"""What a clinical stack makes of a volume of thin slices: thick slices, breath-holds that differ, noise.

Source: the acquisition model named in Oktay et al., TMI 2018 (after Greenspan 2009): a stack is the volume moved,
blurred through the plane, sampled and noisy (deviation: a Gaussian slice profile, movement within the plane only).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.errors import InputError

BREATH_HOLD = 1.0  # mm, standard deviation of the shift of a slice along either axis of its plane


def slice_profile(
    n_thin: int, factor: int, thickness: float, thin: float, device: torch.device | str = "cpu"
) -> Tensor:
    r"""What each thick slice takes of each thin one: `(n_thin // factor, n_thin)`, rows sum to 1.

    A Gaussian whose full width at half maximum is `thickness` mm around the middle of each group of `factor` slices,
    which lie `thin` mm apart. Thin slices that fill no group are seen by the last ones but make none.

    Raises:
        InputError: fewer thin slices than `factor`, or a thickness that is not positive.
    """
    if n_thin < factor or not thickness > 0.0:
        raise InputError(f"slices: expected {factor} or more and a positive thickness, got {n_thin} and {thickness} mm")
    middles = factor * torch.arange(n_thin // factor, device=device) + 0.5 * (factor - 1)
    away = (torch.arange(n_thin, device=device)[None] - middles[:, None]) * thin
    weight = torch.exp(-4.0 * math.log(2.0) * (away / thickness) ** 2)
    return weight / weight.sum(1, keepdim=True)


def shift_slices(stack: Tensor, shifts: Tensor, pixel: tuple[float, float]) -> Tensor:
    r"""Each slice of `(Z, Y, X)` moved within its plane by `shifts` `(Z, 2)` mm, (y, x); the border repeats.

    `pixel` is (dy, dx) in mm.
    """
    z, height, width = stack.shape
    move = 2.0 * shifts / (stack.new_tensor(pixel) * stack.new_tensor([height, width]))
    theta = torch.eye(2, 3, device=stack.device).repeat(z, 1, 1)
    theta[:, :, 2] = -move.flip(1)
    grid = F.affine_grid(theta, [z, 1, height, width], align_corners=False)
    return F.grid_sample(stack[:, None], grid, padding_mode="border", align_corners=False)[:, 0]


def clinical_stack(
    volume: Tensor, spacing: Sequence[float], generator: torch.Generator, *,
    thickness: float = 10.0, factor: int = 5, breath_hold: float = BREATH_HOLD, noise: float = 0.02,
) -> Tensor:  # fmt: skip
    r"""A stack of thick slices `(Z // factor, Y, X)` of a volume of thin ones `(Z, Y, X)`; frames `(T, Z, Y, X)` alike.

    Args:
        spacing: of the volume, mm, `(dx, dy, dz)` as `Image.spacing`.
        generator: of shifts and noise, on the volume's device. A slice is filmed within one breath-hold: its frames
            share the shift.
        thickness: of a slice, mm; they lie `factor * dz` apart.
        breath_hold: standard deviation of each slice's shift along either axis, mm.
        noise: standard deviation of the Rician noise, as a share of the volume's 99th percentile.
    """
    dx, dy, dz = spacing
    frames = volume.reshape(-1, *volume.shape[-3:])
    profile = slice_profile(frames.shape[1], factor, thickness, dz, volume.device)
    thick = torch.tensordot(frames, profile, ([1], [1])).movedim(-1, 1)
    shifts = breath_hold * torch.randn((thick.shape[1], 2), generator=generator, device=generator.device)
    moved = torch.stack([shift_slices(frame, shifts, (dy, dx)) for frame in thick])
    bright = frames[:, :: max(1, frames.shape[1] // 8)].flatten(1)
    level = noise * torch.quantile(bright, 0.99, dim=1)[:, None, None, None]
    grain = level * torch.randn((2, *moved.shape), generator=generator, device=generator.device)
    return torch.hypot(moved + grain[0], grain[1]).reshape(*volume.shape[:-3], *moved.shape[1:])
