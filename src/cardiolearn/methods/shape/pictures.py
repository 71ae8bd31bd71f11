r"""Found hearts as pictures: which subjects are shown, in which cut, beside rival and truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.figures.picture_rows import Panel
from cardiolearn.imaging.structures import LV_CAVITY
from cardiolearn.measures.tables import Found

ROOM = 4  # voxels around the heart that a picture shows


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
