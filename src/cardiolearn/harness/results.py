r"""A run as data: `results.json`, how it is built from executed notebooks, and how two runs are compared."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cardiolearn.errors import InputError
from cardiolearn.harness.execute import Outcome
from cardiolearn.home import code_version, commit, weights_version
from cardiolearn.imaging.files import write_atomically
from cardiolearn.lab.claims import judge_or_recorded
from cardiolearn.lab.ledger import Claim
from cardiolearn.lab.recorded import Results
from cardiolearn.lab.records import Record
from cardiolearn.lab.values import values_csv

#: Of the provenance what each notebook's row keeps: results are put together from lessons run at different times.
OF_A_NOTEBOOK = (
    "date", "commit", "code", "weights", "phantom", "platform", "cpu", "device", "precision", "torch", "threads",
)  # fmt: skip


def provenance(parameters: Mapping[str, Any]) -> dict[str, Any]:
    r"""What a run was made with; nothing that names a person, a machine or a folder."""
    import torch

    import cardiolearn
    from cardiolearn.learning.device import pick_device, training_precision
    from cardiolearn.phantom.cohorts.cache import phantom_version

    device = pick_device(str(parameters["device"]))
    return {
        "profile": parameters["profile"],
        "seed": parameters["seed"],
        "data": "phantom" if parameters.get("data_dir") is None else "real",
        "cardiolearn": cardiolearn.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": device.type,
        "precision": training_precision(device),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "commit": commit(),
        "code": code_version(),
        "weights": weights_version(),
        "phantom": phantom_version(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def add_outcome(results: Results, outcome: Outcome) -> None:
    r"""Put one notebook's outcome and its numbers into the results; a failed notebook leaves no numbers."""
    name, problems = outcome.name, list(outcome.problems)
    results["metrics"] = {m: row for m, row in results["metrics"].items() if row["notebook"] != name}
    for record in outcome.records:
        if record.name in results["metrics"]:
            problems.append(f"{record.name} is also recorded by {results['metrics'][record.name]['notebook']}")
        else:
            results["metrics"][record.name] = _metric_row(record, name)
    status = "failed" if problems != outcome.problems else outcome.status
    row: dict[str, Any] = {"status": status, "problems": problems}
    row |= {"seconds": outcome.seconds, "peak_mb": outcome.peak_mb, "sha256": outcome.sha256}
    row |= {"stages": list(outcome.stages)} if outcome.stages else {}
    results["notebooks"][name] = row | {key: results["provenance"][key] for key in OF_A_NOTEBOOK}


def _metric_row(record: Record, notebook: str) -> dict[str, Any]:
    row = record.summary() | {"notebook": notebook}
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
        } | ({"longer": verdict.longer} if verdict.longer else {})
    return problems


def write_results(path: Path, results: Results, records: Mapping[str, Record]) -> None:
    r"""Write a results file, and beside it, as CSV, the value of every subject that its means are made of."""
    text = json.dumps(results, indent=1, sort_keys=True, allow_nan=False)
    values = {name: records[name] for name in results["metrics"] if name in records}
    write_atomically(path.with_suffix(".csv"), values_csv(values).encode())
    write_atomically(path, (text + "\n").encode())


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
