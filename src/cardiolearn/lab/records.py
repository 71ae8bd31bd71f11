r"""The numbers a notebook leaves behind, with their pairing over subjects and seeds.

A record travels inside the notebook's own output (mime type `MIME`), so that an executed notebook is its own
evidence: no side file can get lost or belong to another run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiolearn.errors import InputError

MIME = "application/vnd.cardiolearn.record+json"
START_MIME = "application/vnd.cardiolearn.start+json"
STAGE_MIME = "application/vnd.cardiolearn.stage+json"
WEIGHTS_MIME = "application/vnd.cardiolearn.weights+json"
CHECK_MIME = "application/vnd.cardiolearn.check+json"
RECORDED_NOTE = "recorded (from a longer run, not computed here)"
LEVEL = 0.95
_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")


@dataclass(frozen=True)
class Record:
    r"""One named result.

    `values` is (subjects,) or (seeds, subjects), float64, finite. `subjects` and `seeds` name the columns and rows;
    without them the numbers can be shown but not compared pairwise. `data` is "phantom" or "real"; `recorded` marks
    numbers read from a longer run.
    """

    name: str
    values: NDArray[np.float64]
    unit: str = "1"
    subjects: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    data: str = "phantom"
    recorded: bool = False

    @property
    def per_subject(self) -> NDArray[np.float64]:
        r"""Values (subjects,), averaged over seeds."""
        return self.values if self.values.ndim == 1 else self.values.mean(axis=0)

    def bundle(self) -> dict[str, Any]:
        r"""The JSON form, read back by `from_bundle`."""
        return {
            "name": self.name,
            "values": self.values.tolist(),
            "unit": self.unit,
            "subjects": list(self.subjects) if self.subjects else None,
            "seeds": list(self.seeds) if self.seeds else None,
            "data": self.data,
            "recorded": self.recorded,
        }

    def summary(self) -> dict[str, Any]:
        r"""Mean, SD, n and 95 % interval over subjects; SD and interval are None for a single number."""
        return dict(self._summary)

    @cached_property
    def _summary(self) -> dict[str, Any]:
        # Kept: a cell's table is written anew with each record, and an interval takes ten thousand draws.
        from cardiolearn.measures.statistics import mean_interval

        values = self.per_subject
        many = values.size > 1
        low_high = mean_interval(values, LEVEL) if many else None
        return {
            "mean": float(values.mean()),
            "sd": float(values.std(ddof=1)) if many else None,
            "n": int(values.size),
            "ci95": [float(x) for x in low_high] if low_high is not None else None,
            "unit": self.unit,
        }

    def text(self) -> str:
        r"""One readable line.

        >>> make_record("lesson.parameters", 1985556).text()
        'lesson.parameters: 1985556'
        """
        s = self.summary()
        line = f"{self.name}: {number(s['mean'])}{unit_suffix(self.unit)}"
        if s["ci95"]:
            low, high = s["ci95"]
            line += f" (mean; SD {number(s['sd'])}, 95 % interval {number(low)} to {number(high)}, n = {s['n']})"
        return line + (" [recorded: from a longer run]" if self.recorded else "")


def make_record(
    name: str,
    values: ArrayLike,
    *,
    unit: str = "1",
    subjects: Sequence[object] | None = None,
    seeds: Sequence[int] | None = None,
    data: str = "phantom",
    recorded: bool = False,
) -> Record:
    r"""A checked record. `values`: a number, (subjects,) or (seeds, subjects); tensors and arrays are welcome.

    Raises:
        InputError: A malformed name, no values, a non-finite value, or names that do not fit the values.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"record {name!r}: expected a dotted lower-case name such as 'fcn.dice.lv'")
    array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    names = tuple(str(s) for s in subjects) if subjects is not None else None
    rows = tuple(int(s) for s in seeds) if seeds is not None else None
    _check_shape(name, array, names, rows)
    if not np.isfinite(array).all():
        where = np.argwhere(~np.isfinite(array))[0]
        label = names[int(where[-1])] if names else f"position {int(where[-1])}"
        raise InputError(f"record {name}: expected finite numbers, found {array[tuple(where)]} for {label}")
    if data not in ("phantom", "real"):
        raise InputError(f"record {name}: data must be 'phantom' or 'real', not {data!r}")
    return Record(name, array, unit, names, rows, data, recorded)


def _check_shape(
    name: str, array: NDArray[np.float64], subjects: tuple[str, ...] | None, seeds: tuple[int, ...] | None
) -> None:
    if array.size == 0 or array.ndim > 2:
        raise InputError(f"record {name}: expected (subjects,) or (seeds, subjects) numbers, found shape {array.shape}")
    if array.ndim == 2 and seeds is None:
        raise InputError(f"record {name}: values of shape {array.shape} need seeds=, one per row")
    if seeds is not None and (array.ndim != 2 or len(seeds) != len(array) or len(set(seeds)) != len(seeds)):
        raise InputError(f"record {name}: {len(seeds)} seeds do not name the rows of shape {array.shape} once each")
    if subjects is not None and (len(subjects) != array.shape[-1] or len(set(subjects)) != len(subjects)):
        raise InputError(f"record {name}: {len(subjects)} subjects do not name {array.shape[-1]} values once each")


def from_bundle(bundle: Mapping[str, Any]) -> Record:
    r"""The record of a JSON form; every check of `make_record` is made again."""
    fields = {"unit", "subjects", "seeds", "data", "recorded"}
    if set(bundle) != fields | {"name", "values"}:
        raise InputError(f"record {bundle.get('name')}: expected the fields {sorted(fields)}, found {sorted(bundle)}")
    return make_record(bundle["name"], bundle["values"], **{key: bundle[key] for key in fields})


def number(value: float) -> str:
    r"""A number as a reader wants it: three or four significant digits, never an exponent.

    >>> [number(x) for x in (0.9312, 5.5, 143.26, 1985556.0, -0.00412)]
    ['0.931', '5.50', '143.3', '1985556', '-0.0041']
    """
    size = abs(value)
    if size >= 1000 or (value == int(value) and size >= 10):
        return f"{value:.0f}"
    decimals = 1 if size >= 100 else 2 if size >= 1 else 3 if size >= 0.01 or value == 0 else 4
    return f"{value:.{decimals}f}"


def unit_suffix(unit: str) -> str:
    r"""The unit as it follows a number; a dimensionless quantity has none."""
    return "" if unit == "1" else f" {unit}"


def show(text: str, bundle: dict[str, Any] | None = None) -> None:
    r"""Show text in a notebook, with machine-readable data beside it; plain print elsewhere."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(text)
    else:
        display({"text/plain": text, **(bundle or {})}, raw=True)
