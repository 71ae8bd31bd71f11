r"""Blood along the free walls, which pictures show darker than that in the middle and along the septum.

Trabeculae cover the free walls, most of them finer than a pixel, and between them blood flows slowly. For more than six
millimetres a picture shows a mixture, although people draw the outline at the wall; the septum is smooth, and along it
blood is bright up to the wall. Heart, labels and volumes know nothing of it.

Source: measured on two real scans with `measures/profiles.py`, tables in course/reference_values.md; the form is ours.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.phantom.body.tissue import N_TISSUES, Tissue

STRENGTH = (0.4, 1.0)  # how much of the neighbourhood's share of wall is lost to the blood's signal, one for a scan
_RIGHT = 0.75  # of that in the RV, whose coarse trabeculae the phantom draws one by one
_REACH, _SEPTUM = 6.0, 8.0  # mm, standard deviations: how far a free wall, and the RV beyond the septum, are felt
_CLEAR = 0.25  # share of RV blood in a wall's neighbourhood from which on it is septum, and no free wall
_POOLED = 2  # pixels that are taken together first: all is smooth

_LEFT_AND_RIGHT = (Tissue.LV_BLOOD, Tissue.RV_BLOOD)
_NO_FREE_WALL = (  # of the RV
    *_LEFT_AND_RIGHT, Tissue.MYOCARDIUM, Tissue.TRABECULA, Tissue.RA_BLOOD, Tissue.LA_BLOOD, Tissue.ATRIAL_WALL,
    Tissue.ARTERY, Tissue.VESSEL_WALL,
)  # fmt: skip


def with_blood(table: Tensor) -> Tensor:
    r"""A table `(..., N_TISSUES, C)` whose first column is the water's signal, with two columns more: the same where
    the tissue is LV or RV blood, else 0."""
    which = torch.zeros((N_TISSUES, 2), device=table.device, dtype=table.dtype)
    for column, blood in enumerate(_LEFT_AND_RIGHT):
        which[blood, column] = 1.0
    return torch.cat((table, table[..., :1] * which), -1)


def near_free_walls(tissue: Tensor, pixel: float) -> Tensor:
    r"""How much of what surrounds each place is free wall, `(n, 2, Y, X)` from 0 to 1: that of the LV, of the RV.

    Args:
        tissue: codes `(n, Y, X)` of slices.
        pixel: mm.
    """
    muscle, blood = tissue == int(Tissue.MYOCARDIUM), tissue == int(Tissue.RV_BLOOD)
    outside = torch.ones_like(muscle)
    for inner in _NO_FREE_WALL:
        outside &= tissue != int(inner)
    masks = torch.stack((muscle, outside, blood), 1).float()
    wide = F.avg_pool2d(masks, _POOLED, ceil_mode=True, count_include_pad=False)
    septum = (_blurred(wide[:, 2:], _SEPTUM / (pixel * _POOLED)) / _CLEAR).clamp_max(1.0)
    walls = torch.cat((wide[:, :1] * (1.0 - septum), wide[:, 1:2]), 1)
    near = _blurred(walls, _REACH / (pixel * _POOLED))
    return F.interpolate(near, size=tissue.shape[-2:], mode="bilinear", align_corners=False)


def along_free_walls(mixed: Tensor, near: Tensor, strength: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Water, fat and texture `(n, Y, X)` as a picture shows them: blood is darker near free walls.

    Blood keeps its mean in each slice, so that no cavity darkens as a whole.

    Args:
        mixed: signals `(n, Y, X, 5)`: water, fat, texture, the water of LV and of RV blood (`with_blood`).
        near: `(n, 2, Y, X)`, from `near_free_walls`.
        strength: `(n, 1, 1)` or `(1, 1, 1)`.
    """
    water = mixed[..., 0]
    for side, share in ((0, 1.0), (1, _RIGHT)):
        blood = mixed[..., 3 + side]
        left = blood * (1.0 - share * strength * near[:, side]).clamp_min(0.1)
        kept = blood.sum((1, 2), keepdim=True) / left.sum((1, 2), keepdim=True).clamp_min(1e-6)
        water = water - blood + kept * left
    return water, mixed[..., 1], mixed[..., 2]


def _blurred(fields: Tensor, sigma: float) -> Tensor:
    # A Gaussian of `sigma` pixels along both axes of (n, C, Y, X); what lies beyond the picture is as its edge.
    half = math.ceil(2.5 * sigma)
    steps = torch.arange(-half, half + 1, device=fields.device, dtype=fields.dtype)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    kernel = kernel / kernel.sum()
    flat = fields.reshape(-1, 1, *fields.shape[-2:])
    flat = F.conv2d(F.pad(flat, (half, half, 0, 0), mode="replicate"), kernel[None, None, None])
    flat = F.conv2d(F.pad(flat, (0, 0, half, half), mode="replicate"), kernel[None, None, :, None])
    return flat.reshape(fields.shape)
