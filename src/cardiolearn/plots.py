r"""Figures that look alike in every lesson: one palette, units on every axis, letters a back row can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiolearn.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Ventricles from Okabe and Ito's colour-blind-safe set; the atria chosen to stay apart from them for every kind of eye.
PALETTE = {
    "lv_cavity": "#D55E00",
    "myocardium": "#F0E442",
    "rv_cavity": "#56B4E9",
    "left_atrium": "#7A4DFF",
    "right_atrium": "#B0705A",
}
NAMES = {
    "lv_cavity": "LV cavity",
    "myocardium": "LV myocardium",
    "rv_cavity": "RV cavity",
    "left_atrium": "left atrium",
    "right_atrium": "right atrium",
}
STRUCTURES = tuple(PALETTE)  # label k of a segmentation is STRUCTURES[k - 1]
STYLE: dict[str, Any] = {
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "font.size": 13,
    "axes.titlesize": 14,
    "axes.labelsize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 2.2,
}


def use_style() -> None:
    r"""Set the kit's style for all figures of this kernel."""
    import matplotlib as mpl

    parameters: Any = mpl.rcParams
    parameters.update(STYLE)


def overlay(
    ax: Axes,
    image: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    spacing: tuple[float, float] | None = None,
    alpha: float = 0.4,
    window: tuple[float, float] | None = None,
) -> None:
    r"""Draw a grey image (Y, X) with its labels (Y, X) tinted and outlined.

    `spacing` is the pixel size (dx, dy) in mm, such as `image.spacing[:2]`: axes are then in mm, else in pixels.
    `window` is (darkest, brightest) intensity; default the 1st and 99th percentile. Label k is `STRUCTURES[k - 1]`.

    Raises:
        InputError: Not two dimensions, labels of another shape, a label above 5.
    """
    pixels = _plane(image, "image")
    height, width = pixels.shape
    dx, dy = spacing or (1.0, 1.0)
    extent = (-0.5 * dx, (width - 0.5) * dx, (height - 0.5) * dy, -0.5 * dy)
    low, high = window or np.percentile(pixels, (1, 99))
    ax.imshow(pixels, cmap="gray", vmin=low, vmax=max(high, low + 1e-9), extent=extent, interpolation="nearest")
    if labels is not None:
        _tint(ax, _plane(labels, "labels"), pixels.shape, extent, alpha)
    unit = "mm" if spacing else "pixel"
    ax.set(xlabel=f"x ({unit})", ylabel=f"y ({unit})")


def _tint(
    ax: Axes,
    labels: NDArray[np.float64],
    shape: tuple[int, ...],
    extent: tuple[float, float, float, float],
    alpha: float,
) -> None:
    from matplotlib.colors import to_rgba

    if labels.shape != shape:
        raise InputError(f"labels of shape {labels.shape} do not lie on an image of shape {shape}")
    if labels.max(initial=0) > len(STRUCTURES):
        raise InputError(f"label {labels.max():.0f}: expected 0 to {len(STRUCTURES)}")
    colours = np.array([(0, 0, 0, 0), *(to_rgba(PALETTE[name], alpha) for name in STRUCTURES)])
    ax.imshow(colours[labels.astype(int)], extent=extent, interpolation="nearest")
    rows = np.linspace(extent[3], extent[2], 2 * shape[0] + 1)[1::2]
    columns = np.linspace(extent[0], extent[1], 2 * shape[1] + 1)[1::2]
    for label, name in reversed(list(enumerate(STRUCTURES, 1))):  # the cavity's outline above the wall's
        mask = labels == label
        if mask.any() and not mask.all() and min(shape) > 1:
            ax.contour(columns, rows, mask, levels=[0.5], colors=[PALETTE[name]], linewidths=1.4)


def outline(ax: Axes, labels: ArrayLike, colour: str, *, spacing: tuple[float, float], name: str) -> None:
    r"""Draw the borders of labels (Y, X) in one colour over an `overlay` in mm: one person's drawing among others."""
    drawn = _plane(labels, "labels")
    columns, rows = (np.arange(n) * d for n, d in zip(drawn.shape[::-1], spacing, strict=True))
    for label in np.unique(drawn[drawn > 0]):
        ax.contour(columns, rows, drawn == label, levels=[0.5], colors=[colour], linewidths=1.4)
    ax.plot([], [], color=colour, label=name)


