r"""What earlier, longer runs left in `course/results/`: their numbers and verdicts, and the tables of experiments."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cardiolearn.errors import InputError
from cardiolearn.home import code_version, results_dir
from cardiolearn.imaging.files import write_atomically
from cardiolearn.lab.stages import stage

if TYPE_CHECKING:
    import pandas as pd

Results = dict[str, Any]

# Minutes a lesson may take on two CPU cores, shortest first; shown until a recorded run has measured all its stages.
PROFILES = {"classroom": 3, "reproduce": 30, "full": 600}
_LONG_LESSONS = {"reproduce": {"01": 100, "03": 100, "06": 100}}  # by the number of the lesson
_TABLES = {"provenance", "notebooks", "metrics", "claims"}


def read_results(path: Path) -> Results:
    r"""Read a results file.

    Raises:
        InputError: Missing, not JSON, or not the results of a run.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected the results of a run, found {error}") from None
    if not isinstance(results, dict) or not set(results) >= _TABLES:
        raise InputError(f"{path}: expected the results of a run with {', '.join(sorted(_TABLES))}")
    return results


def results_path(profile: str, folder: Path | None = None) -> Path:
    r"""The file of a profile's recorded run, in `course/results` or another `folder`."""
    return (folder or results_dir()) / f"{profile}.json"


def recorded_run(profile: str, folder: Path | None = None) -> Results | None:
    r"""The recorded run of a profile; None when it was never recorded."""
    path = results_path(profile, folder)
    return read_results(path) if path.is_file() else None


def longer_runs(profile: str, folder: Path | None = None) -> list[Results]:
    r"""Recorded runs of the profiles longer than this one, longest first."""
    longer = list(PROFILES)[list(PROFILES).index(profile) + 1 :]
    return [results for name in reversed(longer) if (results := recorded_run(name, folder)) is not None]


def expected_minutes(lesson: str, profile: str) -> tuple[float, str]:
    r"""Minutes a lesson takes from the start, and where the number is from: a recorded run, else the profile's budget.

    A recorded run that went on from stages finished earlier took as long as all of them. One of a longer profile that
    does not say which stages there were is not believed.
    """
    row = (recorded_run(profile) or {}).get("notebooks", {}).get(lesson)
    if row and (profile == "classroom" or "stages" in row):
        seconds = row["seconds"] + sum(stage["earlier"] for stage in row.get("stages", ()))
        return seconds / 60, "recorded run"
    budget = _LONG_LESSONS.get(profile, {}).get(lesson[:2], PROFILES[profile])
    return budget, "budget on two CPU cores"


def recorded_table(name: str) -> tuple[str, Any]:
    r"""The file name and the content of a longer run's table: a DataFrame of `<name>.csv`, or what `<name>.json` holds.

    Raises:
        InputError: There is no such table.
    """
    from cardiolearn.learning.experiment import read_table

    csv, other = results_dir() / f"{name}.csv", results_dir() / f"{name}.json"
    if csv.is_file():
        return csv.name, read_table(csv)
    if other.is_file():
        return other.name, json.loads(other.read_text(encoding="utf-8"))
    names = sorted(p.name for p in results_dir().glob("*.*"))
    raise InputError(f"{csv}: no such recorded table; there are {', '.join(names) or 'none yet'}")


def computed_table(
    name: str,
    folder: Path,
    run: str,
    compute: Callable[[], pd.DataFrame],
    device: str,
    stages: dict[str, dict[str, Any]],
) -> pd.DataFrame:
    r"""The table of a long experiment, computed by a longer `run` (its profile and seed) and recorded as `<name>.csv`.

    What made it is noted in `stages`. It is kept in `folder` too, under the code's version: a run that was interrupted
    finds what it had finished.
    """
    from cardiolearn.learning.experiment import finished

    kept = folder / f"tables-{code_version()}" / f"{name}-{run}.csv"
    with stage(name, kept, device) as stages[name]:
        table = finished(kept, compute)
    results_dir().mkdir(parents=True, exist_ok=True)
    write_atomically(results_dir() / f"{name}.csv", kept.read_bytes())
    return table
