r"""What the recorded runs found, written into README.md and `course/claims.md`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cardiolearn.errors import InputError
from cardiolearn.harness.verdicts import chance, rows, strip
from cardiolearn.imaging.files import write_atomically
from cardiolearn.lab.claims import claims_table
from cardiolearn.lab.ledger import Claim, load_claims
from cardiolearn.lab.recorded import PROFILES, recorded_run

NOTICE = "Measured on simulated hearts: a phantom shows a mechanism, and not clinical performance."
START, END = "<!-- claims:start -->", "<!-- claims:end -->"
#: What README.md shows of the ledger.
FEATURED = ("fcn.dice", "ml.unseen_scanner", "ml.reliance", "sr.psnr", "sr.multi_input")
_HEAD = "# The lecture's claims, judged\n\nWritten by `cardiolearn report --readme` from the recorded runs."
_RULE = """A claim is *shown* when the whole 95 % interval lies in the region that its rule names, *not shown* when the
whole interval lies outside, else *inconclusive*. In brackets: the interval."""


def refresh_claims(home: Path) -> list[Path]:
    r"""Write what the recorded runs found, the longest run that judged a claim first: all claims to `course/claims.md`,
    verdict by verdict; counts and the five of `FEATURED` between the markers of README.md.

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
    told = rows(ledger, verdicts)
    counts = " | ".join(f"{kind['mark']} {kind['count']} {kind['word']}" for kind in strip(told))
    summary = f"{NOTICE}\n\n**{counts}**\n\n{chance(told)}"
    by_verdict = "\n".join(_part(kind["word"], ledger, verdicts) for kind in strip(told))
    few = claims_table([claim for claim in ledger if claim.id in FEATURED], verdicts)
    lines = f"{summary} Five of them:\n\n{few}\n[All of them](course/claims.md)"
    write_atomically(page, f"{_HEAD}\n\n{summary}\n\n{_RULE}\n\n{by_verdict}".encode())
    write_atomically(readme, f"{before}{START}\n{lines}\n{END}{after}".encode())
    return [readme, page]


def _part(word: str, ledger: list[Claim], verdicts: dict[str, Any]) -> str:
    here = [claim for claim in ledger if verdicts.get(claim.id, {"verdict": "not run"})["verdict"] == word]
    return f"## {word.capitalize()}\n\n{claims_table(here, verdicts)}"


def _recorded_verdicts(folder: Path) -> dict[str, Any]:
    verdicts: dict[str, Any] = {}
    for profile in PROFILES:
        claims = (recorded_run(profile, folder) or {"claims": {}})["claims"]
        verdicts |= {i: row for i, row in claims.items() if row["verdict"] not in ("not run", "recorded")}
    return verdicts
