r"""What the report takes from an executed notebook: whole readings, pictures, tables, questions; no raw numbers."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from cardiolearn.harness.shown import Figure, Section, cover, sections
from cardiolearn.lab.records import CHECK_MIME, MIME, RECORDED_NOTE

PNG = base64.b64encode(b"picture").decode()
PICTURE = new_output("display_data", {"image/png": PNG})
LONG = "The wall is drawn in yellow. " * 40


def code(*outputs: Any, tag: str = "") -> Any:
    return new_code_cell("x", outputs=list(outputs), metadata={"tags": [tag]} if tag else {})


def shown(*cells: Any, folder: Path = Path("notebooks")) -> list[Section]:
    return sections(new_notebook(cells=list(cells)), folder)


def test_a_figure_stands_under_its_heading_with_the_whole_text_that_reads_it() -> None:
    read = f"{LONG}\n\nSee `la_2ch`.\n\n| a |\n|---|\n| 1 |\n\n> A box.\n\n**Predict.** What next?"
    first, second = shown(
        new_markdown_cell("# The lesson\n\nIntroduction.\n\n## 1. Nothing here\n\nWords.\n\n## 2. The task\n\nWords."),
        code(PICTURE), code(PICTURE), new_markdown_cell(read),
        code(PICTURE), new_markdown_cell("### Next\n\nNot about it."), code(PICTURE),
    )  # fmt: skip
    both, question, unread = first.parts
    assert (first.title, second.title) == ("2. The task", "Next")
    assert isinstance(both, Figure) and isinstance(unread, Figure) and len(both.pictures) == 2
    assert LONG.strip() in both.reading and "<code>la_2ch</code>" in both.reading and "<td>1</td>" in both.reading
    assert "box" not in both.reading and question == "<p><strong>Predict.</strong> What next?</p>"
    assert f'alt="{LONG.strip()}"' in both.pictures[1]
    assert unread.reading == "" and 'alt="A figure of this lesson"' in unread.pictures[0]


def test_the_fold_around_a_reading_is_opened() -> None:
    text = "<details><summary>Read the figure</summary>\n\nLook at $x^2$.\n\n</details>\n\n## 2. Next"
    (section,) = shown(new_markdown_cell("## 1. One"), code(PICTURE), new_markdown_cell(text))
    reading = section.figures[0].reading
    assert reading.startswith("<p>Look at <svg") and "details" not in reading and "Read the figure" not in reading


@pytest.mark.parametrize(
    "output",
    [
        new_output("display_data", {MIME: [], "text/html": "<details><table><tr></tr></table></details>"}),
        new_output("display_data", {CHECK_MIME: {}, "text/plain": "✔ agrees"}),
        new_output("display_data", {"text/plain": "segmenting: 6 subjects in 00:21"}),
        new_output("stream", name="stderr", text="100%|####|"),
        new_output("execute_result", {"text/plain": "<Axes: >"}),
        new_output("execute_result", {"text/plain": "Text(0.5, 1.0, 'title')"}),
        new_output("execute_result", {"text/plain": "VBox()", "application/vnd.jupyter.widget-view+json": {}}),
        new_output("display_data", {"text/html": '<div class="cardiolearn-quiz"></div>', "text/plain": "Which?"}),
    ],
)
def test_what_is_no_result_is_left_out(output: Any) -> None:
    assert shown(new_markdown_cell("## 1. One"), code(output)) == []


def test_tables_and_printed_lines_are_kept() -> None:
    table = new_output("execute_result", {"text/html": '<table class="dataframe"><tr><td>1</td></tr></table>'})
    line = new_output("stream", name="stdout", text="EDV 162 mL\n")
    series = new_output("execute_result", {"text/plain": "a    1.0\nName: mean, dtype: float64"})
    note = new_output("display_data", {"text/plain": f"{RECORDED_NOTE}: x.csv"})
    (section,) = shown(new_markdown_cell("## 1. One"), code(note, table, line), code(series))
    (figure,) = section.figures
    assert figure.tables == ["<table><tr><td>1</td></tr></table>"] and figure.recorded
    assert figure.printed == "EDV 162 mL\nmean:\na    1.0\n"


def test_a_prediction_is_shown_as_its_question() -> None:
    asked = {"text/html": "<p><b>Your guess:</b> How far?</p>", "application/vnd.jupyter.widget-view+json": {}}
    cells = (code(new_output("display_data", asked), tag="predict"), code(PICTURE))
    (section,) = shown(new_markdown_cell("## 1. One"), *cells)
    question, figure = section.parts
    assert question == "<p><b>Your guess:</b> How far?</p>" and isinstance(figure, Figure)


def test_films_are_kept_as_they_are() -> None:
    film = '<figure class="cardiolearn-player cardiolearn-film"><script>1 < 2</script></figure>'
    (section,) = shown(code(new_output("execute_result", {"text/html": film, "text/plain": "A beat"}), tag="widget"))
    assert section.figures[0].pictures == [film]


def test_the_cover_is_the_cell_that_says_so_else_the_first_picture(tmp_path: Path) -> None:
    other = new_output("display_data", {"image/png": "b3RoZXI="})
    cells = [new_markdown_cell("## 1. One"), code(PICTURE), new_markdown_cell("First."), code(other, tag="cover")]
    chosen, first = cover(shown(*cells)), cover(shown(*cells[:3]))
    assert chosen is not None and "b3RoZXI=" in chosen.pictures[0] and chosen.cover
    assert first is not None and PNG in first.pictures[0] and not first.cover
    assert cover([]) is None
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / "heart.png").write_bytes(b"heart")
    text = (
        "# Lesson\n\n![A heart](../course/heart.png)\n\nThe network outlines a patient.\n\n![gone](../course/none.png)"
    )
    linked = new_markdown_cell(text, metadata={"tags": ["cover"]})
    found = cover(shown(linked, *cells[:2], folder=tmp_path / "notebooks"))
    assert found is not None and found.reading == "<p>The network outlines a patient.</p>"
    assert found.pictures == [f'<img src="data:image/png;base64,{base64.b64encode(b"heart").decode()}" alt="A heart">']
