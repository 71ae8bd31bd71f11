r"""A progress bar in a notebook: one output, nothing red, and at its end a plain sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from cardiolearn.learning.progress import tqdm

CELLS = (
    "from cardiolearn.learning.progress import tqdm",
    'found = [i * i for i in tqdm(range(3), desc="squaring", unit="number")]',
    'with tqdm(total=4, unit="step") as bar:\n    bar.set_postfix(loss="0.1", refresh=False)\n    bar.update()\nfound',
    'list(tqdm([], desc="nothing", unit="number", disable=True))',
    'for i in tqdm(range(2), desc="breaking", unit="number"):\n    1 / i',
)


def said(cell: Any) -> list[str]:
    return [output["data"]["text/plain"] if "data" in output else output["output_type"] for output in cell.outputs]


def test_a_bar_in_a_notebook_ends_as_one_plain_line(tmp_path: Path) -> None:
    notebook = new_notebook(cells=[new_code_cell(source) for source in CELLS])
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, kernel_name="python3", allow_errors=True, resources=where).execute()
    nbformat.validate(notebook)
    _, full, part, none, broken = (said(cell) for cell in notebook.cells)
    assert full == ["squaring: 3 numbers in 00:00"]
    assert part == ["1 of 4 steps in 00:00", "[0, 1, 4]"]
    assert none == ["[]"]
    assert broken == ["breaking: 0 of 2 numbers in 00:00", "error"]


def test_a_bar_elsewhere_is_written_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(tqdm(range(2), desc="counting")) == [0, 1]
    out, err = capsys.readouterr()
    assert out == "" and "counting: 100%" in err
