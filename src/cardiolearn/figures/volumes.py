r"""Cuts through volumes side by side, maps of differences, and surfaces in space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cardiolearn.errors import InputError
from cardiolearn.figures.slices import extent_of, overlay
from cardiolearn.figures.style import PALETTE
from cardiolearn.imaging.intensity import percentiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

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


def signed_maps(
    planes: Mapping[str, ArrayLike], *, limit: float, label: str, spacing: tuple[float, float], down: str = "y",
    size: float = 3.3,
) -> Figure:  # fmt: skip
    r"""Planes (Y, X) of numbers above and below 0 in a row, by title, in one scale from `-limit` to `limit`.

    Blue is above 0, red below, white is 0. `label` says what is shown, with its unit; `spacing` and `down` as for
    `side_by_side`.
    """
    first = np.asarray(next(iter(planes.values())))
    figure, axes = _row(len(planes), first.shape, spacing, size)
    for ax, (title, plane) in zip(axes, planes.items(), strict=True):
        image = _signed(ax, plane, limit, spacing)
        ax.set(title=title, xlabel="x (mm)", ylabel=f"{down} (mm)")
        ax.label_outer()
    figure.colorbar(image, ax=axes, label=label, shrink=0.8)
    return figure


def subject_rows(
    rows: Mapping[str, Mapping[str, ArrayLike]], compared: Mapping[str, ArrayLike], *, title: str, label: str,
    spacing: tuple[float, float], down: str = "y", limit: float = 15.0, size: float = 2.7,
) -> Figure:  # fmt: skip
    r"""A row of planes (Y, X) for each subject, by the row's name and by title, and at its end a comparison of two.

    A row has one grey scale, the 1st to 99th percentile of its last plane; axes are in mm.

    Args:
        compared: the last column, a plane of numbers above and below 0 for each row, as in `signed_maps`.
        title: of the last column; `label` says what its colours mean, with the unit.
    """
    import matplotlib.pyplot as plt

    columns = len(next(iter(rows.values()))) + 1
    tall = [np.asarray(plane).shape[0] * spacing[1] / (np.asarray(plane).shape[1] * spacing[0])
            for plane in compared.values()]  # fmt: skip
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(size * columns + 1, size * sum(tall) + 1), squeeze=False, height_ratios=tall
    )
    for i, (line, (name, planes)) in enumerate(zip(axes, rows.items(), strict=True)):
        low, high = percentiles(np.asarray(list(planes.values())[-1], dtype=np.float64), 1, 99)
        for ax, plane in zip(line, planes.values(), strict=False):
            overlay(ax, plane, spacing=spacing, window=(low, high))
        image = _signed(line[-1], compared[name], limit, spacing)
        for ax, head in zip(line, (*planes, title), strict=True):
            ax.set(title=head if i == 0 else "", xlabel="x (mm)" if i == len(rows) - 1 else "", ylabel="")
        line[0].set_ylabel(f"{name}\n{down} (mm)")
    figure.colorbar(image, ax=axes[:, -1], label=label, shrink=0.6)
    return figure


def picture(
    plane: ArrayLike, *, window: tuple[float, float], spacing: tuple[float, float], down: str = "y", size: float = 6.0
) -> Figure:
    r"""One plane (Y, X) in a grey scale from `window[0]` to `window[1]`, axes in mm: one side of a swipe."""
    figure, (ax,) = _row(1, np.asarray(plane).shape, spacing, size)
    overlay(ax, plane, spacing=spacing, window=window)
    ax.set_ylabel(f"{down} (mm)")
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


def _signed(ax: Axes, plane: ArrayLike, limit: float, spacing: tuple[float, float]) -> AxesImage:
    # Numbers above and below 0 as blue and red, in mm.
    values = np.asarray(plane, dtype=np.float64)
    place = extent_of(values, spacing)
    return ax.imshow(values, cmap="RdBu", vmin=-limit, vmax=limit, extent=place, interpolation="nearest")
