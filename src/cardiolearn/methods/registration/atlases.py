r"""Atlases: edge maps whose labels are known, and how an atlas's labels come onto another heart's edge map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.methods.registration.block_matching import MatchingSettings, align, coarser, warped
from cardiolearn.methods.registration.bsplines import FreeForm
from cardiolearn.methods.registration.ffd import RegistrationSettings, register


@dataclass(frozen=True)
class Atlas:
    r"""A heart whose labels are known.

    Args:
        edges: edge map `(Z, Y, X)` in [0, 1].
        labels: `(Z, Y, X)`, uint8, on the same grid; 0 is background.

    Raises:
        InputError: grids that differ, more than one frame, values of other kinds, or labels of background alone.
    """

    edges: Image
    labels: Image

    def __post_init__(self) -> None:
        check_edges("atlas edges", self.edges)
        shape, labels = tuple(self.edges.data.shape), self.labels.data
        if labels.dtype != torch.uint8 or labels.shape != shape:
            found = f"{labels.dtype} {tuple(labels.shape)}"
            raise InputError(f"atlas labels: expected uint8 of the edges' shape {shape}, got {found}")
        if not np.allclose(self.labels.affine, self.edges.affine):
            found = f"{self.labels.affine.tolist()} and not {self.edges.affine.tolist()}"
            raise InputError(f"atlas labels: expected the edges' affine, got {found}")
        if not labels.any():
            raise InputError("atlas labels: expected at least one structure, got background alone")


def check_edges(name: str, edges: Image) -> None:
    r"""Refuse, by its `name`, what is no edge map `(Z, Y, X)` in [0, 1].

    Raises:
        InputError: it is none.
    """
    data = edges.data
    if data.ndim != 3 or not data.is_floating_point():
        raise InputError(f"{name}: expected one frame of floats (Z, Y, X), got {data.dtype} {tuple(data.shape)}")
    if not ((data >= 0.0) & (data <= 1.0)).all():
        raise InputError(f"{name}: expected values in [0, 1], got {float(data.min()):g} to {float(data.max()):g}")


@dataclass(frozen=True)
class PropagationSettings:
    r"""How an atlas is carried to a target.

    Args:
        classes: number of labels, background included.
        matching: of the affine alignment, done on voxels twice as large: what it leaves is less than a deformation
            finds.
        deformation: of what the alignment leaves.
    """

    classes: int = 3
    matching: MatchingSettings = field(default_factory=lambda: MatchingSettings(affine=True, levels=2))
    deformation: RegistrationSettings = field(default_factory=RegistrationSettings)


class Propagated(NamedTuple):
    r"""An atlas on a target's grid.

    `labels` `(classes, Z, Y, X)` holds the share of each class in a voxel, which sum to one; `edges` `(Z, Y, X)` is the
    atlas's edge map; `least_jacobian` is the smallest determinant of the free-form deformation's Jacobian: at 0 and
    below space would be folded.
    """

    labels: Tensor
    edges: Tensor
    least_jacobian: float


def propagated(target: Image, atlas: Atlas, settings: PropagationSettings) -> Propagated:
    r"""The atlas carried to the grid of the `target`, an edge map `(Z, Y, X)` in [0, 1], on the target's device.

    The edge maps are aligned by affine block matching, then the atlas's one is deformed; the labels go through both in
    one interpolation. To begin with, the grids lie on one another, middle on middle and axis along axis, as in volumes
    of one protocol: patients do not lie alike in their worlds.

    Source: Oktay et al., MICCAI 2015: block matching (Ourselin et al. 2001) and free-form deformation (Rueckert et al.
    1999) of edge maps (deviation: the similarity and the distance of the control points are **our choice**).

    Raises:
        InputError: the target is no edge map, an edge map shows too little to be aligned, or labels that are no class.
    """
    check_edges("target", target)
    most = int(atlas.labels.data.max())
    if most >= settings.classes:
        raise InputError(f"atlas labels: expected below {settings.classes}, got {most}")
    start = torch.from_numpy(_frame(atlas.edges) @ np.linalg.inv(_frame(target)))
    alignment = align(coarser(target, 1), coarser(atlas.edges, 1), settings.matching, start)
    moving = warped(atlas.edges, alignment, target).nan_to_num()  # no edges where nothing is known
    deformation = register(target.data.float(), moving, target.spacing[::-1], settings.deformation)
    shares = [atlas.labels.data == label for label in range(1, settings.classes)]
    volumes = torch.stack([volume.float() for volume in (*shares, atlas.edges.data)])
    *structures, edges = _carried(volumes, atlas.edges, alignment, deformation, target)
    labels = torch.stack((1.0 - sum(structures), *structures))
    return Propagated(labels, edges, _least_jacobian(deformation, _axes(target)))


def _frame(image: Image) -> np.ndarray:
    # From mm about the middle of the grid, along its axes (x, y, z), to the world.
    frame = image.affine / np.array([*image.spacing, 1.0])
    frame[:3, 3] = (image.affine @ [*(0.5 * (size - 1) for size in image.data.shape[::-1]), 1.0])[:3]
    return frame


def _carried(volumes: Tensor, source: Image, alignment: Tensor, deformation: FreeForm, target: Image) -> Tensor:
    # Volumes (C, *grid) on the source's grid at the places of the target's voxels (C, Z, Y, X), linear; 0 outside.
    axes, steps = _axes(target), target.spacing[::-1]
    field = deformation.on_grid(deformation.matrices(axes))
    grid = torch.meshgrid(*axes, indexing="ij")
    voxels = [(place + moved) / step for place, moved, step in zip(grid, field, steps, strict=True)]
    places = torch.stack((*reversed(voxels), torch.ones_like(voxels[0])), -1)  # (x, y, z, 1) of the target's grid
    matrix = (np.linalg.inv(source.affine) @ alignment.cpu().numpy() @ target.affine)[:3]
    matrix *= (2.0 / np.maximum(np.array(source.data.shape[::-1]) - 1.0, 1.0))[:, None]
    matrix[:, 3] -= 1.0  # grid_sample wants [-1, 1]
    return F.grid_sample(volumes[None], (places @ places.new_tensor(matrix).T)[None], align_corners=True)[0]


def _least_jacobian(deformation: FreeForm, axes: Sequence[Tensor]) -> float:
    # Over a grid: there the splines are separable, which is ten times as fast as at points.
    slopes = [deformation.on_grid(deformation.matrices(axes, [int(i == k) for i in range(3)])) for k in range(3)]
    gradient = torch.stack(slopes, -1).movedim(0, -2)
    return float(torch.linalg.det(torch.eye(3, device=gradient.device) + gradient).min())


def _axes(image: Image) -> list[Tensor]:
    # Positions in mm of the voxels along each axis.
    sizes = zip(image.data.shape, image.spacing[::-1], strict=True)
    return [step * torch.arange(size, device=image.data.device, dtype=torch.float32) for size, step in sizes]
