r"""A learner at work in a notebook in the browser: runs it cell by cell, guesses, answers, solves, moves what moves."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from lab_page import LabPage
from nbformat import NotebookNode

from cardiolearn.harness.learner import learner_notebook
from cardiolearn.harness.notebooks import tags

if TYPE_CHECKING:
    from playwright.sync_api import Locator

WRONG, RIGHT = "✘", "✔"
BLANK = 6000  # bytes of a PNG with nothing in it, and some more


def work_through(page: LabPage, solved: NotebookNode) -> None:
    r"""Do all that the learner's copy of `solved`, which is open in the page, asks for.

    Raises:
        AssertionError: Something failed, or did not answer as it should.
    """
    solutions = {cell.id: cell.source for cell in solved.cells}
    exercise: tuple[int, str] | None = None
    for i, cell in enumerate(learner_notebook(solved).cells):
        if cell.cell_type != "code":
            continue
        page.run(i)
        assert page.failures(i) == [], f"cell {i}"
        if "exercise" in tags(cell):
            exercise = i, solutions[cell.id]
        elif "check" in tags(cell) and exercise is not None:
            _solve(page, *exercise, i)
        elif "predict" in tags(cell):
            _guess(page, i)
        if page.output(i).locator(".cardiolearn-quiz").count():
            _answer(page.output(i))
        if "widget" in tags(cell):
            move(page, page.output(i))
        if re.search(r"\.reply\(", cell.source):
            assert "You guessed" in page.output(i).inner_text(), f"cell {i}"


def _solve(page: LabPage, exercise: int, solution: str, check: int) -> None:
    r"""The exercise as it stands, then wrong, then right."""
    assert WRONG in page.output(check).inner_text(), f"cell {check}: nothing is solved yet"
    for source, verdict in ((_wrong(solution), WRONG), (solution, RIGHT)):
        page.write(exercise, source)
        page.run(check)
        text = page.output(check).inner_text()
        assert verdict in text and (verdict == RIGHT or "hint" in text), f"cell {check}: {text}"


def _wrong(solution: str) -> str:
    r"""The same functions, each giving a number that is wrong."""
    functions = [node for node in ast.parse(solution).body if isinstance(node, ast.FunctionDef)]
    return "\n".join(f"def {f.name}({ast.unparse(f.args)}):\n    return -12345.0" for f in functions)


def _guess(page: LabPage, i: int) -> None:
    output = page.output(i)
    assert "No guess yet" in output.inner_text(), f"cell {i}"
    choices = output.locator(".widget-toggle-button")
    (choices.first if choices.count() else output.get_by_role("button", name="This is my guess")).click()
    output.get_by_text("No guess yet").wait_for(state="hidden")
    assert output.locator("b").last.inner_text(), f"cell {i}"


def _answer(output: Locator) -> None:
    r"""Each answer of each question chosen: all are told from one another, and something is said of each."""
    questions = output.locator(".Quiz")
    questions.first.wait_for()
    for question in questions.all():
        verdicts = set()
        for answer in question.locator(".MCButton").all():
            answer.click()
            feedback = question.locator(".Feedback")
            assert feedback.inner_text().strip()
            verdicts |= set((feedback.get_attribute("class") or "").split()) & {"correct", "incorrect"}
        assert verdicts == {"correct", "incorrect"}


def move(page: LabPage, output: Locator) -> None:
    r"""Move everything in the output of a cell tagged `widget`; each time its picture must change."""
    movers = {
        ".cardiolearn-film": _move_film, ".cardiolearn-swipe": _move_swipe, ".noUi-handle": _move_slider,
        "canvas": _turn,
    }  # fmt: skip
    moved = 0
    output.locator(", ".join(movers)).first.wait_for()
    for selector, mover in movers.items():
        for found in output.locator(selector).all():
            mover(page, found, output)
            moved += 1
    assert moved


def _changes(page: LabPage, what: str, look: Callable[[], object], act: Callable[[], object]) -> None:
    r"""What one sees of `what` is different soon after the act."""
    before = look()
    act()
    for _ in range(600):
        if look() != before:
            return
        page.page.wait_for_timeout(100)
    raise AssertionError(f"{what} was moved, and its picture stayed as it was")


def _move_film(page: LabPage, film: Locator, output: Locator) -> None:
    slider, button = film.locator("input"), film.locator("button")
    slider.focus()
    _changes(page, "a film", lambda: film.locator("img").get_attribute("src"), lambda: page.page.keyboard.press("End"))
    assert film.locator("output").inner_text() in (film.locator("img").get_attribute("alt") or "")
    if button.is_visible():
        _changes(page, "a playing film", lambda: film.locator("img").get_attribute("src"), button.click)
        button.click()


def _move_swipe(page: LabPage, swipe: Locator, output: Locator) -> None:
    stage = swipe.locator(".stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box

    def drag() -> None:
        page.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
        page.page.mouse.down()
        page.page.mouse.move(box["x"] + box["width"] / 8, box["y"] + 40)
        page.page.mouse.up()

    _changes(page, "a swipe", stage.screenshot, drag)


def _move_slider(page: LabPage, handle: Locator, output: Locator) -> None:
    pictures = output.locator("img.cardiolearn-figure")
    pictures.first.wait_for()
    handle.focus()
    key = (
        "ArrowLeft" if handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax") else "ArrowRight"
    )

    def look() -> list[str | None]:
        return [picture.get_attribute("src") for picture in pictures.all()]

    def shown() -> bool:  # the old picture goes when the new one comes
        return pictures.count() > 0

    before = look()
    _changes(page, "a slider", lambda: look() if shown() else before, lambda: page.page.keyboard.press(key))


def _turn(page: LabPage, canvas: Locator, output: Locator) -> None:
    r"""A volume is there without being touched, and another side of it is seen once it was turned."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def look() -> bytes:
        r"""The picture within the canvas: its border changes when it is clicked."""
        inner = {"x": box["x"] + 8, "y": box["y"] + 8, "width": box["width"] - 16, "height": box["height"] - 16}
        return page.page.screenshot(clip=inner)

    def drag() -> None:
        page.page.mouse.move(*middle)
        page.page.mouse.down()
        page.page.mouse.move(middle[0] - box["width"] / 4, middle[1], steps=4)
        page.page.mouse.up()

    for _ in range(600):
        if len(look()) > BLANK:
            break
        page.page.wait_for_timeout(100)
    else:
        raise AssertionError("nothing is seen of a volume")
    _changes(page, "a volume", look, drag)
