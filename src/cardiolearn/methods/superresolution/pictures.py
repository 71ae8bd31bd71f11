r"""Restored slices as pictures: one cut along the heart, zoomed on it, the same for every method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import pandas as pd
import torch
from torch import Tensor, nn

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.intensity import SPAN, unit_variance
from cardiolearn.imaging.structures import LV_CAVITY
from cardiolearn.methods.superresolution.whole_scan import Method, super_resolve, thin, upsample
from cardiolearn.phantom.cohorts.stacks import TestStack
from cardiolearn.phantom.cohorts.volumes import Volumes
from cardiolearn.phantom.scanners.thin_slices import SPACING

ROOM = 12.0  # mm around the heart that a zoomed picture shows


@dataclass(frozen=True)
class HeartCut:
    r"""A cut along the heart through the middle of its left ventricle: one `row` of every slice, zoomed on the heart.

    Args:
        slices: of the thin ones that are shown.
        columns: the pixels of the row that are shown.
    """

    row: int
    slices: slice
    columns: slice

    @classmethod
    def through(cls, labels: Tensor) -> Self:
        r"""The cut for a heart with these labels `(Z, Y, X)` on thin slices.

        Raises:
            InputError: there is no left ventricle in them.
        """
        cavity = torch.nonzero(labels == LV_CAVITY)
        if len(cavity) == 0:
            raise InputError("heart cut: expected labels with a left ventricle, found none")
        row = int(cavity[:, 1].float().mean())
        bounds = []
        for where, step in ((labels.flatten(1) > 0, SPACING[2]), (labels[:, row].T > 0, SPACING[0])):
            there, room = torch.nonzero(where.any(1)).flatten(), round(ROOM / step)
            bounds.append(slice(max(int(there[0]) - room, 0), int(there[-1]) + room + 1))
        return cls(row, *bounds)

    def __call__(self, slices: Tensor, count: int) -> Tensor:
        r"""The cut `(Z', X')` through slices `(Z, Y, X)`, thick or thin; thick ones as thick as they are.

        `count` is the number of thin slices that the scan has.
        """
        return slices.repeat_interleave(count // len(slices), 0)[self.slices, self.row, self.columns]


def restored(scan: TestStack, methods: Mapping[str, Method], phase: int = 0) -> dict[str, Tensor]:
    r"""Slices `(Z, Y, X)` of a test stack by title: the stack itself, what each of `methods` makes of it, the truth."""
    stack, views = scan.stack[phase], scan.views[phase]
    found = {name: thin(stack, method, views) for name, method in methods.items()}
    return {"thick slices": stack, **found, "thin slices": scan.volume[phase]}


def cuts(scan: TestStack, slices: Mapping[str, Tensor], phase: int = 0) -> dict[str, Tensor]:
    r"""The same `HeartCut` through each of several volumes of a test stack, by title."""
    cut, count = HeartCut.through(scan.labels[phase]), scan.volume.shape[1]
    return {title: cut(volume, count) for title, volume in slices.items()}


def ideal(scan: TestStack, phase: int = 0) -> dict[str, Tensor]:
    r"""The pictures `(Z, X)` at the ends of `drawing`: what goes into a network, and what it should make of it.

    `"stack"`, `"linear"` interpolation, `"residual"` (what that lacks), `"output"` (the thin slices) are one
    `HeartCut`; the `"4-chamber"` and `"2-chamber"` pictures are seen from the side on which they are wider.
    """
    planes = cuts(scan, restored(scan, {"linear": "linear"}, phase), phase)
    found = {"stack": planes["thick slices"], "linear": planes["linear"], "output": planes["thin slices"]}
    found["residual"] = found["output"] - found["linear"]
    for name, signal in (("2-chamber", scan.views[phase, 0]), ("4-chamber", scan.views[phase, 2])):
        sides = [signal.amax(axis) for axis in (1, 2)]
        found[name] = max(sides, key=lambda side: int((side > 0).sum()))
    return found


def nearer(one: Tensor, other: Tensor, truth: Tensor) -> Tensor:
    r"""By how much less the absolute error of `one` is than that of `other`, in percent of the truth's data range.

    Above 0 `one` is nearer to the truth, below 0 `other`. All are of one shape; the range is that of `evaluation`.
    """
    span = SPAN * unit_variance(truth)[1]
    return 100.0 * ((other - truth).abs() - (one - truth).abs()) / span


def missing(planes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    r"""What the network adds to linear interpolation, what it should add, and the rest, in percent of the data range.

    `planes` are those of `cuts`, with `"linear"` and `"network"`.
    """
    percent = 100.0 / (SPAN * unit_variance(planes["thin slices"])[1])
    added, wanted = (percent * (planes[name] - planes["linear"]) for name in ("network", "thin slices"))
    return {"after the full training": added, "what is missing": wanted, "still missing": wanted - added}


def least_middle_most(
    volumes: Volumes, table: pd.DataFrame, methods: Mapping[str, Method], seed: int
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Tensor]]:
    r"""The test subjects for whom the network gains least, medium and most over linear interpolation.

    Args:
        table: a score for each subject and method, higher is better; only the first subjects are among `volumes`.

    Returns:
        for each, by a title with the gain in dB: the `cuts`, and by how much the network is `nearer`.
    """
    gain = (table["network"] - table["linear"]).head(len(volumes)).sort_values()
    rows, compared = {}, {}
    for name, place in {"least gain": 0, "middle": len(gain) // 2, "most gain": len(gain) - 1}.items():
        scan = TestStack.of(volumes, int(gain.index[place]), seed)
        planes = cuts(scan, restored(scan, {key: methods[key] for key in ("linear", "network")}))
        title = f"{name}: {gain.iloc[place]:+.2f} dB"
        rows[title] = planes
        compared[title] = nearer(planes["network"], planes["linear"], planes["thin slices"])
    return rows, compared


def resliced(stack: Image, network: nn.Module, row: int) -> dict[str, Tensor]:
    r"""A real stack `(Z, Y, X)`, cut along the heart at a `row` of its pixels: `(5 Z, X)` by title."""
    planes = {"as scanned": upsample(stack.data.float(), "nearest"), "linear": upsample(stack.data.float(), "linear")}
    planes["network"] = super_resolve(stack, network).data
    return {title: thin[:, row] for title, thin in planes.items()}
