r"""A run beside the recorded one: which numbers and verdicts are no longer those of the record.

How far a number may move depends on what is known of it. On the kind of machine that recorded it, ten times what
repeated runs and other thread counts have shown; elsewhere half the margin of the claim it feeds. Under another seed
other subjects are measured, whose mean is expected within an interval, and whose values are other values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cardiolearn.lab.claims import NEGATIVE, POSITIVE
from cardiolearn.lab.ledger import Claim
from cardiolearn.lab.recorded import Results
from cardiolearn.lab.records import Record

TIME_UNITS = {"s", "ms", "min", "h"}  # timing is shown and never gates
KIND = ("platform", "cpu", "device", "precision", "torch")  # of machine: what decides how its arithmetic rounds
ROUNDING = 2e-5  # of a number's size: how far two runs on one machine have been seen to differ
SAFETY = 10.0  # times what repeated runs show
OTHER_SUBJECTS = 0.999  # level of the interval in which the mean under another seed is expected


def same_kind(results: Results, recorded: Results, notebook: str) -> bool:
    r"""Whether a notebook was run on the kind of machine that recorded it."""
    new, old = (run["notebooks"][notebook] for run in (results, recorded))
    return all(new.get(key) == old.get(key) for key in KIND)


def regressions(
    results: Results, recorded: Results, ledger: Sequence[Claim],
    records: Mapping[str, Record], recorded_records: Mapping[str, Record],
) -> list[str]:  # fmt: skip
    r"""Numbers that differ from those of a run with the same seed and data, for the notebooks that ran well in both."""
    found = []
    for name, old in _compared(results, recorded):
        alike, new = same_kind(results, recorded, old["notebook"]), results["metrics"].get(name)
        if (wrong := _unlike(name, new, old)) or new is None:
            found.append(wrong)
            continue
        allowed = _noise(old) if alike or old.get("recorded") else _half_margin(name, old, ledger, recorded)
        if abs(new["mean"] - old["mean"]) > allowed:
            found.append(f"{name}: {new['mean']:.6g}, recorded {old['mean']:.6g} (may differ by {allowed:.2g})")
        elif name in records and name in recorded_records:
            found += _subjects_moved(records[name], recorded_records[name], old, None if alike else allowed)
    return found


def under_another_seed(
    results: Results, recorded: Results, records: Mapping[str, Record], recorded_records: Mapping[str, Record]
) -> list[str]:
    r"""Numbers that cannot be those of other subjects: lost ones, the same ones, and means too far away."""
    found = []
    for name, old in _compared(results, recorded):
        new = results["metrics"].get(name)
        if (wrong := _unlike(name, new, old)) or new is None:
            found.append(wrong)
        elif old["n"] > 1 and not old.get("recorded"):
            ours, theirs = records.get(name), recorded_records.get(name)
            if ours is not None and theirs is not None and np.allclose(ours.values, theirs.values, rtol=1e-7, atol=0):
                found.append(f"{name}: the very values of seed {recorded['provenance']['seed']}; does it use the seed?")
            elif (away := abs(new["mean"] - old["mean"])) > (expected := _expected_change(new, old)):
                found.append(
                    f"{name}: {new['mean']:.6g}, recorded {old['mean']:.6g} for another seed; other subjects are "
                    f"expected within {expected:.2g}, not {away:.2g}"
                )
    return found


def flipped(results: Results, recorded: Results, ledger: Sequence[Claim]) -> list[str]:
    r"""Claims whose verdict went from one side to the other; claims about time alone never gate."""
    found = []
    for claim in ledger:
        old, new = (r["claims"].get(claim.id, {}).get("verdict") for r in (recorded, results))
        units = {results["metrics"].get(m.ours, {}).get("unit") for m in claim.metrics}
        if units <= TIME_UNITS:
            continue
        if (old in POSITIVE and new in NEGATIVE) or (old in NEGATIVE and new in POSITIVE):
            found.append(f"claim {claim.id}: {new}, recorded {old}")
    return found


def add_spread(results: Results, before: Results, records: Mapping[str, Record], old: Mapping[str, Record]) -> None:
    r"""Note in `results`, about to be recorded, how far they are from `before`, of the same code, weights and machine.

    Recording a second time, with another number of threads, is how the record learns what rounding does to it.
    """
    for name, row in results["metrics"].items():
        notebook, earlier = row["notebook"], before["metrics"].get(name)
        if earlier is None or earlier["n"] != row["n"] or notebook not in before["notebooks"]:
            continue
        now, then = (run["notebooks"][notebook] for run in (results, before))
        same = all(now[key] == then.get(key) for key in ("code", "weights"))
        if not (same and same_kind(results, before, notebook)):
            continue
        known = earlier.get("spread", {"mean": 0.0, "subject": 0.0, "runs": 1})
        apart = np.abs(records[name].values - old[name].values).max() if name in old else 0.0
        row["spread"] = {
            "mean": max(known["mean"], abs(row["mean"] - earlier["mean"])),
            "subject": max(known["subject"], float(apart)),
            "runs": known["runs"] + 1,
        }


def _compared(results: Results, recorded: Results) -> list[tuple[str, dict[str, Any]]]:
    ran = {name for name, row in results["notebooks"].items() if row["status"] == "ok"}
    rows = sorted(recorded["metrics"].items())
    return [(name, old) for name, old in rows if old["notebook"] in ran and old["unit"] not in TIME_UNITS]


def _unlike(name: str, new: dict[str, Any] | None, old: dict[str, Any]) -> str:
    if new is None:
        return f"{name}: recorded as {old['mean']:.6g}, not recorded by this run"
    if new["unit"] != old["unit"] or new["n"] != old["n"]:
        return f"{name}: n = {new['n']} in {new['unit']}, recorded n = {old['n']} in {old['unit']}"
    return ""


def _size(old: dict[str, Any]) -> float:
    return max(abs(old["mean"]), old["sd"] or 0.0)


def _noise(old: dict[str, Any], of: str = "mean") -> float:
    r"""How far a mean, or a subject's value, may move on the kind of machine that recorded it."""
    return SAFETY * max(old.get("spread", {}).get(of, 0.0), ROUNDING * _size(old)) + 1e-12


