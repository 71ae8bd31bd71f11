r"""Alignment by block matching: find small blocks of each image in the other, then fit what most of them agree on.

Places are columns (x, y, z, 1) in mm of each image's own world; an alignment `(4, 4)` maps those of the fixed image to
those of the moving one. Images are compared on their own device; alignments are float64, on the CPU. Voxels of which
nothing is known, be they masked or beyond the border of an image, are NaN: no block that holds one of them is compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image

_FLAT = 1e-6  # variance of a block, over the mean square of its image, below which it shows nothing
_NEARER = 1e-6  # by how much a place has to be more alike for each voxel that it is farther off, squared
_NEAR = 1.0  # voxels that a block may be off and yet agrees with an alignment
_PIECE = 1024  # blocks at a time: what is compared with them stays in a core's cache
_FEWEST = 8  # pairs that an alignment is fitted to
_VOLUMES = (0.5, 2.0)  # how much smaller or larger an affine alignment may make a heart


@dataclass(frozen=True)
class MatchingSettings:
    r"""How to align.

    Args:
        affine: fit an affine alignment at the finest level; before it, and else there too, rigid ones are fitted.
        levels: of images; each coarser one has voxels twice as large.
        iterations: at each level.
        block: voxels along a block's axes; a block begins at every second voxel.
        search: voxels that a block is looked for in every direction; one fewer with each iteration of a level, down
            to 1.
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


def align(
    fixed: Image, moving: Image, settings: MatchingSettings, start: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    r"""The alignment `(4, 4)` of two images of one frame, begun at `start` (by default: the worlds are one).

    Blocks of the fixed image are looked for in the moving one and the reverse, so that an image is aligned with itself
    exactly. Voxels of both images should be of one size.

    Args:
        mask: `(Z, Y, X)`, bool: the voxels of the fixed image that count; by default all of them.

    Source: Ourselin et al., Image and Vision Computing 2001 (deviations: blocks are looked for in both directions;
    correlation is taken to be as good when bright is dark; places between voxels are found by a parabola).

    Raises:
        InputError: an image of more than one frame or with too few voxels, another mask, too few blocks that show
            anything, or an affine alignment that makes volumes less than half or more than twice as large.
    """
    check_pair(fixed, moving, settings.block * 2 ** (settings.levels - 1), mask)
    found = begun(start)
    known = fixed.data.float() if mask is None else torch.where(mask, fixed.data.float(), torch.nan)
    for level in reversed(range(settings.levels)):
        here, there = coarser(fixed.with_data(known), level), coarser(moving, level)
        for i in range(settings.iterations):
            places, aims = matches(here, there, found, settings, max(1, settings.search - i))
            close, affine = _NEAR * min(here.spacing), settings.affine and level == 0
            found = trimmed_fit(places, aims, settings.kept, close, affine=affine)
    return found


def begun(start: Tensor | None) -> Tensor:
    r"""The alignment `(4, 4)` to begin with: `start`, or the one of two images whose worlds are one."""
    return torch.eye(4, dtype=torch.float64, device="cpu") if start is None else start.double().cpu()


def world(image: Image) -> Tensor:
    r"""The image's affine `(4, 4)`, float64, on the CPU."""
    return torch.tensor(image.affine, device="cpu")


def check_pair(fixed: Image, moving: Image, least: int, mask: Tensor | None) -> None:
    r"""Whether two images and a mask of the first one's voxels can be aligned.

    Raises:
        InputError: an image of more than one frame or with fewer than `least` voxels along an axis, or a mask of
            another shape or type.
    """
    shape, other = tuple(fixed.data.shape), tuple(moving.data.shape)
    if len(shape) != 3 or len(other) != 3:
        raise InputError(f"images: expected one frame each, got {shape}, {other}")
    if min(shape + other) < least:
        raise InputError(f"images: expected at least {least} voxels along every axis, got {shape}, {other}")
    if mask is not None and (mask.shape != shape or mask.dtype != torch.bool):
        raise InputError(f"mask: expected bool {shape}, got {mask.dtype} {tuple(mask.shape)}")


def coarser(image: Image, level: int) -> Image:
    r"""The image with voxels `2**level` times as large, each the mean of what is known of those that it covers: NaN
    where that is less than half of them. A remainder is cut off."""
    times = 2**level
    if times == 1:
        return image
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3].sum(1) * 0.5 * (times - 1)
    affine[:3, :3] *= times
    known = ~image.data.isnan()
    both = torch.stack((image.data.nan_to_num(), known)).float()
    total, share = F.avg_pool3d(both[:, None], times)[:, 0]
    return Image(torch.where(share >= 0.5, total / share, torch.nan), affine)


