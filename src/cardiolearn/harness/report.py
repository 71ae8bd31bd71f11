r"""One self-contained HTML file of a run: claims first, then each lesson's figures, numbers and provenance."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cardiolearn.errors import InputError
from cardiolearn.harness.notebooks import read_notebook
from cardiolearn.harness.page import PAGE, STYLE
from cardiolearn.imaging.files import write_atomically
from cardiolearn.lab.claims import MARKS, NEGATIVE, POSITIVE, WORDS, claims_table
from cardiolearn.lab.ledger import Claim, Rule, load_claims
from cardiolearn.lab.recorded import PROFILES, Results, read_results, recorded_run
from cardiolearn.lab.records import number

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOTICE = {
    "phantom": "Measured on simulated hearts: a phantom shows a mechanism, and not clinical performance.",
    "real": "Measured on the scans of one folder. A phantom shows a mechanism, and neither is a clinical validation.",
}
START, END = "<!-- claims:start -->", "<!-- claims:end -->"
#: What README.md shows of the ledger.
FEATURED = ("fcn.dice", "ml.unseen_scanner", "ml.reliance", "sr.psnr", "sr.multi_input")
CLAIMS_HEAD = "# The lecture's claims, judged\n\nWritten by `cardiolearn report --readme` from the recorded runs."


def write_report(run: Path, out: Path, home: Path) -> Path:
    r"""Write the report of a run's folder to `out`.

    Raises:
        InputError: The folder holds no results, or `out` cannot be written.
    """
    results = read_results(run / "results.json")
    ledger = load_claims(home / "course" / "claims.toml")
    write_atomically(out, render(results, ledger, run).encode())
    return out


def render(results: Results, ledger: Sequence[Claim], run: Path) -> str:
    r"""The page for results and the executed notebooks beside them."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(PAGE).render(
        style=Markup(STYLE),
        notice=NOTICE[results["provenance"]["data"]],
        summary=_summary(results),
        claims=[_claim_row(claim, results) for claim in ledger],
        lessons=[_lesson(name, row, run / f"{name}.ipynb") for name, row in sorted(results["notebooks"].items())],
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


def _claim_row(claim: Claim, results: Results) -> dict[str, Any]:
    row = results["claims"].get(claim.id, {"verdict": "not run", "evidence": "judged by no run yet"})
    verdict = row["verdict"]
    return {
        "statement": claim.statement,
        "where": f"{claim.section}; slide: {claim.slide}",
        "paper": claim.paper,
        "evidence": row["evidence"],
        "intervals": [{"drawing": _picture(claim.rule, i), "text": i["text"]} for i in row.get("intervals", [])],
        "verdict": verdict,
        "side": "yes" if verdict in POSITIVE else "no" if verdict in NEGATIVE else "open",
        "mark": MARKS.get(verdict, "·"),
    }


def _picture(rule: Rule, interval: dict[str, Any]) -> Any:
    r"""The interval over the region in which it must lie, as a small drawing with a spoken description."""
    from markupsafe import Markup

    low, mean, high = interval["low"], interval["estimate"], interval["high"]
    edges = [edge for edge in (rule.low, rule.high) if math.isfinite(edge)]
    least, most = min(low, *edges), max(high, *edges)
    pad = 0.15 * (most - least) or 1.0
    least, most, width = least - pad, most + pad, 260.0

    def x(value: float) -> float:
        return round((min(max(value, least), most) - least) / (most - least) * width, 1)

    marks = "".join(
        f'<line class="axis" x1="{x(e)}" x2="{x(e)}" y1="2" y2="26" stroke-dasharray="3 2"/>'
        f'<text x="{x(e)}" y="38" text-anchor="middle">{number(e)}</text>'
        for e in edges
    )
    return Markup(  # every part is a number of ours, or escaped
        '<svg class="interval" role="img" width="260" height="42" viewBox="-12 0 284 42" aria-label="{label}">'
        f'<rect class="good" x="{x(rule.low)}" y="4" width="{x(rule.high) - x(rule.low):.1f}" height="20"/>{marks}'
        f'<line class="bar" x1="{x(low)}" x2="{x(high)}" y1="14" y2="14" stroke-width="3"/>'
        f'<circle class="dot" cx="{x(mean)}" cy="14" r="4.5"/></svg>'
    ).format(label=interval["text"])


def _number_row(name: str, row: dict[str, Any]) -> dict[str, Any]:
    ci = f"{number(row['ci95'][0])} to {number(row['ci95'][1])}" if row["ci95"] else ""
    return {
        "name": name,
        "mean": number(row["mean"]),
        "sd": "" if row["sd"] is None else number(row["sd"]),
        "ci": ci,
        "n": row["n"],
        "unit": row["unit"],
        "recorded": row.get("recorded", False),
    }


