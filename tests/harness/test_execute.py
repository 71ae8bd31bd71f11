r"""One notebook in a process: what is wrong with it, its time limit, its folder and parameters."""

from __future__ import annotations

from pathlib import Path

import nbformat
import psutil
import pytest
from toys import GOOD, run_one, write_kit, write_notebook

from cardiolearn.harness.execute import Job, parameter_problems


def test_mistyped_parameter_fails_without_a_kernel(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "01_good.ipynb", GOOD)
    outcome = run_one(path, tmp_path / "out", sede=3)
    assert outcome.status == "failed" and "unknown parameter 'sede'" in outcome.problems[0]


def test_missing_parameters_cell_fails_without_a_kernel(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "01_good.ipynb", GOOD, parameters=False)
    outcome = run_one(path, tmp_path / "out")
    assert outcome.status == "failed" and "no cell tagged 'parameters'" in outcome.problems[0]


@pytest.mark.parametrize("tag", ["skip-execution", "raises-exception", "papermill-error-cell-tag"])
def test_tags_that_change_what_runs_fail_without_a_kernel(tmp_path: Path, tag: str) -> None:
    path = write_notebook(tmp_path / "01_tagged.ipynb", "1 / 0")
    notebook = nbformat.read(path, 4)
    notebook.cells[-1].metadata.tags = ["exercise", tag]
    nbformat.write(notebook, path)
    problem = run_one(path, tmp_path / "out").problems[0]
    assert f"the tag {tag!r}" in problem and "1 / 0" in problem


def test_a_file_that_is_no_notebook_fails(tmp_path: Path) -> None:
    path = tmp_path / "01_torn.ipynb"
    path.write_text('{"cells": [')
    assert "expected a Jupyter notebook" in parameter_problems(Job(str(path), str(tmp_path), {}, 1))[0]


@pytest.mark.slow
def test_hanging_notebook_is_killed_with_its_kernel(tmp_path: Path) -> None:
    hang = "from pathlib import Path\nimport os, threading\nPath('pid').write_text(str(os.getpid()))"
    path = write_notebook(tmp_path / "nb" / "01_hang.ipynb", "threading.Event().wait()", start=hang)
    for limit in (10, 30, 90):  # a busy machine may need longer to reach the cell that hangs
        outcome = run_one(path, tmp_path / "out", limit=limit)
        assert outcome.status == "failed" and f"time limit of {limit} s" in outcome.problems[0]
        if "threading.Event().wait()" in outcome.problems[0]:
            break
    else:
        pytest.fail(outcome.problems[0])
    assert not _alive(int((path.parent / "pid").read_text()))


def _alive(pid: int) -> bool:
    r"""Whether a process runs; a dead one that nobody has asked about yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
def test_kernel_in_the_wrong_folder_or_with_other_parameters_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARDIOLEARN_HOME", str(write_kit(tmp_path / "kit")))
    start = "import os\nos.chdir('..')\nfrom cardiolearn import lab\n"
    start += "run = lab.start('01_else', profile=profile, seed=7, device='cpu', data_dir=None, weights='shipped')"
    path = write_notebook(tmp_path / "nb" / "01_good.ipynb", "run.record('toy.x', 1)", start=start)
    problems = run_one(path, tmp_path / "out", data_dir=str(tmp_path / "jane"), weights=str(tmp_path / "w")).problems
    words = ("folder", "seed 7, expected 0", "lesson '01_else'", "device 'cpu', expected 'auto'")
    for word in (*words, "without the data_dir it was given", "other weights than it was given"):
        assert any(word in problem for problem in problems), word
    assert not any("jane" in problem for problem in problems)  # a folder's name may be that of a person