def warped(moving: Image, alignment: Tensor, fixed: Image) -> Tensor:
    r"""The moving image at the places of the fixed one's voxels `(Z, Y, X)`, linear; NaN outside of it."""
    device, shape = moving.data.device, moving.data.shape
    to_voxels = torch.linalg.inv(world(moving)) @ alignment @ world(fixed)
    matrix = to_voxels[:3] * torch.tensor([[2.0 / max(size - 1, 1)] for size in shape[::-1]], device="cpu")
    matrix[:, 3] -= 1.0  # from -1 to 1 along each axis
    matrix = matrix.to(device, torch.float32)
    axes = [torch.arange(size, device=device, dtype=torch.float32) for size in fixed.data.shape]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack((x, y, z, torch.ones_like(x)), -1) @ matrix.T
    seen = F.grid_sample(moving.data[None, None].float(), grid[None], align_corners=True)[0, 0]
    return torch.where((grid.abs() <= 1.0 + 1e-5).all(-1), seen, torch.nan)


def matches(
    fixed: Image, moving: Image, alignment: Tensor, settings: MatchingSettings, reach: int
) -> tuple[Tensor, Tensor]:
    r"""Places `(n, 3)` mm in the fixed image's world, and where the moving image shows what is most like each of them,
    `(n, 3)` mm in its own: middles of blocks of either image, looked for in the other up to `reach` voxels off."""
    still, seen = fixed.data.float(), warped(moving, alignment, fixed)
    here, there = looked_for(still, seen, settings, reach)
    from_there, to_here = looked_for(seen, still, settings, reach)
    places, aims = (_mapped(torch.cat(both), world(fixed)) for both in ((here, to_here), (there, from_there)))
    return places, _mapped(aims, alignment.double())


def _mapped(points: Tensor, affine: Tensor) -> Tensor:
    return points @ affine[:3, :3].T + affine[:3, 3]


def looked_for(one: Tensor, other: Tensor, settings: MatchingSettings, reach: int) -> tuple[Tensor, Tensor]:
    r"""The middles of the textured blocks of an image `(Z, Y, X)`, and of what is most like them in another one on the
    same grid: both `(n, 3)`, (x, y, z) in voxels, on the CPU."""
    size, stride = settings.block, 2
    mean, variance = _moments(one, size, stride)
    flat, flat_there = (_FLAT * image.square().nanmean() for image in (one, other))
    textured = variance.nan_to_num(0.0).flatten().topk(round(settings.textured * (~mean.isnan()).sum().item()))
    chosen = torch.unravel_index(textured.indices[textured.values > flat], mean.shape)
    blocks = (_windows(one, size, stride)[chosen] - _cubes(mean[chosen])) / _cubes(variance[chosen].sqrt() * size**3)

    around = F.pad(other, (reach,) * 6, value=torch.nan)
    spread = _moments(around, size, 1)[1]
    spread = torch.where(spread > flat_there, spread, torch.nan).sqrt()
    alike = _products(_windows(around.nan_to_num(), size + 2 * reach, stride), chosen, blocks)
    best, steps = most_alike((alike / _windows(spread, 2 * reach + 1, stride)[chosen]).abs())
    found = best.isfinite()
    middles = torch.stack(chosen[::-1], 1)[found].double().cpu() * stride + 0.5 * (size - 1)
    return middles, middles + steps[found].double().cpu()


def _moments(image: Tensor, size: int, stride: int) -> tuple[Tensor, Tensor]:
    # Mean and variance in each block.
    mean, squares = F.avg_pool3d(torch.stack((image, image**2))[:, None], size, stride)[:, 0]
    return mean, squares - mean**2


def _windows(image: Tensor, size: int, stride: int) -> Tensor:
    # All blocks `(a, b, c, size, size, size)`, a view.
    return image.unfold(0, size, stride).unfold(1, size, stride).unfold(2, size, stride)


