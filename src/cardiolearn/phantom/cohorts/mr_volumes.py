r"""Whole hearts in a 3D MR scan: every batch is another scan of the same tissue."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.imaging.intensity import percentiles_of_some
from cardiolearn.phantom.cohorts.volume_maps import VolumeMaps
from cardiolearn.phantom.cohorts.volumes import quiet
from cardiolearn.phantom.scanners.exposure import magnitude, sample_exposure
from cardiolearn.phantom.scanners.free_walls import along_free_walls, near_free_walls, with_blood
from cardiolearn.phantom.scanners.mri import ANY_VENDOR, TEXTURE, Vendor, signal_table, uniform

_DARKEST, _BRIGHTEST = (0.0, 3.0), (97.0, 99.8)  # percentiles of a volume that are shown black and white


def thin_slices(tissue: Tensor, spacing: float, vendor: Vendor, generator: torch.Generator) -> Tensor:
    r"""Magnitude pictures `(n, Z, Y, X)` with little noise of tissue codes `(n, Z, Y, X)` (uint8) in voxels of
    `spacing` mm; blood is near 1. The slices of a heart are one scan, by one of `vendor`'s scanners."""
    table = signal_table(len(tissue), vendor, generator)
    texture = TEXTURE[None, :, None].to(table.device).expand(len(table), -1, -1)
    pictures = []
    for codes, signals in zip(tissue, with_blood(torch.cat((table, texture), -1)), strict=True):
        exposure = sample_exposure(codes.shape[0], codes.shape[1:], quiet(vendor), generator, noise=generator)
        seen = along_free_walls(F.embedding(codes.int(), signals), near_free_walls(codes, spacing), exposure.free_walls)
        pictures.append(magnitude(*seen, exposure))
    return torch.stack(pictures)


def render_mr(
    maps: VolumeMaps, picks: Tensor, generator: torch.Generator, *, vendor: Vendor = ANY_VENDOR
) -> tuple[Tensor, Tensor]:
    r"""Pictures `(n, 1, Z, Y, X)` in [0, 1] and labels `(n, Z, Y, X)` (int64, 0 to 3) of the hearts `picks` `(n,)`.

    `picks` counts moments: `2 i` is subject `i` at end-diastole, `2 i + 1` at end-systole. All of it happens on the
    device of the maps, which must be that of the `generator`.
    """
    tissue, label = maps.tissue.flatten(0, 1)[picks], maps.label.flatten(0, 1)[picks]
    thin = thin_slices(tissue, maps.spacing, vendor, generator)
    noise = uniform(len(picks), vendor.noise, generator)[:, None, None, None]
    grain = noise * torch.randn((2, *thin.shape), generator=generator, device=generator.device)
    thin = torch.hypot(thin + grain[0], grain[1])
    low, high = uniform(len(picks), _DARKEST, generator).tolist(), uniform(len(picks), _BRIGHTEST, generator).tolist()
    ends = [percentiles_of_some(one.flatten(), a, b) for one, a, b in zip(thin, low, high, strict=True)]
    black, white = thin.new_tensor(ends)[:, :, None, None, None].unbind(1)
    return ((thin - black) / (white - black).clamp_min(1e-6)).clamp(0.0, 1.0)[:, None], label.long()
