r"""Endless training pictures: every batch scans the slice maps anew.

What stays fixed is anatomy. Contrast, blur, bias, texture, noise, grey scale, position, rotation, mirror image, size
and field of view are sampled for every slice of every batch, so no network ever meets the same picture twice.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from cardiolearn.phantom.cohorts.slice_maps import PIXEL, SIZE, SliceMaps
from cardiolearn.phantom.scanners.exposure import magnitude, sample_exposure, smooth_field
from cardiolearn.phantom.scanners.free_walls import along_free_walls, near_free_walls, with_blood
from cardiolearn.phantom.scanners.mri import ANY_VENDOR, TEXTURE, Vendor, signal_table, uniform


def _poses(n: int, generator: torch.Generator, size: int, pixel: float) -> torch.Tensor:
    # Affine maps (n, 2, 3) from an output of `size` pixels of `pixel` mm to the stored map, in grid_sample's units.
    angle = 2 * math.pi * torch.rand(n, generator=generator, device=generator.device)
    scale = torch.exp(uniform(n, (math.log(0.72), math.log(1.36)), generator))
    flip = torch.where(torch.rand(n, generator=generator, device=generator.device) < 0.5, -1.0, 1.0)
    half = SIZE * PIXEL / 2
    zoom = scale * size * pixel / 2 / half
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    shift = (25.0 * torch.randn((n, 2), generator=generator, device=generator.device)).clamp(-65, 65) / half
    # Hearts are rounder or flatter than the cohort's.
    aspect = torch.exp(0.06 * torch.randn(n, generator=generator, device=generator.device))
    row0 = torch.stack((cos * flip, -sin, shift[:, 0]), -1) * aspect[:, None]
    row1 = torch.stack((sin * flip, cos, shift[:, 1]), -1) / aspect[:, None]
    return torch.stack((row0, row1), 1)


def _upright_poses(n: int, generator: torch.Generator, size: int, pixel: float) -> torch.Tensor:
    # As `_poses`, but the heart near the middle and as it lies in the patient: turned by 10 degrees, scaled by 0.2 and
    # shifted by 10 mm (standard deviations, at most three of them).
    z = torch.randn((n, 4), generator=generator, device=generator.device).clamp(-3, 3)
    angle, zoom = math.radians(10.0) * z[:, 0], (1.0 + 0.2 * z[:, 1]) * size / SIZE * pixel / PIXEL
    cos, sin, shift = torch.cos(angle) * zoom, torch.sin(angle) * zoom, 10.0 * z[:, 2:] / (SIZE * PIXEL / 2)
    return torch.stack((torch.stack((cos, -sin, shift[:, 0]), -1), torch.stack((sin, cos, shift[:, 1]), -1)), 1)


def _field_of_view(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    # Some scanners blank a disc's outside, some images are cropped: part of the picture is then exactly nothing.
    n, height, width = images.shape
    y = torch.linspace(-1, 1, height, device=images.device)[None, :, None]
    x = torch.linspace(-1, 1, width, device=images.device)[None, None, :]
    shift = 0.4 * torch.randn((n, 2, 1, 1), generator=generator, device=generator.device)
    disc = ((x - shift[:, 0]) ** 2 + (y - shift[:, 1]) ** 2).sqrt() < uniform(n, (0.9, 1.4), generator)[:, None, None]
    edges = uniform(4 * n, (0.42, 1.4), generator).reshape(4, n, 1, 1)
    frame = (x < edges[0]) & (x > -edges[1]) & (y < edges[2]) & (y > -edges[3])
    pick = torch.rand(n, generator=generator, device=generator.device)[:, None, None]
    return torch.where(pick < 0.12, disc, torch.where(pick < 0.45, frame, torch.ones_like(frame)))


def normalise_batch(images: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    r"""Clip `(n, Y, X)` images at their own quantiles `low`, `high` `(n,)` and scale to [0, 1]."""
    flat = images.flatten(1).sort(dim=1).values
    last = flat.shape[1] - 1
    bottom = flat.gather(1, (low * last).long()[:, None])[..., None]
    top = flat.gather(1, (high * last).long()[:, None])[..., None]
    return ((images - bottom) / (top - bottom).clamp_min(1e-6)).clamp(0.0, 1.0)


def render_batch(
    maps: SliceMaps, picks: torch.Tensor, generator: torch.Generator, *,
    size: int = 128, pixel: float = PIXEL, vendor: Vendor = ANY_VENDOR, n_classes: int = 4, upright: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    r"""Images `(n, 1, size, size)` in [0, 1] and labels `(n, size, size)` (int64) of slices `picks`.

    Labels from `n_classes` on become background: by default the atria, which short-axis networks do not know. Hearts
    lie anywhere, turned and mirrored at will; with `upright` only as far as in the augmentation of Bai et al. (turned
    with a standard deviation of 10 degrees, scaled with one of 0.2; the shift of 10 mm is ours). All of it happens on
    the device of the maps, which must be that of the `generator`.
    """
    n = len(picks)
    table = signal_table(n, vendor, generator)
    tissue = maps.tissue[picks].int()
    middle = table.new_tensor([0.0, 0.5, 0.0])
    weights = torch.softmax(0.7 * torch.randn((n, 3), generator=generator, device=generator.device) + middle, 1)
    rows = torch.arange(n, device=tissue.device)[:, None, None, None] * table.shape[1]
    texture = TEXTURE[None, :, None].to(table.device)
    shown = with_blood(torch.cat((table, texture.expand(n, -1, -1)), -1)).flatten(0, 1)
    mixed = (F.embedding(tissue + rows, shown) * weights[:, :, None, None, None]).sum(1)
    exposure = sample_exposure(n, (size, size), vendor, generator)
    near = near_free_walls(tissue[:, tissue.shape[1] // 2], PIXEL)
    mixed = torch.stack(along_free_walls(mixed, near, exposure.free_walls), 1)
    label = maps.label[picks].float()[:, None]
    poses = (_upright_poses if upright else _poses)(n, generator, size, pixel)
    grid = F.affine_grid(poses, [n, 1, size, size], align_corners=False)
    bend = torch.stack([smooth_field(n, (size, size), 24, generator) for _ in range(2)], -1)
    grid = grid + bend * uniform(n, (0.0, 5.0), generator)[:, None, None, None] / (SIZE * PIXEL / 2)
    mixed = F.grid_sample(mixed, grid, mode="bilinear", align_corners=False)
    label = F.grid_sample(label, grid, mode="nearest", align_corners=False)[:, 0].long()
    image = magnitude(mixed[:, 0], mixed[:, 1], mixed[:, 2], exposure)
    seen = _field_of_view(image, generator)
    low = uniform(n, (0.0, 0.03), generator)
    high = 1.0 - torch.exp(uniform(n, (math.log(0.001), math.log(0.08)), generator))
    image = normalise_batch(image * seen, low, high)
    return image[:, None], torch.where((label >= n_classes) | ~seen, 0, label)
