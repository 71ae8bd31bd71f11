r"""What differs from the recorded run: by what is known of each number, subject by subject, and under another seed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from toys import toy_ledger

from cardiolearn.harness.regressions import add_spread, flipped, regressions, under_another_seed
from cardiolearn.lab.records import Record, make_record

OURS = np.array([0.92, 0.88, 0.95, 0.90, 0.85, 0.93])
WHO = [f"s{i}" for i in range(6)]
MACHINE = {"platform": "Linux x86_64", "cpu": "AVX2", "device": "cpu", "torch": "2.13.0"}
MACHINE |= {"code": "c0de", "weights": "f00d"}


def results(values: np.ndarray = OURS, name: str = "toy.ours", seed: int = 0, **machine: str) -> Any:
    record = make_record(name, values, subjects=WHO)
    return {
        "provenance": {"seed": seed, "data": "phantom"},
        "notebooks": {"01_toy": {"status": "ok"} | MACHINE | machine},
        "metrics": {name: record.summary() | {"notebook": "01_toy"}},
        "claims": {"toy.claim": {"verdict": "shown", "intervals": [{"estimate": 0.03, "low": 0.02, "high": 0.04}]}},
    }


def records(values: np.ndarray = OURS, name: str = "toy.ours") -> dict[str, Record]:
    return {name: make_record(name, values, subjects=WHO)}


def found(tmp_path: Path, new: np.ndarray, *, name: str = "toy.ours", old: Any = None, **machine: str) -> list[str]:
    ledger = toy_ledger(tmp_path)
    was = old or results(name=name)
    return regressions(results(new, name, **machine), was, ledger, records(new, name), records(OURS, name))


def test_on_the_machine_that_recorded_a_number_may_move_by_ten_times_its_spread(tmp_path: Path) -> None:
    size = OURS.mean()
    assert found(tmp_path, OURS * (1 + 1.9e-4)) == []
    assert f"toy.ours: {size * 1.0005:.6g}, recorded {size:.6g}" in found(tmp_path, OURS * 1.0005)[0]
    known = results()
    known["metrics"]["toy.ours"]["spread"] = {"mean": 1e-3, "subject": 2e-3, "runs": 2}
    assert found(tmp_path, OURS + 9e-3, old=known) == []
    assert "may differ by 0.01)" in found(tmp_path, OURS + 1.1e-2, old=known)[0]


def test_elsewhere_it_may_move_by_half_the_margin_of_its_claim(tmp_path: Path) -> None:
    r"""The toy's rule is `higher`: its estimate lay 0.03 above the bound. A number that feeds no claim has a quarter of
    its own interval."""
    assert found(tmp_path, OURS + 0.0149, cpu="AVX512") == []
    assert "may differ by 0.015)" in found(tmp_path, OURS + 0.0151, cpu="AVX512")[0]
    quarter = stats.t.ppf(0.975, 5) * OURS.std(ddof=1) / np.sqrt(6) / 2
    assert found(tmp_path, OURS + 0.99 * quarter, name="toy.other", torch="3.0") == []
    assert found(tmp_path, OURS + 1.01 * quarter, name="toy.other", torch="3.0") != []


@pytest.mark.parametrize(
    ("rule", "margin"),
    [
        ('{ kind = "noninferior", margin = 0.01, better = "higher" }', 0.01),
        ('{ kind = "noninferior", margin = 0.02, better = "lower" }', 0.02),
        ('{ kind = "lower" }', 0.03),
    ],
)
def test_each_rule_has_a_margin(tmp_path: Path, rule: str, margin: float) -> None:
    ledger, was = toy_ledger(tmp_path, rule=rule), results()
    for factor, fine in ((0.49, True), (0.51, False)):
        new = OURS + factor * margin
        said = regressions(results(new, cpu="AVX512"), was, ledger, records(new), records())
        assert (said == []) is fine


@pytest.mark.parametrize("machine", [{}, {"cpu": "AVX512"}])
def test_values_that_belong_to_other_subjects_are_seen(tmp_path: Path, machine: dict[str, str]) -> None:
    said = found(tmp_path, np.roll(OURS, 1), **machine)
    assert len(said) == 1 and said[0].endswith("; the same values belong to other subjects")
    assert said[0].startswith("toy.ours of s")
    spoilt = OURS + np.array([0.2, -0.2, 0.0, 0.0, 0.0, 0.0])
    assert found(tmp_path, spoilt, **machine) == ["toy.ours of s0: 1.12, recorded 0.92"]
    others = {"toy.ours": make_record("toy.ours", OURS, subjects=[f"p{i}" for i in range(6)])}
    said = regressions(results(**machine), results(), toy_ledger(tmp_path), others, records())
    assert said == ["toy.ours: other subjects or seeds than recorded"]


def test_lost_numbers_units_and_counts_are_seen(tmp_path: Path) -> None:
    lost, unit = results(), results()
    lost["metrics"] = {}
    unit["metrics"]["toy.ours"]["unit"] = "%"
    for new, message in (
        (lost, "recorded as 0.905, not recorded by this run"),
        (unit, "n = 6 in %, recorded n = 6 in 1"),
    ):
        assert message in regressions(new, results(), toy_ledger(tmp_path), {}, {})[0]
        assert message in under_another_seed(new, results(seed=1), {}, {})[0]
    failed = copy.deepcopy(lost)
    failed["notebooks"]["01_toy"]["status"] = "failed"
    assert regressions(failed, results(), toy_ledger(tmp_path), {}, {}) == []


def test_under_another_seed_numbers_are_others_and_not_too_far_away() -> None:
    r"""Other subjects' mean is expected within the interval of t for the difference of two means of six."""
    old = results(seed=3)
    assert (
        "the very values of seed 3; does it use the seed?"
        in under_another_seed(results(), old, records(), records())[0]
    )
    expected = stats.t.ppf(0.9995, 5) * OURS.std(ddof=1) * np.sqrt(2 / 6)
    for factor, fine in ((0.99, True), (1.01, False)):
        new = OURS + factor * expected
        said = under_another_seed(results(new), old, records(new), records())
        assert (said == []) is fine
    old["metrics"]["toy.ours"]["recorded"] = True  # read from a table, whatever the seed
    assert under_another_seed(results(), old, records(), records()) == []


