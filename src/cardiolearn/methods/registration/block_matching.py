r"""Alignment by block matching: find small blocks of one image in the other, then fit what most of them agree on.

Places are columns (x, y, z, 1) in mm of each image's own world; an alignment `(4, 4)` maps those of the fixed image to
those of the moving one. All of it happens on the images' device.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image

_FLAT = 1e-6  # variance below which a block shows nothing
_NEARER = 1e-9  # by how much a place has to be more alike for each voxel that it is farther off, squared


@dataclass(frozen=True)
class MatchingSettings:
    r"""How to align.

    Args:
        affine: fit an affine alignment; else a rigid one.
        levels: of images; each coarser one has voxels twice as large.
        iterations: at each level.
        block: voxels along a block's axes.
        search: voxels that a block is looked for in every direction.
        textured: share of the blocks that are looked for, those whose values vary most.
        kept: share of the blocks found that the alignment is fitted to, those that agree with it best.
    """

    affine: bool = False
    levels: int = 3
    iterations: int = 6
    block: int = 4
    search: int = 3
    textured: float = 0.5
    kept: float = 0.5


def align(fixed: Image, moving: Image, settings: MatchingSettings, start: Tensor | None = None) -> Tensor:
    r"""The alignment `(4, 4)` of two images of one frame, begun at `start` (by default: the worlds are one).

    Source: Ourselin et al., Image and Vision Computing 2001 (deviation: blocks lie side by side; correlation, squared,
    is taken to be as good when bright is dark).

    Raises:
        InputError: an image of more than one frame, or too few blocks that show anything.
    """
    if fixed.data.ndim != 3 or moving.data.ndim != 3:
        raise InputError(f"images: expected one frame each, got {tuple(fixed.data.shape)}, {tuple(moving.data.shape)}")
    found = torch.eye(4, dtype=torch.float64) if start is None else start.double().cpu()
    for level in reversed(range(settings.levels)):
        here, there = coarser(fixed, level), coarser(moving, level)
        for _ in range(settings.iterations):
            places, aims = matches(here, there, found, settings)
            found = trimmed_fit(places, aims, settings.kept, affine=settings.affine)
    return found


def coarser(image: Image, level: int) -> Image:
    r"""The image with voxels `2**level` times as large, each the mean of those it covers; a remainder is cut off."""
    times = 2**level
    if times == 1:
        return image
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3].sum(1) * 0.5 * (times - 1)
    affine[:3, :3] *= times
    return Image(F.avg_pool3d(image.data[None, None].float(), times)[0, 0], affine)


def warped(moving: Image, alignment: Tensor, fixed: Image) -> Tensor:
    r"""The moving image at the places of the fixed one's voxels `(Z, Y, X)`, linear; 0 outside of it."""
    device, shape = moving.data.device, moving.data.shape
    to_voxels = torch.linalg.inv(torch.tensor(moving.affine)) @ alignment @ torch.tensor(fixed.affine)
    sizes = torch.tensor(shape[::-1], dtype=torch.float64)
    scale = torch.diag(torch.cat((2.0 / (sizes - 1).clamp_min(1), torch.ones(1, dtype=torch.float64))))
    scale[:3, 3] = -1.0
    matrix = (scale @ to_voxels).to(device, torch.float32)
    axes = [torch.arange(size, device=device, dtype=torch.float32) for size in fixed.data.shape]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack((x, y, z, torch.ones_like(x)), -1) @ matrix[:3].T
    return F.grid_sample(moving.data[None, None].float(), grid[None], align_corners=True)[0, 0]


def matches(fixed: Image, moving: Image, alignment: Tensor, settings: MatchingSettings) -> tuple[Tensor, Tensor]:
    r"""The middles of the textured blocks, `(n, 3)` mm in the fixed image's world, and where the moving image shows
    what is most like each of them, `(n, 3)` mm in its own."""
    size, reach = settings.block, settings.search
    still = fixed.data.float()
    seen = F.pad(warped(moving, alignment, fixed), (reach,) * 6)
    mean, spread = _moments(still, size)
    alike = []
    for step in product(range(2 * reach + 1), repeat=3):
        moved = seen[tuple(slice(d, d + n) for d, n in zip(step, still.shape, strict=True))]
        other, other_spread = _moments(moved, size)
        cross = F.avg_pool3d((still * moved)[None, None], size)[0, 0] - mean * other
        squared = cross**2 / (spread * other_spread).clamp_min(_FLAT**2)
        alike.append(torch.where(other_spread > _FLAT, squared, -1.0).flatten())
    best, steps = most_alike(torch.stack(alike).unflatten(0, (2 * reach + 1,) * 3))
    enough = torch.quantile(spread.flatten(), 1.0 - settings.textured)
    chosen = (spread >= enough) & (spread > _FLAT) & (best >= 0.0).reshape(spread.shape)
    middles = chosen.nonzero().flip(1).double().cpu() * settings.block + 0.5 * (settings.block - 1)
    affine, start = torch.tensor(fixed.affine), alignment.double()
    steps = steps[chosen.flatten()].double().cpu()
    places, aims = (points @ affine[:3, :3].T + affine[:3, 3] for points in (middles, middles + steps))
    return places, aims @ start[:3, :3].T + start[:3, 3]


