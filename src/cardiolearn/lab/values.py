r"""The values behind a run's numbers, subject by subject: the table beside its results, and the records in it.

With it and the ledger every claim can be judged again by anybody, in any language.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cardiolearn.errors import InputError
from cardiolearn.imaging.files import named
from cardiolearn.lab.recorded import Results
from cardiolearn.lab.records import Record, make_record

_COLUMNS = ["metric", "seed", "subject", "value"]


def values_csv(records: Mapping[str, Record]) -> str:
    r"""A row for each metric, seed and subject, its value to nine digits; what has no seed or name has an empty one."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for name, record in sorted(records.items()):
        subjects = record.subjects or ("",) * record.values.shape[-1]
        for seed, values in zip(record.seeds or ("",), np.atleast_2d(record.values), strict=True):
            rows.writerows([name, seed, who, f"{value:.9g}"] for who, value in zip(subjects, values, strict=True))
    return text.getvalue()


def read_values(path: Path, results: Results) -> dict[str, Record]:
    r"""The records of `results` by name, from the table `path`; none where there is no table.

    Raises:
        InputError: the table is damaged, or holds other metrics than the results.
    """
    if not path.is_file():
        return {}
    with named(path):
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
        if not rows or rows[0] != _COLUMNS or any(len(row) != len(_COLUMNS) for row in rows):
            raise InputError(f"expected a table of {', '.join(_COLUMNS)}, got another or a damaged one")
        by_name: dict[str, list[list[str]]] = {}
        for name, *rest in rows[1:]:
            by_name.setdefault(name, []).append(rest)
        if odd := sorted(set(by_name) - set(results["metrics"])):
            raise InputError(f"expected the metrics of the results beside it, got also {odd[0]}")
        return {name: _record(name, rows, results) for name, rows in by_name.items()}


def _record(name: str, rows: list[list[str]], results: Results) -> Record:
    row = results["metrics"][name]
    try:
        values = np.array([float(value) for _, _, value in rows])
    except ValueError as error:
        raise InputError(f"expected numbers for {name}, got another text") from error
    seeds = [int(seed) for seed in dict.fromkeys(seed for seed, _, _ in rows) if seed]
    subjects = [who for _, who, _ in rows[: len(rows) // max(1, len(seeds))]]
    if seeds:
        values = values.reshape(len(seeds), -1)
    return make_record(
        name, values, unit=row["unit"], subjects=subjects if subjects[0] else None, seeds=seeds or None,
        data=results["provenance"]["data"], recorded=bool(row.get("recorded")),
    )  # fmt: skip
