r"""Smooth deformations: a displacement in mm, spanned by cubic B-splines on a regular grid of control points.

Positions and displacements are in mm along the axes of a tensor, `(z, y, x)` or `(y, x)`, measured from the middle of
the first voxel. Everything is separable: along each axis the splines at some positions are a matrix, so a whole
displacement field is a few matrix products, exact at any position and differentiable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from cardiolearn.errors import InputError

_PIECE = 20_000  # points at a time: the products of three axes take memory


def spline_matrix(positions: Tensor, knot: float, count: int, derivative: int = 0) -> Tensor:
    r"""B-splines of an axis, or their first or second derivative, `(P, count)` at `positions` `(P,)` mm.

    Spline `j` is centred at `(j - 1) * knot` mm, so that the first voxel lies under three of them.
    """
    t = positions[:, None] / knot - (torch.arange(count, dtype=positions.dtype, device=positions.device) - 1.0)
    r, side = t.abs(), t.sign()
    near, far = (r < 1.0).to(t.dtype), ((r >= 1.0) & (r < 2.0)).to(t.dtype)
    if derivative == 0:
        return near * (2.0 / 3.0 - r**2 + 0.5 * r**3) + far * (2.0 - r) ** 3 / 6.0
    if derivative == 1:
        return side * (near * (1.5 * r**2 - 2.0 * r) - far * 0.5 * (2.0 - r) ** 2) / knot
    return (near * (3.0 * r - 2.0) + far * (2.0 - r)) / knot**2


def grid_places(shape: Sequence[int], spacing: Sequence[float]) -> Tensor:
    r"""Positions `(*shape, D)` in mm of the voxels of a grid."""
    axes = [torch.arange(n, dtype=torch.float32) * s for n, s in zip(shape, spacing, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)


@dataclass(frozen=True)
class FreeForm:
    r"""A displacement field; `at` gives it anywhere. Beyond its control points it fades to zero.

    The coefficients may be changed in place, as an optimiser does: what is kept of the splines does not depend on them.

    Args:
        coefficients: `(D, *counts)` mm, component `d` displaces along axis `d`.
        knots: distance in mm of the control points along each axis.

    Source: Rueckert et al., IEEE TMI 1999, 18(8):712-721.
    """

    coefficients: Tensor
    knots: tuple[float, ...]

    @classmethod
    def identity(cls, extent: Sequence[float], knot: float, device: torch.device | None = None) -> Self:
        r"""No displacement, with control points some `knot` mm apart over `extent` mm along each axis.

        The distance is shrunk so that a whole number of them fits.
        """
        pieces = [max(1, math.ceil(length / knot - 1e-6)) for length in extent]
        knots = tuple(max(length, 1e-3) / n for length, n in zip(extent, pieces, strict=True))
        counts = [n + 3 for n in pieces]
        return cls(torch.zeros((len(counts), *counts), device=device), knots)

    def matrices(self, places: Sequence[Tensor], derivatives: Sequence[int] | None = None) -> list[Tensor]:
        r"""`spline_matrix` of every axis at `places`, one tensor `(P,)` of positions each."""
        order = derivatives or [0] * len(places)
        counts = self.coefficients.shape[1:]
        return [spline_matrix(p, k, n, d) for p, k, n, d in zip(places, self.knots, counts, order, strict=True)]

    def on_grid(self, matrices: Sequence[Tensor]) -> Tensor:
        r"""Displacement `(D, *shape)` in mm on a grid, from the `matrices` of its axes."""
        field = self.coefficients
        for matrix in matrices:  # contracts the first control axis and appends a voxel axis
            field = torch.tensordot(field, matrix, dims=([1], [1]))
        return field

    def at(self, points: Tensor) -> Tensor:
        r"""Displacement `(..., D)` in mm at `points` `(..., D)`."""
        return self._at_points(points, [0] * points.shape[-1])

    def jacobian(self, points: Tensor) -> Tensor:
        r"""Determinant `(...)` of the Jacobian of `x -> x + u(x)` at `points` `(..., D)`; below 0 space is folded."""
        return _determinant([self._at_points(points, along) for along in self._first_derivatives()])

    def _at_points(self, points: Tensor, derivatives: Sequence[int]) -> Tensor:
        if points.shape[-1] != len(self.knots):
            raise InputError(f"points: expected {len(self.knots)} coordinates, got shape {tuple(points.shape)}")
        pieces = []
        for piece in points.reshape(-1, points.shape[-1]).split(_PIECE):
            first, *others = self.matrices(piece.unbind(-1), derivatives)
            field = torch.tensordot(first, self.coefficients, dims=([1], [1]))  # (P, D, *other axes)
            for matrix in others:
                field = (field * matrix.reshape(len(piece), 1, -1, *[1] * (field.ndim - 3))).sum(2)
            pieces.append(field)
        return torch.cat(pieces).reshape(points.shape)

    def bending(self) -> Tensor:
        r"""Bending energy: the mean over the domain of the squared second derivatives, in 1/mm^2.

        Source: Rueckert et al. 1999, eq. 6 (deviation: the integral as a sum over four points for each control point).
        """
        d, total = len(self.knots), self.coefficients.new_zeros(())
        for i in range(d):
            for j in range(i, d):
                order = [int(a == i) + int(a == j) for a in range(d)]
                field = self.on_grid([self._grams[axis][k] for axis, k in enumerate(order)])
                total = total + (1.0 if i == j else 2.0) * (field * self.coefficients).sum()
        return total

    @cached_property
    def _grams(self) -> list[list[Tensor]]:
        # Mean products `(count, count)` of the splines of each axis, and of their first and second derivatives.
        found = []
        for places, knot, count in zip(self._samples(4), self.knots, self.coefficients.shape[1:], strict=True):
            matrices = [spline_matrix(places, knot, count, derivative) for derivative in range(3)]
            found.append([matrix.T @ matrix / len(places) for matrix in matrices])
        return found

    def squeeze(self, least: float) -> Tensor:
        r"""Mean of the squares of what the Jacobian's determinant lacks of `least`, at two points for each control
        point along every axis: a penalty that keeps space from folding."""
        columns = [self.on_grid(matrices).movedim(0, -1) for matrices in self._slopes]
        return torch.relu(least - _determinant(columns)).square().mean()

    @cached_property
    def _slopes(self) -> list[list[Tensor]]:
        # For the derivative along each axis, the matrices of all axes.
        places = self._samples(2)
        return [self.matrices(places, along) for along in self._first_derivatives()]

    def _first_derivatives(self) -> list[list[int]]:
        # The order of the derivative along every axis, for each of the axes.
        d = len(self.knots)
        return [[int(i == axis) for i in range(d)] for axis in range(d)]

    def _samples(self, density: int) -> list[Tensor]:
        # Positions in mm along each axis, `density` to a control point, over the domain.
        like = self.coefficients
        return [
            (torch.arange(density * (n - 3), device=like.device, dtype=like.dtype) + 0.5) * k / density
            for n, k in zip(like.shape[1:], self.knots, strict=True)
        ]

    def refined(self) -> FreeForm:
        r"""The same field on twice as many control points: splines are sums of finer splines."""
        field = self.coefficients
        for axis, count in enumerate(field.shape[1:], 1):
            fine = 2 * (count - 3) + 3
            split = field.new_zeros((fine, count))
            for shift, weight in ((-2, 0.125), (-1, 0.5), (0, 0.75), (1, 0.5), (2, 0.125)):
                rows = (
                    2 * torch.arange(count, device=field.device) - 1 + shift
                )  # fine spline of centre 2 (j - 1) + shift
                inside = (rows >= 0) & (rows < fine)
                split[rows[inside], torch.arange(count, device=field.device)[inside]] = weight
            field = torch.tensordot(field, split, dims=([axis], [1])).movedim(-1, axis)
        return FreeForm(field, tuple(k / 2 for k in self.knots))


def _determinant(columns: Sequence[Tensor]) -> Tensor:
    # Of the Jacobian of `x -> x + u(x)`, from the derivatives `(..., D)` of `u` along each axis.
    gradient = torch.stack(list(columns), -1)
    return torch.linalg.det(torch.eye(len(columns), device=gradient.device) + gradient)
