r"""Slices of scans with what was outlined in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiolearn.errors import InputError
from cardiolearn.figures.style import PALETTE, structure_legend
from cardiolearn.imaging.intensity import percentiles
from cardiolearn.imaging.structures import LABELS, LV_CAVITY, MYOCARDIUM, RV_CAVITY, STRUCTURES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cardiolearn.imaging.image import Image


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
    `window` is (darkest, brightest) intensity; default the 1st and 99th percentile. Labels are those of `structures`.

    Raises:
        InputError: Not two dimensions, labels of another shape, a label above 5.
    """
    pixels = _plane(image, "image")
    extent = extent_of(pixels, spacing or (1.0, 1.0))
    low, high = window or percentiles(pixels, 1, 99)
    ax.imshow(pixels, cmap="gray", vmin=low, vmax=max(high, low + 1e-9), extent=extent, interpolation="nearest")
    if labels is not None:
        _tint(ax, _plane(labels, "labels"), pixels.shape, extent, alpha)
    unit = "mm" if spacing else "pixel"
    ax.set(xlabel=f"x ({unit})", ylabel=f"y ({unit})")


def extent_of(plane: NDArray[Any], spacing: tuple[float, float]) -> tuple[float, float, float, float]:
    r"""Where the edges of a picture (Y, X) lie, for `imshow`: left, right, bottom, top; `spacing` (dx, dy) in mm.

    The centre of the first pixel is (0, 0), and y runs downwards.
    """
    (height, width), (dx, dy) = plane.shape[:2], spacing
    return -0.5 * dx, (width - 0.5) * dx, (height - 0.5) * dy, -0.5 * dy


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
    if labels.max(initial=0) > len(LABELS):
        raise InputError(f"label {labels.max():.0f}: expected 0 to {len(LABELS)}")
    colours = np.array([(0, 0, 0, 0), *(to_rgba(PALETTE[key], alpha) for key in LABELS)])
    ax.imshow(colours[labels.astype(int)], extent=extent, interpolation="nearest")
    rows = np.linspace(extent[3], extent[2], 2 * shape[0] + 1)[1::2]
    columns = np.linspace(extent[0], extent[1], 2 * shape[1] + 1)[1::2]
    for key, label in reversed(LABELS.items()):  # the cavity's outline above the wall's
        mask = labels == label
        if mask.any() and not mask.all() and min(shape) > 1:
            ax.contour(columns, rows, mask, levels=[0.5], colors=[PALETTE[key]], linewidths=1.4)


def in_colours(labels: ArrayLike) -> NDArray[np.float64]:
    r"""Labels (Y, X) as a picture (Y, X, 3) in the colours of the structures, on black."""
    from matplotlib.colors import to_rgb

    colours = np.array([(0.0, 0.0, 0.0), *(to_rgb(PALETTE[key]) for key in LABELS)])
    return colours[_plane(labels, "labels").astype(int)]


def outline(ax: Axes, labels: ArrayLike, colour: str, *, spacing: tuple[float, float], name: str) -> None:
    r"""Draw the borders of labels (Y, X) in one colour over an `overlay` in mm: one person's among others."""
    outlined = _plane(labels, "labels")
    columns, rows = (np.arange(n) * d for n, d in zip(outlined.shape[::-1], spacing, strict=True))
    for label in np.unique(outlined[outlined > 0]):
        ax.contour(columns, rows, outlined == label, levels=[0.5], colors=[colour], linewidths=1.4)
    ax.plot([], [], color=colour, label=name)


def focus(ax: Axes, mask: ArrayLike, *, spacing: tuple[float, float], margin: float = 25.0) -> None:
    r"""Show of an `overlay` in mm only what lies within `margin` mm of the mask (Y, X); all where that is empty."""
    for axis, values in ((1, ax.set_xlim), (0, ax.set_ylim)):
        inside = np.flatnonzero((_plane(mask, "mask") > 0).any(1 - axis))
        if len(inside):
            first, last = inside[[0, -1]] * spacing[1 - axis] + (-margin, margin)
            values((first, last) if axis == 1 else (last, first))  # y runs downwards


def name_structures(ax: Axes, labels: ArrayLike, *, spacing: tuple[float, float] = (1.0, 1.0)) -> None:
    r"""Write the abbreviation of each structure of labels (Y, X) into an `overlay` with this `spacing`, in white.

    It stands at the point that lies deepest within the structure; the wall's beside the heart, with a line to the side
    away from the RV.
    """
    from matplotlib.patheffects import withStroke
    from scipy.ndimage import distance_transform_edt

    outlined = _plane(labels, "labels")
    effects = [withStroke(linewidth=2.5, foreground="black")]
    right = np.argwhere(outlined == RV_CAVITY).mean(0) if (outlined == RV_CAVITY).any() else np.zeros(2)
    for label, _, name in STRUCTURES.values():
        if (outlined == label).any():
            depth = distance_transform_edt(np.pad(outlined == label, 1))[1:-1, 1:-1]
            y, x = np.unravel_index(int(depth.argmax()), outlined.shape)
            away, arrow = (0.0, 0.0), None
            if label == MYOCARDIUM:
                inside = np.argwhere(depth > 0.5 * depth.max())
                y, x = inside[((inside - right) ** 2).sum(1).argmax()]
                along = np.array([x, y]) - np.argwhere(outlined == label).mean(0)[::-1]
                away = tuple(
                    42.0 * along / max(float(np.hypot(*along)), 1.0) * (1, -1)
                )  # the picture's y runs downwards
                arrow = {"arrowstyle": "-", "color": "white"}
            ax.annotate(
                name, (x * spacing[0], y * spacing[1]), away, textcoords="offset points", ha="center", va="center",
                color="white", weight="bold", arrowprops=arrow, path_effects=effects,
            )  # fmt: skip


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


