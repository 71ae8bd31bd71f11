r"""Stages of a long run: who did them and how long they took, whether now or in an earlier run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cardiolearn.lab import stages
from cardiolearn.lab.records import STAGE_MIME

#: What an earlier session left of a stage.
NOTE = {"seconds": 5000.0, "commits": ["old"], "device": "cpu", "phantom": "c0ffee12", "date": "2026-01-01"}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    r"""What is said of each stage; time goes by a hundred seconds at each look at the clock."""
    said: list[dict[str, Any]] = []
    clock = iter(range(0, 100_000, 100))
    monkeypatch.setattr(stages, "show", lambda text, bundle: said.append(bundle[STAGE_MIME]))
    monkeypatch.setattr(stages.time, "perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr(stages, "commit", lambda: "first")
    return said


def test_a_stage_counts_all_its_sessions_and_names_all_who_did_it(
    tmp_path: Path, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "table.csv"
    with pytest.raises(KeyboardInterrupt), stages.stage("table", kept, "cpu"):
        raise KeyboardInterrupt
    monkeypatch.setattr(stages, "commit", lambda: "second")
    with stages.stage("table", kept, "cuda"):
        kept.write_text("done")
    assert [(s["seconds"], s["earlier"], s["commits"]) for s in told] == [(200.0, 100.0, ["first", "second"])]
    assert told[-1]["stage"] == "table" and told[-1]["device"] == "cuda" and len(told[-1]["phantom"]) == 8
    assert sorted(p.name for p in tmp_path.iterdir()) == ["table.csv", "table.csv.stage.json"]


def test_reading_a_finished_stage_leaves_its_note_alone(
    tmp_path: Path, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "table.csv"
    kept.write_text("done")
    (tmp_path / "table.csv.stage.json").write_text(json.dumps(NOTE))
    with stages.stage("table", kept, "cuda"):
        pass
    assert told == [NOTE | {"stage": "table", "earlier": 5000.0}]
    assert json.loads((tmp_path / "table.csv.stage.json").read_text()) == NOTE


def test_a_stage_that_pauses_again_counts_however_short_it_was(
    tmp_path: Path, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "state.safetensors"
    kept.write_text("half of it")
    (tmp_path / "state.safetensors.stage.json").write_text(json.dumps(NOTE))
    with pytest.raises(KeyboardInterrupt), stages.stage("state", kept, "cuda"):
        raise KeyboardInterrupt
    found = json.loads((tmp_path / "state.safetensors.stage.json").read_text())
    assert (found["seconds"], found["commits"], found["device"]) == (5100.0, ["old", "first"], "cuda")


def test_what_an_older_version_finished_says_that_nothing_is_known(
    tmp_path: Path, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "table.csv"
    kept.write_text("done")
    clock = iter((0.0, 1.0))
    monkeypatch.setattr(stages.time, "perf_counter", lambda: next(clock))
    with stages.stage("table", kept, "cpu"):
        pass
    assert told[0]["commits"] == ["unknown"] and told[0]["earlier"] == 0.0
    assert not (tmp_path / "table.csv.stage.json").exists()
