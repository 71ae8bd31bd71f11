r"""Recorded numbers in a notebook: one folded table a cell, and all of them for the harness."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from cardiolearn.harness.outputs import records_of
from cardiolearn.lab.folded import FoldedRecords
from cardiolearn.lab.records import make_record

CELLS = (
    """from cardiolearn.lab.folded import FoldedRecords
from cardiolearn.lab.records import make_record
shown = FoldedRecords()""",
    """shown.add(make_record("toy.a", [1.0, 2.0, 3.0], unit="mm"))
print("between")
shown.add(make_record("toy.b", 5))""",
    'shown.add(make_record("toy.c", [0.5, 0.7], unit="<b>", recorded=True))',
)


def test_the_numbers_of_a_cell_stand_in_one_folded_table(tmp_path: Path) -> None:
    notebook = new_notebook(cells=[new_code_cell(source) for source in CELLS])
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    nbformat.validate(notebook)
    assert [record.name for record in records_of(notebook)] == ["toy.a", "toy.b", "toy.c"]
    _, two, longer = (cell.outputs for cell in notebook.cells)
    assert [output.output_type for output in two] == ["display_data", "stream"]
    html, text = two[0]["data"]["text/html"], two[0]["data"]["text/plain"]
    assert html.startswith("<details><summary>Recorded: 2 numbers</summary>") and html.endswith("</details>")
    assert "<td>toy.a</td><td>2.00</td><td>1.00</td><td>-0.484 to 4.48</td><td>3</td><td>mm</td>" in html
    assert "<td>toy.b</td><td>5.00</td><td></td><td></td><td>1</td><td></td>" in html
    assert text.splitlines()[0].startswith("toy.a: 2.00 mm (mean; SD 1.00") and len(text.splitlines()) == 2
    assert "Recorded: 1 number, from a longer run" in longer[0]["data"]["text/html"]
    assert "<td>&lt;b&gt;</td>" in longer[0]["data"]["text/html"]


def test_outside_a_notebook_a_line_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    FoldedRecords().add(make_record("toy.a", 5))
    assert capsys.readouterr().out == "toy.a: 5.00\n"
