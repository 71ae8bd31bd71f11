r"""A lesson's Markdown as HTML that stands alone."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from cardiolearn.harness.prose import embedded, formula, heading, plain, prose

HERE = Path("notebooks")


def test_what_lessons_are_written_in() -> None:
    text = "A **bold** [link](https://x.y) and `la_2ch`.\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |"
    html = prose(text, HERE)
    assert "A <strong>bold</strong> link and <code>la_2ch</code>." in html and "http" not in html
    assert html.count("<li>") == 2 and html.count("<td>") == 2


def test_raw_html_is_shown_as_text_but_for_raised_letters() -> None:
    html = prose("mm<sup>2</sup> <img src=x onerror=alert(1)>\n\n<script>alert(1)</script>", HERE)
    assert "mm<sup>2</sup>" in html and "<img" not in html and "<script" not in html


def test_other_folds_become_a_line() -> None:
    html = prose("<details><summary>Answers</summary>\n\n1. One.\n</details>", HERE)
    assert "<p><strong>Answers</strong></p>" in html and "<li>One.</li>" in html and "details" not in html


@pytest.mark.parametrize("tex", [r"x = M\,D\,B\,y + \eta", r"\frac{1}{2}\sum_i e_i^2", r"\mathrm{EF}"])
def test_a_formula_is_drawn_within_its_box(tex: str) -> None:
    svg = formula(tex)
    HTMLParser().feed(svg)
    left, top, width, height = (float(x) for x in svg.split('viewBox="')[1].split('"')[0].split())
    path = svg.split(' d="')[1].split('"')[0]
    for letter in "MLQCZ":
        path = path.replace(letter, " ")
    numbers = [float(x) for x in path.split()]
    assert len(numbers) > 20 and "http" not in svg and "currentColor" in svg
    assert left - 1 <= min(numbers[::2]) and max(numbers[::2]) <= left + width + 1
    assert top - 1 <= min(numbers[1::2]) and max(numbers[1::2]) <= top + height + 1


def test_a_formula_that_matplotlib_cannot_set_is_code() -> None:
    assert formula(r"\nosuch{a<b}") == r"<code>\nosuch{a&lt;b}</code>"


def test_headings_and_alt_texts_are_words() -> None:
    assert heading("Go further: `sa`, 1 < 2", HERE) == "Go further: <code>sa</code>, 1 &lt; 2"
    assert plain("**Left** the *slice*\n[here](x), $x_1$ and snake_case") == "Left the slice here, x_1 and snake_case"


def test_the_words_of_a_picture_are_escaped_once(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    for address in ("../a.png", "none.png"):
        html = prose(f'![A & "b" < *c*]({address})', tmp_path / "notebooks")
        assert "A &amp; &quot;b&quot; &lt; " in html and "&amp;amp;" not in html
        assert ("<em>" in html) == (address == "none.png")


def test_pictures_of_the_kit_alone_are_read(tmp_path: Path) -> None:
    kit = tmp_path / "kit"
    (kit / "notebooks").mkdir(parents=True)
    (kit / "a.png").write_bytes(b"a")
    (kit / "a.txt").write_bytes(b"a")
    (tmp_path / "b.png").write_bytes(b"b")
    assert embedded("../a.png", kit / "notebooks") == "data:image/png;base64,YQ=="
    for other in ("../../b.png", "../a.txt", "../none.png", "https://x.y/a.png"):
        assert embedded(other, kit / "notebooks") is None, other
