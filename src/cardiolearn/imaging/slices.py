r"""A scan as a stack of pictures that a network can look at, and the way back to the scan's own grid.

Whatever order the array is stored in, the pictures come out alike: the slice axis is found, and the in-plane axes are
brought into an order fixed by the patient, left to right and head to feet as on a console.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.imaging.image import Image

PIXEL = 1.5  # mm: what the networks are trained at


@dataclass(frozen=True)
class Stack:
    r"""Slices in the network's order: data `(T, Z, Y, X)`, pixel size `(dy, dx)` in mm, and the way back."""

    data: Tensor
    pixel: tuple[float, float]
    restore: Callable[[Tensor], Tensor]


def slice_axis(image: Image) -> int:
    r"""Which of the axes x, y, z (0, 1, 2) runs across slices: the coarsest, or the shortest where none is coarser."""
    spacing, size = np.array(image.spacing), np.array(image.data.shape[-3:][::-1])
    coarse = np.argsort(spacing)
    if spacing[coarse[2]] > 1.5 * spacing[coarse[1]]:
        return int(coarse[2])
    return int(np.argmin(size))


def stack(image: Image) -> Stack:
    r"""The slices of a scan `(T, Z, Y, X)` or `(Z, Y, X)` in the network's order."""
    through = slice_axis(image)
    directions = (image.affine[:3, :3] / np.array(image.spacing)).T
    first, second = (axis for axis in range(3) if axis != through)
    # Columns run along whichever axis lies more left-right, then both axes point left and down, as on a console.
    reference = np.array([[-1.0, -0.11, 0.07], [0.05, -0.13, -1.0]])
    if abs(directions[first] @ reference[0]) < abs(directions[second] @ reference[0]):
        first, second = second, first
    flips = [-1] if directions[first] @ reference[0] < 0 else []
    flips += [-2] if directions[second] @ reference[1] < 0 else []
    order = [0, 3 - through, 3 - second, 3 - first]  # axes of the tensor (T, Z, Y, X)
    data = image.data if image.data.ndim == 4 else image.data[None]
    spacing = image.spacing

    def restore(labels: Tensor) -> Tensor:
        back = labels.flip(flips).permute(*np.argsort(order).tolist())
        return back if image.data.ndim == 4 else back[0]

    return Stack(data.permute(*order).flip(flips), (spacing[second], spacing[first]), restore)


def window(
    slices: Tensor, pixel: tuple[float, float], centre: tuple[float, float], size: tuple[int, int], zoom: float
) -> Tensor:
    r"""Bilinear `(N, 1, *size)` window about `centre` (y, x in source pixels), pixels of PIXEL * zoom mm; 0 outside."""
    height, width = slices.shape[-2:]
    sy, sx = PIXEL * zoom / pixel[0], PIXEL * zoom / pixel[1]
    ay, ax = sy * size[0] / height, sx * size[1] / width
    ty, tx = (2 * centre[0] + 1) / height - 1, (2 * centre[1] + 1) / width - 1
    theta = torch.tensor([[ax, 0.0, tx], [0.0, ay, ty]], dtype=torch.float32)
    grid = F.affine_grid(theta[None], [1, 1, *size], align_corners=False).expand(len(slices), -1, -1, -1)
    return F.grid_sample(slices[:, None], grid, mode="bilinear", align_corners=False)


def unwindow(
    values: Tensor, pixel: tuple[float, float], centre: tuple[float, float], shape: tuple[int, int], zoom: float
) -> Tensor:
    r"""The inverse of `window`: `(N, C, h, w)` back onto slices of `shape`, zero outside the window."""
    size = values.shape[-2:]
    sy, sx = pixel[0] / (PIXEL * zoom), pixel[1] / (PIXEL * zoom)
    ay, ax = sy * shape[0] / size[0], sx * shape[1] / size[1]
    middle = ((shape[0] - 1) / 2 - centre[0], (shape[1] - 1) / 2 - centre[1])
    ty, tx = 2 * middle[0] * sy / size[0], 2 * middle[1] * sx / size[1]
    theta = torch.tensor([[ax, 0.0, tx], [0.0, ay, ty]], dtype=torch.float32)
    grid = F.affine_grid(theta[None], [1, 1, *shape], align_corners=False).expand(len(values), -1, -1, -1)
    return F.grid_sample(values, grid, mode="bilinear", align_corners=False)
