r"""The table of values beside a run's results: read back as it was, and enough to judge every claim again."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from cardiolearn.errors import InputError
from cardiolearn.home import find_home
from cardiolearn.lab.ledger import Claim, Metric, load_claims
from cardiolearn.lab.recorded import recorded_run, results_path
from cardiolearn.lab.records import Record, make_record
from cardiolearn.lab.values import read_values, values_csv

RECORDS = {
    "a.named": make_record("a.named", [0.1, 1 / 3], unit="mm", subjects=["p, 1", 'p "2"']),
    "a.seeds": make_record("a.seeds", [[1.0, 2.0], [3.0, 4.0]], subjects=["x", "y"], seeds=[5, 7]),
    "a.single": make_record("a.single", 1985556),
    "a.unnamed": make_record("a.unnamed", [1e-7, -2.5], recorded=True),
}


def results(records: dict[str, Record]) -> dict[str, Any]:
    rows = {name: {"unit": r.unit} | ({"recorded": True} if r.recorded else {}) for name, r in records.items()}
    return {"metrics": rows, "provenance": {"data": "phantom"}}


def test_values_come_back_with_their_names_and_seeds(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(values_csv(RECORDS))
    back = read_values(path, results(RECORDS))
    assert list(back) == sorted(RECORDS)
    for name, record in RECORDS.items():
        np.testing.assert_allclose(back[name].values, record.values, rtol=1e-8)
        kept = ("unit", "subjects", "seeds", "data", "recorded")
        assert [getattr(back[name], key) for key in kept] == [getattr(record, key) for key in kept]


def test_a_damaged_table_is_refused_and_a_missing_one_is_none(tmp_path: Path) -> None:
    path, whole = tmp_path / "a.csv", values_csv(RECORDS)
    assert read_values(path, results(RECORDS)) == {}
    for text, message in (
        ("", "expected a table of metric, seed, subject, value"),
        (whole[:40], "got another or a damaged one"),
        (whole.replace("0.1", "much"), "expected numbers for a.named"),
        (whole + "a.other,,,1\n", "got also a.other"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message) as caught:
            read_values(path, results(RECORDS))
        assert str(caught.value).startswith(str(path))


# --- every claim, judged again from the shipped table by scipy alone ---


def table(profile: str) -> dict[str, dict[tuple[str, str], float]]:
    r"""By metric and (seed, subject), read by the standard library alone."""
    values: dict[str, dict[tuple[str, str], float]] = {}
    with results_path(profile).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            known = values.setdefault(row["metric"], {})
            known[row["seed"], row["subject"] or str(len(known))] = float(row["value"])  # repetitions have no names
    return values


def differences(metric: Metric, values: dict[str, dict[tuple[str, str], float]]) -> np.ndarray:
    r"""Ours minus baseline (or ours), `(seeds, subjects)`."""
    ours, base = values[metric.ours], values[metric.baseline] if metric.baseline else {}
    seeds, subjects = (list(dict.fromkeys(key[i] for key in ours)) for i in (0, 1))
    return np.array([[ours[s, w] - (base[s, w] if base else 0.0) for w in subjects] for s in seeds])


def interval(claim: Claim, sample: np.ndarray) -> tuple[float, float]:
    def by_t(x: np.ndarray) -> tuple[float, float]:
        low, high = stats.t.interval(0.95, len(x) - 1, x.mean(), stats.sem(x))
        return float(low), float(high)

    by_subject = sample.mean(axis=0)
    if claim.test == "mcnemar":  # Clopper and Pearson's limits of the first method's share of the disagreements
        first, second = (int((by_subject == sign).sum()) for sign in (1, -1))
        share = stats.beta.ppf([0.025, 0.975], [first, first + 1], [second + 1, second])
        low, high = (2.0 * share - 1.0) * (first + second) / len(by_subject)
        return float(low), float(high)
    if len(by_subject) < 20:
        low, high = by_t(by_subject)
    else:
        found = stats.bootstrap((by_subject,), np.mean, method="percentile", n_resamples=200_000, rng=0, batch=20_000)
        low, high = found.confidence_interval
    if claim.test == "seeds" and len(sample) > 1:
        t_low, t_high = by_t(sample.mean(axis=1))
        low, high = min(low, t_low), max(high, t_high)
    return low, high


@pytest.mark.parametrize("profile", ["classroom"])
def test_every_recorded_claim_follows_from_the_shipped_table(profile: str) -> None:
    r"""Estimates to six digits, intervals to a fiftieth of their width (10,000 resamples are off by as much), and every
    verdict. A claim whose numbers only a longer run has is read, not judged, by this profile."""
    recorded, values = recorded_run(profile), table(profile)
    assert recorded is not None
    judged = 0
    for claim in load_claims(find_home() / "course" / "claims.toml"):
        if claim.section not in recorded["notebooks"]:  # its lesson is still to come
            continue
        row = recorded["claims"][claim.id]
        if not set(claim.names) <= set(values) or not row["intervals"]:
            assert row["verdict"] in ("recorded", "not run", "inconclusive"), claim.id
            continue
        sides = set()
        for metric, kept in zip(claim.metrics, row["intervals"], strict=True):
            sample = differences(metric, values)
            low, high = interval(claim, sample)
            near = 0.02 * (high - low) + 1e-9
            assert sample.mean() == pytest.approx(kept["estimate"], rel=1e-6, abs=1e-8), metric
            assert (low, high) == (pytest.approx(kept["low"], abs=near), pytest.approx(kept["high"], abs=near)), metric
            too_few = claim.test == "seeds" and len(sample) < 6  # trainings: then no interval decides
            sides.add("open" if too_few else claim.rule.side(kept["low"], kept["high"]))
        side = "no" if "no" in sides else "open" if "open" in sides else "yes"
        word = {"yes": "shown", "open": "inconclusive", "no": "not shown"}[side]
        longer = row["evidence"].removeprefix("in the longer run: ").split(";")[0]
        assert word == (longer if row["verdict"] == "recorded" else row["verdict"]), claim.id
        judged += 1
    assert judged >= 10
