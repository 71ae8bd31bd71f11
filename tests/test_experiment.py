r"""Stages: run once each, resumed after an interruption, never mixed with other settings."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cardiolearn.errors import InputError
from cardiolearn.experiment import read_table, run_stages, values_of

SETTINGS = {"steps": 10}


class Lab:
    r"""A stage that counts its calls and can fail once."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.calls: list[tuple[str, int]] = []
        self.fail_at = fail_at

    def __call__(self, variant: str, seed: int) -> Iterator[dict[str, Any]]:
        if len(self.calls) == self.fail_at:
            raise KeyboardInterrupt
        self.calls.append((variant, seed))
        for subject in ("007", "a"):
            yield {"subject": subject, "dice": len(variant) + seed / 10 + (subject == "a")}


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


def test_a_failure_in_another_process_ends_the_experiment_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "toy.csv"
    with pytest.raises(TypeError):  # "x" + 0
        run_stages(path, operator.add, variants=["x"], seeds=[0], settings=SETTINGS, jobs=2)
    assert not path.exists()


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
        run_stages(path, lambda variant, seed: rows, variants=["x"], seeds=[0], settings=SETTINGS)
    assert not path.exists()


def test_changed_columns_missing_values_and_damaged_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.csv"
    table = run_stages(path, Lab(), variants=["x"], seeds=[0], settings=SETTINGS)
    with pytest.raises(InputError, match="expected the columns"):
        run_stages(path, lambda v, s: [{"subject": "a", "mm": 1}], variants=["x"], seeds=[1], settings=SETTINGS)
    with pytest.raises(InputError, match="no 'mm'"):
        values_of(table, "x", "mm")
    holes = table.assign(seed=[0, 1])
    with pytest.raises(InputError, match="not every subject"):
        values_of(holes, "x", "dice")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="first columns"):
        read_table(path)
    with pytest.raises(InputError, match=r"toy\.csv"):
        run_stages(path.with_name("toy.csv"), Lab(), variants=["x"], seeds=[1], settings=SETTINGS)