def most_alike(alike: Tensor) -> tuple[Tensor, Tensor]:
    r"""The highest of `alike` `(S, S, S, n)`, by steps along (z, y, x) about the middle, for each of n blocks `(n,)`;
    and the step `(n, 3)`, (x, y, z), to it: between voxels where a parabola through both neighbours has its top."""
    size, blocks = alike.shape[0], torch.arange(alike.shape[3], device=alike.device)
    axis = torch.arange(size, device=alike.device) - size // 2
    far = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    nearest = alike - _NEARER * far[..., None]  # of equal ones the nearest
    place = torch.stack(torch.unravel_index(nearest.flatten(0, 2).argmax(0), (size,) * 3), 1)
    top = alike[(*place.unbind(1), blocks)]
    steps = (place - size // 2).to(alike.dtype)
    for k in range(3):
        aside = [place.clone(), place.clone()]
        for neighbour, d in zip(aside, (-1, 1), strict=True):
            neighbour[:, k] += d
        inside = (place[:, k] > 0) & (place[:, k] < size - 1)
        low, high = (alike[(*part.clamp(0, size - 1).unbind(1), blocks)] for part in aside)
        bend = low - 2.0 * top + high
        shift = 0.5 * (low - high) / torch.where(bend < -_FLAT, bend, -1.0)
        steps[:, k] += torch.where(inside & (bend < -_FLAT) & (low >= 0) & (high >= 0), shift.clamp(-0.5, 0.5), 0.0)
    return top, steps.flip(1)


def _moments(picture: Tensor, size: int) -> tuple[Tensor, Tensor]:
    # Mean and variance in each block.
    mean, squares = F.avg_pool3d(torch.stack((picture, picture**2))[:, None], size)[:, 0]
    return mean, (squares - mean**2).clamp_min(0.0)


def trimmed_fit(places: Tensor, aims: Tensor, kept: float, *, affine: bool) -> Tensor:
    r"""The alignment `(4, 4)` that takes `places` `(n, 3)` to `aims` `(n, 3)`, least squares of the share `kept` of
    the pairs that agree with it best.

    Raises:
        InputError: fewer than 8 pairs.
    """
    if len(places) < 8:
        raise InputError(f"block matching: expected 8 blocks that show something, got {len(places)}")
    fit = fit_affine if affine else fit_rigid
    found, count = fit(places, aims), max(4, round(kept * len(places)))
    last = float("inf")
    for _ in range(20):
        off = (places @ found[:3, :3].T + found[:3, 3] - aims).square().sum(1)
        best = off.argsort()[:count]
        now = off[best].sum().item()
        if now >= last * (1.0 - 1e-6):
            break
        found, last = fit(places[best], aims[best]), now
    return found


def fit_rigid(places: Tensor, aims: Tensor) -> Tensor:
    r"""The rotation and shift `(4, 4)` that take `places` nearest to `aims`, both `(n, 3)`.

    Source: Kabsch, Acta Cryst. A 1976.
    """
    middle, aim = places.mean(0), aims.mean(0)
    u, _, vt = torch.linalg.svd((places - middle).T @ (aims - aim))
    signs = torch.ones(3, dtype=places.dtype)
    signs[2] = torch.sign(torch.linalg.det(vt.T @ u.T))
    return _matrix(vt.T @ torch.diag(signs) @ u.T, middle, aim)


def fit_affine(places: Tensor, aims: Tensor) -> Tensor:
    r"""The affine map `(4, 4)` that takes `places` nearest to `aims`, both `(n, 3)`."""
    middle, aim = places.mean(0), aims.mean(0)
    return _matrix(torch.linalg.lstsq(places - middle, aims - aim).solution.T, middle, aim)


def _matrix(turn: Tensor, middle: Tensor, aim: Tensor) -> Tensor:
    found = torch.eye(4, dtype=turn.dtype)
    found[:3, :3], found[:3, 3] = turn, aim - turn @ middle
    return found