def _lesson(name: str, row: dict[str, Any], executed: Path) -> dict[str, Any]:
    try:
        notebook = read_notebook(executed)
    except InputError:
        notebook = None
    peak = f", {row['peak_mb']:.0f} MB of memory" if row["peak_mb"] else ""
    return {
        "name": name,
        "title": _title(notebook) or name,
        "line": f"{name}: {row['status']}, {row['seconds'] / 60:.1f} minutes{peak}.",
        "stages": [_stage_line(stage) for stage in row.get("stages", ())],
        "problems": row["problems"],
        "figures": list(figures(notebook)) if notebook else [],
    }


def _stage_line(stage: dict[str, Any]) -> str:
    r"""Where a stage's result comes from; much of it may have been done before this run."""
    earlier = f", {stage['earlier'] / 60:.1f} of them before this run" if stage["earlier"] else ""
    return (
        f"{stage['stage']}: {stage['seconds'] / 60:.1f} minutes{earlier}, on {stage['device']}, phantom "
        f"{stage['phantom']}, commit {', '.join(stage['commits'])}, {stage['date']}"
    )


def _title(notebook: NotebookNode | None) -> str:
    for cell in notebook.cells if notebook else ():
        found = re.search(r"^# (.+)$", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else None
        if found:
            return _plain(found[1])
    return ""


def figures(notebook: NotebookNode) -> Iterator[dict[str, str]]:
    r"""Each PNG of the notebook with its alt text: the sentence that reads it, in the markdown right after it."""
    for i, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            png = output.get("data", {}).get("image/png")
            if png:
                own = output.get("metadata", {}).get("image/png", {})
                alt = own.get("alt") if isinstance(own, dict) else None
                yield {"png": "".join(png).replace("\n", ""), "alt": alt or _reading(notebook.cells, i)}


def _reading(cells: Sequence[NotebookNode], i: int) -> str:
    r"""First paragraph that follows cell `i`, else the last one before it."""
    after = next((c.source for c in cells[i + 1 : i + 2] if c.cell_type == "markdown"), "")
    before = next((c.source for c in reversed(cells[:i]) if c.cell_type == "markdown"), "")
    for source, which in ((after, 0), (before, -1)):
        text = [
            part for part in re.split(r"\n\s*\n", source) if part.strip() and not re.match(r"\s*(#|!|<|\||>|-)", part)
        ]
        if text:
            return _plain(text[which])[:400]
    return "A figure of this lesson"


def _plain(markdown: str) -> str:
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    return " ".join(re.sub(r"[*_`$]", "", text).split())


def refresh_claims(home: Path) -> list[Path]:
    r"""Write what the recorded runs found, the longest run that judged a claim first: all claims to `course/claims.md`,
    counts and the five of `FEATURED` between the markers of README.md.

    Raises:
        InputError: README.md lacks the markers.
    """
    readme, page = home / "README.md", home / "course" / "claims.md"
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise InputError(f"{readme}: expected the lines {START} and {END}, found none")
    ledger, verdicts = load_claims(home / "course" / "claims.toml"), _recorded_verdicts(home / "course" / "results")
    whole = f"{CLAIMS_HEAD}\n\n{NOTICE['phantom']} {_counts(ledger, verdicts)}\n\n{claims_table(ledger, verdicts)}"
    few = claims_table([claim for claim in ledger if claim.id in FEATURED], verdicts)
    lines = f"{NOTICE['phantom']} {_counts(ledger, verdicts)} Five of them:\n\n{few}\n[All of them](course/claims.md)"
    write_atomically(page, whole.encode())
    write_atomically(readme, f"{before}{START}\n{lines}\n{END}{after}".encode())
    return [readme, page]


def _recorded_verdicts(folder: Path) -> dict[str, Any]:
    verdicts: dict[str, Any] = {}
    for profile in PROFILES:
        claims = (recorded_run(profile, folder) or {"claims": {}})["claims"]
        verdicts |= {i: row for i, row in claims.items() if row["verdict"] not in ("not run", "recorded")}
    return verdicts


def _counts(ledger: Sequence[Claim], verdicts: dict[str, Any]) -> str:
    r"""How many claims fared how, in a sentence."""
    words = [verdicts.get(claim.id, {"verdict": "not run"})["verdict"] for claim in ledger]
    counts = [f"{words.count(word)} are {word}" for word in dict.fromkeys((*WORDS["phantom"].values(), *words))]
    return f"Of {len(words)} claims of the lecture judged so far, {', '.join(counts[:-1])} and {counts[-1]}."