def test_recording_again_learns_the_spread() -> None:
    again, shift = results(OURS + 1e-6), np.array([3e-6, 0, 0, 0, 0, 0])
    add_spread(again, results(OURS + shift), records(OURS + 1e-6), records(OURS + shift))
    known = again["metrics"]["toy.ours"]["spread"]
    assert known["runs"] == 2 and known["subject"] == pytest.approx(2e-6) and known["mean"] == pytest.approx(0.5e-6)
    third = results(OURS + 2e-6)
    add_spread(third, again, records(OURS + 2e-6), records(OURS + 1e-6))
    assert third["metrics"]["toy.ours"]["spread"] == pytest.approx({"mean": 1e-6, "subject": 2e-6, "runs": 3})
    for machine in ({"code": "other"}, {"weights": "trained for longer"}, {"cpu": "AVX512"}):
        fresh = results(**machine)
        add_spread(fresh, again, records(), records())
        assert "spread" not in fresh["metrics"]["toy.ours"]


def test_only_a_verdict_that_changes_sides_is_flipped(tmp_path: Path) -> None:
    ledger, new, old = toy_ledger(tmp_path), results(), results()
    assert flipped(new, old, ledger) == []
    new["claims"]["toy.claim"]["verdict"] = "inconclusive"
    assert flipped(new, old, ledger) == []
    new["claims"]["toy.claim"]["verdict"] = "not shown"
    assert flipped(new, old, ledger) == ["claim toy.claim: not shown, recorded shown"]
