r"""Surfaces carried along by a deformation, and how far two of them lie apart."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.measures.surfaces import Mesh
from cardiolearn.methods.registration.bsplines import FreeForm

_CANDIDATES = 16  # triangles whose middles lie nearest to a point; one of them is the nearest on a smooth mesh


def carry(vertices: Tensor, deformation: FreeForm, image: Image) -> Tensor:
    r"""Vertices `(V, 3)` mm (RAS+) of the fixed image's surface in their place in the moving image, mm (RAS+).

    `image` is the fixed image `(Z, Y, X)` that was registered, or any on its grid.
    """
    affine = torch.from_numpy(image.affine.copy()).to(vertices.device)
    spacing = affine.new_tensor(image.spacing)
    homogeneous = torch.cat((vertices.double(), vertices.new_ones((len(vertices), 1), dtype=torch.float64)), 1)
    voxels = torch.linalg.solve(affine, homogeneous.T).T[:, :3]
    places = (voxels * spacing).flip(1).float()  # (z, y, x) mm from the first voxel, as registration counts
    moved = deformation.at(places.to(deformation.coefficients.device)).to(spacing).flip(1) / spacing
    return (vertices.double() + moved @ affine[:3, :3].T).to(vertices.dtype)


def mesh_distance(one: Mesh, other: Mesh) -> float:
    r"""Mean distance in mm of two surfaces: of the vertices of each from the nearest place of the other, averaged.

    Raises:
        InputError: a mesh without triangles.
    """
    return 0.5 * float(distances_to(one.vertices, other).mean() + distances_to(other.vertices, one).mean())


def distances_to(points: Tensor, mesh: Mesh) -> Tensor:
    r"""Distance `(P,)` in mm of `points` `(P, 3)` from the surface of `mesh`."""
    from scipy.spatial import cKDTree

    if len(mesh.faces) == 0:
        raise InputError("mesh: expected at least one triangle, got none")
    corners = mesh.vertices.double().numpy()[mesh.faces.numpy()]  # (F, 3, 3)
    count = min(_CANDIDATES, len(corners))
    near = cKDTree(corners.mean(1)).query(points.double().numpy(), k=count)[1].reshape(len(points), count)
    return torch.from_numpy(_to_triangles(points.double().numpy()[:, None], corners[near]).min(1))


def _to_triangles(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    # Distances (P, K) of points (P, 1, 3) to triangles (P, K, 3, 3): that to the plane where the foot lies within,
    # else that to the nearest edge.
    a, edges = corners[..., 0, :], np.roll(corners, -1, axis=-2) - corners
    normal = np.cross(edges[..., 0, :], -edges[..., 2, :])
    unit = normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    height = ((points - a) * unit).sum(-1)
    foot = points - height[..., None] * unit
    inward = np.cross(np.broadcast_to(unit[..., None, :], edges.shape), edges)
    inside = (((foot[..., None, :] - corners) * inward).sum(-1) >= 0.0).all(-1) & (np.abs(normal).max(-1) > 1e-12)
    along = ((points[..., None, :] - corners) * edges).sum(-1) / np.maximum((edges**2).sum(-1), 1e-12)
    nearest = corners + np.clip(along, 0.0, 1.0)[..., None] * edges
    to_edges = np.linalg.norm(points[..., None, :] - nearest, axis=-1).min(-1)
    distance: np.ndarray = np.where(inside, np.abs(height), to_edges)
    return distance
