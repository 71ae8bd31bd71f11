r"""Variants x seeds in resumable stages, kept as one table with a row for every subject.

The table is the whole state: a stage that is in it is not run again, one that is not was never finished.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cardiolearn.errors import InputError, Unfinished
from cardiolearn.imaging.files import write_atomically
from cardiolearn.imaging.locks import locked
from cardiolearn.learning.clock import time_is_up
from cardiolearn.learning.device import at_once, in_processes

if TYPE_CHECKING:
    import pandas as pd
    import torch

KEYS = ["variant", "seed", "subject"]
Rows = Iterable[Mapping[str, Any]]
Work = tuple[int, "Rows | None"]  # the number of a stage and what it found; None where it was not begun
Stage = Callable[[str, int], Callable[[], Rows]]


class Variant(Protocol):
    r"""A way to train and to test: what is learnt, from what. Its data are made once and kept in `folder`."""

    def prepare(self, folder: Path, cohort_seed: int, seeds: Sequence[int]) -> object:
        r"""Make all that `learn` will need from any of `seeds`."""

    def learn(
        self, folder: Path, cohort_seed: int, *, steps: int, seed: int, device: torch.device
    ) -> Iterable[Mapping[str, Any]]:
        r"""Train for `steps` from `seed`; one row per test subject."""


def run_variants(
    path: Path, variants: Mapping[str, Variant], *,
    folder: Path, seeds: Sequence[int], steps: int, cohort_seed: int, device: torch.device,
) -> pd.DataFrame:  # fmt: skip
    r"""Every variant trained from each of `seeds`, one on each core at a time: the table `path` of `run_stages`."""
    for variant in variants.values():  # before the stages, or two of them would make the same hearts
        variant.prepare(folder, cohort_seed, seeds)

    def stage(variant: str, seed: int) -> Callable[[], Rows]:
        return partial(variants[variant].learn, folder, cohort_seed, steps=steps, seed=seed, device=device)

    settings = {"steps": steps, "cohort_seed": cohort_seed, "variants": {k: _said(v) for k, v in variants.items()}}
    return run_stages(path, stage, variants=list(variants), seeds=seeds, settings=settings, jobs=at_once())


def _said(variant: Variant) -> str:
    r"""A variant by its values alone, whatever its class is called."""
    values = ", ".join(f"{name}={value!r}" for name, value in vars(variant).items())
    return f"Variant({values})"


def run_stages(
    path: Path, stage: Stage, *,
    variants: Sequence[str], seeds: Sequence[int], settings: Mapping[str, Any], jobs: int = 1,
) -> pd.DataFrame:  # fmt: skip
    r"""The table `path` (csv), after running each stage `(variant, seed)` it does not hold yet.

    `stage(variant, seed)` is what a stage does: called, it gives one mapping per subject with "subject" and the
    measured numbers. The csv is replaced as a whole after each stage. `settings` (all that the numbers depend on, JSON)
    is kept beside it as `.settings.json`. With `jobs` above 1 as many stages run at a time, as in `in_processes`. A
    second call for the same table waits for the end of the first.

    Raises:
        InputError: The table was made with other settings, is damaged, or a stage gives no or unlike rows.
        Unfinished: This process's time is up, and a stage was not begun; the same call goes on.
    """
    with locked(path):
        table = _all_run(path, stage, [(v, s) for s in seeds for v in variants], settings, jobs)
    if table is None:
        raise InputError(f"{path}: expected at least one variant and one seed")
    order = {pair: i for i, pair in enumerate((v, s) for s in seeds for v in variants)}
    places = [order.get(pair, -1) for pair in zip(table["variant"], table["seed"], strict=True)]
    table = table.assign(place=places).sort_values("place", kind="stable")  # stages may end in any order
    return table[table["place"] >= 0].drop(columns="place").reset_index(drop=True)


def _all_run(
    path: Path, stage: Stage, wanted: Sequence[tuple[str, int]], settings: Mapping[str, Any], jobs: int
) -> pd.DataFrame | None:
    r"""The table with all stages in it, in the order in which they ended."""
    from cardiolearn.learning.progress import tqdm

    _check_settings(path, settings)
    table = _begun(path)
    done = set() if table is None else set(zip(table["variant"], table["seed"], strict=True))
    todo, waiting = [pair for pair in wanted if pair not in done], 0
    done_one_by_one = _run([stage(*pair) for pair in todo], jobs)
    for number, found in tqdm(done_one_by_one, path.stem, len(todo), unit="stage", disable=not todo):
        if found is None:
            waiting += 1
            continue
        variant, seed = todo[number]
        rows = [{"variant": variant, "seed": seed} | dict(row) for row in found]
        table = _append(path, table, rows, f"{path}: stage {variant}, seed {seed}")
    if waiting:
        raise Unfinished(f"{path.stem}: {len(wanted) - waiting} of {len(wanted)} stages are done")
    return table


def _run(stages: Sequence[Callable[[], Rows]], jobs: int) -> Iterator[Work]:
    tasks = [partial(_rows, stage) for stage in stages]
    return enumerate(task() for task in tasks) if jobs == 1 else in_processes(tasks, jobs)


def _rows(stage: Callable[[], Rows]) -> Rows | None:
    r"""What a stage finds; None when no further one may begin. What runs when time is up goes on to its end."""
    return None if time_is_up() else list(stage())


def finished(path: Path, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    r"""The table `path` (csv), computed only where it is not there: an interrupted run goes on behind it.

    It is always what the file holds, to five decimals, so that a run that goes on gives what one at a stretch gives.
    Of two runs one computes, and the other waits for it.
    """
    if not path.is_file():
        with locked(path):
            if not path.is_file():
                write_atomically(path, compute().round(5).to_csv(index=False, lineterminator="\n").encode())
    return read_table(path)


def read_table(path: Path) -> pd.DataFrame:
    r"""A table of results, its subjects and variants as text.

    Raises:
        InputError: It is missing or damaged.
    """
    import pandas as pd

    try:
        return pd.read_csv(path, dtype={"variant": str, "subject": str})
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a table of results in csv, found {error}") from None


def _begun(path: Path) -> pd.DataFrame | None:
    r"""The table that earlier stages left, None before the first."""
    if not path.is_file():
        return None
    table = read_table(path)
    if list(table.columns[:3]) != KEYS:
        raise InputError(f"{path}: expected the first columns {KEYS}, found {list(table.columns[:3])}")
    return table


def values_of(table: pd.DataFrame, variant: str, metric: str) -> tuple[NDArray[np.float64], list[int], list[str]]:
    r"""Values (seeds, subjects) of one variant with the seeds and subjects: what `run.record` takes.

    Raises:
        InputError: No such variant or metric, or a subject missing for some seed.
    """
    rows = table[table["variant"] == variant]
    if rows.empty or metric not in table.columns:
        raise InputError(f"the table has no {metric!r} of variant {variant!r}")
    wide = rows.pivot(index="seed", columns="subject", values=metric)
    if wide.isna().any(axis=None):
        raise InputError(f"{metric} of variant {variant!r}: not every subject has a number for every seed")
    return wide.to_numpy(dtype=np.float64), [int(s) for s in wide.index], [str(s) for s in wide.columns]


def _append(path: Path, table: pd.DataFrame | None, rows: list[dict[str, Any]], where: str) -> pd.DataFrame:
    import pandas as pd

    if not rows or any("subject" not in row for row in rows):
        raise InputError(f"{where}: expected one row with 'subject' per subject, found {len(rows)} rows")
    new = pd.DataFrame(rows)
    new["subject"] = new["subject"].astype(str)
    new = new[KEYS + [column for column in new.columns if column not in KEYS]]
    if table is not None and list(new.columns) != list(table.columns):
        raise InputError(f"{where}: expected the columns {list(table.columns)}, found {list(new.columns)}")
    if new.duplicated(KEYS).any():
        raise InputError(f"{where}: a subject is there twice")
    both = new if table is None else pd.concat([table, new], ignore_index=True)
    write_atomically(path, both.to_csv(index=False, lineterminator="\n").encode())
    return both


def _check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    r"""Refuse to continue a table that was made with other settings: its rows would not belong together."""
    beside = path.with_suffix(".settings.json")
    text = json.dumps(settings, sort_keys=True, indent=1) + "\n"
    if path.is_file():
        before = beside.read_text(encoding="utf-8") if beside.is_file() else "nothing"
        if before != text:
            raise InputError(f"{path}: was made with other settings ({beside.name}); delete both to begin anew")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(beside, text.encode())
