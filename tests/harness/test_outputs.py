r"""What an executed notebook can hide: each must be found in its outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_output
from toys import write_notebook

from cardiolearn.harness.execute import Job
from cardiolearn.harness.notebooks import PARAMETERS
from cardiolearn.harness.outputs import WIDGET_MIME, judge_executed
from cardiolearn.lab.records import CHECK_MIME, MIME, START_MIME, WEIGHTS_MIME, make_record


def judged(tmp_path: Path, *outputs: dict[str, Any], state: dict[str, Any] | None = None) -> list[str]:
    r"""Problems of an executed notebook with these outputs, beside a start and a record that are in order."""
    path = write_notebook(tmp_path / "01_good.ipynb", "")
    start = PARAMETERS | {"lesson": "01_good", "folder": str(tmp_path), "data": "phantom"}
    job = Job(str(path), str(tmp_path / "out"), dict(PARAMETERS), 1)
    notebook = nbformat.read(path, 4)
    for turn, cell in enumerate((cell for cell in notebook.cells[1:] if cell.source), start=1):
        cell.execution_count, cell.metadata.papermill = turn, {"status": "completed"}
    bundles = [new_output("display_data", {START_MIME: start}), *outputs]
    notebook.cells[-1].outputs = bundles
    if state:
        notebook.metadata.widgets = {WIDGET_MIME: {"state": {"m": {"state": state}}}}
    return judge_executed(notebook, job.expected)[0]


RECORDED = new_output("display_data", {MIME: make_record("toy.x", [1.0, 2.0]).bundle()})


def test_an_executed_notebook_in_order_has_no_problem(tmp_path: Path) -> None:
    assert judged(tmp_path, RECORDED) == []
    fine = new_output("display_data", {CHECK_MIME: {"name": "dice", "passed": True}})
    assert judged(tmp_path, RECORDED, fine, new_output("stream", name="stderr", text="100%|####|")) == []


def test_what_an_executed_notebook_can_hide(tmp_path: Path) -> None:
    wrong = new_output("display_data", {CHECK_MIME: {"name": "dice", "passed": False}})
    assert judged(tmp_path, RECORDED, wrong) == ["the solved exercise 'dice' does not pass its own check"]
    for name in ("stderr", "stdout"):
        trace = new_output("stream", name=name, text="Traceback (most recent call last):\n ...\nKeyError: 'x'")
        assert judged(tmp_path, RECORDED, trace) == [f"traceback on {name}: KeyError: 'x'"]
        assert judged(tmp_path, RECORDED, state={"outputs": [trace]}) == [f"traceback on {name}: KeyError: 'x'"]
    assert judged(tmp_path, RECORDED, RECORDED) == ["toy.x is recorded twice"]
    second = new_output("display_data", {START_MIME: {}})
    assert judged(tmp_path, RECORDED, second) == ["lab.start was called 2 times, expected once"]
    state = {"outputs": [{"output_type": "error", "ename": "E", "evalue": "e", "traceback": []}]}
    assert judged(tmp_path, RECORDED, state=state) == ["error in a widget callback: E: e"]
    torn = new_output("display_data", {MIME: {"name": "toy.x"}})
    assert "expected the fields" in judged(tmp_path, torn)[0]
    assert "recorded no number" in judged(tmp_path)[0]
    real = new_output("display_data", {MIME: make_record("toy.x", [1.0, 2.0], data="real").bundle()})
    assert "asked for were phantom data" in judged(tmp_path, real)[0]
    elsewhere = {"name": "net", "sha256": "ab", "folder": str(tmp_path)}
    assert "from another folder" in judged(tmp_path, RECORDED, new_output("display_data", {WEIGHTS_MIME: elsewhere}))[0]
    figure = new_output("display_data", {"image/png": "aGk="}, metadata={"image/png": {"alt": "a heart"}})
    assert judged(tmp_path, RECORDED, *[figure] * 7) == []
    assert judged(tmp_path, RECORDED, *[figure] * 8) == ["the core path shows 8 figures, 7 at most"]
    for metadata in ({}, {"image/png": {"alt": " "}}):
        silent = new_output("display_data", {"image/png": "aGk="}, metadata=metadata)
        assert "a figure without alt text" in judged(tmp_path, RECORDED, silent)[0]
        assert "a figure without alt text" in judged(tmp_path, RECORDED, state={"outputs": [silent]})[0]
