r"""Surfaces in 3D: distances between them, meshes in millimetres, and the volume a mesh encloses.

A mask's surface is the set of *centres of its outermost voxels*, those with a face-neighbour outside (the convention of
MONAI and medpy); a mesh runs between the voxels instead, half-way to the outside.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image, box_around
from cardiolearn.imaging.structures import LABELS


class SurfaceDistances(NamedTuple):
    r"""Distances between two surfaces in mm; all infinite where one of the two structures is missing."""

    mean: float
    hausdorff: float
    hausdorff95: float

    @property
    def missed(self) -> bool:
        r"""One of the two has the structure, the other has not."""
        return math.isinf(self.hausdorff)


class SurfaceSummary(NamedTuple):
    r"""Means in mm over the `n` structures that were found, beside the number that was missed; NaN for none found."""

    mean: float
    hausdorff: float
    hausdorff95: float
    n: int
    n_missed: int


class Mesh(NamedTuple):
    r"""Triangles: `vertices` `(V, 3)` in mm (RAS+), float64, and `faces` `(F, 3)`, wound so that normals look out."""

    vertices: torch.Tensor
    faces: torch.Tensor


def surface_distances(a: torch.Tensor, b: torch.Tensor, spacing: Sequence[float]) -> SurfaceDistances:
    r"""Distances between the surfaces of two masks.

    The mean is over the pooled points of both surfaces, the 95th percentile the larger of the two directed ones. Two
    empty masks agree: all distances are 0. If only one is empty the structure was missed: all are infinite.

    Args:
        a: mask `(Z, Y, X)`.
        b: mask of the same shape.
        spacing: `(dx, dy, dz)` in mm, as `Image.spacing`.
    """
    if a.shape != b.shape or a.ndim != 3 or len(spacing) != 3 or not min(spacing) > 0:
        raise InputError(
            f"surfaces: expected two masks (Z, Y, X) and (dx, dy, dz) in mm, got {tuple(a.shape)}, {tuple(b.shape)}, "
            f"{tuple(spacing)}"
        )
    one, other = a.detach().cpu().bool().numpy(), b.detach().cpu().bool().numpy()
    if not (one.any() and other.any()):
        value = math.inf if one.any() or other.any() else 0.0
        return SurfaceDistances(value, value, value)
    box = box_around(one | other, (0, 0, 0)) or ()
    one, other = one[box], other[box]  # nothing lies beyond, and distance transforms cost by the voxel
    there, back = _directed(one, other, spacing), _directed(other, one, spacing)
    return SurfaceDistances(
        mean=float(np.concatenate([there, back]).mean()),
        hausdorff=float(max(there.max(), back.max())),
        hausdorff95=float(max(np.percentile(there, 95), np.percentile(back, 95))),
    )


def summarise(distances: Iterable[SurfaceDistances]) -> SurfaceSummary:
    r"""Mean over the structures found, and how many were not: a missed structure is never just dropped.

    >>> summarise([SurfaceDistances(1.0, 4.0, 3.0), SurfaceDistances(math.inf, math.inf, math.inf)])
    SurfaceSummary(mean=1.0, hausdorff=4.0, hausdorff95=3.0, n=1, n_missed=1)
    """
    everything = list(distances)
    found = [d for d in everything if not d.missed]
    mean, largest, percentile = np.mean(found, axis=0).tolist() if found else [math.nan] * 3
    return SurfaceSummary(mean, largest, percentile, len(found), len(everything) - len(found))


def mask_mesh(mask: Image) -> Mesh:
    r"""The closed surface of a mask by marching cubes, in mm.

    The mask is padded, so that a structure cut by the border of the image is closed there.

    Args:
        mask: `(Z, Y, X)`, not empty.

    Source: Lewiner et al. 2003, as in scikit-image.
    """
    from skimage.measure import marching_cubes

    if mask.data.ndim != 3 or not mask.data.any():
        raise InputError(f"mesh: expected a non-empty mask (Z, Y, X), got {tuple(mask.data.shape)}")
    padded = np.pad(mask.data.detach().cpu().bool().numpy(), 1).astype(np.float32)
    zyx, faces, _, _ = marching_cubes(padded, level=0.5)
    voxels = np.c_[zyx[:, ::-1].astype(np.float64) - 1, np.ones(len(zyx))]
    vertices = torch.from_numpy((voxels @ mask.affine.T)[:, :3].copy())
    triangles = torch.from_numpy(faces.astype(np.int64))
    if _signed_volume(vertices, triangles) < 0:
        triangles = triangles.flip(1)
    return Mesh(vertices, triangles)


def label_meshes(labels: Image, keys: Iterable[str]) -> dict[str, Mesh]:
    r"""The `mask_mesh` of each structure, by its key, that `labels` `(Z, Y, X)` hold a voxel of."""
    masks = {key: labels.with_data(labels.data == LABELS[key]) for key in keys}
    return {key: mask_mesh(mask) for key, mask in masks.items() if mask.data.any()}


def mesh_volume_ml(vertices: torch.Tensor, faces: torch.Tensor) -> float:
    r"""Volume enclosed by a mesh in mL, by the divergence theorem; positive if the normals look out.

    Args:
        vertices: `(V, 3)` in mm.
        faces: `(F, 3)` vertex indices.

    Raises:
        InputError: the mesh is open (ventricular meshes often are, at the valves): it encloses no volume.
    """
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(dim=1).values
    _, uses = torch.unique(edges, dim=0, return_counts=True)
    n_open = int((uses % 2 == 1).sum())
    if n_open or len(faces) == 0:
        raise InputError(f"mesh: expected a closed surface, got one of {len(faces)} triangles with {n_open} open edges")
    return _signed_volume(vertices, faces) / 1000


def _signed_volume(vertices: torch.Tensor, faces: torch.Tensor) -> float:
    r"""Volume in mm^3; measured from the middle of the mesh, so that its place in the scanner costs no digits."""
    corners = (vertices.double() - vertices.double().mean(dim=0))[faces]
    return float((corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum() / 6)


def _directed(a: np.ndarray, b: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    r"""For each surface point of `a` the distance to the surface of `b` in mm."""
    from scipy.ndimage import distance_transform_edt

    distance = distance_transform_edt(~_surface(b), sampling=tuple(spacing)[::-1])
    return np.asarray(distance[_surface(a)])


def _surface(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import binary_erosion

    return np.asarray(mask & ~binary_erosion(mask))
