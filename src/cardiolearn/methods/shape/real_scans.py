r"""Networks that have seen simulated stacks alone, on real short-axis scans: pictures, and what no heart has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from cardiolearn.errors import InputError
from cardiolearn.figures.picture_rows import Panel
from cardiolearn.imaging.image import Image, resample
from cardiolearn.imaging.structures import PHASES
from cardiolearn.imaging.study import Study
from cardiolearn.measures.plausibility import faults
from cardiolearn.methods.shape.own_grid import OwnStack, own_stack
from cardiolearn.methods.shape.pictures import LongCut
from cardiolearn.methods.shape.training_volumes import found_volumes


class RealScan(NamedTuple):
    r"""A scan of a patient: the `stack` as networks see it, what each `found`, and a person's outline where there is
    one, all on the lesson's grid."""

    name: str
    stack: OwnStack
    found: dict[str, Image]
    person: Image | None


def segmented(
    studies: Iterable[Study], outline: Callable[[Image], Image], networks: Mapping[str, nn.Module]
) -> list[RealScan]:
    r"""The scans of both phases of some studies, or the first frames of cines that have no phases.

    Args:
        outline: a scan to labels that say where its heart is; scans in which it misses a ventricle are passed over,
            and named.
        networks: segmenters of stacks, by name.
    """
    scans = []
    for study in studies:
        phases: list[str | None] = [phase for phase in PHASES if study.has(phase=phase)]
        for phase in phases or [None]:
            scan, name = study.image(phase=phase).frame(0), f"{study.subject} {phase or 'first frame'}"
            try:
                stack = own_stack(scan, outline(scan))
            except InputError as error:
                print(f"{name}: passed over, {error}")
                continue
            found = {key: stack.found(found_volumes(network, stack.stack)[0]) for key, network in networks.items()}
            labels = study.labels(phase=phase).frame(0) if study.has(phase=phase, label=True) else None
            person = None if labels is None else resample(labels, stack.affine, _grid(found), order=0)
            scans.append(RealScan(name, stack, found, person))
    return scans


def implausible(scans: Iterable[RealScan]) -> pd.DataFrame:
    r"""What no heart has in what was found: `subject` (the scan), `method`, `implausible`, `reasons`."""
    rows = []
    for scan in scans:
        for method, labels in scan.found.items():
            wrong = faults(labels)
            reasons = "; ".join(fault.words for fault in wrong)
            rows.append({"subject": scan.name, "method": method, "implausible": int(bool(wrong)), "reasons": reasons})
    return pd.DataFrame(rows, columns=["subject", "method", "implausible", "reasons"])


def in_words(scans: Iterable[RealScan]) -> str:
    r"""How many of the scans each method made `implausible`, and a line for each with what no heart has."""
    table = implausible(scans)
    counts = table.groupby("method", sort=False)["implausible"].agg(["sum", "size"])
    many = ", ".join(f"{method} {row['sum']} of {row['size']}" for method, row in counts.iterrows())
    lines = [f"{row.subject}, {row.method}: {row.reasons or 'no fault found'}" for row in table.itertuples()]
    return "\n".join([f"implausible scans: {many or 'none was segmented'}", *lines])


def rows_of_scans(scans: Iterable[RealScan]) -> dict[str, dict[str, Panel]]:
    r"""A row for each scan, in one cut: what goes in, what each network found, and a person's outline (all empty
    where nobody outlined it). Scans in which no network found a left ventricle are passed over."""
    rows = {}
    for scan in scans:
        every = [labels.data for labels in scan.found.values()]
        seen = [labels for labels in every if (labels == 1).any()]
        if not seen:
            continue
        height = len(seen[0])
        outlines = seen if scan.person is None else [scan.person.data, *seen]
        cut = LongCut.through(_all_of(outlines))
        picture = cut(scan.stack.stack[0, 0], height)
        line = {"what goes in": Panel(picture)}
        line |= {name: Panel(picture, cut(labels.data, height)) for name, labels in scan.found.items()}
        person = torch.zeros_like(every[0]) if scan.person is None else scan.person.data
        rows[scan.name] = line | {"a person": Panel(picture, cut(person, height))}
    return rows


def _all_of(outlines: Sequence[Tensor]) -> Tensor:
    r"""What any of the outlines `(Z, Y, X)` calls heart, so that none is cut off; the first to label a voxel counts."""
    every = torch.zeros_like(outlines[0])
    for labels in reversed(outlines):
        every = torch.where(labels > 0, labels.to(every.dtype), every)
    return every


def _grid(found: Mapping[str, Image]) -> tuple[int, ...]:
    return tuple(next(iter(found.values())).data.shape)
