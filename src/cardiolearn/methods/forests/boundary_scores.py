r"""How good an edge map is: precision and recall of thin edges against the true border, within a tolerance in mm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.methods.forests.channels import smooth

_EQUAL = 1e-4  # share by which a neighbour must be stronger: a ridge between two voxels keeps both
_ROUNDS = 12  # of power iteration
LEVELS = 64  # thresholds at which precision and recall are counted


class Curve(NamedTuple):
    r"""Of thresholds `(LEVELS,)`, rising: how many edge voxels are `found`, how many of them are `right` (near a true
    border), how many voxels of the true border are `met` (near an edge), and their number `there`."""

    found: NDArray[np.float64]
    right: NDArray[np.float64]
    met: NDArray[np.float64]
    there: float

    @property
    def precision(self) -> NDArray[np.float64]:
        return np.divide(self.right, self.found, out=np.ones_like(self.found), where=self.found > 0)

    @property
    def recall(self) -> NDArray[np.float64]:
        return self.met / self.there


def thinned(edges: Tensor) -> Tensor:
    r"""An edge map `([Z,] Y, X)` with 0 wherever one of both neighbours across the edge is stronger.

    Source: Canny, PAMI 1986, in two or three dimensions (deviation: across is the direction of `steepest`).
    """
    axes = [torch.arange(size, device=edges.device, dtype=edges.dtype) for size in edges.shape]
    here, across = torch.stack(torch.meshgrid(*axes, indexing="ij")), steepest(edges)
    strongest = torch.maximum(_at(edges, here + across), _at(edges, here - across))
    return torch.where(edges >= (1.0 - _EQUAL) * strongest, edges, 0.0)


def steepest(edges: Tensor) -> Tensor:
    r"""The direction `(axes, [Z,] Y, X)` along which a map varies most around each voxel, of length 1; 0 where it does
    not vary.

    It is the first eigenvector of the structure tensor, the mean of the slopes' products around a voxel. The slope at
    the voxel itself would not do: on top of a ridge it points along the ridge.

    Source: Bigün, Granlund, ICCV 1987 (deviation: found by power iteration).
    """
    slopes = torch.stack(list(torch.gradient(smooth(edges, 1))))
    count = len(slopes)
    tensor = torch.stack([smooth(slopes[a] * slopes[b], 2) for a in range(count) for b in range(count)])
    tensor = tensor.unflatten(0, (count, count))
    widest = torch.stack([tensor[a, a] for a in range(count)]).argmax(0)
    found = tensor.gather(0, widest.expand(1, count, *edges.shape))[0]
    for _ in range(_ROUNDS):
        found = (tensor * found).sum(1)
        found = found / found.norm(dim=0).clamp_min(1e-30)
    return found


def _at(picture: Tensor, places: Tensor) -> Tensor:
    # Linear, at places (axes, ...) in voxels.
    sizes = torch.tensor(picture.shape, device=picture.device, dtype=picture.dtype)
    sizes = sizes.view(-1, *(1,) * picture.ndim)
    grid = (2.0 * places / (sizes - 1.0).clamp_min(1.0) - 1.0).flip(0).movedim(0, -1)
    return F.grid_sample(picture[None, None], grid[None], padding_mode="border", align_corners=True)[0, 0]


def curve(edges: Tensor, border: Tensor, spacing: Sequence[float], tolerance: float) -> Curve:
    r"""Precision and recall of an edge map in [0, 1] against the voxels of a true `border`, both `([Z,] Y, X)`.

    Args:
        edges: thinned, or a mask of edges.
        spacing: mm along the arrays' axes, in their order.
        tolerance: mm.

    Raises:
        InputError: shapes that differ, or no border.
    """
    if edges.shape != border.shape or not border.any():
        raise InputError(f"border: expected some of shape {tuple(edges.shape)}, got {int(border.sum())} voxels of "
                         f"{tuple(border.shape)}")  # fmt: skip
    values, true = edges.cpu().double().numpy(), border.cpu().numpy().astype(bool)
    near = ndimage.distance_transform_edt(~true, sampling=spacing) <= tolerance
    reach = [int(tolerance // step) for step in spacing]
    away = np.meshgrid(*(np.arange(-r, r + 1) * step for r, step in zip(reach, spacing, strict=True)), indexing="ij")
    ball = np.sqrt(sum(part**2 for part in away)) <= tolerance
    strongest = ndimage.grey_dilation(values, footprint=ball, mode="constant", cval=0.0)
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    found, right, met = (_above(part, levels) for part in (values, values[near], strongest[true]))
    return Curve(found, right, met, float(true.sum()))


def _above(values: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    return len(values.ravel()) - np.searchsorted(np.sort(values, axis=None), levels).astype(np.float64)


def pooled(curves: Sequence[Curve]) -> Curve:
    r"""The curve of several images at common thresholds."""
    names = ("found", "right", "met")
    found, right, met = (np.sum([getattr(part, name) for part in curves], 0) for name in names)
    return Curve(found, right, met, sum(part.there for part in curves))


def average_precision(of: Curve) -> float:
    r"""The area under precision over recall; a precision counts as high as any at a higher recall."""
    recall = np.concatenate([[0.0], of.recall[::-1]])
    best = np.maximum.accumulate(of.precision)[::-1]
    return float(np.sum(np.diff(recall) * best))


def best_f(of: Curve) -> float:
    r"""The highest harmonic mean of precision and recall: of one image, or (ODS) of a set at one threshold."""
    both = of.precision + of.recall
    return float(np.max(np.divide(2.0 * of.precision * of.recall, both, out=np.zeros_like(both), where=both > 0)))


def mass_beyond(edges: Tensor, border: Tensor, spacing: Sequence[float], beyond: float = 5.0) -> float:
    r"""The share of an edge map that lies farther than `beyond` mm from the true `border`; 0 for an empty map."""
    away = ndimage.distance_transform_edt(~border.cpu().numpy().astype(bool), sampling=spacing)
    values = edges.cpu().double().numpy()
    return float(values[away > beyond].sum() / max(values.sum(), 1e-12))


def roughness(points: NDArray[np.float64], radius: float = 8.0) -> float:
    r"""How far edge `points` `(n, axes)`, mm, lie from a smooth surface.

    It is the root mean square distance (mm) of a point's neighbours from the plane (in 2D: the line) that fits them
    best, in the mean over points; NaN where none has enough of them.

    Args:
        radius: of the neighbourhood, mm; it needs twice as many points as axes.
    """
    axes, tree = points.shape[1], cKDTree(points)
    pairs = tree.query_pairs(radius, output_type="ndarray")
    one = np.concatenate([pairs[:, 0], pairs[:, 1], np.arange(len(points))])
    other = np.concatenate([pairs[:, 1], pairs[:, 0], np.arange(len(points))])
    many = np.bincount(one, minlength=len(points))
    away = points[other] - points[one]
    moments = np.concatenate([away, (away[:, :, None] * away[:, None]).reshape(len(away), axes**2)], 1)
    sums = (
        np.stack([np.bincount(one, weights=column, minlength=len(points)) for column in moments.T], 1) / many[:, None]
    )
    mean = sums[:, :axes]
    spread = sums[:, axes:].reshape(-1, axes, axes) - mean[:, :, None] * mean[:, None]
    least = np.sqrt(np.maximum(np.linalg.eigvalsh(spread)[:, 0], 0.0))
    return float(least[many >= 2 * axes].mean()) if (many >= 2 * axes).any() else float("nan")
