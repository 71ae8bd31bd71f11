r"""How the claims fared, in counts; and what chance alone would show, held against theory and against trials."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from toys import claim_text, toy_ledger

from cardiolearn.harness.verdicts import CHANCE, chance, interval_picture, rows, strip
from cardiolearn.lab.claims import judge
from cardiolearn.lab.ledger import Claim, Rule, load_claims
from cardiolearn.lab.records import make_record
from cardiolearn.measures.statistics import MANY

VERDICTS = {
    "a": {"verdict": "not shown", "evidence": "e"},
    "b": {"verdict": "recorded", "evidence": "e", "longer": "shown"},
    "c": {"verdict": "shown", "evidence": "e"},
    "d": {"verdict": "recorded", "evidence": "e", "longer": "not shown"},
    "e": {"verdict": "shown", "evidence": "e"},
    "f": {"verdict": "inconclusive", "evidence": "e"},
}


@pytest.fixture
def told(tmp_path: Path) -> list[dict[str, Any]]:
    path = tmp_path / "claims.toml"
    path.write_text("".join(claim_text(id=f'"{name}"', statement=f'"claim {name}"') for name in "abcdefg"))
    return rows(load_claims(path), VERDICTS)


def test_this_runs_verdicts_come_first_and_are_counted_apart(told: list[dict[str, Any]]) -> None:
    assert [row["statement"][-1] for row in told] == ["c", "e", "f", "a", "b", "d", "g"]
    kinds = [(kind["count"], kind["word"], kind["side"], kind["longer"]) for kind in strip(told)]
    assert kinds == [
        (2, "shown", "yes", False), (1, "inconclusive", "open", False), (1, "not shown", "no", False),
        (1, "shown", "yes", True), (1, "not shown", "no", True), (1, "not run", "open", False),
    ]  # fmt: skip


def test_what_chance_would_show_is_said_of_the_claims_that_are_judged(told: list[dict[str, Any]]) -> None:
    said = chance(told)
    assert said.startswith("6 claims are judged, 2 of them in a longer run, each by a 95 % interval.")
    assert "even if this were the case for all 6, chance alone would show 0.2 to 0.4 of them" in said
    assert said.endswith("Found: 3 shown.")
    assert chance(told[:1]).startswith("1 claim is judged, each")
    assert chance(told[-1:]) == "No claim has been judged yet."


def trials_shown(claim: Claim, n: int, values: Callable[[int], NDArray[np.float64]]) -> tuple[float, float]:
    r"""99 % interval of the share of trials that call a claim shown whose true effect lies at its limit."""
    names, trials = [f"s{i}" for i in range(n)], 300
    base = make_record("toy.base", np.zeros(n), subjects=names)
    ours = (make_record("toy.ours", values(n), subjects=names) for _ in range(trials))
    shown = sum(judge(claim, {"toy.ours": one, "toy.base": base}).verdict == "shown" for one in ours)
    low, high = stats.binomtest(shown, trials).proportion_ci(0.99)
    return low, high


def test_the_share_shown_by_chance_is_what_trials_find(tmp_path: Path) -> None:
    r"""A bootstrap's interval is nearly the normal one, with the squares divided by n and not by n - 1."""
    (claim,) = toy_ledger(tmp_path, rule='{ kind = "noninferior", margin = 2, better = "higher" }')
    rng = np.random.default_rng(0)
    low, high = trials_shown(claim, 6, lambda n: rng.normal(-2.0, 1.0, n))
    assert low < CHANCE[0] < high
    normal = stats.t.sf(stats.norm.ppf(0.975) * np.sqrt((MANY - 1) / MANY), MANY - 1)
    low, high = trials_shown(claim, MANY, lambda n: rng.normal(-2.0, 1.0, n))
    assert low < normal < high and CHANCE[0] < normal < CHANCE[1]
    low, high = trials_shown(claim, MANY, lambda n: -rng.gamma(2.0, 1.0, n))
    assert low < CHANCE[1] < high


def test_the_interval_is_drawn_inside_its_region() -> None:
    drawn = interval_picture(Rule("higher", 0.0, np.inf), {"estimate": 2.0, "low": 1.0, "high": 3.0, "text": '2 "dB"'})
    assert 'aria-label="2 &#34;dB&#34;"' in drawn
    left = float(drawn.split('class="good" x="')[1].split('"')[0])
    width = float(drawn.split('width="')[2].split('"')[0])
    low, high = (float(drawn.split('class="bar" x1="')[1].split('"')[i]) for i in (0, 2))
    assert left <= low < float(drawn.split('cx="')[1].split('"')[0]) < high <= left + width