def slice_sheet(image: Image, labels: Image | None = None, *, panels: int = 8) -> Figure:
    r"""Slices of a scan `(Z, Y, X)` from first to last; with `labels` the structures are named in one of them."""
    chosen = np.unique(np.linspace(0, len(image.data) - 1, panels).round().astype(int))
    figure = contact_sheet([image.data[z] for z in chosen], titles=[f"slice {z}" for z in chosen])
    if labels is not None:
        i = int(np.abs(chosen - middle_slice(labels)).argmin())
        name_structures(figure.axes[i], labels.data[chosen[i]])
    return figure


def middle_slice(labels: Image) -> int:
    r"""The middle one of the slices of `labels` `(Z, Y, X)` that show LV cavity; of all slices where none does."""
    shown = np.flatnonzero((labels.data == LV_CAVITY).flatten(1).any(1))
    return int(shown[len(shown) // 2]) if len(shown) else len(labels.data) // 2


def automatic_above_manual(
    scans: Mapping[str, Image], automatic: Mapping[str, Image], manual: Mapping[str, Image], *,
    below: str = "manual", size: float = 2.6,
) -> Figure:  # fmt: skip
    r"""One column per scan `(Z, Y, X)`, by title: its middle slice outlined by the machine above, by a person below.

    `below` names the lower row, where it is not a person's outline but the truth.

    Source: the layout of Fig. 3 of Bai et al. 2018.
    """
    import matplotlib.pyplot as plt

    rows = {"automatic": automatic, below: manual}
    figure, axes = plt.subplots(2, len(scans), figsize=(size * len(scans), 2 * size), squeeze=False)
    for column, (title, image) in enumerate(scans.items()):
        z, spacing = middle_slice(manual[title]), image.spacing[:2]
        for row, (name, labels) in enumerate(rows.items()):
            ax = axes[row, column]
            overlay(ax, image.data[z], labels[title].data[z], spacing=spacing)
            focus(ax, manual[title].data[z], spacing=spacing)
            ax.set(xticks=[], yticks=[], xlabel="", ylabel=name if column == 0 else "", title="" if row else title)
    structure_legend(figure, np.concatenate([np.ravel(np.asarray(m.data)) for m in manual.values()]))
    return figure


def one_slice(image: Image, labels: Image, around: Image) -> Figure:
    r"""A single slice `(1, Y, X)` with its labels, zoomed to what `around` `(1, Y, X)` marks; the title gives the area
    of the LV cavity. Black is no signal at all, so that one sees how much contrast there is."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(4.5, 4.5))
    window = (0.0, percentiles(image.data, 99)[0])
    overlay(ax, image.data[0], labels.data[0], spacing=image.spacing[:2], window=window)
    focus(ax, around.data[0], spacing=image.spacing[:2])
    square_cm = int((labels.data == LV_CAVITY).sum()) * image.spacing[0] * image.spacing[1] / 100
    ax.set_title(f"LV cavity {square_cm:.1f} cm²")
    return figure


def observers(image: Image, outlines: Mapping[str, Image]) -> Figure:
    r"""The middle slice of a scan `(Z, Y, X)` and the one that divides its annotators most, outlined by each, in mm."""
    import matplotlib.pyplot as plt

    outlined = np.stack([np.asarray(labels.data) for labels in outlines.values()])
    differ, marked = (outlined != outlined[:1]).any(0).sum((1, 2)), (outlined > 0).any(0).sum((1, 2))
    divided = int((differ / np.maximum(marked, 1)).argmax())
    middle, spacing = middle_slice(next(iter(outlines.values()))), image.spacing[:2]
    figure, axes = plt.subplots(1, 2, figsize=(11, 5.5))
    for ax, z, title in zip(axes, (middle, divided), ("in the middle", "where they differ most"), strict=True):
        overlay(ax, image.data[z], spacing=spacing)
        for (name, labels), colour in zip(outlines.items(), cycle(PALETTE.values()), strict=False):
            outline(ax, labels.data[z], colour, spacing=spacing, name=f"observer {name}")
        focus(ax, outlined[:, middle].max(0), spacing=spacing)
        ax.set_title(f"slice {z}, {title}")
    name_structures(axes[0], outlined[0, middle], spacing=spacing)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(outlines))
    return figure


def beat(cine: Image, labels: Image, volume: ArrayLike, frame: int) -> Figure:
    r"""One frame of a cine `(T, Z, Y, X)` with its outlines, beside the volume (mL) over the heart beat."""
    import matplotlib.pyplot as plt

    curve, spacing = np.asarray(volume, dtype=np.float64), cine.spacing[:2]
    fullest = labels.frame(int(curve.argmax()))
    z = middle_slice(fullest)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5))
    overlay(left, cine.frame(frame).data[z], labels.frame(frame).data[z], spacing=spacing)
    focus(left, fullest.data[z], spacing=spacing)
    step = cine.frame_duration or 1.0
    right.plot(np.arange(len(curve) + 1) * step, [*curve, curve[0]], color=PALETTE["lv"])  # beats repeat
    right.plot(frame * step, curve[frame], "o", color="black")
    right.set(xlabel="time (s)" if cine.frame_duration else "frame", ylabel="LV cavity (mL)", ylim=(0, None))
    structure_legend(figure, labels.frame(frame).data[z])
    return figure


def _plane(image: ArrayLike, what: str) -> NDArray[np.float64]:
    pixels = np.asarray(image, dtype=np.float64)
    if pixels.ndim != 2 or pixels.size == 0:
        raise InputError(f"{what}: expected (Y, X), found shape {pixels.shape}")
    return pixels
