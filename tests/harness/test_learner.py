r"""The learner's notebooks are the solved ones minus the solutions, and the committed ones are up to date."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from cardiolearn.harness.learner import learner_files, learner_notebook, without_solution, write_learner

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("solved", "exercise"),
    [
        ("x = 1", "x = 1"),
        ("# solution\nx = 1\ny = 2", "...  # your code here"),
        ("a = 0\n# solution\nx = 1\n# end\nprint(a)", "a = 0\n...  # your code here\nprint(a)"),
        ("def f(x):\n    # solution\n    return x", "def f(x):\n    ...  # your code here"),
        ("# solution\nx\n# end\n# solution\ny\n# end", "...  # your code here\n...  # your code here"),
        ("x = 1  # solution of the equation", "x = 1  # solution of the equation"),
        ("# end\nx = 1", "# end\nx = 1"),
    ],
)
def test_what_is_removed_from_a_cell(solved: str, exercise: str) -> None:
    assert without_solution(solved) == exercise
    ast.parse(without_solution(solved))


def solved_notebook() -> nbformat.NotebookNode:
    cells = [
        new_markdown_cell("# Toy\n[words](../course/glossary.md), [start](../README.md)"),
        new_code_cell("def f(x):\n    # solution\n    return x", metadata={"tags": ["exercise"]}),
        new_markdown_cell("It returns x.", metadata={"tags": ["solution"]}),
        new_code_cell("# solution\nkept = 1"),
    ]
    return new_notebook(cells=cells)


def test_only_exercises_lose_lines_and_only_solutions_go() -> None:
    solved = solved_notebook()
    learner = learner_notebook(solved)
    assert [cell.source for cell in learner.cells] == [
        "# Toy\n[words](../glossary.md), [start](../../README.md)",
        "def f(x):\n    ...  # your code here",
        "# solution\nkept = 1",
    ]
    assert solved == solved_notebook() | {"cells": solved.cells}
    assert len(solved.cells) == 4 and "return x" in solved.cells[1].source  # the source is untouched


def test_the_folder_is_regenerated(tmp_path: Path) -> None:
    (tmp_path / "nb").mkdir()
    nbformat.write(solved_notebook(), tmp_path / "nb" / "01_toy.ipynb")
    target = tmp_path / "learner"
    target.mkdir()
    (target / "00_gone.ipynb").write_text("{}")
    (target / "notes.md").write_text("kept")
    assert write_learner(tmp_path / "nb", target) == [target / "01_toy.ipynb"]
    assert sorted(path.name for path in target.iterdir()) == ["01_toy.ipynb", "notes.md"]
    before = (target / "01_toy.ipynb").read_bytes()
    write_learner(tmp_path / "nb", target)
    assert (target / "01_toy.ipynb").read_bytes() == before


def test_links_of_both_copies_lead_somewhere() -> None:
    for folder in ("notebooks", "course/learner"):
        for path in (ROOT / folder).glob("*.ipynb"):
            cells = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
            links = [link for source in cells for link in re.findall(r"\]\((\.[^)#]*)", source)]
            assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.skipif(not list((ROOT / "notebooks").glob("*.ipynb")), reason="no lesson is written yet")
def test_the_committed_learner_notebooks_are_up_to_date() -> None:
    r"""Where this fails: run `make learner` and commit."""
    committed = {path.name: path.read_bytes() for path in (ROOT / "course" / "learner").glob("*.ipynb")}
    assert committed == learner_files(ROOT / "notebooks")
