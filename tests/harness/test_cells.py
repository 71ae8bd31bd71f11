r"""Every cell runs, once and in order, to its end; else the first that did not is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_output
from toys import write_notebook

from cardiolearn.harness.cells import cell_problems, where_it_was


def executed(tmp_path: Path) -> Any:
    r"""A notebook of which all cells ran: parameters, `lab.start`, one = 1, nothing, two = 2."""
    notebook = nbformat.read(write_notebook(tmp_path / "01_toy.ipynb", "one = 1", "", "two = 2"), 4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source]
    for turn, cell in enumerate(cells, start=1):
        cell.execution_count, cell.metadata.papermill = turn, {"status": "completed", "start_time": "now"}
    return notebook


def test_cells_that_all_ran_are_no_problem(tmp_path: Path) -> None:
    assert list(cell_problems(executed(tmp_path))) == []


@pytest.mark.parametrize(
    ("cell", "change", "problem"),
    [
        (3, {"execution_count": None}, "did not run: the cell that begins with 'one = 1'"),
        (3, {"execution_count": 4}, "ran as number 4, expected 3: the cell that begins with 'one = 1'"),
        (5, {"metadata": {"papermill": {"status": "failed"}}}, "did not run to its end (SystemExit: 0): the cell that"),
    ],
)
def test_the_first_cell_that_did_not_run_is_named(tmp_path: Path, cell: int, change: Any, problem: str) -> None:
    notebook = executed(tmp_path)
    notebook.cells[cell].update(change)
    notebook.cells[cell].outputs = [new_output("error", ename="SystemExit", evalue="0", traceback=[])]
    found = list(cell_problems(nbformat.from_dict(notebook)))
    assert len(found) == 1 and found[0].startswith(problem)


def test_where_a_notebook_was_when_it_ended(tmp_path: Path) -> None:
    path, notebook = tmp_path / "partial.ipynb", executed(tmp_path)
    assert where_it_was(path) == " before it was first saved"
    nbformat.write(notebook, path)
    assert where_it_was(path) == " in or after the cell that begins with 'two = 2'"
    del notebook.cells[5].metadata["papermill"]
    notebook.cells[3].metadata.papermill.status = "running"
    nbformat.write(notebook, path)
    assert where_it_was(path) == " in the cell that begins with 'one = 1'"
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
    nbformat.write(notebook, path)
    assert where_it_was(path) == " before its first cell"
