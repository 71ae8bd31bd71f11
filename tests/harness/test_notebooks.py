r"""The contract of a notebook: every rule broken once, and every notebook of the kit held to all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from cardiolearn.errors import InputError
from cardiolearn.harness.notebooks import PARAMETERS, PARTS, contract_problems, core_figures, discover, read_notebook

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DEFAULTS = "\n".join(f"{name} = {value!r}" for name, value in PARAMETERS.items())
START = """from cardiolearn import lab
run = lab.start("01_toy", profile=profile, seed=seed, device=device, data_dir=data_dir, weights=weights)"""


def notebook() -> NotebookNode:
    r"""A notebook that keeps the contract."""
    cells = [
        new_markdown_cell("# A toy\n![a heart](heart.png)"),
        new_code_cell(DEFAULTS, metadata={"tags": ["parameters"]}),
        new_code_cell(START),
        new_code_cell("1 + 1", metadata={"tags": ["exercise"]}),
        new_code_cell("2", metadata={"tags": ["check"]}),
        new_code_cell("3", metadata={"tags": ["widget"]}),
        new_markdown_cell("\n".join(PARTS)),
        new_markdown_cell("## Go further"),
        new_code_cell("run.record('a.b', 1)\nrun.claims()"),
        *(new_code_cell("4", metadata={"tags": [tag]}) for tag in ("exercise", "check") * 2),
        new_code_cell("5", metadata={"tags": ["widget"]}),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def lines(n: int) -> NotebookNode:
    return new_code_cell("\n".join(["x = 1"] * n))


def replace(old: str, new: str) -> Callable[[NotebookNode], None]:
    def change(nb: NotebookNode) -> None:
        assert any(old in cell.source for cell in nb.cells)
        for cell in nb.cells:
            cell.source = cell.source.replace(old, new)

    return change


def insert(cell: NotebookNode, at: int = 6) -> Callable[[NotebookNode], None]:
    return lambda nb: nb.cells.insert(at, cell)


def ran(nb: NotebookNode) -> None:
    nb.cells[3].execution_count = 1


def kept_output(nb: NotebookNode) -> None:
    nb.cells[3].outputs = [new_output("stream", text="2")]


def kept_widgets(nb: NotebookNode) -> None:
    nb.metadata.widgets = {}


def other_kernel(nb: NotebookNode) -> None:
    nb.metadata.kernelspec.name = "my-env"


def untagged(nb: NotebookNode) -> None:
    nb.cells[1].metadata = {}


def two_in_the_core(nb: NotebookNode) -> None:
    nb.cells[3:3] = [new_code_cell("1", metadata={"tags": [tag]}) for tag in ("exercise", "check")]


BROKEN: dict[str, tuple[Callable[[NotebookNode], None], str]] = {
    "no parameters tag": (untagged, "must be tagged 'parameters'"),
    "two parameters cells": (insert(new_code_cell("x", metadata={"tags": ["parameters"]})), "tagged 'parameters'"),
    "renamed parameter": (replace("seed = 0", "sede = 0"), "the parameters cell must be"),
    "other default": (replace("'classroom'", "'full'"), "the parameters cell must be"),
    "true for zero": (replace("seed = 0", "seed = False"), "the parameters cell must be"),
    "computed parameter": (replace("seed = 0", "seed = len('')"), "plain values"),
    "no start": (replace("lab.start", "lab.begin"), "must call run = lab.start"),
    "ignored parameter": (replace("seed=seed", "seed=0"), "lab.start must be given seed=seed"),
    "unknown tag": (insert(new_code_cell("1", metadata={"tags": ["hide"]})), "unknown tag 'hide'"),
    "26 lines": (insert(lines(26)), "has 26 lines, 25 at most"),
    "many long cells": (lambda nb: nb.cells.extend(lines(16) for _ in range(3)), "over 15 lines"),
    "301 lines": (lambda nb: nb.cells.extend(lines(10) for _ in range(30)), "code lines, 300 at most"),
    "execution count": (ran, "outputs or an execution count"),
    "outputs": (kept_output, "outputs or an execution count"),
    "widget state": (kept_widgets, "widget state"),
    "kernel": (other_kernel, "'my-env'"),
    "no alt text": (replace("![a heart]", "![ ]"), "without alt text"),
    "html without alt": (insert(new_markdown_cell('<img src="a.png">')), "without alt text"),
    "no core path": (replace("Go further", "More"), "'Go further'"),
    "two exercises": (two_in_the_core, "2 cells tagged 'exercise'"),
    "two widgets": (insert(new_code_cell("1", metadata={"tags": ["widget"]}), 5), "2 cells tagged 'widget'"),
    "few exercises": (lambda nb: nb.cells.__delitem__(slice(-3, -1)), "2 cells tagged 'exercise', expected at least 3"),
    "one widget": (lambda nb: nb.cells.pop(), "1 cells tagged 'widget', expected at least 2"),
    "unchecked": (insert(new_code_cell("0"), 4), "code cell 2 is an exercise, and the next"),
    "no quiz": (replace("### Quiz", "### Questions"), "no '### Quiz' in the text"),
    "no claims": (replace("run.claims()", "run.claims('toy.one')"), "no run.claims()"),
}


def test_a_notebook_in_order_has_no_problem() -> None:
    assert contract_problems(notebook()) == []
    good = notebook()
    good.cells[6:6] = [lines(25), *(lines(2) for _ in range(4)), new_markdown_cell('<img src="a.png" alt="a heart">')]
    assert contract_problems(good) == []


@pytest.mark.parametrize("name", BROKEN)
def test_each_rule_is_noticed_when_broken(name: str) -> None:
    change, message = BROKEN[name]
    nb = notebook()
    change(nb)
    problems = contract_problems(nb)
    assert any(message in problem for problem in problems), problems
    assert len(problems) == 1 or name == "no start"


def test_figures_of_the_core_path_are_counted_in_what_ran() -> None:
    nb = notebook()
    figure = new_output("display_data", data={"image/png": "aGk=", "text/plain": "<Figure>"})
    nb.cells[4].outputs = [figure, new_output("stream", text="no figure"), figure]
    nb.cells[-1].outputs = [figure]  # further on
    assert core_figures(nb) == 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_kits_notebooks_keep_the_contract(path: Path) -> None:
    assert contract_problems(read_notebook(path)) == []


def test_discovery_finds_every_notebook_and_names_what_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found none"):
        discover(tmp_path)
    for name in ("02_b", "01_a", "01_ab"):
        nbformat.write(notebook(), tmp_path / f"{name}.ipynb")
    assert [path.stem for path in discover(tmp_path)] == ["01_a", "01_ab", "02_b"]
    assert [path.stem for path in discover(tmp_path, ["02", "01_a"])] == ["01_a", "02_b"]
    with pytest.raises(InputError, match="it could be 01_a, 01_ab; give more of the name"):
        discover(tmp_path, ["01"])
    with pytest.raises(InputError, match="no lesson '99'; there is 01_a, 01_ab, 02_b"):
        discover(tmp_path, ["99"])


def test_a_torn_notebook_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    for content in ("{", "[]", '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{}]}'):
        path.write_text(content)
        with pytest.raises(InputError, match="expected a Jupyter notebook") as caught:
            read_notebook(path)
        assert "\n" not in str(caught.value)
