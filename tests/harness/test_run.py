r"""Notebooks that papermill alone lets pass must fail here; each is built small and run in a real kernel."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from concurrent.futures import Future, as_completed
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_output
from toys import GOOD, write_kit, write_notebook

from cardiolearn.errors import InputError
from cardiolearn.harness import run
from cardiolearn.harness.execute import Job, Outcome
from cardiolearn.harness.run import RunOptions, run_lessons
from cardiolearn.lab.records import MIME, make_record
from cardiolearn.phantom.cohorts.cache import CACHE_VARIABLE

RECORD = "run.record('toy.{name}', [1.0, 2.0])"
WIDGET = """import ipywidgets
def draw(t):
    if t > 2: raise ZeroDivisionError("in the callback")
slider = ipywidgets.IntSlider(value=0, max=5)
display(ipywidgets.interactive_output(draw, {"t": slider}))
slider.value = 4"""
#: What an honest notebook may do: catch an error, wait for others, leave helpers idle.
HONEST = """import asyncio, threading
from concurrent.futures import ThreadPoolExecutor
from tqdm.auto import tqdm
try: 1 / 0
except ZeroDivisionError as error: print("caught:", error)
pool = ThreadPoolExecutor(2)
print(list(pool.map(abs, tqdm([-1, 2]))))
never = threading.Event()
threading.Thread(target=never.wait, args=(0.3,)).start()
task = asyncio.create_task(asyncio.sleep(0.3))"""
BAD = {
    "02_raises": ("1 / 0", "ZeroDivisionError"),
    "03_widget": (WIDGET, "error in a widget callback: ZeroDivisionError: in the callback"),
    "04_silent": ("", "recorded no number"),
    "05_dies": ("import os\nos._exit(3)", "stopped its kernel with os._exit(3)"),
    "06_leaves": ("raise SystemExit(0)", "did not run to its end (SystemExit: 0)"),
    "07_quits": ("exit()", "stopped its kernel with exit()"),
}


@pytest.fixture(scope="module")
def bad_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[str], Path]:
    r"""One run over a good notebook and every bad one, started from a foreign folder."""
    home = write_kit(tmp_path_factory.mktemp("kit"))
    write_notebook(home / "notebooks" / "01_good.ipynb", GOOD, HONEST)
    for name, (code, _) in BAD.items():
        extra = [] if "silent" in name else [RECORD.format(name=name)]
        write_notebook(home / "notebooks" / f"{name}.ipynb", *extra, code)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARDIOLEARN_HOME", str(home))
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        results, problems = run_lessons([], RunOptions(home=home, jobs=2, out=home / "runs" / "x"))
    return results, problems, home


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_bad_notebook_fails_and_the_run_continues(bad_run: Any, name: str) -> None:
    results, problems, home = bad_run
    assert results["notebooks"][name]["status"] == "failed"
    found = " ".join(results["notebooks"][name]["problems"])
    assert BAD[name][1] in found
    assert any(name in problem for problem in problems)
    assert json.loads((home / "runs/x/results.json").read_text()) == json.loads(json.dumps(results))


@pytest.mark.slow
def test_good_notebook_beside_bad_ones_is_judged(bad_run: Any) -> None:
    results, _, home = bad_run
    row = results["notebooks"]["01_good"]
    assert row["status"] == "ok" and row["problems"] == [] and row["peak_mb"] > 50
    assert results["metrics"]["toy.ours"]["mean"] == pytest.approx(1.035)
    assert results["claims"]["toy.better"]["verdict"] == "shown"
    assert {m["notebook"] for m in results["metrics"].values()} == {"01_good"}  # failed notebooks leave no numbers
    executed = nbformat.read(home / "runs/x/01_good.ipynb", 4)
    assert "shown" in "".join(str(cell.get("outputs")) for cell in executed.cells)


STAGED = """import torch
from torch import nn
from cardiolearn.learning.checkpoint import Keep
from cardiolearn.learning.clock import seconds_left
from cardiolearn.learning.training import TrainingPlan, train
data, plan, kept = torch.ones(2, 1), TrainingPlan(2, seed=0), run.folder / "toy.safetensors"
train(nn.Linear(1, 1), lambda *_: (data, data), nn.functional.mse_loss, plan, run.device,
      keep=Keep(kept, seconds_left()))"""


@pytest.mark.slow
def test_a_notebook_whose_time_is_up_is_unfinished_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = write_kit(tmp_path / "kit")
    monkeypatch.setenv("CARDIOLEARN_HOME", str(home))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    write_notebook(home / "notebooks" / "01_good.ipynb", STAGED, GOOD)
    options = RunOptions(home=home, out=home / "runs" / "x", resume=True, record=True, stage=0.01)
    results, problems = run_lessons([], options)
    go_on = "go on with the same command and --resume"
    assert problems == [f"01_good: Unfinished: toy: 1 of 2 training steps are done; {go_on}"]
    assert results["notebooks"]["01_good"]["status"] == "unfinished" and results["metrics"] == {}
    assert not (home / "course" / "results" / "classroom.json").exists()
    results, problems = run_lessons([], options)
    assert problems == [] and results["notebooks"]["01_good"]["status"] == "ok"
    assert {"device", "precision"} <= set(results["notebooks"]["01_good"])


@pytest.fixture(scope="module")
def recorded_kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    r"""A kit with one good notebook, run once with `record`."""
    home = write_kit(tmp_path_factory.mktemp("recorded"))
    write_notebook(home / "notebooks" / "01_good.ipynb", GOOD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARDIOLEARN_HOME", str(home))
        _, problems = run_lessons(["01"], RunOptions(home=home, out=home / "runs" / "a", record=True))
    assert problems == []
    return home


def _altered(home: Path, change: Any) -> list[str]:
    r"""Problems of the finished run against a recorded file that says something else; no kernel is started."""
    path = home / "course" / "results" / "classroom.json"
    original = path.read_text()
    recorded = json.loads(original)
    change(recorded)
    path.write_text(json.dumps(recorded))
    try:
        before = (home / "runs/a/01_good.ipynb").stat().st_mtime_ns
        _, problems = run_lessons([], RunOptions(home=home, out=home / "runs" / "a", resume=True))
        assert (home / "runs/a/01_good.ipynb").stat().st_mtime_ns == before
        return problems
    finally:
        path.write_text(original)


@pytest.mark.slow
def test_recorded_run_agrees_with_itself(recorded_kit: Path) -> None:
    assert _altered(recorded_kit, lambda r: None) == []
    recorded = json.loads((recorded_kit / "course/results/classroom.json").read_text())
    assert {"python", "torch", "platform", "cpu", "threads", "commit", "date", "seed"} <= set(recorded["provenance"])
    assert {"commit", "code", "phantom", "device", "cpu"} <= set(recorded["notebooks"]["01_good"])
    assert {"mean", "sd", "n", "ci95", "unit"} <= set(recorded["metrics"]["toy.ours"])
    assert {"seconds", "peak_mb", "status"} <= set(recorded["notebooks"]["01_good"])


@pytest.mark.slow
@pytest.mark.parametrize(("factor", "passes"), [(1.0001, True), (1.001, False), (0.999, False)])
def test_a_wrong_number_is_a_regression(recorded_kit: Path, factor: float, passes: bool) -> None:
    def change(recorded: Any) -> None:
        recorded["metrics"]["toy.ours"]["mean"] *= factor

    problems = _altered(recorded_kit, change)
    assert (problems == []) is passes
    assert passes or "toy.ours" in problems[0]


@pytest.mark.slow
def test_lost_numbers_and_flipped_verdicts_are_regressions(recorded_kit: Path) -> None:
    def lose(recorded: Any) -> None:
        recorded["metrics"]["toy.gone"] = recorded["metrics"]["toy.ours"]

    def flip(recorded: Any) -> None:
        recorded["claims"]["toy.better"]["verdict"] = "not shown"

    def soften(recorded: Any) -> None:
        recorded["claims"]["toy.better"]["verdict"] = "inconclusive"

    assert "toy.gone" in _altered(recorded_kit, lose)[0]
    assert _altered(recorded_kit, flip) == ["claim toy.better: shown, recorded not shown"]
    assert _altered(recorded_kit, soften) == []


@pytest.mark.slow
def test_numbers_that_do_not_depend_on_the_seed_or_belong_to_others_are_seen(recorded_kit: Path) -> None:
    def of_another_seed(recorded: Any) -> None:
        recorded["provenance"]["seed"] = 5

    assert "toy.ours: the very values of seed 5; does it use the seed?" in _altered(recorded_kit, of_another_seed)
    table = recorded_kit / "course" / "results" / "classroom.csv"
    original = table.read_text()
    exchanged = {"toy.ours,,s1,": "toy.ours,,s2,", "toy.ours,,s2,": "toy.ours,,s1,"}
    lines = [exchanged.get(line[:13], line[:13]) + line[13:] for line in original.splitlines()]
    table.write_text("\n".join([lines[0], *sorted(lines[1:])]) + "\n")
    try:
        problems = _altered(recorded_kit, lambda recorded: None)
    finally:
        table.write_text(original)
    assert len(problems) == 1 and problems[0].endswith("; the same values belong to other subjects")


@pytest.mark.slow
def test_timing_never_gates(recorded_kit: Path) -> None:
    def slower(recorded: Any) -> None:
        for name in ("toy.ours", "toy.base"):
            recorded["metrics"][name] |= {"unit": "s", "mean": 99.0}

    assert _altered(recorded_kit, slower) == []


@pytest.mark.slow
def test_another_runs_folder_is_not_overwritten(recorded_kit: Path) -> None:
    with pytest.raises(InputError, match="--resume"):
        run_lessons([], RunOptions(home=recorded_kit, out=recorded_kit / "runs" / "a"))
    with pytest.raises(InputError, match="other parameters"):
        run_lessons([], RunOptions({"seed": 5}, home=recorded_kit, out=recorded_kit / "runs" / "a", resume=True))


def test_unknown_lesson_and_profile_are_one_line_errors(tmp_path: Path) -> None:
    home = write_kit(tmp_path / "kit")
    with pytest.raises(InputError, match="found none"):
        run_lessons([], RunOptions(home=home))
    write_notebook(home / "notebooks" / "01_good.ipynb")
    with pytest.raises(InputError, match="no lesson '07'"):
        run_lessons(["07"], RunOptions(home=home))
    with pytest.raises(InputError, match="profile 'fast'"):
        run_lessons([], RunOptions({"profile": "fast"}, home=home))


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = write_kit(tmp_path / "kit")
    for name in ("01_good", "02_more", "03_last"):
        write_notebook(home / "notebooks" / f"{name}.ipynb", "")
    executed: list[str] = []
    interrupt, said, say = {"now": True}, Event(), run._say

    def stand_in(job: Job, stop: Event) -> Outcome:
        if job.name == "03_last" and interrupt.pop("now", False):
            assert said.wait(60)  # jobs run in a thread of their own
            raise KeyboardInterrupt
        executed.append(job.name)
        notebook = nbformat.read(job.notebook, 4)
        record = make_record(f"toy.x{job.name[:2]}", [1.0, 2.0])
        notebook.cells[-1].outputs = [new_output("display_data", {MIME: [record.bundle()]})]
        nbformat.write(notebook, job.executed)  # a run that goes on reads it again
        digest = hashlib.sha256(Path(job.notebook).read_bytes()).hexdigest()
        return Outcome(job.name, 1.0, 1.0, [], digest, (record,))

    def tell(name: str, results: dict[str, Any]) -> None:
        say(name, results)
        if name == "02_more":
            said.set()

    monkeypatch.setattr(run, "execute", stand_in)
    monkeypatch.setattr(run, "_say", tell)
    settings = RunOptions(home=home, out=home / "runs" / "x")
    with pytest.raises(KeyboardInterrupt):
        run_lessons([], settings)
    assert json.loads((home / "runs/x/results.json").read_text())["notebooks"].keys() == {"01_good", "02_more"}
    executed.clear()
    results, problems = run_lessons([], replace(settings, out=None, resume=True))
    assert executed == ["03_last"] and problems == []
    assert sorted(results["metrics"]) == ["toy.x01", "toy.x02", "toy.x03"]
    write_notebook(home / "notebooks" / "01_good.ipynb", "changed = True")
    run_lessons([], replace(settings, resume=True))
    assert executed[1:] == ["01_good"]  # a notebook that changed is run again, the others are kept
    write_notebook(home / "notebooks" / "02_more.ipynb", "changed = True")
    results, _ = run_lessons(["02"], replace(settings, out=home / "runs" / "y", record=True))
    assert list(results["notebooks"]) == ["02_more"]


def test_a_cluster_gets_every_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = write_kit(tmp_path / "kit")
    for name in ("01_good", "02_more"):
        write_notebook(home / "notebooks" / f"{name}.ipynb", "")
    settings = RunOptions(home=home, out=home / "runs" / "x", cluster="tcp://there:1")
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(InputError, match=r"pip install 'cardiolearn\[cluster\]'"):
        run_lessons([], settings)
    submitted: list[tuple[str, str]] = []

    class Client(contextlib.AbstractContextManager["Client"]):
        r"""A scheduler that fails each notebook at once."""

        def __init__(self, address: str) -> None:
            self.address = address

        def __exit__(self, *_: object) -> None:
            pass

        def submit(self, function: Any, job: Job, pure: bool) -> Future[Outcome]:
            submitted.append((self.address, job.name))
            future: Future[Outcome] = Future()
            future.set_result(Outcome(job.name, 1.0, None, ["no such worker"], "0"))
            return future

    distributed = SimpleNamespace(Client=Client, as_completed=as_completed)
    monkeypatch.setitem(sys.modules, "dask", SimpleNamespace(distributed=distributed))
    monkeypatch.setitem(sys.modules, "dask.distributed", distributed)
    _, problems = run_lessons([], settings)
    assert submitted == [("tcp://there:1", "01_good"), ("tcp://there:1", "02_more")]
    assert problems == ["01_good: no such worker", "02_more: no such worker"]
