r"""One self-contained HTML file of a run: a picture and the verdicts first, then what lessons show, then numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cardiolearn.errors import InputError
from cardiolearn.harness import verdicts
from cardiolearn.harness.notebooks import read_notebook
from cardiolearn.harness.page import PAGE
from cardiolearn.harness.page_style import STYLE
from cardiolearn.harness.prose import plain
from cardiolearn.harness.readme_claims import NOTICE
from cardiolearn.harness.shown import Figure, Section, cover, sections
from cardiolearn.imaging.files import write_atomically
from cardiolearn.lab.ledger import Claim, load_claims
from cardiolearn.lab.recorded import Results, read_results
from cardiolearn.lab.records import number

NOTICES = {
    "phantom": NOTICE,
    "real": "Measured on the scans of one folder. A phantom shows a mechanism, and neither is a clinical validation.",
}


def write_report(run: Path, out: Path, home: Path) -> Path:
    r"""Write the report of a run's folder to `out`.

    Raises:
        InputError: The folder holds no results, or `out` cannot be written.
    """
    results = read_results(run / "results.json")
    ledger = load_claims(home / "course" / "claims.toml")
    write_atomically(out, render(results, ledger, run, home / "notebooks").encode())
    return out


def render(results: Results, ledger: Sequence[Claim], run: Path, sources: Path) -> str:
    r"""The page for results and the executed notebooks beside them; `sources` is the folder they were executed from."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["html"] = Markup
    environment.tests["figure"] = lambda part: isinstance(part, Figure)
    lessons = [_lesson(name, row, run, sources) for name, row in sorted(results["notebooks"].items())]
    claims = verdicts.rows(ledger, results["claims"])
    return environment.from_string(PAGE).render(
        style=Markup(STYLE),
        notice=NOTICES[results["provenance"]["data"]],
        summary=_summary(results),
        cover=next((lesson["cover"] for lesson in lessons if lesson["cover"]), None),
        claims=claims,
        strip=verdicts.strip(claims),
        chance=verdicts.chance(claims),
        lessons=lessons,
        numbers=[_number_row(name, row) for name, row in sorted(results["metrics"].items())],
        provenance=sorted(results["provenance"].items()),
    )


def _summary(results: Results) -> str:
    source, rows = results["provenance"], results["notebooks"].values()
    minutes = sum(row["seconds"] for row in rows) / 60
    good = sum(row["status"] == "ok" for row in rows)
    return (
        f"Profile {source['profile']}, seed {source['seed']}, {source['date']}: "
        f"{good} of {len(rows)} lessons ran to the end, {minutes:.1f} minutes in all."
    )


def _number_row(name: str, row: dict[str, Any]) -> dict[str, Any]:
    ci = f"{number(row['ci95'][0])} to {number(row['ci95'][1])}" if row["ci95"] else ""
    return {
        "name": name,
        "mean": number(row["mean"]),
        "sd": "" if row["sd"] is None else number(row["sd"]),
        "ci": ci,
        "n": row["n"],
        "unit": "" if row["unit"] == "1" else row["unit"],
        "recorded": row.get("recorded", False),
    }


def _lesson(name: str, row: dict[str, Any], run: Path, sources: Path) -> dict[str, Any]:
    title, found = "", list[Section]()
    try:
        notebook = read_notebook(run / f"{name}.ipynb")
    except InputError:
        pass
    else:
        headings = (re.search(r"^# (.+)$", c.source, re.MULTILINE) for c in notebook.cells if c.cell_type == "markdown")
        title = next((plain(heading[1]) for heading in headings if heading), "")
        found = sections(notebook, sources)
    peak = f", {row['peak_mb']:.0f} MB of memory" if row["peak_mb"] else ""
    status = "ran to its end" if row["status"] == "ok" else row["status"]
    return {
        "name": name,
        "title": title or name,
        "line": f"Notebook {name}: {status}, {row['seconds'] / 60:.1f} minutes{peak}.",
        "stages": [_stage_line(stage) for stage in row.get("stages", ())],
        "problems": row["problems"],
        "sections": found,
        "cover": cover(found),
    }


def _stage_line(stage: dict[str, Any]) -> str:
    r"""Where a stage's result comes from; much of it may have been done before this run."""
    earlier = f", {stage['earlier'] / 60:.1f} of them before this run" if stage["earlier"] else ""
    return (
        f"{stage['stage']}: {stage['seconds'] / 60:.1f} minutes{earlier}, on {stage['device']}, phantom "
        f"{stage['phantom']}, commit {', '.join(stage['commits'])}, {stage['date']}"
    )
