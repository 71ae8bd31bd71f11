r"""The report: one file, a picture and the verdicts first, nothing loaded from elsewhere, pictures with alt text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from toys import claim_text

from cardiolearn.errors import InputError
from cardiolearn.harness.report import write_report

CLAIM = claim_text(
    id='"toy.better"',
    statement='"ours <is> better & faster"',
    paper='"0.94 / 0.92"',
    rule='{ kind = "noninferior", margin = 0.01, better = "higher" }',
)
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="


STAGE = {
    "stage": "net", "seconds": 3000.0, "earlier": 2400.0, "commits": ["old", "new"], "device": "cpu",
    "phantom": "c0ffee12", "date": "2026-01-01",
}  # fmt: skip


class Page(HTMLParser):
    r"""The parts of a page a reader or a browser meets, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip() and self.tags[-1][0] not in ("style", "title"):
            self.words.append(data.strip())


FILM = '<figure class="cardiolearn-player" id="f"><img src="data:x" alt="A beat"><script>1</script></figure>'


def executed() -> nbformat.NotebookNode:
    picture = new_output("display_data", {"image/png": PNG})
    own = new_output("display_data", {"image/png": PNG}, metadata={"image/png": {"alt": "Its own words"}})
    film = new_output("execute_result", {"text/html": FILM, "text/plain": "A beat"})
    table = new_output("display_data", {"text/html": "<table><tr><td>0.94</td></tr></table>"})
    cells = [
        new_markdown_cell("# A *toy* lesson\nSome words."),
        new_code_cell("draw()", outputs=[picture], metadata={"tags": ["cover"]}),
        new_markdown_cell("**The** curve [falls](x) to 0.1 mm.\n\nMore.\n\n## 1. The task"),
        new_code_cell("draw()", outputs=[own, table]),
        new_markdown_cell("<details><summary>Read the figure</summary>\n\nA table.\n</details>"),
        new_code_cell("film()", outputs=[film]),
    ]
    return new_notebook(cells=cells)


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    r"""A kit's folder with a run of one good and one failed lesson."""
    (tmp_path / "course" / "results").mkdir(parents=True)
    (tmp_path / "course" / "claims.toml").write_text(CLAIM)
    run = tmp_path / "runs" / "a"
    run.mkdir(parents=True)
    nbformat.write(executed(), run / "01_toy.ipynb")
    interval = {"metric": "toy.ours", "estimate": 0.02, "low": 0.01, "high": 0.03, "text": 'ours "0.02" [0.01, 0.03]'}
    metric = {"mean": 0.94, "sd": 0.02, "n": 20, "ci95": [0.93, 0.95], "unit": "1", "notebook": "01_toy"}
    results = {
        "provenance": {"profile": "classroom", "seed": 0, "date": "2026-01-01", "data": "phantom", "commit": "abc"},
        "notebooks": {
            "01_toy": {"status": "ok", "seconds": 90.0, "peak_mb": 800.0, "problems": [], "stages": [STAGE]},
            "02_bad": {"status": "failed", "seconds": 1.0, "peak_mb": None, "problems": ["cell [3]: <Error>"]},
        },
        "metrics": {"toy.ours": metric, "toy.count": metric | {"sd": None, "ci95": None, "recorded": True}},
        "claims": {"toy.better": {"verdict": "shown", "evidence": "all of it", "intervals": [interval]}},
    }
    (run / "results.json").write_text(json.dumps(results))
    return tmp_path


def order(text: str, *words: str) -> None:
    assert [text.index(word) for word in words] == sorted(text.index(word) for word in words)


def test_the_page_is_whole_and_says_the_right_thing_first(kit: Path) -> None:
    out = write_report(kit / "runs" / "a", kit / "report.html", kit)
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert "a phantom shows a mechanism, and not clinical performance" in page.words[0]
    said = " ".join(page.words)
    order(
        said, "The curve falls to 0.1 mm.", "1 ✔ shown", "Show each claim", "ours <is> better & faster", "0.94 / 0.92",
        'ours "0.02" [0.01, 0.03]', "1 claim is judged", "Notebook 01_toy: ran to its end", "1. The task", "A table.",
        "1 of 2 lessons", "toy.count", "Provenance:", "commit abc",
    )  # fmt: skip
    assert "1.5 minutes, 800 MB" in said and "Problem: cell [3]: <Error>" in said


def test_pictures_and_verdicts_come_before_the_lessons_and_numbers_are_folded(kit: Path) -> None:
    text = write_report(kit / "runs" / "a", kit / "report.html", kit).read_text(encoding="utf-8")
    order(text, '<div class="cover">', PNG, 'class="strip"', "<main>")
    assert text.count(PNG) == 2  # the cover is not shown a second time in its lesson
    for folded in ("toy.ours", "ours &lt;is&gt; better"):
        before = text[: text.index(folded)]
        assert before.count("<details") > before.count("</details>"), folded
    assert "details::details-content" in text and "beforeprint" in text  # folds are opened on paper


def test_films_work_without_a_kernel_and_stand_below_their_heading(kit: Path) -> None:
    text = write_report(kit / "runs" / "a", kit / "report.html", kit).read_text(encoding="utf-8")
    order(text, "<h3>1. The task</h3>", "Its own words", "<td>0.94</td>", "<p>A table.</p>", FILM)


def test_stages_say_where_they_come_from(kit: Path) -> None:
    words = Page(write_report(kit / "runs" / "a", kit / "report.html", kit).read_text(encoding="utf-8")).words
    expected = "net: 50.0 minutes, 40.0 of them before this run, on cpu, phantom c0ffee12, commit old, new, 2026-01-01"
    assert words.count("Put together from these stages") == 1 and expected in words


def test_nothing_is_loaded_from_elsewhere(kit: Path) -> None:
    text = write_report(kit / "runs" / "a", kit / "report.html", kit).read_text(encoding="utf-8")
    page = Page(text)
    assert {"link", "iframe"}.isdisjoint(tag for tag, _ in page.tags)
    assert not re.search(r"https?://|@import|url\(", text)
    for tag, attributes in page.tags:
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
    assert 'name="viewport"' in text and "prefers-color-scheme: dark" in text
    anchors = {attributes["id"] for _, attributes in page.tags if attributes.get("id")}
    links = {str(attributes["href"])[1:] for tag, attributes in page.tags if tag == "a"}
    assert links <= anchors


def test_every_picture_has_words(kit: Path) -> None:
    page = Page(write_report(kit / "runs" / "a", kit / "report.html", kit).read_text(encoding="utf-8"))
    pictures = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert pictures == ["The curve falls to 0.1 mm.", "Its own words", "A beat"]
    outlines = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert [d["aria-label"] for d in outlines] == ['ours "0.02" [0.01, 0.03]']


@pytest.mark.parametrize("results", [None, "{", "{}"])
def test_a_folder_without_results_is_refused(kit: Path, results: str | None) -> None:
    path = kit / "runs" / "a" / "results.json"
    path.unlink() if results is None else path.write_text(results)
    with pytest.raises(InputError, match=r"results\.json: expected the results of a run"):
        write_report(kit / "runs" / "a", kit / "report.html", kit)
    assert not (kit / "report.html").exists()
