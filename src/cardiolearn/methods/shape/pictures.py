r"""Found hearts as pictures: a row for a subject, beside its rival and the truth, in one cut and one grey scale."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.figures.alt_text import describe
from cardiolearn.figures.slices import overlay
from cardiolearn.figures.style import structure_legend
from cardiolearn.imaging.files import write_atomically
from cardiolearn.imaging.structures import LV_CAVITY
from cardiolearn.measures.tables import Found

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOM = 4  # voxels around the heart that a picture shows
_SIZE, _WIDEST = 2.9, 14.0  # inches: of a picture, and of a row at most


class Panel(NamedTuple):
    r"""A `picture` `(Y, X)` in [0, 1], with the `labels` `(Y, X)` that are drawn in it, if any."""

    picture: Tensor
    labels: Tensor | None = None


Rows = Mapping[str, Mapping[str, Panel]]  # by the row's name, then by the column's title


class LongCut(NamedTuple):
    r"""A cut along the heart through the middle of its left ventricle: one `row` of every slice, zoomed."""

    row: int
    slices: slice
    columns: slice

    @classmethod
    def through(cls, labels: Tensor) -> LongCut:
        r"""The cut for a heart with these labels `(Z, Y, X)`.

        Raises:
            InputError: there is no left ventricle in them.
        """
        cavity = torch.nonzero(labels == LV_CAVITY)
        if len(cavity) == 0:
            raise InputError("heart cut: expected labels with a left ventricle, found none")
        row = int(cavity[:, 1].float().mean())
        there = [torch.nonzero((labels > 0).flatten(1).any(1)), torch.nonzero((labels[:, row] > 0).any(0))]
        spans = (slice(max(0, int(place.min()) - ROOM), int(place.max()) + ROOM + 1) for place in there)
        return cls(row, *spans)

    def __call__(self, volume: Tensor, height: int) -> Tensor:
        r"""The cut `(Z', X')` of a volume `(Z, Y, X)`; thick slices as thick as they are, of `height` thin ones."""
        return volume.repeat_interleave(height // len(volume), 0)[self.slices, self.row, self.columns]


def ranked(table: pd.DataFrame, metric: str = "hausdorff") -> dict[str, tuple[str, str]]:
    r"""Subject and phase of the worst, the median and the best scan, by the mean of a distance over all methods.

    Args:
        table: of `evaluation.versus_truth`; of one scan, that alone.
    """
    means = table.groupby(["subject", "phase"])[metric].mean().sort_values(ascending=False)
    places = {"worst": 0, "median": len(means) // 2, "best": len(means) - 1}
    chosen = {name: (str(means.index[i][0]), str(means.index[i][1])) for name, i in places.items()}
    return chosen if len(means) > 2 else dict(list(chosen.items())[: len(means)])


def rows_of(
    chosen: Mapping[str, tuple[str, str]], pictures: Mapping[tuple[str, str], Tensor], truth: Found,
    found: Mapping[str, Found], *, given: str = "what goes in",
) -> dict[str, dict[str, Panel]]:  # fmt: skip
    r"""A row for each chosen scan: what goes in, what each method found in it, and the truth.

    Args:
        chosen: subject and phase by rank.
        pictures: `(Z', Y, X)` in [0, 1]: stacks of thick slices, or volumes.
        truth, found: labels by subject and phase, of the methods by name.
        given: title of the pictures.
    """
    rows = {}
    for rank, case in chosen.items():
        labels = truth[case].data
        cut, height = LongCut.through(labels), len(labels)
        picture = cut(pictures[case], height)
        line = {given: Panel(picture)}
        line |= {name: Panel(picture, cut(those[case].data, height)) for name, those in found.items()}
        rows[f"{rank}: {case[0]} {case[1]}"] = line | {"truth": Panel(picture, cut(labels, height))}
    return rows


def faults_line(table: pd.DataFrame, chosen: Mapping[str, tuple[str, str]]) -> str:
    r"""What is said of the chosen scans: of each method the Hausdorff distance, and what no heart has."""
    lines = []
    for rank, (subject, phase) in chosen.items():
        rows = table[(table["subject"] == subject) & (table["phase"] == phase)]
        lines.append(f"{rank} ({subject} {phase}):")
        for row in rows.to_dict("records"):
            said = f"Hausdorff distance {row['hausdorff']:.1f} mm; {row['reasons'] or 'no fault found'}"
            lines.append(f"    {row['method']}: {said}")
    return "\n".join(lines)


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
