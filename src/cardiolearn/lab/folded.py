r"""The numbers that a cell records, in one output of a notebook, folded under a line that says how many there are."""

from __future__ import annotations

from html import escape
from typing import Any

from cardiolearn.lab.records import MIME, Record, number

_HEAD = ("name", "mean", "SD", "95 % interval", "n", "unit")


class FoldedRecords:
    r"""Shows records as they come: all of one cell stand in one table, and a reader opens it on demand."""

    def __init__(self) -> None:
        self._cell: int | None = None
        self._records: list[Record] = []
        self._screen: Any = None

    def add(self, record: Record) -> None:
        r"""Show a record; outside a notebook as a printed line."""
        from IPython import get_ipython
        from IPython.display import display

        shell = get_ipython()
        if shell is None:
            print(record.text())
            return
        if shell.execution_count != self._cell:
            self._cell, self._records, self._screen = shell.execution_count, [], None
        self._records.append(record)
        data = {
            "text/plain": "\n".join(r.text() for r in self._records),
            "text/html": _table(self._records),
            MIME: [r.bundle() for r in self._records],
        }
        if self._screen is None:
            self._screen = display(data, raw=True, display_id=True)
        else:
            self._screen.update(data, raw=True)


def _table(records: list[Record]) -> str:
    count = f"{len(records)} number{'s' if len(records) > 1 else ''}"
    longer = ", from a longer run" if all(record.recorded for record in records) else ""
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in _cells(record))}</tr>" for record in records)
    head = "".join(f"<th>{title}</th>" for title in _HEAD)
    return f"<details><summary>Recorded: {count}{longer}</summary><table><tr>{head}</tr>{rows}</table></details>"


def _cells(record: Record) -> tuple[str, ...]:
    s = record.summary()
    spread = "" if s["sd"] is None else number(s["sd"])
    interval = f"{number(s['ci95'][0])} to {number(s['ci95'][1])}" if s["ci95"] else ""
    unit = "" if s["unit"] == "1" else s["unit"]
    return record.name, number(s["mean"]), spread, interval, str(s["n"]), unit
