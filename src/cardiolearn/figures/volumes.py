r"""Cuts through volumes side by side, maps of what they are off, and surfaces in space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cardiolearn.errors import InputError
from cardiolearn.figures.slices import overlay
from cardiolearn.figures.style import PALETTE
from cardiolearn.imaging.intensity import percentiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cardiolearn.measures.surfaces import Mesh

_ROUND = 3.0  # mm of room around surfaces
SURFACE_COLOURS = {"lv_endocardium": PALETTE["lv"], "lv_epicardium": "#9A8700"}


def side_by_side(
    planes: Mapping[str, ArrayLike], *, spacing: tuple[float, float], down: str = "y", size: float = 3.3
) -> Figure:
    r"""Planes (Y, X) by title in a row, all in one grey scale (1st to 99th percentile of the first), axes in mm.

    Args:
        planes: of any size in pixels.
        spacing: (dx, dy) in mm.
        down: name of the axis that runs down: `"z"` in a cut along the heart.

    Raises:
        InputError: no planes.
    """
    if not planes:
        raise InputError("side_by_side: expected at least one plane")
    first = np.asarray(next(iter(planes.values())), dtype=np.float64)
    low, high = percentiles(first, 1, 99)
    figure, axes = _row(len(planes), first.shape, spacing, size)
    for ax, (title, plane) in zip(axes, planes.items(), strict=True):
        overlay(ax, plane, spacing=spacing, window=(low, high))
        ax.set(title=title, ylabel=f"{down} (mm)")
        ax.label_outer()
    return figure


def error_maps(
    planes: Mapping[str, ArrayLike], truth: ArrayLike, *, span: float, spacing: tuple[float, float], down: str = "y",
    size: float = 3.3,
) -> Figure:  # fmt: skip
    r"""How far each of `planes` (Y, X) is from `truth`, in percent of the data range `span`, in one colour scale;
    `spacing` and `down` as for `side_by_side`."""
    reference = np.asarray(truth, dtype=np.float64)
    figure, axes = _row(len(planes), reference.shape, spacing, size)
    dx, dy = spacing
    extent = (-0.5 * dx, (reference.shape[1] - 0.5) * dx, (reference.shape[0] - 0.5) * dy, -0.5 * dy)
    for ax, (title, plane) in zip(axes, planes.items(), strict=True):
        off = 100.0 * np.abs(np.asarray(plane, dtype=np.float64) - reference) / span
        image = ax.imshow(off, cmap="magma", vmin=0.0, vmax=40.0, extent=extent, interpolation="nearest")
        ax.set(title=title, xlabel="x (mm)", ylabel=f"{down} (mm)")
        ax.label_outer()
    figure.colorbar(image, ax=axes, label="error (% of the range)", shrink=0.8)
    return figure


def surfaces(
    found: Mapping[str, Mesh], true: Mapping[str, Mesh], *, within: Mapping[str, Mesh], title: str = ""
) -> Figure:
    r"""The LV's surfaces as found (full colour, the outer one to look through) and as they are (grey lines), seen from
    the side; axes in mm, RAS+.

    Args:
        within: meshes as large as any of a film's, which all its pictures show in one scale.
    """
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(5.5, 5.5))
    ax = figure.add_subplot(projection="3d")
    for name, mesh in found.items():
        inner = name == "lv_endocardium"
        ax.plot_trisurf(
            *mesh.vertices.T.numpy(), triangles=mesh.faces.numpy(), color=SURFACE_COLOURS[name],
            alpha=0.85 if inner else 0.18, linewidth=0.0,
        )  # fmt: skip
    for mesh in true.values():
        ax.plot_trisurf(
            *mesh.vertices.T.numpy(), triangles=mesh.faces.numpy(), color=(0, 0, 0, 0), edgecolor=(0.2, 0.2, 0.2, 0.35),
            linewidth=0.3,
        )  # fmt: skip
    every = np.concatenate([mesh.vertices.numpy() for mesh in within.values()])
    low, high = every.min(0) - _ROUND, every.max(0) + _ROUND
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]), title=title)
    ax.set(xlabel="x (mm)", ylabel="y (mm)", zlabel="z (mm)")
    ax.set_box_aspect(high - low)
    base, apex = every[-2:]  # the last vertices of an LV surface
    ax.view_init(elev=5, azim=float(np.degrees(np.arctan2(*(apex - base)[1::-1]))) + 90.0)
    return figure


def _row(n: int, shape: tuple[int, ...], spacing: tuple[float, float], size: float) -> tuple[Figure, list[Axes]]:
    import matplotlib.pyplot as plt

    tall = shape[0] * spacing[1] / (shape[1] * spacing[0])
    figure, axes = plt.subplots(1, n, figsize=(size * n, size * tall + 0.9), squeeze=False)
    return figure, list(axes[0])
