r"""Players and quizzes on one plain page in a real browser: they do not meet, and keep only the keys they use."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from lab_page import open_browser
from PIL import Image

from cardiolearn.figures import quiz, widgets

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request

pytestmark = [pytest.mark.browser, pytest.mark.slow]
#: Writes down what reaches the document, as it does JupyterLab; a modifier alone is nothing yet.
LISTEN = """<script>window.keys = [];
document.addEventListener("keydown", (event) => ["Control", "Shift"].includes(event.key) || keys.push(event.key));
</script>"""
QUESTION = {
    "question": "Is it?",
    "answers": [
        {"answer": "yes", "correct": True, "feedback": "It is."},
        {"answer": "no", "correct": False, "feedback": "It is."},
    ],
}


def png(grey: int, width: int = 300) -> bytes:
    written = io.BytesIO()
    Image.new("L", (width, 40), grey).save(written, "PNG")
    return written.getvalue()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    r"""Two films, two swipes and a quiz; an error in a script, or a request to elsewhere, fails at the end."""
    films = [widgets.film([png(0), png(99)], [name, f"{name}!"], 50, alt=name) for name in ("first", "second")]
    swipes = [widgets.swipe(png(0, width), png(99, width), ("a", "b"), alt="x") for width in (300, 500)]
    problems: list[str] = []

    def asked(request: Request) -> None:
        if not request.url.startswith("data:"):
            problems.append(request.url)

    with open_browser() as browser:
        opened = browser.new_page(viewport={"width": 1280, "height": 720})
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.on("request", asked)
        opened.set_content("".join([LISTEN, *(shown.html for shown in (*films, *swipes, quiz.asked([QUESTION])))]))
        yield opened
    assert problems == []


def test_players_of_one_page_do_not_meet(page: Page) -> None:
    first, second = page.locator(".cardiolearn-film").all()
    first.locator("input").press("End")
    assert (first.locator("output").inner_text(), second.locator("output").inner_text()) == ("first!", "second")
    boxes = [stage.bounding_box() for stage in page.locator(".stage").all()]
    assert [box["width"] for box in boxes if box] == [300, 500]


@pytest.mark.parametrize("what", [".cardiolearn-film input", ".cardiolearn-swipe input", ".cardiolearn-quiz .MCButton"])
def test_only_the_keys_in_use_are_kept(page: Page, what: str) -> None:
    page.evaluate("keys.length = 0")
    for key in ("ArrowRight", "End", "b", "Control+s", "Escape", "Shift+Enter"):
        page.locator(what).first.press(key)
    assert page.evaluate("keys") == ["s", "Escape", "Enter"]
