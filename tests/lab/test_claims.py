r"""Verdicts against intervals computed by scipy and by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from toys import toy_ledger

from cardiolearn.errors import InputError
from cardiolearn.lab.claims import Verdict, claims_table, judge, judge_or_recorded
from cardiolearn.lab.ledger import Claim, Metric, Rule
from cardiolearn.lab.records import Record, make_record

NAMES = [f"s{i}" for i in range(30)]


def records(ours: Any, base: Any = None, **extra: Any) -> dict[str, Record]:
    made = {"toy.ours": make_record("toy.ours", ours, subjects=NAMES[: np.shape(ours)[-1]], **extra)}
    if base is not None:
        made["toy.base"] = make_record("toy.base", base, subjects=NAMES[: np.shape(base)[-1]], **extra)
    return made


@pytest.mark.parametrize(("shift", "verdict"), [(0.5, "shown"), (-0.5, "not shown"), (0.0, "inconclusive")])
def test_higher_on_a_paired_difference(tmp_path: Path, shift: float, verdict: str) -> None:
    rng = np.random.default_rng(1)
    base = rng.normal(size=20)
    noise = rng.normal(size=20)
    noise -= noise.mean()
    found = judge(toy_ledger(tmp_path)[0], records(base + shift + 0.3 * noise, base))
    assert found.verdict == verdict
    (interval,) = found.interval
    assert interval.estimate == pytest.approx(shift)
    low, high = stats.bootstrap((shift + 0.3 * noise,), np.mean, method="percentile", rng=2).confidence_interval
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.03)


def test_pairing_is_by_name_not_by_place(tmp_path: Path) -> None:
    base = np.arange(10.0)
    ours = make_record("toy.ours", (base + 1)[::-1], subjects=NAMES[:10][::-1])
    baseline = make_record("toy.base", base, subjects=NAMES[:10])
    (interval,) = judge(toy_ledger(tmp_path)[0], {"toy.ours": ours, "toy.base": baseline}).interval
    assert interval.low == interval.high == 1.0


def test_identical_methods_are_never_better(tmp_path: Path) -> None:
    same = np.arange(10.0)
    assert judge(toy_ledger(tmp_path)[0], records(same, same)).verdict == "not shown"
    margin = toy_ledger(tmp_path, rule='{ kind = "noninferior", margin = 0.01, better = "higher" }')[0]
    assert judge(margin, records(same, same)).verdict == "shown"
    distance = toy_ledger(tmp_path, rule='{ kind = "noninferior", margin = 0.1, better = "lower" }')[0]
    assert judge(distance, records(same + 0.05, same)).verdict == "shown"
    assert judge(distance, records(same + 0.2, same)).verdict == "not shown"
    said = judge(distance, records(same + 0.2, same)).evidence
    assert said.startswith("ours minus base 0.2") and said.endswith("; must be below 0.1")
    lower = toy_ledger(tmp_path, rule='{ kind = "lower" }')[0]
    assert judge(lower, records(same - 1, same)).verdict == "shown"


def test_every_metric_of_a_claim_must_hold(tmp_path: Path) -> None:
    one = '{ ours = "toy.%s", baseline = "toy.base", words = "ours minus base" }'
    two = f"[{one % 'ours'}, {one % 'other'}]"
    claim = toy_ledger(tmp_path, metrics=two)[0]
    base = np.arange(10.0)
    found = records(base + 1, base)
    assert judge(claim, found).verdict == "not run"
    assert "toy.other" in judge(claim, found).evidence
    good, bad = (make_record("toy.other", base + step, subjects=NAMES[:10]) for step in (1, -1))
    assert judge(claim, found | {"toy.other": good}).verdict == "shown"
    assert judge(claim, found | {"toy.other": bad}).verdict == "not shown"


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        ('{ kind = "at_least", value = 1.0 }', "shown"),
        ('{ kind = "at_least", value = 1.5 }', "not shown"),
        ('{ kind = "within", low = 0.5, high = 1.0 }', "shown"),
        ('{ kind = "within", low = 1.1, high = 2.0 }', "not shown"),
    ],
)
def test_rules_on_a_value(tmp_path: Path, rule: str, verdict: str) -> None:
    claim = toy_ledger(tmp_path, rule=rule, metrics='[{ ours = "toy.ours", words = "ours" }]')[0]
    assert judge(claim, records(np.ones(8))).verdict == verdict


def test_too_few_subjects_or_seeds_decide_nothing(tmp_path: Path) -> None:
    few = judge(toy_ledger(tmp_path)[0], records([2.0] * 5, [1.0] * 5))
    assert few.verdict == "inconclusive" and "only 5 subjects" in few.evidence
    claim = toy_ledger(tmp_path, test='"seeds"')[0]
    table = np.ones((5, 8)) + np.arange(8)
    five = judge(claim, records(table + 1, table, seeds=range(5)))
    assert five.verdict == "inconclusive" and "only 5 seeds" in five.evidence


def test_seeds_need_both_intervals_clear(tmp_path: Path) -> None:
    claim = toy_ledger(tmp_path, test='"seeds"')[0]
    base = np.zeros((6, 20))
    per_seed = np.array([-1.0, 2.0, -0.8, 2.2, -0.9, 2.1])
    ours = base + per_seed[:, None]  # every subject alike: the bootstrap over subjects alone would be certain
    found = judge(claim, records(ours, base, seeds=range(6)))
    assert found.verdict == "inconclusive"
    t = stats.t.interval(0.95, 5, per_seed.mean(), stats.sem(per_seed))
    assert (found.interval[0].low, found.interval[0].high) == pytest.approx(t)
    steady = judge(claim, records(base + 0.5 + 0.01 * per_seed[:, None], base, seeds=range(6)))
    assert steady.verdict == "shown"
    per_subject = np.random.default_rng(0).normal(0.1, 1.0, 20)
    uneven = judge(claim, records(base + per_subject + 0.001 * per_seed[:, None], base, seeds=range(6)))
    assert uneven.verdict == "inconclusive"  # every training alike: the t-interval over seeds alone would be certain
    by_scipy = stats.bootstrap((per_subject,), np.mean, method="percentile", rng=1).confidence_interval
    assert (uneven.interval[0].low, uneven.interval[0].high) == pytest.approx(tuple(by_scipy), abs=0.03)


@given(st.integers(0, 15), st.integers(0, 15))
def test_mcnemar_agrees_with_the_exact_binomial_test(wins: int, losses: int) -> None:
    metrics = (Metric("toy.ours", "toy.base", "ours minus base"),)
    claim = Claim("a.b", "01", "A Slide", "s", "slide", "p", metrics, Rule("higher", 0.0, math.inf), "mcnemar", "e")
    ours = np.array([1] * wins + [0] * losses + [1] * 10)
    base = np.array([0] * wins + [1] * losses + [1] * 10)
    names = [f"s{i}" for i in range(len(ours))]
    made = {n: make_record(n, v, subjects=names) for n, v in (("toy.ours", ours), ("toy.base", base))}
    found = judge(claim, made)
    p = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    expected = "inconclusive" if p > 0.05 else "shown" if wins > losses else "not shown"
    assert found.verdict == expected
    assert found.interval[0].estimate == pytest.approx((wins - losses) / len(ours))


def test_mcnemar_refuses_other_than_zero_and_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0/1"):
        judge(toy_ledger(tmp_path, test='"mcnemar"')[0], records(np.full(8, 0.5), np.ones(8)))


def test_unpaired_records_are_refused(tmp_path: Path) -> None:
    claim = toy_ledger(tmp_path)[0]
    with pytest.raises(InputError, match="not paired"):
        judge(claim, records(np.ones(8), np.ones(9)))
    bare = {n: make_record(n, np.ones(8)) for n in ("toy.ours", "toy.base")}
    with pytest.raises(InputError, match="must name their subjects"):
        judge(claim, bare)
    with pytest.raises(InputError, match="disagree about seeds"):
        judge(claim, records(np.ones((6, 8)), np.ones((6, 8)), seeds=range(6)))
    mixed = records(np.ones(8), np.ones(8))
    real = make_record("toy.base", np.ones(8), subjects=NAMES[:8], data="real")
    with pytest.raises(InputError, match="mix phantom and real"):
        judge(claim, mixed | {"toy.base": real})


def test_words_for_real_scans_and_longer_runs(tmp_path: Path) -> None:
    claim = toy_ledger(tmp_path)[0]
    base = np.arange(10.0)
    assert judge(claim, records(base + 1, base, data="real")).verdict == "reproduced"
    assert judge(claim, records(base - 1, base, data="real")).verdict == "not reproduced"
    table = judge(claim, records(base + 1, base, recorded=True))
    assert table.verdict == "recorded" and table.longer == "shown" and "shown" in table.evidence
    provenance = {"profile": "reproduce", "date": "2026-01-01"}
    longer = {"provenance": provenance, "claims": {"toy.claim": {"verdict": "not shown", "evidence": "d -1"}}}
    found = judge_or_recorded(claim, {}, [longer])
    assert found == Verdict("recorded", "reproduce run of 2026-01-01: not shown; d -1", (), "not shown")
    assert judge_or_recorded(claim, {}, []).verdict == "not run"
    ours = judge_or_recorded(claim, records(base + 1, base), [longer])
    assert ours.verdict == "shown"  # what this run measured goes before what another did


def test_the_table_is_markdown_with_a_row_for_each_claim(tmp_path: Path) -> None:
    claim = toy_ledger(tmp_path, statement='"a | b"')[0]
    table = claims_table([claim], {"toy.claim": {"verdict": "shown", "evidence": "d 1"}})
    rows = table.strip().splitlines()
    assert [row.count("|") for row in rows] == [5, 5, 5]
    assert "**shown**" in rows[2] and "a / b" in rows[2]