def _cubes(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _products(windows: Tensor, chosen: tuple[Tensor, ...], blocks: Tensor) -> Tensor:
    # Each block's `(n, size, size, size)` scalar products with all places in its own window, `(n, S, S, S)`.
    steps = windows.shape[-1] - blocks.shape[-1] + 1
    found = [blocks.new_empty((0, steps, steps, steps))]
    for first in range(0, len(blocks), _PIECE):
        piece = slice(first, first + _PIECE)
        window = windows[tuple(index[piece] for index in chosen)]
        found.append(F.conv3d(window[None], blocks[piece, None], groups=len(window))[0])
    return torch.cat(found)


def most_alike(alike: Tensor) -> tuple[Tensor, Tensor]:
    r"""The highest of `alike` `(n, S, S, S)`, by steps along (z, y, x) about the middle, for each of n blocks `(n,)`,
    NaN where nothing is known; and the step `(n, 3)`, (x, y, z), to it: between voxels where a parabola through both
    neighbours has its top."""
    count, size = alike.shape[:2]
    blocks, axis = torch.arange(count, device=alike.device), torch.arange(size, device=alike.device) - size // 2
    far = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    nearest = (alike - _NEARER * far).nan_to_num(-torch.inf)  # of equal ones the nearest
    place = torch.stack(torch.unravel_index(nearest.flatten(1).argmax(1), (size,) * 3), 1)
    top = alike[(blocks, *place.unbind(1))]
    steps = (place - size // 2).to(alike.dtype)
    for k in range(3):
        aside = [place.clone(), place.clone()]
        for neighbour, d in zip(aside, (-1, 1), strict=True):
            neighbour[:, k] += d
        low, high = (alike[(blocks, *part.clamp(0, size - 1).unbind(1))] for part in aside)
        bend = low - 2.0 * top + high
        inside = (place[:, k] > 0) & (place[:, k] < size - 1) & (bend < -_NEARER)
        steps[:, k] += torch.where(inside, (0.5 * (low - high) / bend).clamp(-0.5, 0.5), 0.0)
    return top, steps.flip(1)


def trimmed_fit(places: Tensor, aims: Tensor, kept: float, near: float, *, affine: bool) -> Tensor:
    r"""The alignment `(4, 4)` that takes `places` `(n, 3)` to `aims` `(n, 3)`: least squares of the share `kept` of the
    pairs that agree with it best, and at last of all pairs that are off by no more than `near` mm.

    Source: least trimmed squares, then one reweighted step, as in Rousseeuw and Leroy, Robust Regression and Outlier
    Detection 1987.

    Raises:
        InputError: fewer than 8 pairs, or an affine alignment that makes volumes less than half or more than twice as
            large.
    """
    if len(places) < _FEWEST:
        raise InputError(f"block matching: expected {_FEWEST} blocks that show something, got {len(places)}")
    fit = fit_affine if affine else fit_rigid
    found, count = fit(places, aims), max(_FEWEST // 2, round(kept * len(places)))
    last = float("inf")
    for _ in range(20):
        off = (_mapped(places, found) - aims).square().sum(1)
        best = off.topk(count, largest=False)
        now = best.values.sum().item()
        if now >= last * (1.0 - 1e-6):
            break
        found, last = fit(places[best.indices], aims[best.indices]), now
    good = (_mapped(places, found) - aims).square().sum(1) <= near**2
    if good.sum() >= _FEWEST:
        found = fit(places[good], aims[good])
    larger = torch.linalg.det(found[:3, :3]).item()
    if not _VOLUMES[0] <= larger <= _VOLUMES[1]:
        raise InputError(f"block matching: expected volumes that become {_VOLUMES} times as large, got {larger:.2f}")
    return found


def fit_rigid(places: Tensor, aims: Tensor) -> Tensor:
    r"""The rotation and shift `(4, 4)` that take `places` nearest to `aims`, both `(n, 3)`.

    Source: Kabsch, Acta Cryst. A 1976.
    """
    middle, aim = places.mean(0), aims.mean(0)
    u, _, vt = torch.linalg.svd((places - middle).T @ (aims - aim))
    signs = torch.ones(3, dtype=places.dtype, device=places.device)
    signs[2] = torch.sign(torch.linalg.det(vt.T @ u.T))
    return _matrix(vt.T @ torch.diag(signs) @ u.T, middle, aim)


def fit_affine(places: Tensor, aims: Tensor) -> Tensor:
    r"""The affine map `(4, 4)` that takes `places` nearest to `aims`, both `(n, 3)`."""
    middle, aim = places.mean(0), aims.mean(0)
    return _matrix(torch.linalg.lstsq(places - middle, aims - aim).solution.T, middle, aim)


def _matrix(turn: Tensor, middle: Tensor, aim: Tensor) -> Tensor:
    found = torch.eye(4, dtype=turn.dtype, device=turn.device)
    found[:3, :3], found[:3, 3] = turn, aim - turn @ middle
    return found
