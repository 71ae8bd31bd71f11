r"""What an executed notebook shows, section by section: questions, pictures, tables, and the text that reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cardiolearn.harness.notebooks import tags
from cardiolearn.harness.prose import embedded, heading, plain, prose
from cardiolearn.harness.worded import printed, tables
from cardiolearn.lab.records import CHECK_MIME, MIME, RECORDED_NOTE

if TYPE_CHECKING:
    from nbformat import NotebookNode

_HEADING = re.compile(r"^(#{1,6} +.+)$", re.MULTILINE)
_IMAGE = re.compile(r"^!\[([^\]]*)\]\(([^)]+)\)$", re.DOTALL)
PREDICT = "predict"  # the tag of a cell that asks for a guess
COVER = "cover"  # the tag of a cell with the picture that the lesson is known by: the first of the report
_OBJECT = re.compile(r"^(\(?\[?<|[A-Z]\w*\()")  # what Python says of an object that a reader has no use for
PLAYER = "cardiolearn-player"  # the class of films and swipes, which work without a kernel


@dataclass
class Figure:
    r"""What the cells between two texts show; `reading` is the text after them, as HTML.

    `pictures` and `tables` are HTML, `printed` is text; `recorded` says that numbers are from a longer run, `cover`
    that the lesson chose this as the picture it is known by, and `words` is the first paragraph of the reading.
    """

    pictures: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    printed: str = ""
    reading: str = ""
    words: str = ""
    recorded: bool = False
    cover: bool = False

    def __bool__(self) -> bool:
        return bool(self.pictures or self.tables or self.printed)


@dataclass
class Section:
    r"""A heading of the lesson, as HTML, and below it questions (HTML) and figures in their order."""

    title: str
    parts: list[str | Figure] = field(default_factory=list)

    @property
    def figures(self) -> list[Figure]:
        return [part for part in self.parts if isinstance(part, Figure)]


def sections(notebook: NotebookNode, folder: Path) -> list[Section]:
    r"""The sections of an executed notebook that show something; `folder` is that of the notebooks' sources."""
    found, figure = [Section("")], Figure()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            question = _question(cell)
            if question:
                found[-1].parts.append(question)
            _take_outputs(figure, cell)
            if figure and all(figure is not part for part in found[-1].parts):
                found[-1].parts.append(figure)
            continue
        for title, paragraphs in _pieces(cell.source):
            if title is not None:
                found.append(Section(_section_title(title, folder)))
                figure = Figure()
            rest = _take_reading(figure, paragraphs, folder) if figure else paragraphs
            found[-1].parts += _told(rest, folder, COVER in tags(cell))
            figure = Figure()
    for figure in (figure for section in found for figure in section.figures):
        _give_alt(figure)
    return [section for section in found if section.figures]


def cover(found: Sequence[Section]) -> Figure | None:
    r"""The picture a lesson is known by: that of the cell tagged `cover`, else its first."""
    pictured = [figure for section in found for figure in section.figures if figure.pictures]
    return next((figure for figure in pictured if figure.cover), pictured[0] if pictured else None)


def _section_title(line: str, folder: Path) -> str:
    r"""The words of a heading's line; none for the lesson's own title."""
    marks, _, words = line.partition(" ")
    return "" if marks == "#" else heading(words.strip(), folder)


def _question(cell: NotebookNode) -> str:
    r"""What a prediction asks, in the words it has for paper."""
    if PREDICT not in tags(cell):
        return ""
    return "".join(html for output in cell.outputs if (html := _text(output.get("data", {}).get("text/html"))))


def _take_outputs(figure: Figure, cell: NotebookNode) -> None:
    if PREDICT in tags(cell):
        return
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        html, text = _text(data.get("text/html")), _text(data.get("text/plain"))
        if MIME in data or CHECK_MIME in data:
            continue
        if "image/png" in data:
            figure.pictures.append(_picture(output))
        elif PLAYER in html:
            figure.pictures.append(html)
        elif found := tables(html):
            figure.tables += found
        elif text.startswith(RECORDED_NOTE):
            figure.recorded = True
        elif output["output_type"] == "stream" and output["name"] == "stdout":
            figure.printed += _text(output["text"])
        elif output["output_type"] == "execute_result" and set(data) == {"text/plain"} and not _OBJECT.match(text):
            figure.printed += printed(text) + "\n"
    figure.cover |= COVER in tags(cell)


def _picture(output: dict[str, Any]) -> str:
    r"""An `img`; its alt text is what the figure says of itself, else filled in later from its reading."""
    own = output.get("metadata", {}).get("image/png", {})
    alt = own.get("alt") if isinstance(own, dict) else None
    png = _text(output["data"]["image/png"]).replace("\n", "")
    return f'<img src="data:image/png;base64,{png}" alt="{escape(alt or "")}">'


def _give_alt(figure: Figure) -> None:
    words = escape(figure.words or "A figure of this lesson")
    figure.pictures = [picture.replace(' alt=""', f' alt="{words}"') for picture in figure.pictures]


def _pieces(source: str) -> Iterator[tuple[str | None, list[str]]]:
    r"""Markdown as `(heading, paragraphs below it)`; the heading is None before the first."""
    parts = _HEADING.split(source)
    for title, body in zip([None, *parts[1::2]], parts[::2], strict=True):
        paragraphs = [paragraph.strip() for paragraph in re.split(r"\n\s*\n", body) if paragraph.strip()]
        if title is not None or paragraphs:
            yield title, paragraphs


def _take_reading(figure: Figure, paragraphs: list[str], folder: Path) -> list[str]:
    r"""Give the figure the text that reads it, all up to the next question or task; returns what is left."""
    end = next((i for i, p in enumerate(paragraphs) if p.startswith(("**Predict", "**Exercise"))), len(paragraphs))
    reading = [paragraph for paragraph in paragraphs[:end] if not paragraph.startswith(">")]
    figure.reading = prose("\n\n".join(reading), folder)
    figure.words = next((words for p in reading if not p.startswith("|") and (words := plain(p))), "")
    return paragraphs[end:]


def _told(paragraphs: list[str], folder: Path, chosen: bool) -> Iterator[str | Figure]:
    r"""Questions in the text, and its pictures with the paragraph below each."""
    for i, paragraph in enumerate(paragraphs):
        image = _IMAGE.match(paragraph)
        source = embedded(image[2], folder) if image else None
        if paragraph.startswith("**Predict"):
            yield prose(paragraph, folder)
        elif image and source:
            alt, reading = plain(image[1]), "".join(paragraphs[i + 1 : i + 2])
            picture = f'<img src="{source}" alt="{escape(alt)}">'
            yield Figure([picture], reading=prose(reading, folder), words=plain(reading) or alt, cover=chosen)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "".join(value or ())
