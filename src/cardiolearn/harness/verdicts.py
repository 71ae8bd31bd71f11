r"""How the lecture's claims fared, for a reader: counts first, what chance alone would show, then each claim."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from cardiolearn.lab.claims import MARKS, NEGATIVE, POSITIVE
from cardiolearn.lab.ledger import Claim, Rule

#: Of a claim whose true effect lies exactly at its limit, the share of runs that call it shown: 2.5 % by Student's t.
#: A bootstrap of 20 subjects calls 3.6 % shown if values are normally distributed, and 7 % if they are as skewed as a
#: gamma distribution of shape 2, with the long tail away from what is claimed (both are tested).
CHANCE = (0.025, 0.07)
#: In this order verdicts are told: those of this run, then those of a longer one.
ORDER = ("shown", "reproduced", "inconclusive", "not shown", "not reproduced", "recorded", "not run")
_OPEN = {"verdict": "not run", "evidence": "No run has judged it yet."}


def rows(ledger: Sequence[Claim], judged: Mapping[str, Any]) -> list[dict[str, Any]]:
    r"""A row for each claim of the ledger, in the order of `ORDER`; `judged` as in a results file."""
    return sorted((_row(claim, judged.get(claim.id, _OPEN)) for claim in ledger), key=lambda row: row["place"])


def _row(claim: Claim, judged: Mapping[str, Any]) -> dict[str, Any]:
    verdict, longer = judged["verdict"], judged.get("longer", "")
    word, intervals = longer or verdict, judged.get("intervals", [])
    return {
        "statement": claim.statement,
        "where": f"Lesson {claim.section[:2].lstrip('0')}, slide “{claim.slide}”",
        "paper": claim.paper,
        "measure": claim.evidence,
        "evidence": judged["evidence"].rpartition("; ")[2] if intervals else judged["evidence"],
        "intervals": [(interval_picture(claim.rule, i), i["text"]) for i in intervals],
        "verdict": verdict,
        "word": word,
        "longer": verdict == "recorded",
        "side": "yes" if word in POSITIVE else "no" if word in NEGATIVE else "open",
        "mark": MARKS.get(word, "·"),
        "place": (ORDER.index(verdict), ORDER.index(word)),
    }


def strip(claims: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    r"""The counts of claims that fared alike, in the order of `rows`: `count`, `word`, `mark`, `side`, `longer`."""
    kinds = dict.fromkeys((row["word"], row["mark"], row["side"], row["longer"]) for row in claims)
    return [
        {"word": word, "mark": mark, "side": side, "longer": longer,
         "count": sum((row["word"], row["longer"]) == (word, longer) for row in claims)}
        for word, mark, side, longer in kinds
    ]  # fmt: skip


def chance(claims: Sequence[dict[str, Any]]) -> str:
    r"""How many claims are judged, and how many of them would be shown by chance, in plain sentences.

    All metrics of a claim must lie in its region, so one whose true value lies at the limit or beyond is enough: the
    share is at most that of this metric alone, and the mean over claims holds however they depend on each other.
    """
    judged = [row for row in claims if row["word"] != "not run"]
    if not judged:
        return "No claim has been judged yet."
    longer, found = sum(row["longer"] for row in judged), sum(row["side"] == "yes" for row in judged)
    low, high = (f"{len(judged) * share:.1f}" for share in CHANCE)
    many = f"{len(judged)} claims are" if len(judged) > 1 else "1 claim is"
    beside = f", {longer} of them in a longer run" if longer else ""
    return (
        f"{many} judged{beside}, each by a 95 % interval. If a claim's true effect lay exactly at its limit, 2.5 of "
        "100 runs would still call it shown, and up to 7 of 100 where few subjects have very uneven values. So even if "
        f"this were the case for all {len(judged)}, chance alone would show {low} to {high} of them. "
        f"Found: {found} shown."
    )


def interval_picture(rule: Rule, interval: Mapping[str, Any]) -> Markup:
    r"""The interval over the region in which it must lie, as a small drawing with a spoken description."""
    low, mean, high = interval["low"], interval["estimate"], interval["high"]
    edges = [edge for edge in (rule.low, rule.high) if math.isfinite(edge)]
    least, most = min(low, *edges), max(high, *edges)
    pad = 0.15 * (most - least) or 1.0
    least, most, width = least - pad, most + pad, 260.0

    def x(value: float) -> float:
        return round((min(max(value, least), most) - least) / (most - least) * width, 1)

    marks = "".join(
        f'<line class="axis" x1="{x(e)}" x2="{x(e)}" y1="2" y2="26" stroke-dasharray="3 2"/>'
        f'<text x="{x(e)}" y="38" text-anchor="middle">{e:g}</text>'
        for e in edges
    )
    return Markup(  # every part is a number of ours, or escaped
        '<svg class="interval" role="img" width="260" height="42" viewBox="-12 0 284 42" aria-label="{label}">'
        f'<rect class="good" x="{x(rule.low)}" y="4" width="{x(rule.high) - x(rule.low):.1f}" height="20"/>{marks}'
        f'<line class="bar" x1="{x(low)}" x2="{x(high)}" y1="14" y2="14" stroke-width="3"/>'
        f'<circle class="dot" cx="{x(mean)}" cy="14" r="4.5"/></svg>'
    ).format(label=interval["text"])