def focus(ax: Axes, mask: ArrayLike, *, spacing: tuple[float, float], margin: float = 25.0) -> None:
    r"""Show of an `overlay` in mm only what lies within `margin` mm of the mask (Y, X); all where that is empty."""
    for axis, values in ((1, ax.set_xlim), (0, ax.set_ylim)):
        inside = np.flatnonzero((_plane(mask, "mask") > 0).any(1 - axis))
        if len(inside):
            first, last = inside[[0, -1]] * spacing[1 - axis] + (-margin, margin)
            values((first, last) if axis == 1 else (last, first))  # y runs downwards


def structure_legend(figure: Figure, labels: ArrayLike) -> None:
    r"""A legend, below the figure, of the structures present in `labels`."""
    from matplotlib.patches import Patch

    present = [name for k, name in enumerate(STRUCTURES, 1) if (np.asarray(labels) == k).any()]
    handles = [Patch(color=PALETTE[name], label=NAMES[name]) for name in present]
    if handles:
        figure.legend(
            handles=handles, loc="outside lower center", ncols=max(1, min(len(handles), int(figure.get_figwidth() / 2)))
        )


def contact_sheet(
    images: Sequence[ArrayLike],
    labels: Sequence[ArrayLike] | None = None,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 4,
    size: float = 2.6,
) -> Figure:
    r"""Many small images (Y, X) in rows, with their labels and titles; `size` is one panel's width in inches.

    Raises:
        InputError: No images, or not one label map and title for each.
    """
    import matplotlib.pyplot as plt

    for name, given in (("labels", labels), ("titles", titles)):
        if given is not None and len(given) != len(images):
            raise InputError(f"contact_sheet: {len(given)} {name} for {len(images)} images")
    if len(images) == 0:
        raise InputError("contact_sheet: expected at least one image")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height, width = _plane(images[0], "image").shape
    figure, axes = plt.subplots(rows, columns, figsize=(size * columns, size * rows * height / width), squeeze=False)
    for i, ax in enumerate(axes.flat):
        ax.set_axis_off()
        if i < len(images):
            overlay(ax, images[i], None if labels is None else labels[i])
            ax.set_title(titles[i] if titles else "")
    if labels is not None:
        structure_legend(figure, np.concatenate([np.ravel(np.asarray(label)) for label in labels]))
    return figure


def agreement(ax: Axes, groups: Mapping[str, ArrayLike], *, quantity: str, unit: str = "1") -> None:
    r"""One column of dots per group, one dot a subject, with the mean as a bar: the figure beside a claim."""
    for i, (name, values) in enumerate(groups.items()):
        points = np.asarray(values, dtype=np.float64).ravel()
        spread = np.random.default_rng(0).uniform(-0.15, 0.15, points.size)
        ax.plot(i + spread, points, "o", alpha=0.5, markersize=5, label=name)
        ax.hlines(points.mean(), i - 0.28, i + 0.28, color="black", zorder=3)
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set_ylabel(quantity if unit == "1" else f"{quantity} ({unit})")


def bland_altman(ax: Axes, ours: ArrayLike, theirs: ArrayLike, *, quantity: str, unit: str) -> None:
    r"""Difference over mean of two measurements of the same subjects, with the bias and the 95 % limits of agreement.

    Source: Bland and Altman 1986.
    """
    from cardiolearn.statistics import bland_altman as agree

    first, second = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    found = agree(first, second)
    ax.plot((first + second) / 2, first - second, "o", alpha=0.6, markersize=5, color="#0072B2")
    for height, style in ((found.bias, "-"), (found.lower, "--"), (found.upper, "--")):
        ax.axhline(height, color="black", linestyle=style, linewidth=1.2)
        ax.annotate(f"{height:+.1f}", (1, height), xycoords=("axes fraction", "data"), va="bottom", ha="right")
    ax.set(xlabel=f"mean {quantity} ({unit})", ylabel=f"difference ({unit})", title=quantity)


def reliability(ax: Axes, stated: ArrayLike, right: ArrayLike, count: ArrayLike) -> None:
    r"""Share of right pixels over the probability the network stated; dots as large as their bins are full."""
    x, y, n = (np.asarray(values, dtype=np.float64) for values in (stated, right, count))
    full = n > 0
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=1.2, label="calibrated")
    ax.scatter(x[full], y[full], s=20 + 180 * np.sqrt(n[full] / n.max()), color="#0072B2", label="network")
    ax.set(xlabel="probability the network states", ylabel="share that is right", xlim=(0, 1.02), ylim=(0, 1.02))
    ax.legend()


def _plane(image: ArrayLike, what: str) -> NDArray[np.float64]:
    pixels = np.asarray(image, dtype=np.float64)
    if pixels.ndim != 2 or pixels.size == 0:
        raise InputError(f"{what}: expected (Y, X), found shape {pixels.shape}")
    return pixels
