r"""The report: one file, claims first, nothing loaded from elsewhere, every figure with alt text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from toys import claim_text

from cardiolearn.errors import InputError
from cardiolearn.harness import report
from cardiolearn.harness.report import END, START, figures, refresh_claims, write_report
from cardiolearn.lab.ledger import load_claims

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


def executed() -> nbformat.NotebookNode:
    picture = new_output("display_data", {"image/png": PNG})
    own = new_output("display_data", {"image/png": PNG}, metadata={"image/png": {"alt": "Its own words"}})
    cells = [
        new_markdown_cell("# A *toy* lesson\nSome words."),
        new_code_cell("draw()", outputs=[picture]),
        new_markdown_cell("**The** curve [falls](x) to 0.1 mm.\n\nMore."),
        new_code_cell("draw()", outputs=[own]),
        new_code_cell("draw()", outputs=[picture]),
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


def test_the_page_is_whole_and_says_the_right_thing_first(kit: Path) -> None:
    out = write_report(kit / "runs" / "a", kit / "report.html", kit)
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert "a phantom shows a mechanism, and not clinical performance" in page.words[0]
    said = " ".join(page.words)
    order = [
        "ours <is> better & faster",
        "0.94 / 0.92",
        'ours "0.02" [0.01, 0.03]',
        "01_toy: ok",
        "toy.count",
        "Provenance commit",
    ]
    assert [said.index(words) for words in order] == sorted(said.index(words) for words in order)
    assert "✔ shown" in said and "1.5 minutes, 800 MB" in said and "Problem: cell [3]: <Error>" in said
    assert "1 of 2 lessons" in said


def test_stages_say_where_they_come_from(kit: Path) -> None:
    words = Page(write_report(kit / "runs" / "a", kit / "report.html", kit).read_text()).words
    expected = "net: 50.0 minutes, 40.0 of them before this run, on cpu, phantom c0ffee12, commit old, new, 2026-01-01"
    assert words.count("Put together from these stages:") == 1 and expected in words


def test_nothing_is_loaded_from_elsewhere(kit: Path) -> None:
    text = write_report(kit / "runs" / "a", kit / "report.html", kit).read_text(encoding="utf-8")
    page = Page(text)
    assert {"script", "link", "iframe"}.isdisjoint(tag for tag, _ in page.tags)
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
    alts = [figure["alt"] for figure in figures(executed())]
    assert alts == ["The curve falls to 0.1 mm.", "Its own words", "More."]
    page = Page(write_report(kit / "runs" / "a", kit / "report.html", kit).read_text(encoding="utf-8"))
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 3 and all(str(p["alt"]).strip() for p in pictures)
    outlines = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert [d["aria-label"] for d in outlines] == ['ours "0.02" [0.01, 0.03]']


def test_the_interval_is_drawn_inside_its_region(kit: Path) -> None:
    text = write_report(kit / "runs" / "a", kit / "report.html", kit).read_text(encoding="utf-8")
    tags = {tag: a for tag, a in Page(text).tags if tag in ("rect", "circle")}
    left, width = float(str(tags["rect"]["x"])), float(str(tags["rect"]["width"]))
    assert left <= float(str(tags["circle"]["cx"])) <= left + width


@pytest.mark.parametrize("results", [None, "{", "{}"])
def test_a_folder_without_results_is_refused(kit: Path, results: str | None) -> None:
    path = kit / "runs" / "a" / "results.json"
    path.unlink() if results is None else path.write_text(results)
    with pytest.raises(InputError, match=r"results\.json: expected the results of a run"):
        write_report(kit / "runs" / "a", kit / "report.html", kit)
    assert not (kit / "report.html").exists()


def test_the_readme_gets_counts_and_a_few_claims_and_a_page_has_all(kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "FEATURED", ("toy.better",))
    ledger = kit / "course" / "claims.toml"
    ledger.write_text(ledger.read_text() + ledger.read_text().replace("toy.better", "toy.other"))
    readme, page = kit / "README.md", kit / "course" / "claims.md"
    readme.write_text(f"# Kit\n{START}\nold\n{END}\nrest\n")
    parts: dict[str, Any] = {"provenance": {}, "notebooks": {}, "metrics": {}}
    for profile, verdict in (("classroom", "recorded"), ("reproduce", "not shown")):
        claims = {i: {"verdict": verdict, "evidence": f"{profile} {i}"} for i in ("toy.better", "toy.other")}
        path = kit / "course" / "results" / f"{profile}.json"
        path.write_text(json.dumps(parts | {"claims": claims}))
    assert refresh_claims(kit) == [readme, page]
    text, whole = readme.read_text(encoding="utf-8"), page.read_text(encoding="utf-8")
    assert text.startswith(f"# Kit\n{START}\n") and text.endswith(f"{END}\nrest\n") and "old" not in text
    assert "| reproduce toy.better | ✘ **not shown** |" in text and "toy.other" not in text  # the longest judged run
    assert "Of 2 claims" in text and "0 are shown, 0 are inconclusive and 2 are not shown" in text
    assert "(course/claims.md)" in text and "a phantom shows a mechanism" in text
    assert whole.count("✘ **not shown**") == 2 and "a phantom shows a mechanism" in whole
    refresh_claims(kit)
    assert readme.read_text(encoding="utf-8") == text
    readme.write_text("# Kit\n")
    with pytest.raises(InputError, match="expected the lines"):
        refresh_claims(kit)


def test_what_the_readme_shows_is_in_the_ledger() -> None:
    ids = {claim.id for claim in load_claims(Path(__file__).resolve().parents[2] / "course" / "claims.toml")}
    assert set(report.FEATURED) <= ids and len(report.FEATURED) == 5
