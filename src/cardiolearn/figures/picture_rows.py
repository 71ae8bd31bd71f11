r"""Pictures in rows: of each subject what goes in, what each method makes of it and the truth, in one grey scale."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.figures.alt_text import describe
from cardiolearn.figures.slices import overlay
from cardiolearn.figures.style import structure_legend
from cardiolearn.imaging.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIZE, _WIDEST = 2.9, 14.0  # inches: of a picture, and of a row at most


class Panel(NamedTuple):
    r"""A `picture` `(Y, X)` in [0, 1], with the `labels` `(Y, X)` that are drawn in it, if any."""

    picture: Tensor
    labels: Tensor | None = None


Rows = Mapping[str, Mapping[str, Panel]]  # by the row's name, then by the column's title


def draw_rows(rows: Rows, *, spacing: float, alt: str) -> Figure:
    r"""The rows as pictures in one grey scale, axes in mm; `spacing` is the voxels' size in mm."""
    import matplotlib.pyplot as plt

    titles = list(next(iter(rows.values())))
    shapes = [next(iter(line.values())).picture.shape for line in rows.values()]
    tall, size = [height / width for height, width in shapes], min(_SIZE, _WIDEST / len(titles))
    figure, axes = plt.subplots(
        len(rows), len(titles), squeeze=False, height_ratios=tall,
        figsize=(size * len(titles), 0.95 * size * sum(tall) + 0.25 * len(rows) + 0.6),
    )  # fmt: skip
    for line, (name, panels) in zip(axes, rows.items(), strict=True):
        for ax, panel in zip(line, panels.values(), strict=True):
            overlay(ax, panel.picture, panel.labels, spacing=(spacing, spacing), window=(0.0, 1.0), alpha=0.3)
            ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
        width = panels[titles[0]].picture.shape[1] * spacing
        line[0].set_ylabel(name.replace(": ", "\n"), fontsize=12)
        line[0].set_xlabel(f"{width:.0f} mm wide", fontsize=11)
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize=12)
    drawn = [p.labels for line in rows.values() for p in line.values() if p.labels is not None]
    if drawn:
        structure_legend(figure, np.concatenate([np.ravel(np.asarray(labels)) for labels in drawn]))
    return describe(figure, alt)


def write_rows(path: Path, rows: Rows) -> None:
    r"""Keep rows for later lessons, pictures in 256 grey levels."""
    arrays: dict[str, np.ndarray] = {}
    for i, (name, panels) in enumerate(rows.items()):
        for j, (title, panel) in enumerate(panels.items()):
            arrays[f"{i}/{j}/picture/{name}/{title}"] = (255 * np.asarray(panel.picture)).round().astype(np.uint8)
            if panel.labels is not None:
                arrays[f"{i}/{j}/labels/{name}/{title}"] = np.asarray(panel.labels).astype(np.uint8)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # names are keywords, not options
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, file.getvalue())


def draw_kept(path: Path, *, spacing: float, alt: str) -> Figure | None:
    r"""`draw_rows` of what `write_rows` kept; a sentence where no longer run has kept any yet."""
    if not path.is_file():
        print("Not recorded yet: the longer run that leaves these pictures has not been made.")
        return None
    return draw_rows(read_rows(path), spacing=spacing, alt=alt)


def read_rows(path: Path) -> dict[str, dict[str, Panel]]:
    r"""What `write_rows` kept.

    Raises:
        InputError: the file is damaged.
    """
    try:
        with np.load(path) as kept:
            arrays = {name: torch.from_numpy(kept[name]) for name in kept.files}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected pictures of a longer run, found {error}") from None
    rows: dict[str, dict[str, Panel]] = {}
    for name in sorted(arrays, key=_order):
        _, _, kind, row, title = name.split("/", 4)
        if kind == "picture":
            labels = arrays.get(name.replace("/picture/", "/labels/", 1))
            rows.setdefault(row, {})[title] = Panel(arrays[name].float() / 255, labels)
    return rows


def _order(name: str) -> list[int]:
    return [int(part) for part in name.split("/", 2)[:2]]
