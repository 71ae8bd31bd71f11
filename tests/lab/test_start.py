r"""What a notebook gets from `lab.start`: clear refusals, generators, numbers where they are looked for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toys import claim_text

from cardiolearn import home, lab
from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.study import write_study
from cardiolearn.lab.recorded import expected_minutes

GOOD: dict[str, Any] = {"profile": "classroom", "seed": 0, "device": "cpu", "data_dir": None, "weights": "shipped"}


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    r"""A kit's folder with one claim, found through the environment."""
    folder = tmp_path / "kit"
    (folder / "course" / "results").mkdir(parents=True)
    (folder / "course" / "claims.toml").write_text(claim_text(id='"toy.better"'))
    monkeypatch.setenv(home.VARIABLE, str(folder))
    monkeypatch.delenv(home.WEIGHTS_VARIABLE, raising=False)
    return folder


def write_results(kit: Path, profile: str, **parts: Any) -> None:
    results = {
        "provenance": {"profile": profile, "date": "2026-01-01"},
        "notebooks": {},
        "metrics": {},
        "claims": {},
    } | parts
    (kit / "course" / "results" / f"{profile}.json").write_text(json.dumps(results))


def test_start_says_how_the_lesson_runs(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = lab.start("01_toy", **GOOD)
    said = capsys.readouterr().out
    for word in ("01_toy", "classroom", "seed 0", "cpu", "built-in phantom hearts", torch.__version__, "3.0 minutes"):
        assert word in said
    assert (run.device, run.data, run.data_dir, run.weights) == (torch.device("cpu"), "phantom", None, "shipped")
    assert run.results_dir == kit / "course" / "results"


def test_expected_minutes_come_from_the_recorded_run(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_results(kit, "classroom", notebooks={"01_toy": {"seconds": 90.0}})
    lab.start("01_toy", **GOOD)
    assert "about 1.5 minutes (recorded run)" in capsys.readouterr().out


def test_minutes_count_the_stages_finished_earlier(kit: Path) -> None:
    r"""A run that went on from trainings of an hour took an hour more; one that does not tell is not believed."""
    row = {"seconds": 600.0, "stages": [{"earlier": 3000.0, "seconds": 3000.0}, {"earlier": 0.0, "seconds": 300.0}]}
    write_results(kit, "reproduce", notebooks={"01_toy": row, "02_toy": {"seconds": 600.0}})
    assert expected_minutes("01_toy", "reproduce") == (60.0, "recorded run")
    assert expected_minutes("02_toy", "reproduce") == (30, "budget on two CPU cores")
    assert expected_minutes("03_toy", "reproduce") == (100, "budget on two CPU cores")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"profile": "quick"}, "profile='quick': expected one of classroom, reproduce, full"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": "0"}, "seed='0'"),
        ({"seed": True}, "seed=True"),
        ({"device": "gpu"}, "device"),
        ({"data_dir": "/nowhere/at/all"}, "/nowhere/at/all"),
        ({"weights": "/nowhere/at/all"}, "expected 'shipped' or a folder"),
    ],
)
def test_impossible_parameters_are_refused(kit: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        lab.start("01_toy", **GOOD | changed)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_an_absent_device_is_named(kit: Path) -> None:
    with pytest.raises(InputError, match="'cuda' was asked for"):
        lab.start("01_toy", **GOOD | {"device": "cuda"})


def _study(folder: Path, **info: Any) -> None:
    folder.parent.mkdir(exist_ok=True)
    image = Image(torch.rand(3, 8, 8), np.diag([1.5, 1.5, 8.0, 1.0]))
    write_study(folder, {"sa_ED": image}, {}, {"subject": folder.name, **info})


def test_data_dir_says_whether_it_is_real(kit: Path, tmp_path: Path) -> None:
    _study(tmp_path / "data" / "a")
    assert lab.start("01_toy", **GOOD | {"data_dir": str(tmp_path / "data")}).data == "real"
    _study(tmp_path / "made" / "a", phantom=True)
    run = lab.start("01_toy", **GOOD | {"data_dir": tmp_path / "made"})
    assert run.data == "phantom" and run.data_dir == tmp_path / "made"
    _study(tmp_path / "data" / "b", phantom=True)
    with pytest.raises(InputError, match="phantom and real"):
        lab.start("01_toy", **GOOD | {"data_dir": tmp_path / "data"})


def test_weights_folder_takes_effect(kit: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.toml").write_text("")
    lab.start("01_toy", **GOOD | {"weights": str(tmp_path)})
    assert home.weights_dir() == tmp_path
    lab.start("01_toy", **GOOD)
    assert home.weights_dir() == kit / "course" / "weights"
    assert home.WEIGHTS_VARIABLE not in os.environ


def test_generators_depend_on_seed_and_name_alone(kit: Path) -> None:
    def draw(seed: int, name: str) -> list[float]:
        run = lab.start("01_toy", **GOOD | {"seed": seed})
        torch.rand(3)  # the global state must not matter
        return torch.rand(4, generator=run.generator(name)).tolist()

    assert draw(0, "cohort") == draw(0, "cohort")
    assert draw(0, "cohort") != draw(1, "cohort")
    assert draw(0, "cohort") != draw(0, "training")


def test_claims_are_judged_on_what_was_recorded(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = lab.start("01_toy", **GOOD)
    capsys.readouterr()
    run.claims()
    assert "**not run**" in capsys.readouterr().out
    names = [f"s{i}" for i in range(8)]
    run.record("toy.ours", torch.arange(8.0) + 1, subjects=names)
    run.record("toy.base", np.arange(8.0), subjects=names)
    run.claims()
    with pytest.raises(InputError, match=r"toy\.missing"):
        run.claims("toy.missing")
    said = capsys.readouterr().out
    assert "toy.ours: 4.50 (mean; SD 2.45" in said
    assert "**shown**" in said and "never clinical performance" in said


def test_claims_fall_back_on_the_longest_recorded_run(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for profile, verdict in (("reproduce", "shown"), ("full", "not shown")):
        write_results(kit, profile, claims={"toy.better": {"verdict": verdict, "evidence": "d"}})
    lab.start("01_toy", **GOOD).claims()
    assert "full run of 2026-01-01: not shown" in capsys.readouterr().out


def test_recorded_tables_are_announced(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = lab.start("01_toy", **GOOD)
    (kit / "course/results/toy.curve.csv").write_text("step,loss\n1,0.5\n2,0.25\n")
    (kit / "course/results/toy.history.json").write_text('{"steps": [1]}')
    assert run.recorded("toy.curve")["loss"].tolist() == [0.5, 0.25]
    assert run.recorded("toy.history") == {"steps": [1]}
    assert capsys.readouterr().out.count("recorded (from a longer run") == 2
    with pytest.raises(InputError, match=r"no such recorded table; there are toy.curve.csv, toy.history.json"):
        run.recorded("toy.none")


def test_home_is_found_from_below_and_missed_clearly(
    kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(home.VARIABLE)
    (kit / "notebooks").mkdir()
    monkeypatch.chdir(kit / "notebooks")
    assert home.find_home() == kit
    monkeypatch.setenv(home.VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match=home.VARIABLE):
        home.find_home()
    monkeypatch.delenv(home.VARIABLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(home, "__file__", str(tmp_path / "home.py"))
    with pytest.raises(InputError, match=r"no folder with course/claims\.toml"):
        home.find_home()


def test_a_damaged_recorded_file_is_named(kit: Path) -> None:
    (kit / "course/results/classroom.json").write_text("{")
    with pytest.raises(InputError, match=r"classroom.json: expected the results of a run"):
        lab.start("01_toy", **GOOD)
