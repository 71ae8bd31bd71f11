r"""Single subjects beside an observer: the worst, the median and the best, with what is wrong in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from cardiolearn.errors import InputError
from cardiolearn.figures.slices import automatic_above_manual, extent_of, overlay
from cardiolearn.figures.style import PALETTE
from cardiolearn.imaging.image import Image, box_around
from cardiolearn.imaging.intensity import percentiles
from cardiolearn.imaging.structures import NAMES, VENTRICLES, VIEW_NAMES
from cardiolearn.measures.failures import name_failure
from cardiolearn.measures.metrics import dice
from cardiolearn.measures.tables import Found, Outlined, of_subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cardiolearn.imaging.study import Study

RANKS = ("worst", "median", "best")
FIELD = 120.0  # mm a side that is shown of every case: one scale
#: Of the pixels in which both differ.
DIFFERENT = {"network alone": "#D81B60", "observer alone": "#1E88E5", "two different structures": "white"}


@dataclass(frozen=True)
class Case:
    r"""One scan `(Z, Y, X)` with the labels a network `found` and those of an `observer`, and their `dice`: the mean of
    the structures that the observer `outlined`, LV, wall and RV if nothing else is said."""

    name: str
    scan: Image
    found: Image
    observer: Image
    outlined: tuple[str, ...] = tuple(VENTRICLES)

    @property
    def dice(self) -> float:
        labels = [VENTRICLES[key] for key in self.outlined]
        pairs = [(self.found.data == k, self.observer.data == k) for k in labels]
        return sum(dice(a, b) for a, b in pairs) / len(pairs)

    @property
    def shown(self) -> int:
        r"""The slice with the most pixels in which both differ."""
        return int((self.found.data != self.observer.data).flatten(1).sum(1).argmax())


def cases_of(studies: Iterable[Study], found: Found, outlined: Outlined) -> list[Case]:
    r"""The scans that an observer has outlined, beside the first of the observers; see `measures.tables`.

    What `info.toml` says that nobody outlined counts as background of the network's labels too; a scan in which nobody
    outlined a ventricle is passed over.
    """
    by_name = {study.subject: study for study in studies}
    cases = []
    for (subject, phase), people in outlined.items():
        declared = by_name[subject].outlined(phase)
        keys = tuple(key for key in VENTRICLES if declared is None or key in declared)
        if not keys:
            continue
        labels = found[subject, phase]
        counted = torch.isin(labels.data, torch.tensor([VENTRICLES[key] for key in keys]))
        scan, first = by_name[subject].image(phase=phase), next(iter(people.values()))
        cases.append(Case(f"{subject} {phase}", scan, labels.with_data(labels.data * counted), first, keys))
    return cases


def ranked(cases: list[Case]) -> dict[str, Case]:
    r"""The cases with the lowest, the middle and the highest Dice, by `RANKS`; of two, the worst and the best.

    Raises:
        InputError: no cases.
    """
    if not cases:
        raise InputError("cases: expected at least one scan that was outlined by an observer, got none")
    order = sorted(cases, key=lambda case: case.dice)
    chosen = {"worst": order[0], "median": order[(len(order) - 1) // 2], "best": order[-1]}
    return chosen if len(order) > 2 else {"worst": order[0]} | ({"best": order[1]} if len(order) == 2 else {})


def describe(cases: Mapping[str, Case]) -> str:
    r"""A line for each case: its rank, its name, its Dice, and what is most wrong with it."""
    lines = []
    for rank, case in cases.items():
        lines.append(f"{rank} ({case.name}, mean Dice {case.dice:.2f}):")
        lines.append(f"    {name_failure(case.found, case.observer, case.outlined).words()}")
    return "\n".join(lines)


def compare(cases: Mapping[str, Case]) -> Figure:
    r"""A row for each case: the slice that divides network and observer most, as each outlines it, and where they
    differ. All pictures have one scale and one grey scale."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    dark, bright = percentiles(np.concatenate([_near(case) for case in cases.values()]), 1, 99.5)
    figure, axes = plt.subplots(len(cases), 4, figsize=(12, 3.1 * len(cases) + 0.6), squeeze=False)
    for (rank, case), row in zip(cases.items(), axes, strict=True):
        z, spacing = case.shown, case.scan.spacing[:2]
        ours, theirs = case.found.data[z], case.observer.data[z]
        for ax, labels in zip(row, (None, ours, theirs, None), strict=True):
            overlay(ax, case.scan.data[z], labels, spacing=spacing, window=(dark, bright))
            _zoom(ax, np.asarray((case.observer.data > 0).any(0) | (case.found.data > 0).any(0)), spacing)
        _differences(row[3], np.asarray(ours), np.asarray(theirs), spacing)
        row[0].set_ylabel(f"{rank}: {case.name}\nslice {z}")
    for ax, title in zip(axes[0], ("the scan", "network", "observer", "where they differ"), strict=True):
        ax.set_title(title)
    colours = {NAMES[key]: PALETTE[key] for key in VENTRICLES} | DIFFERENT
    handles = [Patch(facecolor=colour, edgecolor="0.5", label=words) for words, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(VENTRICLES))
    return figure


def machine_above_hand(study: Study, views: Mapping[str, Found], truth: Mapping[str, Found], *, below: str) -> Figure:
    r"""`slices.automatic_above_manual` of one subject, in all views and phases with labels to compare with."""
    automatic, manual = (of_subject(labels, study.subject) for labels in (views, truth))
    words = {title: f"{VIEW_NAMES[title.split()[0]]}, {title.split()[1]}" for title in manual}
    scans = {words[title]: study.image(*title.split()) for title in manual}
    both = ({words[title]: labels[title] for title in manual} for labels in (automatic, manual))
    return automatic_above_manual(scans, *both, below=below)


def _near(case: Case) -> np.ndarray:
    r"""Grey values of the slice that is shown, within 10 mm of what was outlined in any slice."""
    margin = [0, *(round(10 / d) for d in case.scan.spacing[1::-1])]
    box = box_around((case.found.data > 0) | (case.observer.data > 0), margin) or (slice(None),) * 3
    return np.ravel(case.scan.data[case.shown][box[1:]])


def _zoom(ax: Axes, mask: np.ndarray, spacing: tuple[float, ...]) -> None:
    r"""`FIELD` mm a side round the middle of a mask `(Y, X)`, without ticks."""
    rows, columns = np.nonzero(mask) if mask.any() else np.indices(mask.shape).reshape(2, -1)
    x, y = ((c.min() + c.max()) / 2 * d for c, d in zip((columns, rows), spacing, strict=True))
    ax.set(xlim=(x - FIELD / 2, x + FIELD / 2), ylim=(y + FIELD / 2, y - FIELD / 2))
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="")


def _differences(ax: Axes, ours: np.ndarray, theirs: np.ndarray, spacing: tuple[float, float]) -> None:
    r"""Tints the pixels that have two labels `(Y, X)`, by who has drawn what."""
    from matplotlib.colors import to_rgba

    tint = np.zeros((*ours.shape, 4))
    masks = ((ours > 0) & (theirs == 0), (ours == 0) & (theirs > 0), (ours != theirs) & (ours > 0) & (theirs > 0))
    for mask, colour in zip(masks, DIFFERENT.values(), strict=True):
        tint[mask] = to_rgba(colour, 0.85)
    ax.imshow(tint, extent=extent_of(ours, spacing), interpolation="nearest")
