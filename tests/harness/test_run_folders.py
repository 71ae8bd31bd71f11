r"""Runs at the same time: a folder each, and what they share is neither overwritten nor left half-written."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from toys import write_kit, write_notebook

from cardiolearn.errors import InputError
from cardiolearn.harness import run
from cardiolearn.harness.execute import Job, Outcome
from cardiolearn.harness.run import RunOptions, run_lessons
from cardiolearn.imaging.unfinished import unfinished
from cardiolearn.lab.records import make_record

Kit = tuple[Path, list[Callable[[], Any]]]


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kit]:
    r"""A kit of two lessons that take no time, and what shall happen during the first that is run."""
    home, meanwhile = write_kit(tmp_path / "kit"), list[Callable[[], Any]]()
    for name in ("01_good", "02_more"):
        write_notebook(home / "notebooks" / f"{name}.ipynb", "")

    def stand_in(job: Job, _: Event) -> Outcome:
        if meanwhile:
            meanwhile.pop()()
        digest = hashlib.sha256(Path(job.notebook).read_bytes()).hexdigest()
        return Outcome(job.name, 1.0, 1.0, [], digest, (make_record(f"toy.x{job.name[:2]}", [1.0, 2.0]),))

    monkeypatch.setattr(run, "execute", stand_in)
    yield home, meanwhile
    assert meanwhile == []


def test_runs_that_begin_in_the_same_second_have_a_folder_each(quick: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    home, meanwhile = quick

    class Standing(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Standing:
            return cls(2026, 11, 26, 9, 30, 5)

    monkeypatch.setattr(run, "datetime", Standing)
    meanwhile.append(lambda: run_lessons(["02"], RunOptions(home=home)))
    run_lessons(["01"], RunOptions(home=home))
    run_lessons(["01"], RunOptions(home=home))
    found = {path.parent.name: json.loads(path.read_text()) for path in home.glob("runs/*/results.json")}
    assert {name: list(results["notebooks"]) for name, results in found.items()} == {
        "20261126-093005": ["01_good"], "20261126-093005-2": ["02_more"], "20261126-093005-3": ["01_good"],
    }  # fmt: skip


def test_a_folder_in_which_a_run_is_at_work_is_refused_by_name(quick: Kit) -> None:
    home, meanwhile = quick
    out, refused = home / "runs" / "x", list[str]()

    def others() -> None:
        run_lessons(["02"], RunOptions(home=home, out=home / "runs" / "older"))
        os.utime(home / "runs" / "older" / "results.json", ns=(0, 0))
        (out / "results.json").write_text(json.dumps({k: {} for k in ("provenance", "notebooks", "metrics", "claims")}))
        for options in ({"out": out}, {"out": out, "resume": True}, {"resume": True}):
            with pytest.raises(InputError) as caught:
                run_lessons([], RunOptions(home=home, **options))  # type: ignore[arg-type]
            refused.append(str(caught.value))

    meanwhile.append(others)
    run_lessons(["01"], RunOptions(home=home, out=out))
    found = f"{out / 'results.json'}: process {os.getpid()} is at work on it; wait for its end, or name another place"
    assert refused == [found] * 3
    assert list(json.loads((out / "results.json").read_text())["notebooks"]) == ["01_good"]
    run_lessons(["01", "02"], RunOptions(home=home, out=out, resume=True))  # it has ended


def test_the_latest_run_is_the_one_whose_results_were_written_last(tmp_path: Path) -> None:
    for number, name in enumerate(("20261126-093005-10", "20261126-093005-9", "20261126-093005", "20261126-093005-2")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "results.json").touch()
        os.utime(tmp_path / "runs" / name / "results.json", ns=(number, number))
    (tmp_path / "runs" / "20261126-093005-10" / "report.html").touch()
    assert run.latest_run(tmp_path).name == "20261126-093005-2"


def test_runs_that_record_other_lessons_at_once_are_both_kept(quick: Kit) -> None:
    home, meanwhile = quick
    meanwhile.append(lambda: run_lessons(["02"], RunOptions(home=home, record=True)))
    run_lessons(["01"], RunOptions(home=home, record=True))
    recorded = json.loads((home / "course" / "results" / "classroom.json").read_text())
    assert sorted(recorded["notebooks"]) == ["01_good", "02_more"] and len(recorded["metrics"]) == 2


def test_a_folder_for_runs_that_cannot_be_made_says_what_to_do(quick: Kit) -> None:
    home, _ = quick
    (home / "runs").touch()
    with pytest.raises(InputError, match=r"runs: cannot hold the run \(.*\); name a folder with --out"):
        run_lessons([], RunOptions(home=home))


def test_what_killed_runs_left_is_swept_before_a_run(quick: Kit, tmp_path: Path) -> None:
    home, _ = quick
    swept = [home / "course" / "results", home / "course" / "weights", home / "runs" / "old", tmp_path / "out"]
    for folder in (*swept, home / "notebooks"):
        folder.mkdir(parents=True, exist_ok=True)
        with unfinished(folder / "a") as name:
            pass
        name.with_name(re.sub(r"-\d+-", "-1-", name.name, count=1)).touch()  # of process 1, begun at our time
    run_lessons([], RunOptions(home=home, out=tmp_path / "out"))
    assert [len(list(folder.glob(".*.part"))) for folder in (*swept, home / "notebooks")] == [0, 0, 0, 0, 1]
