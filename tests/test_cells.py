r"""`cells.method_cell` gives what a notebook's method cells define, and runs nothing that needs data."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from cells import method_cell
from nbformat.v4 import new_code_cell, new_notebook


def test_definitions_and_what_they_need(tmp_path: Path) -> None:
    cells = [
        new_code_cell("import math\nsubjects = load_subjects()"),
        new_code_cell("def half(x):\n    # solution\n    return x / 2", metadata={"tags": ["exercise"]}),
        new_code_cell(
            "SCALE = 4\ndef area(r):\n    return SCALE * half(math.pi) * r\nplot(area)", metadata={"tags": ["method"]}
        ),
        new_code_cell("def area(r):\n    return 0\ndef untagged():\n    pass"),
        new_code_cell("class Late:\n    pass", metadata={"tags": ["method"]}),
    ]
    path = tmp_path / "01_toy.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    found = method_cell(path, "area")
    assert found.area(3) == pytest.approx(6 * 3.14159265) and found.SCALE == 4
    assert not hasattr(found, "Late") and hasattr(method_cell(path, "Late"), "Late")
    with pytest.raises(AssertionError, match="defines untagged"):
        method_cell(path, "untagged")
