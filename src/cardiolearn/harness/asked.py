r"""What a kernel says of its start, its weights and its subjects, held against what it was asked to use.

No message holds a path that a user gave: the names of data folders may be those of people.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cardiolearn.errors import InputError
from cardiolearn.home import find_home
from cardiolearn.lab.records import Record

if TYPE_CHECKING:
    from cardiolearn.imaging.study import Study


def start_problems(expected: Mapping[str, Any], starts: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    r"""Differences between what the kernel said at `lab.start` and what it was given."""
    if len(starts) != 1:
        yield f"lab.start was called {len(starts)} times, expected once"
        return
    for key, value in expected.items():
        found = starts[0].get(key)
        if found == value:
            continue
        if key not in ("data_dir", "weights"):
            yield f"the kernel ran with {key} {found!r}, expected {value!r}"
        elif found is None:
            yield f"the kernel ran without the {key} it was given"
        else:
            yield f"the kernel ran with other {key} than it was given"


def weights_problems(expected: Mapping[str, Any], loaded: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    r"""Weights that are not those of the folder that was asked for.

    Raises:
        InputError: The kit's folder is not found.
    """
    if not loaded:
        return
    asked = expected.get("weights", "shipped")
    folder = find_home(Path(expected["folder"])) / "course" / "weights" if asked == "shipped" else Path(asked)
    try:
        entries = tomllib.loads((folder / "weights.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        yield "weights.toml is no longer what it was when the weights were loaded"
        return
    for weights in loaded:
        name = weights["name"]
        if Path(weights["folder"]) != folder.resolve():
            yield f"weights {name!r} were loaded from another folder than the one asked for"
        elif weights["sha256"] != entries.get(name, {}).get("sha256"):
            yield f"weights {name!r}: loaded were {weights['sha256'][:12]}..., weights.toml has others"


def data_problems(data_dir: str | None, records: Iterable[Record]) -> Iterable[str]:
    r"""Numbers of this run that are not of the data that was asked for."""
    try:
        studies = _studies(data_dir) if data_dir is not None else []
    except InputError:
        yield "the data_dir holds no studies, or no longer"
        return
    kind = "phantom" if all(study.info.get("phantom") for study in studies) else "real"
    subjects = {study.subject for study in studies}
    for record in records:
        if record.recorded:
            continue
        if record.data != kind:
            yield f"{record.name}: says that it was measured on {record.data} data, asked for were {kind} data"
        if data_dir is not None and (others := set(record.subjects or ()) - subjects):
            count = f"{len(others)} of {len(record.subjects or ())} subjects"
            yield f"{record.name}: {count} are not in the data_dir"


def _studies(data_dir: str) -> list[Study]:
    from cardiolearn.imaging.study import find_studies

    return find_studies(data_dir)
