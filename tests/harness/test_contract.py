r"""The contract of a notebook: every rule broken once, and every notebook of the kit held to all of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from cardiolearn.harness.contract import CORE_WORDS, PARTS, contract_problems, words_outside_folds
from cardiolearn.harness.notebooks import PARAMETERS, core_path, read_notebook

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LEARNERS = sorted((ROOT / "course" / "learner").glob("*.ipynb"))
DEFAULTS = "\n".join(f"{name} = {value!r}" for name, value in PARAMETERS.items())
START = """from cardiolearn import lab
run = lab.start("01_toy", profile=profile, seed=seed, device=device, data_dir=data_dir, weights=weights)"""
QUIZ = 'widgets.quiz("01_toy")'


def exercises(n: int) -> list[NotebookNode]:
    pair = {"exercise": "# solution\n1", "check": "2"}
    return [new_code_cell(code, metadata={"tags": [tag]}) for _ in range(n) for tag, code in pair.items()]


def notebook() -> NotebookNode:
    r"""A notebook that keeps the contract."""
    cells = [
        new_markdown_cell("# A toy\n![a heart](heart.png)"),
        new_code_cell(DEFAULTS, metadata={"tags": ["parameters"]}),
        new_code_cell(START),
        new_markdown_cell("**Predict.** More, or fewer?"),
        new_code_cell('guess = widgets.predict("How many?", low=0, high=9)', metadata={"tags": ["predict"]}),
        new_code_cell("charts.show_guess(ax, guess)"),
        new_markdown_cell("<details><summary>Read the figure</summary>\n\nFour.\n\n</details>"),
        new_code_cell("# solution\n1 + 1", metadata={"tags": ["exercise"]}),
        new_code_cell("2", metadata={"tags": ["check"]}),
        new_code_cell("3", metadata={"tags": ["widget"]}),
        new_markdown_cell("\n".join(PARTS)),
        new_code_cell(QUIZ),
        new_markdown_cell("## Go further"),
        new_code_cell("run.record('a.b', 1)\nrun.claims()"),
        *exercises(2),
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


def insert(cell: NotebookNode, at: int = 10) -> Callable[[NotebookNode], None]:
    return lambda nb: nb.cells.insert(at, cell)


def ran(nb: NotebookNode) -> None:
    nb.cells[5].execution_count = 1


def kept_output(nb: NotebookNode) -> None:
    nb.cells[5].outputs = [new_output("stream", text="2")]


def kept_widgets(nb: NotebookNode) -> None:
    nb.metadata.widgets = {}


def other_kernel(nb: NotebookNode) -> None:
    nb.metadata.kernelspec.name = "my-env"


def untagged(nb: NotebookNode) -> None:
    nb.cells[1].metadata = {}


def three_exercises_in_the_core(nb: NotebookNode) -> None:
    nb.cells[3:3] = exercises(2)


def three_widgets_in_the_core(nb: NotebookNode) -> None:
    nb.cells[9:9] = [new_code_cell("1", metadata={"tags": ["widget"]}) for _ in range(2)]


def asked_again(nb: NotebookNode) -> None:
    nb.cells[5] = new_code_cell(nb.cells[4].source, metadata={"tags": ["predict"]})


def method(lines: int) -> NotebookNode:
    return new_code_cell("def method():\n" + "\n".join(["    x = 1"] * (lines - 1)), metadata={"tags": ["method"]})


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
    "16 lines": (insert(lines(16)), "has 16 lines, 15 at most"),
    "a method of 41 lines": (insert(method(41)), "has 41 lines, 40 at most"),
    "no method": (insert(new_code_cell("x = 1", metadata={"tags": ["method"]})), "defines no function or class"),
    "301 lines": (lambda nb: nb.cells.extend(lines(10) for _ in range(30)), "code lines, 300 at most"),
    "execution count": (ran, "outputs or an execution count"),
    "outputs": (kept_output, "outputs or an execution count"),
    "widget state": (kept_widgets, "widget state"),
    "kernel": (other_kernel, "'my-env'"),
    "no alt text": (replace("![a heart]", "![ ]"), "without alt text"),
    "html without alt": (insert(new_markdown_cell('<img src="a.png">')), "without alt text"),
    "no picture at first": (replace("![a heart](heart.png)", "A heart."), "no picture before the first code cell"),
    "1,601 words": (insert(new_markdown_cell("word " * 1600)), "words outside folds, 1600 at most"),
    "no guess in the core path": (lambda nb: nb.cells.append(nb.cells.pop(4)), "no cell of the core path"),
    "asked in vain": (insert(new_markdown_cell("**Predict.** And now?")), "the next code cell, tagged 'predict'"),
    "guess in an untagged cell": (lambda nb: nb.cells[4].metadata.clear(), "in a cell tagged 'predict'"),
    "guess thrown away": (replace("guess = widgets", "widgets"), "a guess is taken by"),
    "guess never shown": (replace("show_guess(ax, guess)", "show(ax)"), "nothing shows the guess 'guess'"),
    "another guess of that name": (asked_again, "nothing shows the guess 'guess'"),
    "reading not folded": (replace("<details>", ""), "is not folded"),
    "no core path": (replace("Go further", "More"), "'Go further'"),
    "three exercises": (three_exercises_in_the_core, "3 cells tagged 'exercise'"),
    "three widgets": (three_widgets_in_the_core, "3 cells tagged 'widget'"),
    "few exercises": (lambda nb: nb.cells.__delitem__(slice(-3, -1)), "2 cells tagged 'exercise', expected at least 3"),
    "one widget": (lambda nb: nb.cells.pop(), "1 cells tagged 'widget', expected at least 2"),
    "unchecked": (insert(new_code_cell("0"), 8), "code cell 4 is an exercise, and the next"),
    "a solution that learners get": (replace("# solution\n1 + 1", "1 + 1"), "or learners get the solution"),
    "a solution elsewhere": (insert(new_code_cell("# solution\n1")), "or learners get the solution"),
    "a quiz written out": (
        replace('"01_toy")', '[{"question": "Is it?", "answers": []}])'),
        "or learners get its answers",
    ),
    "a quiz with a comment": (replace("widgets.quiz(", "# the first is right\nwidgets.quiz("), "alone in its cell"),
    "two quizzes, one written out": (
        replace('widgets.quiz("01_toy")', 'widgets.quiz("01_toy")\nwidgets.quiz([])'),
        "alone in its cell",
    ),
    "no quiz": (replace("### Quiz", "### Questions"), "no '### Quiz' in the text"),
    "a quiz that does not answer": (lambda nb: nb.cells.pop(11), "no widgets.quiz(...)"),
    "no claims": (replace("run.claims()", "run.claims('toy.one')"), "no run.claims()"),
}


#: What breaks one rule and with it another.
SEVERAL = {
    "another guess of that name",
    "no start",
    "no guess in the core path",
    "guess in an untagged cell",
}


def test_a_notebook_in_order_has_no_problem() -> None:
    assert contract_problems(notebook()) == []
    good = notebook()
    good.cells[7:7] = [lines(15), method(40), new_markdown_cell('<img src="a.png" alt="a heart">')]
    room = CORE_WORDS - words_outside_folds(core_path(good.cells))
    good.cells.insert(7, new_markdown_cell("word " * room))
    assert contract_problems(good) == []


@pytest.mark.parametrize("name", BROKEN)
def test_each_rule_is_noticed_when_broken(name: str) -> None:
    change, message = BROKEN[name]
    nb = notebook()
    change(nb)
    problems = contract_problems(nb)
    assert any(message in problem for problem in problems), problems
    assert len(problems) == 1 or name in SEVERAL


def test_words_are_counted_that_a_reader_meets() -> None:
    text = """## Two words
A [link](https://a.b/c_d) of $x^2$, 1.5 mm. <b>Bold</b>, the heart's own: ![alt text](a.png)
$$
y = x
$$
<details><summary>Read it</summary>

Folded away, both lines.

</details>
after"""
    words = ["Two", "words", "A", "link", "of", "1.5", "mm", "Bold", "the", "heart's", "own", "alt", "text", "after"]
    assert words_outside_folds([new_markdown_cell(text), new_code_cell("no words")]) == len(words)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_kits_notebooks_keep_the_contract(path: Path) -> None:
    assert contract_problems(read_notebook(path)) == []


@pytest.mark.parametrize("path", [*NOTEBOOKS, *LEARNERS], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_pictures_in_the_kits_texts_are_there(path: Path) -> None:
    for cell in read_notebook(path).cells:
        if cell.cell_type == "markdown":
            for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", cell.source):
                assert picture.startswith("attachment:") or (path.parent / picture).is_file(), picture
