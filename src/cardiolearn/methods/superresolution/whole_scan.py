r"""Clinical stacks brought to thin slices: by interpolation, or by a network that adds what interpolation lacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image, resample
from cardiolearn.imaging.intensity import unit_variance
from cardiolearn.methods.superresolution.networks import FACTOR, fold, interpolate, takes_views
from cardiolearn.phantom.cohorts.stacks import TestStack
from cardiolearn.phantom.scanners.crossing_views import PLANE_REACH

Order = Literal["nearest", "linear", "spline"]
Method = Order | nn.Module
RATIO = 8.0  # slice distance over pixel size of what the networks learn from: 10 mm over 1.25 mm


def fine_affine(stack: Image) -> np.ndarray:
    r"""Affine of the thin slices: a fifth of the slice distance apart, slice `5 k + 2` in the middle of slice `k`."""
    step = np.diag([1.0, 1.0, 1.0 / FACTOR, 1.0])
    step[2, 3] = -(FACTOR // 2) / FACTOR
    affine: np.ndarray = stack.affine @ step
    return affine


def upsample(stack: Tensor, order: Order) -> Tensor:
    r"""Thin slices `(5 Z, Y, X)` of thick ones `(Z, Y, X)`; beyond the middles of the end slices these repeat.

    `"spline"` is cubic (of lower degree below four slices) and goes through the slices' values.

    Raises:
        InputError: fewer than two slices, or another order.
    """
    _check(stack)
    if order == "nearest":
        return stack.repeat_interleave(FACTOR, 0)
    if order == "linear":
        return interpolate(stack[None, None])[0, 0]
    if order != "spline":
        raise InputError(f"order: expected nearest, linear or spline, got {order!r}")
    from scipy.interpolate import make_interp_spline

    z = len(stack)
    curve = make_interp_spline(np.arange(z), np.eye(z), k=min(3, z - 1))
    places = (np.arange(FACTOR * z) - FACTOR // 2) / FACTOR
    weights = torch.from_numpy(curve(places.clip(0, z - 1))).to(stack)
    return torch.tensordot(weights, stack, dims=1)


@torch.no_grad()
def restore(stack: Tensor, network: nn.Module, views: Tensor | None = None) -> Tensor:
    r"""Thin slices `(5 Z, Y, X)` a network finds for a stack `(Z, Y, X)` whose pixels are as those it learnt from.

    Args:
        network: in evaluation mode.
        views: other views on the thin slices' grid, `(C, 5 Z, Y, X)`, signal and presence in turn.
    """
    _check(stack)
    middle, width = unit_variance(stack)
    device = next(network.parameters()).device
    inputs = network_input(stack[None], None if views is None else views[None], middle, width).to(device)
    thin: Tensor = network(inputs)[0, 0].to(stack.device)
    return thin * width + middle


def thin(stack: Tensor, method: Method, views: Tensor | None = None) -> Tensor:
    r"""Thin slices `(5 Z, Y, X)` of a stack by an order of `upsample` or a network, which gets the views if it takes
    them."""
    if isinstance(method, str):
        return upsample(stack, method)
    return restore(stack, method, views if takes_views(method) else None)


def thin_phases(scan: TestStack, method: Method) -> Tensor:
    r"""Thin slices `(2, 5 Z, Y, X)` of both phases of a test stack."""
    return torch.stack([thin(stack, method, views) for stack, views in zip(scan.stack, scan.views, strict=True)])


def network_input(stack: Tensor, views: Tensor | None, middle: float, width: float) -> Tensor:
    r"""`(N, 1 + 5 C, Z, Y, X)` of stacks `(N, Z, Y, X)` and their `views` `(N, C, 5 Z, Y, X)`, scaled alike."""
    scaled = (stack[:, None] - middle) / width
    if views is None:
        return scaled
    there = views[:, 1::2]
    signal = (views[:, 0::2] - middle) / width * there
    return torch.cat((scaled, fold(torch.stack((signal, there), 2).flatten(1, 2))), 1)


def super_resolve(stack: Image, network: nn.Module, pictures: Sequence[Image] = ()) -> Image:
    r"""Thin slices of a whole scan `(Z, Y, X)`, any pixel size and slice distance: its grid, five times as fine.

    The network looks at pixels of an eighth of the slice distance, as in its training; what it adds to linear
    interpolation is brought back to the scan's own pixels, so nothing is lost where it adds nothing.

    Args:
        network: in evaluation mode.
        pictures: the long-axis pictures `(1, Y, X)` for a network of several views, in its order; all or none.

    Raises:
        InputError: a cine, fewer than two slices, pictures that do not cross the stack or are no single slice.
    """
    if stack.n_frames != 1 or stack.data.ndim != 3:
        raise InputError(f"super_resolve: expected one frame (Z, Y, X), got {tuple(stack.data.shape)}")
    _check(stack.data)
    wanted = (sum(getattr(network, "inputs", [1])) - 1) // (2 * FACTOR)
    if len(pictures) != wanted:
        raise InputError(f"super_resolve: this network takes {wanted} long-axis pictures, got {len(pictures)}")
    at_ratio = _with_pixel(stack, stack.spacing[2] / RATIO)
    views = [on_thin_slices(picture, at_ratio) for picture in pictures]
    thin = restore(at_ratio.data.float(), network, torch.cat(views) if views else None)
    residual = thin - upsample(at_ratio.data.float(), "linear")
    affine, shape = fine_affine(stack), (FACTOR * len(stack.data), *stack.data.shape[1:])
    added = resample(Image(residual, fine_affine(at_ratio)), affine, shape)
    return Image(upsample(stack.data.float(), "linear") + added.data, affine)


def on_thin_slices(picture: Image, stack: Image) -> Tensor:
    r"""A long-axis picture on the grid of the stack's thin slices, `(2, 5 Z, Y, X)`: its signal near its plane and 0
    elsewhere, and 1 where there is a signal.

    Raises:
        InputError: more than one slice, or a picture that does not cross the stack.
    """
    if picture.n_frames != 1 or picture.data.shape[-3] != 1:
        raise InputError(f"long-axis picture: expected one slice (1, Y, X), got {tuple(picture.data.shape)}")
    grid, shape = fine_affine(stack), (FACTOR * len(stack.data), *stack.data.shape[1:])
    thin = picture.affine.copy()  # as thin as its reach: `resample` takes a voxel for a box
    thin[:3, 2] *= 2 * PLANE_REACH / picture.spacing[2]
    flat = Image(picture.data.reshape(picture.data.shape[-3:]).float(), thin)
    there = resample(flat.with_data(torch.ones_like(flat.data)), grid, shape).data
    if not (there > 0).any():
        raise InputError("long-axis picture: it does not cross the stack; do they come from one examination?")
    return torch.stack((resample(flat, grid, shape).data, (there > 0).float()))


def leave_out(stack: Image) -> tuple[Image, Tensor]:
    r"""Every second slice of a stack, and those between them `(Z', Y, X)`: a test that needs no thin-slice scan.

    Raises:
        InputError: fewer than five slices.
    """
    n = (len(stack.data) - 1) // 2
    if n < 2:
        raise InputError(f"leave_out: expected at least 5 slices, got {len(stack.data)}")
    affine = stack.affine @ np.diag([1.0, 1.0, 2.0, 1.0])
    return Image(stack.data[0 : 2 * n + 1 : 2].float(), affine), stack.data[1 : 2 * n : 2].float()


def between(thin: Tensor) -> Tensor:
    r"""Half-way between the thick slices, `(Z - 1, Y, X)` of thin slices `(5 Z, Y, X)`: what `leave_out` took away."""
    z = len(thin) // FACTOR
    first = FACTOR * torch.arange(z - 1, device=thin.device) + FACTOR // 2 + 2
    return 0.5 * (thin[first] + thin[first + 1])


def _with_pixel(stack: Image, pixel: float) -> Image:
    # In-plane pixels of `pixel` mm, where they differ by more than a fiftieth; coarser ones are means.
    factors = np.array([pixel / d for d in stack.spacing[:2]])
    if np.abs(factors - 1.0).max() < 0.02:
        return stack
    sharp = stack.data.float()[None]
    height, width = (max(1, round(n / f)) for n, f in zip(stack.data.shape[1:], factors[::-1], strict=True))
    found = F.interpolate(sharp, size=(height, width), mode="bilinear", align_corners=False, antialias=True)[0]
    steps = np.array([stack.data.shape[2] / width, stack.data.shape[1] / height])
    scale = np.diag([*steps, 1.0, 1.0])
    scale[:2, 3] = 0.5 * (steps - 1.0)
    return Image(found, stack.affine @ scale)


def _check(stack: Tensor) -> None:
    if stack.ndim != 3 or len(stack) < 2:
        raise InputError(f"stack: expected (Z, Y, X) with at least two slices, got {tuple(stack.shape)}")
