r"""Learners' notebooks used in a real browser: run, guessed, answered, solved, moved.

`make test` does this with a toy and with the first lesson, `make browser` with all.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from lab_page import ROOT, LabPage, lab_server, open_browser
from learner import work_through
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from cardiolearn.harness.learner import learner_notebook
from cardiolearn.harness.notebooks import read_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
START = """import matplotlib.pyplot as plt
import numpy as np
import torch
from cardiolearn import checks
from cardiolearn.figures import charts, style, widgets
from cardiolearn.imaging.image import Image
from cardiolearn.measures.surfaces import mask_mesh
style.use_style()"""
DRAW = """def draw(shift):
    figure, ax = plt.subplots(figsize=(4, 2))
    ax.plot(np.sin(np.arange(50) / 5 + shift))
    ax.set(title="A wave", xlabel="time (s)", ylabel="height (mm)")
    charts.show_guess(ax, guess)
    return figure
def show(shift):
    draw(shift)
    plt.show()
show(0)
print(guess.reply("1 mm"), choice.reply("a sine"))"""
DICE = """def my_dice(a, b):
    # solution
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0"""
HEART = """z, y, x = torch.meshgrid(torch.arange(12.0), torch.arange(32.0), torch.arange(32.0), indexing="ij")
distance = ((3 * (z - 6)) ** 2 + (y - 16) ** 2 + (x - 10) ** 2).sqrt()
affine = np.diag([2.0, 2.0, 6.0, 1.0])
widgets.heart_3d(Image(distance, affine), {"lv": mask_mesh(Image(distance < 9, affine))})"""
QUIZ = """from cardiolearn.figures.quiz import asked
asked([
    {"question": "What is $1 + 1$?", "answers": [{"answer": "2", "correct": True, "feedback": "Yes."},
                                                 {"answer": "3", "correct": False, "feedback": "Too much."}]},
    {"question": "Even?", "answers": [{"answer": "2", "correct": True, "feedback": "Yes."},
        {"answer": "4", "correct": True, "feedback": "Yes."}, {"answer": "3", "correct": False, "feedback": "No."}]},
])"""


def toy() -> NotebookNode:
    r"""All that a lesson can hold, in little; a formula too, for which JupyterLab loads its MathJax."""
    tagged = [
        (START, ""), ('guess = widgets.predict("How high?", low=0, high=2, unit="mm")', "predict"),
        ('choice = widgets.predict("What is it?", ["a sine", "a saw"])', "predict"), (DRAW, ""),
        ('widgets.film((draw(t) for t in range(4)), list("abcd"), 50, alt="A wave that moves")', "widget"),
        ('widgets.swipe(draw(0), draw(2), ("early", "late"), alt="A wave")', "widget"),
        ("widgets.explorer(show, shift=[0, 1, 2])", "widget"), (DICE, "exercise"), ("checks.dice(my_dice)", "check"),
        (QUIZ, ""), (HEART, "widget"),
    ]  # fmt: skip
    cells = [new_code_cell(source, metadata={"tags": [tag] if tag else []}) for source, tag in tagged]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=[new_markdown_cell("# Toy\n$$x^2$$"), *cells], metadata={"kernelspec": kernel})


@pytest.fixture
def open_copy(tmp_path: Path) -> Iterator[Callable[[NotebookNode, str], LabPage]]:
    r"""Opens the learner's copy of a notebook where it would lie, in `course/learner`, in a browser."""

    def unneeded(folder: str, names: list[str]) -> set[str]:
        return {"results", "weights", "learner"} & set(names)

    shutil.copytree(ROOT / "course", tmp_path / "course", ignore=unneeded)
    (tmp_path / "course" / "learner").mkdir()
    with lab_server(tmp_path) as address, open_browser() as browser:

        def opened(solved: NotebookNode, name: str) -> LabPage:
            nbformat.write(learner_notebook(solved), tmp_path / "course" / "learner" / name)
            page = LabPage(browser.new_page(viewport={"width": 1280, "height": 720}), address)
            page.open(f"course/learner/{name}")
            return page

        yield opened


def test_a_toy_lesson_answers_to_everything(open_copy: Callable[[NotebookNode, str], LabPage]) -> None:
    solved = toy()
    page = open_copy(solved, "toy.ipynb")
    work_through(page, solved)
    assert page.problems == []


@pytest.mark.parametrize(
    "path", [pytest.param(p, marks=[pytest.mark.every_lesson] if p != LESSONS[0] else [], id=p.stem) for p in LESSONS]
)
def test_a_lesson_answers_to_everything(path: Path, open_copy: Callable[[NotebookNode, str], LabPage]) -> None:
    solved = read_notebook(path)
    page = open_copy(solved, path.name)
    assert page.picture_on_the_first_screen()
    work_through(page, solved)
    assert page.problems == []
