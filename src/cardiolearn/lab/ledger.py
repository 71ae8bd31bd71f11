r"""The claims ledger `course/claims.toml`: what the lecture says, as data, every field checked."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cardiolearn.errors import InputError

COMPARED = {"lower", "higher", "noninferior"}
RULE_KEYS = {
    "lower": set[str](),
    "higher": set[str](),
    "noninferior": {"margin", "better"},
    "within": {"low", "high"},
    "at_least": {"value"},
}
TESTS = ("bootstrap", "seeds", "mcnemar")
SOURCES = ("slide", "paper", "follow-up")
CLAIM_KEYS = {"id", "section", "slide", "statement", "source", "paper", "metrics", "rule", "test", "evidence"}


@dataclass(frozen=True)
class Rule:
    r"""Region (low, high) in which the measured difference (or value) must lie; `closed` includes its ends."""

    kind: str
    low: float
    high: float

    @property
    def closed(self) -> bool:
        r"""A difference must exceed its bound; a value may equal it."""
        return self.kind not in COMPARED

    def allowed(self, unit: str) -> str:
        r"""The region in words, `unit` behind its numbers.

        >>> Rule("noninferior", -0.01, math.inf).allowed(""), Rule("within", -5.0, 5.0).allowed(" %")
        ('above -0.01', 'from -5 % to 5 %')
        """
        low, high = f"{self.low:g}{unit}", f"{self.high:g}{unit}"
        if math.isinf(self.high):
            return f"{'at least' if self.closed else 'above'} {low}"
        return f"below {high}" if math.isinf(self.low) else f"from {low} to {high}"

    def side(self, low: float, high: float) -> str:
        r""" "yes", "no" or "open" for an interval of what was measured."""
        if self.closed:
            inside, outside = self.low <= low and high <= self.high, high < self.low or low > self.high
        else:
            inside, outside = self.low < low and high < self.high, high <= self.low or low >= self.high
        return "yes" if inside else "no" if outside else "open"


@dataclass(frozen=True)
class Metric:
    r"""A record name, the one it is compared with, and what the number is, for a reader."""

    ours: str
    baseline: str | None
    words: str


@dataclass(frozen=True)
class Claim:
    r"""One statement of the lecture. `slide`: the slide's title."""

    id: str
    section: str
    slide: str
    statement: str
    source: str
    paper: str
    metrics: tuple[Metric, ...]
    rule: Rule
    test: str
    evidence: str

    @property
    def names(self) -> list[str]:
        r"""Names of the records the claim needs."""
        return [name for m in self.metrics for name in (m.ours, m.baseline) if name]


def load_claims(path: Path) -> list[Claim]:
    r"""The ledger of a TOML file.

    Raises:
        InputError: Unreadable file, an unknown or missing key, an unknown rule, test or source, a repeated id.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: expected a claims ledger in TOML, found {error}") from None
    rows = table.pop("claim", [])
    if table or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: expected only [[claim]] tables, found {sorted(table) or type(rows).__name__}")
    claims = [_claim(row, f"{path}: claim {row.get('id', number_)!r}") for number_, row in enumerate(rows, 1)]
    ids = [claim.id for claim in claims]
    if len(set(ids)) != len(ids):
        raise InputError(f"{path}: claim {next(i for i in ids if ids.count(i) > 1)!r} is there twice")
    return claims


def of_section(claims: Iterable[Claim], section: str, ids: Collection[str] = ()) -> list[Claim]:
    r"""The claims of a section, or those of them with these `ids`.

    Raises:
        InputError: An id that is none of the section's.
    """
    here = [claim for claim in claims if claim.section == section]
    if unknown := sorted(set(ids) - {claim.id for claim in here}):
        raise InputError(f"claim {unknown[0]!r}: expected one of {', '.join(claim.id for claim in here) or 'none'}")
    return [claim for claim in here if not ids or claim.id in ids]


def _claim(row: Mapping[str, Any], where: str) -> Claim:
    _exact_keys(row, CLAIM_KEYS, where)
    for key in CLAIM_KEYS - {"metrics", "rule"}:
        _expect(isinstance(row[key], str) and row[key].strip() != "", where, f"{key} must be text, not {row[key]!r}")
    _expect(row["source"] in SOURCES, where, f"source must be one of {SOURCES}, not {row['source']!r}")
    _expect(row["test"] in TESTS, where, f"test must be one of {TESTS}, not {row['test']!r}")
    rule = _rule(row["rule"], where)
    metrics = _metrics(row["metrics"], rule, where)
    _expect(row["test"] != "mcnemar" or rule.kind in COMPARED, where, "test mcnemar compares two methods: no baseline")
    texts = {key: row[key] for key in CLAIM_KEYS - {"metrics", "rule"}}
    return Claim(metrics=metrics, rule=rule, **texts)


def _rule(row: Any, where: str) -> Rule:
    _expect(
        isinstance(row, dict) and row.get("kind") in RULE_KEYS, where, f"rule must be of {sorted(RULE_KEYS)}, not {row}"
    )
    kind = row["kind"]
    _exact_keys(row, RULE_KEYS[kind] | {"kind"}, f"{where}: rule {kind}")
    for key in RULE_KEYS[kind] - {"better"}:
        good = isinstance(row[key], int | float) and not isinstance(row[key], bool) and math.isfinite(row[key])
        _expect(good, where, f"rule {kind}: {key} must be a finite number, not {row[key]!r}")
    if kind == "noninferior":
        _expect(row["margin"] > 0, where, f"rule noninferior: margin must be above 0, not {row['margin']}")
        _expect(
            row["better"] in ("lower", "higher"),
            where,
            f"rule noninferior: better must be lower or higher, not {row['better']!r}",
        )
        higher = row["better"] == "higher"
        return Rule(kind, -row["margin"] if higher else -math.inf, math.inf if higher else row["margin"])
    if kind == "within":
        _expect(row["low"] < row["high"], where, f"rule within: low {row['low']} is not below high {row['high']}")
        return Rule(kind, row["low"], row["high"])
    bounds = {"lower": (-math.inf, 0.0), "higher": (0.0, math.inf), "at_least": (row.get("value", 0.0), math.inf)}
    return Rule(kind, *bounds[kind])


def _metrics(rows: Any, rule: Rule, where: str) -> tuple[Metric, ...]:
    _expect(isinstance(rows, list) and len(rows) > 0, where, f"metrics must be a list of tables, not {rows!r}")
    keys = {"ours", "words"} | ({"baseline"} if rule.kind in COMPARED else set())
    for row in rows:
        _expect(isinstance(row, dict), where, f"metrics must be a list of tables, not {row!r}")
        _exact_keys(row, keys, f"{where}: metrics")
        _expect(
            all(isinstance(name, str) and name for name in row.values()),
            where,
            f"metrics must be names of records and words: {row}",
        )
    return tuple(Metric(row["ours"], row.get("baseline"), row["words"]) for row in rows)


def _exact_keys(row: Mapping[str, Any], keys: set[str], where: str) -> None:
    unknown, missing = sorted(set(row) - keys), sorted(keys - set(row))
    _expect(not unknown, where, f"unknown key {', '.join(unknown)}; known: {', '.join(sorted(keys))}")
    _expect(not missing, where, f"missing key {', '.join(missing)}")


def _expect(good: bool, where: str, message: str) -> None:
    if not good:
        raise InputError(f"{where}: {message}")