def _half_margin(name: str, old: dict[str, Any], ledger: Sequence[Claim], recorded: Results) -> float:
    r"""Half the smallest margin of the claims a number feeds; of one that feeds none, a quarter of its interval."""
    half_width = (old["ci95"][1] - old["ci95"][0]) / 2 if old["ci95"] else 0.0
    margins = [_margin(claim, recorded) for claim in ledger if name in claim.names]
    return max(min(margins, default=half_width) / 2, _noise(old))


def _margin(claim: Claim, recorded: Results) -> float:
    r"""How far a claim's rule reaches: its margin, half its width, or how far its numbers were from the bound.

    Where they were nearer to the bound than they are certain, the half-width of their interval.
    """
    rule = claim.rule
    if rule.kind == "noninferior":
        return -rule.low if math.isinf(rule.high) else rule.high
    if rule.kind == "within":
        return (rule.high - rule.low) / 2
    bound = rule.high if math.isinf(rule.low) else rule.low
    rows = recorded["claims"].get(claim.id, {}).get("intervals", [])
    rooms = [max(abs(row["estimate"] - bound), (row["high"] - row["low"]) / 2) for row in rows]
    return min(rooms, default=0.0)


def _subjects_moved(new: Record, old: Record, row: dict[str, Any], allowed_mean: float | None) -> list[str]:
    r"""Subjects with other values than recorded, although the mean is the same: shuffled, or spoilt both ways.

    On the kind of machine that recorded each may move by its noise; elsewhere, where the mean may move by
    `allowed_mean`, all together by that or by half the spread between subjects.
    """
    if new.values.shape != old.values.shape or (new.subjects or ()) != (old.subjects or ()):
        return [f"{new.name}: other subjects or seeds than recorded"]
    change = np.abs(new.values - old.values)
    alike = allowed_mean is None or bool(row.get("recorded"))
    moved = change.max() if alike else float(np.sqrt((change**2).mean()))
    if moved <= (_noise(row, "subject") if alike else max(0.5 * (row["sd"] or 0.0), allowed_mean or 0.0)):
        return []
    at = np.unravel_index(int(change.argmax()), change.shape)
    who = new.subjects[at[-1]] if new.subjects else f"number {at[-1]}"
    shuffled = np.abs(np.sort(new.values, axis=None) - np.sort(old.values, axis=None)).max() < 0.1 * change.max()
    why = "; the same values belong to other subjects" if shuffled else ""
    return [f"{new.name} of {who}: {new.values[at]:.6g}, recorded {old.values[at]:.6g}{why}"]


def _expected_change(new: dict[str, Any], old: dict[str, Any]) -> float:
    r"""Half-width of the interval in which the mean over other subjects is expected, by t."""
    from scipy import stats

    factor = stats.t.ppf((1 + OTHER_SUBJECTS) / 2, old["n"] - 1)
    spread = max(old["sd"], new["sd"] or 0.0) * math.sqrt(1 / old["n"] + 1 / new["n"])
    return float(factor * spread) + 1e-12
