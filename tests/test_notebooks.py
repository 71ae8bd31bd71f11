r"""Every lesson runs in its classroom profile, as `cardiolearn run` runs it; none is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from cardiolearn.harness.run import RunOptions, run_lessons

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BUDGET_MB = 4000


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in NOTEBOOKS])
def test_lesson_runs_and_agrees_with_the_recorded_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CARDIOLEARN_HOME", raising=False)
    results, problems = run_lessons([name], RunOptions(home=ROOT, out=tmp_path / "run"))
    assert problems == []
    row = results["notebooks"][name]
    assert row["status"] == "ok"
    assert row["peak_mb"] is None or row["peak_mb"] <= BUDGET_MB
