r"""How a run judges the ledger's claims.

Every rule is a region: a claim is *shown* when the whole 95 % interval of what we measured lies inside it, *not shown*
when the whole interval lies outside, else *inconclusive*. Nothing else decides. On real scans the words are
*reproduced* / *not reproduced*; numbers read from a longer run are *recorded*; a claim without numbers is *not run*.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiolearn.errors import InputError
from cardiolearn.home import find_home
from cardiolearn.lab.ledger import Claim, Metric, load_claims, of_section
from cardiolearn.lab.recorded import longer_runs
from cardiolearn.lab.records import LEVEL, Record, number, unit_suffix

MIN_SUBJECTS = 6  # of fewer, two that are not typical decide
MIN_SEEDS = 6
WORDS = {
    "phantom": {"yes": "shown", "open": "inconclusive", "no": "not shown"},
    "real": {"yes": "reproduced", "open": "inconclusive", "no": "not reproduced"},
}
POSITIVE = {"shown", "reproduced"}
NEGATIVE = {"not shown", "not reproduced"}
MARKS = {"shown": "✔", "reproduced": "✔", "not shown": "✘", "not reproduced": "✘", "inconclusive": "~"}


@dataclass(frozen=True)
class Interval:
    r"""What was measured for one metric: ours minus baseline (or our value) and its 95 % interval; `text` says both."""

    metric: str
    estimate: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Verdict:
    r"""How a claim fared, the sentence that says why, and one interval per metric.

    Of one that is *recorded*, `longer` is the verdict of the longer run.
    """

    verdict: str
    evidence: str
    interval: tuple[Interval, ...] = ()
    longer: str = ""


def judge(claim: Claim, records: Mapping[str, Record]) -> Verdict:
    r"""The verdict on a claim from the records of one run, by name.

    Raises:
        InputError: Compared records are not paired over the same subjects (and seeds), mix phantom and real data, or
            are not 0/1 for McNemar's test.
    """
    missing = [name for name in claim.names if name not in records]
    if missing:
        return Verdict("not run", f"no numbers for {', '.join(missing)}")
    used = [records[name] for name in claim.names]
    kinds = {record.data for record in used}
    if len(kinds) > 1:
        raise InputError(f"claim {claim.id}: its records mix phantom and real data; judge them apart")
    samples = [_sample(claim, metric, records) for metric in claim.metrics]
    short = _too_few(claim, samples)
    pairs = zip(claim.metrics, samples, strict=True)
    intervals = tuple(_interval(claim, m, s, records[m.ours]) for m, s in pairs if s.shape[1] > 1)
    sides = {"open"} if short else {claim.rule.side(i.low, i.high) for i in intervals}
    side = "no" if "no" in sides else "open" if "open" in sides else "yes"
    word = WORDS[kinds.pop()][side]
    allowed = f"must be {claim.rule.allowed(unit_suffix(used[0].unit))}"
    evidence = "; ".join([*(interval.text for interval in intervals), short or allowed])
    if any(record.recorded for record in used):
        return Verdict("recorded", f"in the longer run: {word}; {evidence}", intervals, word)
    return Verdict(word, evidence, intervals)


def _sample(claim: Claim, metric: Metric, records: Mapping[str, Record]) -> NDArray[np.float64]:
    r"""Ours minus the paired baseline, or our values: (seeds, subjects); one row without the seeds test."""
    ours = records[metric.ours]
    if (claim.test == "seeds") != (ours.seeds is not None):
        raise InputError(f"claim {claim.id}: test {claim.test} and record {ours.name} disagree about seeds")
    if metric.baseline is None:
        return np.atleast_2d(ours.values)
    base = records[metric.baseline]
    for axis, mine, other in (("subjects", ours.subjects, base.subjects), ("seeds", ours.seeds, base.seeds)):
        if axis == "subjects" and (mine is None or other is None):
            raise InputError(f"claim {claim.id}: {ours.name} and {base.name} must name their subjects to be paired")
        if set(mine or ()) != set(other or ()):
            odd = sorted(map(str, set(mine or ()) ^ set(other or ())))[0]
            raise InputError(f"claim {claim.id}: {ours.name} and {base.name} are not paired: {axis} differ ({odd})")
    mine_table, base_table = np.atleast_2d(ours.values), np.atleast_2d(base.values)
    columns = [(base.subjects or ()).index(s) for s in ours.subjects or ()]
    rows = [(base.seeds or ()).index(s) for s in ours.seeds] if ours.seeds else [0]
    if claim.test == "mcnemar" and not np.isin([mine_table, base_table], (0.0, 1.0)).all():
        raise InputError(f"claim {claim.id}: McNemar's test needs 0/1 values in {ours.name} and {base.name}")
    return np.asarray(mine_table - base_table[np.ix_(rows, columns)], dtype=np.float64)


def _too_few(claim: Claim, samples: Iterable[NDArray[np.float64]]) -> str:
    seeds, subjects = (min(size) for size in zip(*(s.shape for s in samples), strict=True))
    if subjects < MIN_SUBJECTS:
        return f"only {subjects} subjects, {MIN_SUBJECTS} are needed for a verdict"
    if claim.test == "seeds" and seeds < MIN_SEEDS:
        return f"only {seeds} seeds, {MIN_SEEDS} are needed for a verdict"
    return ""


def _interval(claim: Claim, metric: Metric, sample: NDArray[np.float64], ours: Record) -> Interval:
    r"""95 % interval of the mean of `sample` (seeds, subjects) by the claim's test.

    With seeds both intervals must be clear, so the hull of the t-interval over seed means and of the interval over
    subjects is judged.
    """
    from cardiolearn.measures import statistics

    per_subject = sample.mean(axis=0)
    if claim.test == "mcnemar":
        low, high = statistics.mcnemar_interval(
            int((per_subject > 0).sum()), int((per_subject < 0).sum()), per_subject.size, LEVEL
        )
    else:
        low, high = statistics.mean_interval(per_subject, LEVEL)
    if claim.test == "seeds" and len(sample) > 1:
        t_low, t_high = statistics.t_interval(sample.mean(axis=1), LEVEL)
        low, high = min(low, t_low), max(high, t_high)
    mean, unit = float(per_subject.mean()), unit_suffix(ours.unit)
    count = f"{len(sample)} seeds, " if claim.test == "seeds" else ""
    text = f"{metric.words} {number(mean)}{unit} [{number(low)}, {number(high)}] ({count}n = {per_subject.size})"
    return Interval(metric.ours, mean, float(low), float(high), text)


def judge_or_recorded(claim: Claim, records: Mapping[str, Record], longer: Iterable[Mapping[str, Any]]) -> Verdict:
    r"""`judge`; for a claim this run has no numbers for, what the first of some recorded runs (longest first) says."""
    verdict = judge(claim, records)
    if verdict.verdict != "not run":
        return verdict
    for run in longer:
        row = run.get("claims", {}).get(claim.id, {"verdict": "not run"})
        if row["verdict"] not in ("not run", "recorded"):
            stamp = f"{run['provenance'].get('profile')} run of {run['provenance'].get('date')}"
            intervals = tuple(Interval(**interval) for interval in row.get("intervals", ()))
            return Verdict("recorded", f"{stamp}: {row['verdict']}; {row['evidence']}", intervals, row["verdict"])
    return Verdict("not run", f"needs {', '.join(claim.names)}")


def claims_table(claims: Iterable[Claim], verdicts: Mapping[str, Mapping[str, str]]) -> str:
    r"""Markdown table of claims; `verdicts` as in a results file, `{id: {"verdict", "evidence"}}`."""
    lines = ["| verdict | lecture says | measured here | paper |", "|---|---|---|---|"]
    for claim in claims:
        row = verdicts.get(claim.id, {"verdict": "not run", "evidence": ""})
        mark = MARKS.get(row["verdict"], "·")
        cells = (
            f"{mark} **{row['verdict']}**",
            f"{claim.statement}<br>*Slide: {claim.slide}*",
            row["evidence"].replace("; ", "<br>"),
            claim.paper,
        )
        lines.append("| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def claims_of_lesson(lesson: str, profile: str, records: Mapping[str, Record], chosen: Collection[str] = ()) -> str:
    r"""`claims_table` of a lesson's claims, or those `chosen` by id, judged on the records of a run in progress."""
    ledger = of_section(load_claims(find_home() / "course" / "claims.toml"), lesson, chosen)
    longer = longer_runs(profile)
    verdicts = {claim.id: judge_or_recorded(claim, records, longer) for claim in ledger}
    return claims_table(ledger, {i: {"verdict": v.verdict, "evidence": v.evidence} for i, v in verdicts.items()})
