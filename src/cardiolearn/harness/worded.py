r"""A notebook's tables and printed series as a reader wants them: names in words, no marks of the program's."""

from __future__ import annotations

import re

from cardiolearn.imaging.structures import NAMES, VIEW_NAMES
from cardiolearn.measures.tables import MEASURES

_TABLE = re.compile(r"<table\b[^>]*>(.*?)</table>", re.DOTALL)
_STYLED = re.compile(r"<(tr|th|td|thead|tbody)\b(?:\s+(?!colspan|rowspan)[\w-]+=\"[^\"]*\")+")
_ROW = re.compile(r"<tr>(.*?)</tr>", re.DOTALL)
_CELL = re.compile(r"<th([^>]*)>(.*?)</th>", re.DOTALL)
_SERIES = re.compile(r"(.*)\nName: (.*), dtype: \w+", re.DOTALL)
_INDICES = {"edv": "EDV", "esv": "ESV", "sv": "stroke volume", "ef": "ejection fraction", "mass": "mass"}
WORDS = {
    **{f"{measure}.{key}": f"{name}, {said}" for measure, said in MEASURES.items() for key, name in NAMES.items()},
    **{f"{side}_{index}": f"{side.upper()} {said}" for side in ("lv", "rv") for index, said in _INDICES.items()},
    **VIEW_NAMES,
}  # fmt: skip


def tables(html: str) -> list[str]:
    r"""The tables in a cell's HTML, plain: headings in words, and the name of the index beside those of the columns.

    >>> tables('<table class="x"><tr style="a: b;"><th>dice.lv</th></tr><tr><td>0.9</td></tr></table>')
    ['<table><tr><th>LV cavity, Dice</th></tr><tr><td>0.9</td></tr></table>']
    """
    plain = (_STYLED.sub(r"<\1", inner) for inner in _TABLE.findall(html))
    return [f"<table>{_in_words(_one_heading(rows))}</table>" for rows in plain]


def printed(text: str) -> str:
    r"""A series as pandas prints it, its name first.

    >>> print(printed("network    5.0\nobservers  3.3\nName: change, points, dtype: float64"))
    change, points:
    network    5.0
    observers  3.3
    """
    series = _SERIES.fullmatch(text)
    return f"{series[2]}:\n{series[1]}" if series else text


def _in_words(rows: str) -> str:
    worded = _CELL.sub(lambda cell: f"<th{cell[1]}>{WORDS.get(cell[2], cell[2])}</th>", rows)
    return worded.replace("<td>NaN</td>", "<td>–</td>")  # noqa: RUF001  (a dash, for there is no number)


def _one_heading(rows: str) -> str:
    r"""Pandas gives the names of the index a row of their own, below those of the columns: they are put into one."""
    head, end, body = rows.partition("</thead>")
    heading = [_CELL.findall(row) for row in _ROW.findall(head)]
    if len(heading) != 2 or len(heading[0]) != len(heading[1]) or heading[1][-1][1]:
        return rows
    cells = "".join(f"<th>{below or above}</th>" for (_, above), (_, below) in zip(*heading, strict=True))
    return f"<thead><tr>{cells}</tr>{end}{body}"
