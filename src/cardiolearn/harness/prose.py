r"""A lesson's Markdown as HTML that needs nothing from elsewhere: formulas and pictures inside, links as words."""

from __future__ import annotations

import base64
import re
from html import escape
from pathlib import Path

import mistune
import numpy as np
from mistune.util import striptags

_FOLD = re.compile(r"</?details[^>]*>|<summary>\s*Read\b.*?</summary>", re.IGNORECASE | re.DOTALL)
_SUMMARY = re.compile(r"<summary>(.*?)</summary>", re.IGNORECASE | re.DOTALL)
_TAGS = re.compile(r"(</?(?:br|sub|sup)\s*/?>)", re.IGNORECASE)
_KINDS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".svg": "svg+xml", ".webp": "webp"}
_STEPS = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}  # of an outline: matplotlib's codes, SVG's letters
_MATH_SIZE = 15.0  # pixels, the size of the text around


class _Renderer(mistune.HTMLRenderer):
    r"""HTML of what lessons are written in; raw HTML is shown as text."""

    def __init__(self, folder: Path) -> None:
        super().__init__(escape=True)
        self._folder = folder

    def link(self, text: str, url: str, title: str | None = None) -> str:
        return text

    def image(self, text: str, url: str, title: str | None = None) -> str:
        source = embedded(url, self._folder)  # the text is HTML already
        return f'<img src="{source}" alt="{striptags(text)}">' if source else text

    def block_html(self, html: str) -> str:
        return _kept_html(html) + "\n"

    def inline_html(self, html: str) -> str:
        return _kept_html(html)

    def inline_math(self, text: str) -> str:
        return formula(text)

    def block_math(self, text: str) -> str:
        return f'<p class="formula">{formula(" ".join(text.split()))}</p>\n'


def prose(markdown: str, folder: Path) -> str:
    r"""Markdown as HTML, its folds opened; `folder` is the notebooks' own, from which pictures are addressed."""
    render = mistune.create_markdown(renderer=_Renderer(folder), plugins=["table", "math"])
    return str(render(unfolded(markdown))).strip()


def heading(title: str, folder: Path) -> str:
    r"""What stands in a heading, such as "1. The task", which is no list, as HTML.

    >>> heading("1. The *task*", Path("notebooks"))
    '1. The <em>task</em>'
    """
    return prose(f"# {title}", folder).removeprefix("<h1>").removesuffix("</h1>")


def unfolded(markdown: str) -> str:
    r"""The text without its folds; a summary other than "Read the figure" becomes a line.

    >>> unfolded("<details><summary>Read the figure</summary>\n\nThe wall is yellow.\n</details>").strip()
    'The wall is yellow.'
    """
    return _SUMMARY.sub(r"\n\n**\1**\n\n", _FOLD.sub("\n\n", markdown))


def plain(markdown: str) -> str:
    r"""The words of a paragraph, as alt text wants them: no marks, no tags, one line.

    >>> plain("**The** views `la_2ch` and [ED](x), 1 < 2")
    'The views la_2ch and ED, 1 < 2'
    """
    words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", unfolded(markdown))
    words = re.sub(r"(`+)(.+?)\1|\$(.+?)\$", lambda found: found[2] or found[3], words)
    return " ".join(re.sub(r"\*+|(?<!\w)_+|_+(?!\w)", "", words).split())


def embedded(address: str, folder: Path) -> str | None:
    r"""The picture at an address relative to `folder`, as a `data:` address; None where the kit has no such picture."""
    path = (folder / address).resolve()
    if path.suffix.lower() not in _KINDS or not path.is_relative_to(folder.resolve().parent) or not path.is_file():
        return None
    return f"data:image/{_KINDS[path.suffix.lower()]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def formula(tex: str) -> str:
    r"""A formula as an SVG in the colour of the text; as code where matplotlib cannot set it."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path as Path2D
    from matplotlib.textpath import TextToPath

    font, setter = FontProperties(size=_MATH_SIZE), TextToPath()
    try:
        width, height, depth = setter.get_text_width_height_descent(f"${tex}$", font, ismath=True)
        places, codes = setter.get_text_path(font, f"${tex}$", ismath=True)
    except (ValueError, RuntimeError):
        return f"<code>{escape(tex)}</code>"
    scale = _MATH_SIZE / setter.FONT_SCALE
    outline = Path2D(np.asarray(places) * (scale, -scale), codes)
    steps = [
        _STEPS[int(code)] + " ".join(f"{number:.2f}" for number in ([] if code == Path2D.CLOSEPOLY else points))
        for points, code in outline.iter_segments(simplify=False)
    ]
    return (
        f'<svg class="formula" role="img" aria-label="{escape(tex)}" width="{width:.1f}" height="{height:.1f}" '
        f'viewBox="0 {depth - height:.2f} {width:.2f} {height:.2f}" style="vertical-align:{-depth:.1f}px">'
        f'<path fill="currentColor" d="{"".join(steps)}"/></svg>'
    )


def _kept_html(html: str) -> str:
    r"""Raw HTML as text, but for line breaks and raised or lowered letters."""
    return "".join(part if i % 2 else escape(part) for i, part in enumerate(_TAGS.split(html)))
