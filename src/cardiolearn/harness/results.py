r"""A run as data: `results.json`, how it is built from executed notebooks, and how two runs are compared."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cardiolearn.errors import InputError
from cardiolearn.harness.execute import Outcome
from cardiolearn.imaging.files import write_atomically
from cardiolearn.lab.claims import NEGATIVE, POSITIVE, judge_or_recorded
from cardiolearn.lab.ledger import Claim
from cardiolearn.lab.recorded import Results
from cardiolearn.lab.records import Record

TIME_UNITS = {"s", "ms", "min", "h"}  # timing is shown and never gates


def provenance(home: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    r"""What a run was made with; nothing that names a person, a machine or a folder."""
    import torch

    import cardiolearn

    return {
        "profile": parameters["profile"],
        "seed": parameters["seed"],
        "data": "phantom" if parameters.get("data_dir") is None else "real",
        "cardiolearn": cardiolearn.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": str(parameters["device"]),
        "platform": f"{platform.system()} {platform.machine()}",
        "threads": os.cpu_count(),
        "commit": _commit(home),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _commit(home: Path) -> str:
    command = ["git", "-C", str(home), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def add_outcome(results: Results, outcome: Outcome) -> None:
    r"""Put one notebook's outcome and its numbers into the results; a failed notebook leaves no numbers."""
    name, problems = outcome.name, list(outcome.problems)
    results["metrics"] = {m: row for m, row in results["metrics"].items() if row["notebook"] != name}
    for record in outcome.records:
        if record.name in results["metrics"]:
            problems.append(f"{record.name} is also recorded by {results['metrics'][record.name]['notebook']}")
        else:
            results["metrics"][record.name] = _metric_row(record, name)
    row: dict[str, Any] = {"status": "failed" if problems else "ok", "problems": problems}
    row |= {"seconds": outcome.seconds, "peak_mb": outcome.peak_mb, "sha256": outcome.sha256}
    results["notebooks"][name] = row | {key: results["provenance"][key] for key in ("date", "commit")}


def _metric_row(record: Record, notebook: str) -> dict[str, Any]:
    row = record.summary() | {"notebook": notebook, "tolerance": record.tolerance}
    return row | ({"recorded": True} if record.recorded else {})


def add_claims(
    results: Results, ledger: Sequence[Claim], records: Mapping[str, Record], longer: Sequence[Results]
) -> list[str]:
    r"""Judge the whole ledger into the results; returns what could not be judged because records do not fit."""
    problems = []
    for claim in ledger:
        try:
            verdict = judge_or_recorded(claim, records, longer)
        except InputError as error:
            problems.append(str(error))
            results["claims"][claim.id] = {"verdict": "not run", "evidence": str(error)}
            continue
        results["claims"][claim.id] = {
            "verdict": verdict.verdict,
            "evidence": verdict.evidence,
            "intervals": [asdict(interval) for interval in verdict.interval],
        }
    return problems


def write_results(path: Path, results: Results) -> None:
    r"""Write a results file, whole or not at all."""
    text = json.dumps(results, indent=1, sort_keys=True, allow_nan=False)
    write_atomically(path, (text + "\n").encode())


def regressions(results: Results, recorded: Results) -> list[str]:
    r"""Numbers and verdicts that differ from the recorded run, for the notebooks that ran well in both.

    A mean may move by the tolerance of the *recorded* number; there is one answer, never any of several.
    """
    ran = {name for name, row in results["notebooks"].items() if row["status"] == "ok"}
    found = []
    for name, old in sorted(recorded["metrics"].items()):
        if old["notebook"] not in ran or old["unit"] in TIME_UNITS:
            continue
        new = results["metrics"].get(name)
        if new is None:
            found.append(f"{name}: recorded as {old['mean']:.6g}, not recorded by this run")
        elif new["unit"] != old["unit"] or new["n"] != old["n"]:
            found.append(f"{name}: n = {new['n']} in {new['unit']}, recorded n = {old['n']} in {old['unit']}")
        elif abs(new["mean"] - old["mean"]) > old["tolerance"] * abs(old["mean"]) + 1e-12:
            found.append(f"{name}: {new['mean']:.6g}, recorded {old['mean']:.6g} (tolerance {old['tolerance']:.0%})")
    return found


def flipped(results: Results, recorded: Results, ledger: Sequence[Claim]) -> list[str]:
    r"""Claims whose verdict went from one side to the other; claims about time alone never gate."""
    found = []
    for claim in ledger:
        old, new = (r["claims"].get(claim.id, {}).get("verdict") for r in (recorded, results))
        units = {results["metrics"].get(m.ours, {}).get("unit") for m in claim.metrics}
        if units <= TIME_UNITS:
            continue
        if (old in POSITIVE and new in NEGATIVE) or (old in NEGATIVE and new in POSITIVE):
            found.append(f"claim {claim.id}: {new}, recorded {old}")
    return found


def merge_recorded(results: Results, recorded: Results | None, ledger: Sequence[Claim]) -> Results:
    r"""What `course/results/<profile>.json` becomes: this run's lessons, and those it did not run as they were."""
    if recorded is None:
        return results
    ran = set(results["notebooks"])
    metrics = {name: row for name, row in recorded["metrics"].items() if row["notebook"] not in ran}
    untouched = {claim.id for claim in ledger if claim.section not in ran}
    claims = {name: row for name, row in recorded["claims"].items() if name in untouched}
    return results | {
        "notebooks": recorded["notebooks"] | results["notebooks"],
        "metrics": metrics | results["metrics"],
        "claims": results["claims"] | claims,
    }
