r"""Label volumes as networks take them: looked at before they are believed, then a channel for each class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cardiolearn.errors import InputError


def check_labels(labels: Tensor, n_classes: int, grid: Sequence[int] | None = None) -> Tensor:
    r"""Label volumes `(N, Z, Y, X)` as they came, if they are such.

    Args:
        labels: of an integer type, 0 to `n_classes` - 1.
        n_classes: background included; every class must be there in one of the volumes at least.
        grid: `(Z, Y, X)` that they must have; any by default.

    Raises:
        InputError: they are not of an integer type, of another grid, hold unknown labels, or lack a class.
    """
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise InputError(f"label volumes: expected whole numbers, got {str(labels.dtype).removeprefix('torch.')}")
    expected = "Z, Y, X" if grid is None else ", ".join(str(n) for n in grid)
    if labels.ndim != 4 or not labels.numel() or (grid is not None and labels.shape[1:] != tuple(grid)):
        raise InputError(f"label volumes: expected (N, {expected}), got {tuple(labels.shape)}")
    low, high = labels.amin().item(), labels.amax().item()
    if low < 0 or high >= n_classes:
        raise InputError(f"label volumes: expected labels 0 to {n_classes - 1}, got {low} to {high}")
    present = torch.bincount(labels.flatten().long(), minlength=n_classes) > 0
    if not present.all():
        missing = ", ".join(str(k) for k in (~present).nonzero().flatten().tolist())
        raise InputError(f"label volumes: expected every label from 0 to {n_classes - 1}, found no voxel of {missing}")
    return labels


def one_hot(labels: Tensor, n_classes: int) -> Tensor:
    r"""Masks `(N, n_classes, Z, Y, X)` of label volumes `(N, Z, Y, X)`, 1 where a voxel has the label, else 0.

    >>> one_hot(torch.tensor([[[[0, 2]]]]), 3)[0, :, 0, 0].tolist()
    [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    """
    classes = torch.arange(n_classes, device=labels.device).reshape(1, -1, 1, 1, 1)
    return (labels[:, None] == classes).to(torch.get_default_dtype())
