r"""Stages: run once each, resumed after an interruption, never mixed with other settings."""

from __future__ import annotations

import json
import operator
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cardiolearn.errors import InputError, Unfinished
from cardiolearn.learning import experiment
from cardiolearn.learning.clock import UNTIL_VARIABLE
from cardiolearn.learning.experiment import (
    Rows,
    Stage,
    Variant,
    finished,
    read_table,
    run_stages,
    run_variants,
    values_of,
)

SETTINGS = {"steps": 10}


class Lab:
    r"""A stage that counts its calls and can fail once."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.calls: list[tuple[str, int]] = []
        self.fail_at = fail_at

    def __call__(self, variant: str, seed: int) -> Callable[[], Rows]:
        return partial(self.work, variant, seed)

    def work(self, variant: str, seed: int) -> Iterator[dict[str, Any]]:
        if len(self.calls) == self.fail_at:
            raise KeyboardInterrupt
        self.calls.append((variant, seed))
        for subject in ("007", "a"):
            yield {"subject": subject, "dice": len(variant) + seed / 10 + (subject == "a")}


def giving(rows: list[dict[str, Any]]) -> Stage:
    r"""A stage that measures always the same."""
    return lambda variant, seed: lambda: rows


def test_every_stage_runs_once_and_gives_values_for_a_record(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "toy.csv"
    stage = Lab()
    table = run_stages(path, stage, variants=["x", "yy"], seeds=[0, 3], settings=SETTINGS)
    assert sorted(stage.calls) == [("x", 0), ("x", 3), ("yy", 0), ("yy", 3)]
    values, seeds, subjects = values_of(table, "yy", "dice")
    assert seeds == [0, 3] and subjects == ["007", "a"]
    np.testing.assert_allclose(values, [[2.0, 3.0], [2.3, 3.3]])
    assert values_of(read_table(path), "yy", "dice")[0].tolist() == values.tolist()
    run_stages(path, stage, variants=["x", "yy"], seeds=[0, 3], settings=SETTINGS)
    assert len(stage.calls) == 4


def test_a_second_run_of_the_same_stages_waits_and_finds_them(tmp_path: Path, waiting: Event) -> None:
    path, first, second, tables = tmp_path / "toy.csv", Lab(), Lab(), list[pd.DataFrame]()
    options: dict[str, Any] = {"variants": ["x", "yy"], "seeds": [0, 1], "settings": SETTINGS}
    thread = Thread(target=lambda: tables.append(run_stages(path, second, **options)))

    def stage(variant: str, seed: int) -> Callable[[], Rows]:
        if not thread.ident:
            thread.start()
            assert waiting.wait(60)
        return first(variant, seed)

    table = run_stages(path, stage, **options)
    thread.join(60)
    assert len(first.calls) == 4 and second.calls == [] and tables[0].equals(table)


def test_an_interrupted_experiment_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "toy.csv"
    stage = Lab(fail_at=2)
    with pytest.raises(KeyboardInterrupt):
        run_stages(path, stage, variants=["x", "yy"], seeds=[0, 1], settings=SETTINGS)
    assert len(read_table(path)) == 4  # both finished stages are whole
    stage.fail_at = None
    table = run_stages(path, stage, variants=["x", "yy"], seeds=[0, 1], settings=SETTINGS)
    assert len(stage.calls) == 4 and len(table) == 8
    whole = run_stages(tmp_path / "other.csv", Lab(), variants=["x", "yy"], seeds=[0, 1], settings=SETTINGS)
    assert table.equals(whole)


def test_stages_that_ended_in_another_order_come_back_in_that_asked_for(tmp_path: Path) -> None:
    whole = run_stages(tmp_path / "one.csv", Lab(), variants=["x", "yy"], seeds=[0, 1], settings=SETTINGS)
    path = tmp_path / "other.csv"
    for variant, seed in (("yy", 1), ("x", 1), ("yy", 0)):
        run_stages(path, Lab(), variants=[variant], seeds=[seed], settings=SETTINGS)
    assert run_stages(path, Lab(), variants=["x", "yy"], seeds=[0, 1], settings=SETTINGS).equals(whole)


@pytest.mark.slow
def test_a_failure_in_another_process_ends_the_experiment_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "toy.csv"
    with pytest.raises(TypeError):  # "x" + 0
        run_stages(path, partial(partial, operator.add), variants=["x"], seeds=[0], settings=SETTINGS, jobs=2)
    assert not path.exists()


def test_when_time_is_up_no_further_stage_begins_and_the_same_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, stage, now = tmp_path / "toy.csv", Lab(), [100.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    monkeypatch.setenv(UNTIL_VARIABLE, "102.5")

    def work(variant: str, seed: int) -> Callable[[], Rows]:
        def measured() -> Rows:
            now[0] += 1.0
            return stage.work(variant, seed)

        return measured

    options: dict[str, Any] = {"variants": ["x", "yy"], "seeds": [0, 3], "settings": SETTINGS}
    with pytest.raises(Unfinished, match=r"^toy: 3 of 4 stages are done"):
        run_stages(path, work, **options)
    assert stage.calls == [("x", 0), ("yy", 0), ("x", 3)]
    monkeypatch.delenv(UNTIL_VARIABLE)
    assert len(run_stages(path, work, **options)) == 8 and stage.calls[3:] == [("yy", 3)]


def test_only_the_asked_variants_and_seeds_come_back(tmp_path: Path) -> None:
    path = tmp_path / "toy.csv"
    run_stages(path, Lab(), variants=["x", "yy"], seeds=[0, 1], settings=SETTINGS)
    table = run_stages(path, Lab(), variants=["x"], seeds=[1], settings=SETTINGS)
    assert table[["variant", "seed"]].drop_duplicates().values.tolist() == [["x", 1]]


def test_other_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.csv"
    run_stages(path, Lab(), variants=["x"], seeds=[0], settings=SETTINGS)
    with pytest.raises(InputError, match="other settings"):
        run_stages(path, Lab(), variants=["x"], seeds=[1], settings={"steps": 11})
    path.with_suffix(".settings.json").unlink()
    with pytest.raises(InputError, match="other settings"):
        run_stages(path, Lab(), variants=["x"], seeds=[1], settings=SETTINGS)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "found 0 rows"),
        ([{"dice": 1.0}], "'subject'"),
        ([{"subject": "a"}, {"subject": "a"}], "there twice"),
    ],
)
def test_bad_rows_are_refused_and_leave_nothing(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    path = tmp_path / "toy.csv"
    with pytest.raises(InputError, match=message):
        run_stages(path, giving(rows), variants=["x"], seeds=[0], settings=SETTINGS)
    assert not path.exists()


def test_changed_columns_missing_values_and_damaged_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.csv"
    table = run_stages(path, Lab(), variants=["x"], seeds=[0], settings=SETTINGS)
    with pytest.raises(InputError, match="expected the columns"):
        run_stages(path, giving([{"subject": "a", "mm": 1}]), variants=["x"], seeds=[1], settings=SETTINGS)
    with pytest.raises(InputError, match="no 'mm'"):
        values_of(table, "x", "mm")
    holes = table.assign(seed=[0, 1])
    with pytest.raises(InputError, match="not every subject"):
        values_of(holes, "x", "dice")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"toy\.csv: expected the first columns .*variant.*found .*'a', 'b'"):
        run_stages(path, Lab(), variants=["x"], seeds=[1], settings=SETTINGS)
    for content in (b"", b'a,b\n"1,2\n', b"a,b\n1,2,3\n4,5,6,7\n"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"toy\.csv: expected a table of results in csv, found"):
            read_table(path)
    with pytest.raises(InputError, match=r"none\.csv: expected a table of results in csv"):
        read_table(tmp_path / "none.csv")


def test_nothing_to_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one variant and one seed"):
        run_stages(tmp_path / "toy.csv", Lab(), variants=[], seeds=[0], settings=SETTINGS)


# --- variants ---


@dataclass(frozen=True)
class Toy:
    r"""A variant that says what it was asked."""

    subjects: int
    view: str = "sa"

    def prepare(self, folder: Path, cohort_seed: int, seeds: Sequence[int]) -> None:
        assert list(seeds) == [0, 3]
        (folder / f"{self.subjects}-{cohort_seed}").touch()

    def learn(
        self, folder: Path, cohort_seed: int, *, steps: int, seed: int, device: torch.device
    ) -> list[dict[str, Any]]:
        assert len(list(folder.glob(f"*-{cohort_seed}"))) == 2  # all are prepared before one learns
        return [{"subject": str(i), "score": self.subjects + steps + seed / 10, "on": device.type} for i in range(3)]


@dataclass(frozen=True)
class RenamedToy(Toy):
    r"""What `Toy` is called after somebody tidied up."""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    r"""Tasks run in this process; returns how many there are to be at a time, for each call."""
    asked: list[int] = []

    def one_by_one(tasks: list[Callable[[], Rows]], jobs: int) -> Iterator[tuple[int, Rows]]:
        asked.append(jobs)
        return ((number, tasks[number]()) for number in reversed(range(len(tasks))))

    monkeypatch.setattr(experiment, "in_processes", one_by_one)
    return asked


def run_toys(path: Path, variants: Mapping[str, Variant], **changes: Any) -> pd.DataFrame:
    options = {"folder": path.parent, "seeds": [0, 3], "steps": 10, "cohort_seed": 5, "device": torch.device("cpu")}
    return run_variants(path, variants, **(options | changes))


def test_every_variant_learns_from_every_seed(tmp_path: Path, here: list[int]) -> None:
    table = run_toys(tmp_path / "t.csv", {"few": Toy(1), "many": Toy(100)})
    assert here == [2] and set(table["on"]) == {"cpu"}
    pairs = list(zip(table["variant"], table["seed"], table["score"], strict=True))
    assert pairs[::3] == [("few", 0, 11.0), ("many", 0, 110.0), ("few", 3, 11.3), ("many", 3, 110.3)]


def test_a_table_depends_on_a_variants_values_and_not_on_its_classs_name(tmp_path: Path, here: list[int]) -> None:
    path = tmp_path / "t.csv"
    table = run_toys(path, {"few": Toy(1), "many": Toy(100, "la")})
    settings = json.loads(path.with_suffix(".settings.json").read_text(encoding="utf-8"))
    assert settings == {
        "steps": 10,
        "cohort_seed": 5,
        "variants": {"few": "Variant(subjects=1, view='sa')", "many": "Variant(subjects=100, view='la')"},
    }
    assert run_toys(path, {"few": RenamedToy(1), "many": RenamedToy(100, "la")}).equals(table)
    for other in ({"few": Toy(2), "many": Toy(100, "la")}, {"few": Toy(1), "many": Toy(100)}):
        with pytest.raises(InputError, match="other settings"):
            run_toys(path, other)
    for change in ({"steps": 11}, {"cohort_seed": 6}):
        with pytest.raises(InputError, match="other settings"):
            run_toys(path, {"few": Toy(1), "many": Toy(100, "la")}, **change)


def test_a_finished_table_is_read_and_not_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "t.csv"
    table = pd.DataFrame({"subject": ["007", "a"], "score": [1 / 3, 2.0]})
    first = finished(path, lambda: table)
    assert first["subject"].tolist() == ["007", "a"] and first["score"].tolist() == [0.33333, 2.0]
    assert finished(path, lambda: pytest.fail("computed again")).equals(first)


def test_of_two_runs_one_computes_and_the_other_waits(tmp_path: Path, waiting: Event) -> None:
    path, second = tmp_path / "t.csv", list[pd.DataFrame]()
    other = pd.DataFrame({"subject": ["other"]})
    thread = Thread(target=lambda: second.append(finished(path, lambda: other)))

    def compute() -> pd.DataFrame:
        thread.start()
        assert waiting.wait(60)
        return pd.DataFrame({"subject": ["a"]})

    first = finished(path, compute)
    thread.join(60)
    assert first["subject"].tolist() == ["a"] and second[0].equals(first)
