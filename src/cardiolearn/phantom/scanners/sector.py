r"""The sector of a matrix probe: a grid of depths and two steering angles, and the way from it to an upright box.

**Probe frame** (mm, right-handed): origin where all beams meet, some mm behind the skin, `z` along the middle beam
into the body, `x` and `y` across. A beam steered by :math:`\alpha, \beta` runs along
:math:`(\tan\alpha, \tan\beta, 1)`: the sector is a pyramid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.phantom.scanners.echo_tissue import label_table

DEPTHS, BEAMS = 144, 80  # samples along a beam, beams along either angle
NEAREST, STEP = 14.0, 1.2  # mm: where the skin is, and from one sample to the next; the last is at 185.6
HALF_ANGLE = math.radians(40.0)  # the outermost beams
_EDGE = math.radians(2.0)  # over which a sector fades to black
SHAPE = (96, 96, 96)  # voxels of the box, (Z, Y, X): depth, y, x
SPACING = 1.6  # mm


def depths(device: torch.device) -> Tensor:
    r"""Depths of the samples of a beam `(DEPTHS,)`, mm."""
    return NEAREST + STEP * torch.arange(DEPTHS, device=device)


def steering(device: torch.device) -> Tensor:
    r"""Steering angles `(BEAMS,)` along either direction, rad."""
    return torch.linspace(-HALF_ANGLE, HALF_ANGLE, BEAMS, device=device)


def sector_points(device: torch.device) -> Tensor:
    r"""Places `(DEPTHS, BEAMS, BEAMS, 3)` of the samples in the probe frame, mm, (x, y, z); beams are `[.., y, x]`."""
    tangent = torch.tan(steering(device))
    y, x = torch.meshgrid(tangent, tangent, indexing="ij")
    along = torch.stack((x, y, torch.ones_like(x)), -1)
    along = along / along.norm(dim=-1, keepdim=True)
    return depths(device)[:, None, None, None] * along


def box_points(shape: Sequence[int], spacing: float, device: torch.device) -> Tensor:
    r"""Places `(Z, Y, X, 3)` of a box's voxels in the probe frame, mm: the skin is at its top, the probe above its
    middle."""
    z, y, x = shape
    axes = (
        NEAREST + (torch.arange(z, device=device) + 0.5) * spacing,
        (torch.arange(y, device=device) - 0.5 * (y - 1)) * spacing,
        (torch.arange(x, device=device) - 0.5 * (x - 1)) * spacing,
    )
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flip(-1)


def in_sector(shape: Sequence[int], spacing: float, half_angle: float, device: torch.device) -> Tensor:
    r"""Which voxels `(Z, Y, X)` of a box lie below the skin and within `half_angle` (rad) of the middle beam,
    either way."""
    x, y, z = box_points(shape, spacing, device).unbind(-1)
    steered = torch.maximum(torch.atan2(x, z).abs(), torch.atan2(y, z).abs())
    return (steered <= half_angle) & ((x * x + y * y + z * z).sqrt() > NEAREST)


def scan_convert(
    echoes: Tensor, codes: Tensor, half_angle: Tensor, shape: Sequence[int] = SHAPE, spacing: float = SPACING
) -> tuple[Tensor, Tensor]:
    r"""Pictures `(n, Z, Y, X)` and labels `(n, Z, Y, X)` (uint8) on a box of voxels of `spacing` mm.

    Args:
        echoes: brightness `(n, DEPTHS, BEAMS, BEAMS)`. Outside the sector a picture is 0.
        codes: what lies there, uint8, as :mod:`~cardiolearn.phantom.scanners.echo_tissue` has it.
        half_angle: of each scan's sector, `(n,)` rad; labels reach as far as the outermost beams of the grid.

    Between samples brightness is interpolated linearly, and so is how much of a place is cavity or wall: the labels'
    borders lie where half of it is. Against labels asked for at the voxels' middles (50 subjects): the volumes are the
    same to 1 %, all of the ventricle is in the box, Dice is 0.99 (cavity) and 0.96 (wall), for beams are 2 mm apart.
    """
    x, y, z = box_points(shape, spacing, echoes.device).unbind(-1)
    away = (x * x + y * y + z * z).sqrt()
    a, b = torch.atan2(x, z), torch.atan2(y, z)
    place = (a / HALF_ANGLE, b / HALF_ANGLE, 2.0 * (away - NEAREST) / (STEP * (DEPTHS - 1)) - 1.0)
    grid = torch.stack(place, -1).expand(len(echoes), *x.shape, 3)
    label = label_table(codes.device)[codes.int()]
    channels = torch.stack((echoes, (label == 1).to(echoes.dtype), (label > 0).to(echoes.dtype)), 1)
    picture, cavity, ventricle = F.grid_sample(channels, grid, align_corners=True).unbind(1)
    steered = torch.maximum(a.abs(), b.abs())
    seen = ((half_angle[:, None, None, None] - steered) / _EDGE).clamp(0.0, 1.0) * (away > NEAREST)
    inside = (cavity > 0.5).to(torch.uint8)
    return (picture * seen).clamp(max=1.0), torch.where(inside > 0, inside, 2 * (ventricle > 0.5).to(torch.uint8))
