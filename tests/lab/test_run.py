r"""What a lesson's experiments go through: tables kept or read, networks trained, rounded and shipped."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hearts import ringed_heart

from cardiolearn import home, lab
from cardiolearn.errors import InputError, Unfinished
from cardiolearn.imaging.study import Study, write_study
from cardiolearn.lab import recorded
from cardiolearn.lab.records import WEIGHTS_MIME
from cardiolearn.learning.clock import UNTIL_VARIABLE
from cardiolearn.learning.device import training_words
from cardiolearn.learning.snapshots import Snapshots
from cardiolearn.learning.weights import shipped_weights
from cardiolearn.methods.segmentation.fcn import FCN
from cardiolearn.methods.segmentation.training_slices import TrainingSlices
from cardiolearn.phantom.cohorts import cache, studies
from cardiolearn.phantom.cohorts.slice_maps import SIZE, SliceMaps
from cardiolearn.phantom.cohorts.studies import Examination

CPU = torch.device("cpu")
GOOD: dict[str, Any] = {"seed": 0, "device": "cpu", "data_dir": None, "weights": "shipped"}


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "course" / "results").mkdir(parents=True)
    (tmp_path / "course" / "claims.toml").write_text("")
    monkeypatch.setenv(home.VARIABLE, str(tmp_path))
    monkeypatch.delenv(home.WEIGHTS_VARIABLE, raising=False)
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    return lambda profile, **other: lab.start("01_toy", **GOOD | {"profile": profile} | other)


def test_a_long_experiment_is_computed_once_and_then_read(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.DataFrame({"subject": ["a", "b"], "dice": [0.9, 0.123456789]})
    with pytest.raises(InputError, match=r"toy\.csv: no such recorded table"):
        start("classroom").experiment("toy", lambda: table)
    computed = start("reproduce").experiment("toy", lambda: table)
    assert computed["dice"].to_list() == [0.9, 0.12346]
    again = start("reproduce").experiment("toy", lambda: pytest.fail("it was finished"))  # as after an interruption
    assert again.equals(computed)
    with pytest.raises(ZeroDivisionError):  # another seed, other numbers
        start("reproduce", seed=1).experiment("toy", lambda: 1 / 0)
    read = start("classroom").experiment("toy", lambda: pytest.fail("classroom computes nothing long"))
    assert read.equals(computed)
    monkeypatch.setattr(recorded, "code_version", lambda: "other")
    other = pd.DataFrame({"subject": ["a"], "dice": [0.5]})
    assert len(start("reproduce").experiment("toy", lambda: other)) == 1  # other code computes anew


def test_an_experiment_of_the_classroom_is_read_only_beside_real_scans(start: Any, tmp_path: Path) -> None:
    long, short = (pd.DataFrame({"subject": ["a"], "dB": [value]}) for value in (24.0, 22.0))
    start("reproduce").experiment("short", lambda: long, in_classroom=True)
    run = start("classroom")
    assert run.experiment("short", lambda: short, in_classroom=True) is short
    beside = replace(run, data_dir=tmp_path)
    read = beside.experiment("short", lambda: pytest.fail("thin slices of patients do not exist"), in_classroom=True)
    assert read["dB"].to_list() == [24.0]  # what classroom computed has not replaced it


def test_record_table_averages_by_subject_and_passes_over_what_is_not_there(start: Any) -> None:
    run = start("classroom")
    table = pd.DataFrame({"subject": ["a", "b", "a"], "dice": [0.9, 0.8, 0.7], "mcd": [1.0, np.nan, 2.0]})
    run.record_table("toy", table, {"dice": "1", "mcd": "mm", "other": "1"})
    assert list(run.records) == ["toy.dice", "toy.mcd"]
    dice, distance = run.records["toy.dice"], run.records["toy.mcd"]
    assert np.asarray(dice.values) == pytest.approx([0.8, 0.8]) and list(dice.subjects) == ["a", "b"]
    assert np.asarray(distance.values) == pytest.approx([1.5]) and distance.unit == "mm"
    assert not dice.recorded
    run.record_table("empty", table[:0], {"dice": "1"})
    assert "empty.dice" not in run.records


def test_record_all_keeps_what_is_said_of_each(start: Any) -> None:
    run = start("classroom")
    paired = {"values": [[1.0, 2.0], [3.0, 4.0]], "unit": "mm", "subjects": ["a", "b"], "seeds": [0, 1]}
    run.record_all({"toy.one": {"values": [0.5]}, "toy.paired": paired}, recorded=True)
    one, two = run.records["toy.one"], run.records["toy.paired"]
    assert (one.unit, two.unit, two.seeds, two.subjects) == ("1", "mm", (0, 1), ("a", "b"))
    assert np.asarray(two.values).tolist() == paired["values"] and one.recorded and two.recorded
    run.record_all({"toy.here": {"values": [0.5]}})
    assert not run.records["toy.here"].recorded


def test_recorded_numbers_are_the_phantoms_even_beside_real_scans(start: Any, tmp_path: Path) -> None:
    write_study(tmp_path / "patient", {"sa_ED": ringed_heart()[0]}, {}, {})
    run = start("classroom", data_dir=tmp_path / "patient")
    run.record("toy.here", [1.0, 2.0])
    run.record("toy.there", [1.0, 2.0], recorded=True)
    assert (run.records["toy.here"].data, run.records["toy.there"].data) == ("real", "phantom")


def slices() -> TrainingSlices:
    g = torch.Generator().manual_seed(0)
    tissue = torch.randint(0, 5, (9, 3, SIZE, SIZE), generator=g).to(torch.uint8)
    return TrainingSlices(SliceMaps(tissue, (tissue[:, 0] % 4)), 6, size=32, pixel=4.0, batch=2)


def test_longer_trainings_go_on_where_they_stopped(start: Any, tmp_path: Path) -> None:
    seen: list[int] = []
    for profile, kept in (("classroom", 0), ("reproduce", 1)):
        run, network = start(profile), FCN(4)
        history = run.train(network, slices(), "toy", 3, lambda step, loss: seen.append(step))
        assert history.steps == [1, 2, 3] and not network.training
        assert len(list(run.folder.glob("toy-6-3-0.safetensors"))) == kept
    again = FCN(4)
    start("reproduce").train(again, slices(), "toy", 3, lambda step, loss: pytest.fail("it was finished"))
    assert seen == [1, 2, 3] * 2
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


def test_weight_decay_keeps_weights_small(start: Any) -> None:
    sizes = []
    for decay in (0.0, 50.0):
        network = FCN(4)
        start("classroom").train(network, slices(), "toy", 4, weight_decay=decay)
        sizes.append(sum(p.square().sum().item() for p in network.parameters()))
    assert sizes[1] < sizes[0]


def test_a_longer_training_pauses_when_its_time_is_up_and_keeps_what_it_saw(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, words = slices(), training_words(CPU)
    monkeypatch.setenv(UNTIL_VARIABLE, "0")
    seen: list[int] = []
    for done in (1, 2):
        with pytest.raises(Unfinished, match=rf"^toy-6-3-0: {done} of 3 training steps are done"):
            start("reproduce").train(FCN(4), data, "toy", 3, lambda step, loss: seen.append(step), example=data.example)
    assert not (tmp_path / "course" / "results" / "toy_snapshots.npz").exists()
    run, network = start("reproduce"), FCN(4)
    history = run.train(network, data, "toy", 3, lambda step, loss: seen.append(step), example=data.example)
    assert seen == history.steps == [1, 2, 3] and history.averaged is not None
    assert f"s on {words}, commit" in capsys.readouterr().out and run.stages["toy"]["device"] == words
    found = Snapshots.read(tmp_path / "course" / "results" / "toy_snapshots.npz")
    assert list(found.labels) == [0, 3]
    assert np.array_equal(found.labels[3], network(data.example[0][None]).argmax(1)[0])
    start("classroom").train(FCN(4), data, "toy", 2, example=data.example)  # is short, and has no time to be up
    assert f"s on {words}" in capsys.readouterr().out


def test_what_is_tested_is_what_the_file_will_hold(start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, network = start("reproduce"), FCN(4, seed=3)
    ready = run.trained(network, "toy")
    run.ship(network, "toy", {"dice": 0.5})
    shown = start("classroom")
    loaded, said = FCN(4), []
    monkeypatch.setattr("cardiolearn.lab.run.show", lambda text, bundle=None: said.append(bundle))
    same = shown.trained(loaded, "toy")
    picture = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    assert all(torch.equal(held, same.state_dict()[key]) for key, held in ready.state_dict().items())
    assert torch.allclose(ready(picture), same(picture), rtol=1e-4)  # where memory lies may change a last digit
    assert torch.allclose(ready(picture), network(picture), atol=1e-3)
    origin = shipped_weights()["toy"]
    folder = str(tmp_path / "course" / "weights")
    assert said == [{WEIGHTS_MIME: {"name": "toy", "sha256": origin.sha256, "folder": folder}}]
    assert (origin.notebook, origin.profile, origin.metrics) == ("01_toy", "reproduce", {"dice": 0.5})
    assert (origin.commit, len(origin.phantom), origin.device) == ("unknown", 8, training_words(CPU))
    run.stages["toy"] = {"commits": ["older", "newer"], "phantom": "c0ffee12", "device": "cuda"}
    run.ship(network, "toy", {"dice": 0.5})  # its training was finished before, by other code
    origin = shipped_weights()["toy"]
    assert (origin.commit, origin.phantom, origin.device) == ("older, newer", "c0ffee12", "cuda")
    run.stages["pairs"] = {"commits": ["another"], "phantom": "0ddba115", "device": "cpu"}
    run.ship(network, "toy", {"dice": 0.5}, "pairs")  # an experiment has made it
    assert (shipped_weights()["toy"].commit, shipped_weights()["toy"].phantom) == ("another", "0ddba115")


def test_studies_are_the_cohort_or_those_of_the_folder(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def write(folder: Path, n: int, examination: Examination, **given: Any) -> list[Study]:
        asked.append((folder.name, examination, given))
        return []

    monkeypatch.setattr(studies, "write_studies", write)
    run = start("classroom")
    run.studies(3)
    run.studies(3, visit=1)
    run.studies(1, frames=5, views=("sa", "la_4ch"))
    assert len({name for name, *_ in asked}) == 3  # none overwrites another
    assert asked[1][1].visit == 1
    assert asked[2][1:] == (Examination(frames=5, views=("sa", "la_4ch")), {"seed": 0})
    with pytest.raises(InputError, match="expected a folder of studies"):
        replace(run, data_dir=tmp_path / "nothing").studies(3)
    with pytest.raises(FrozenInstanceError):  # a lesson stays what it was started as
        run.seed = 1


def test_a_copy_of_the_run_records_nothing(start: Any) -> None:
    r"""Its parameters are not those that the harness compared with what was asked."""
    run = start("classroom")
    with pytest.raises(InputError, match=r"record toy\.x: expected the run that lab\.start gave, got a copy of it"):
        replace(run, seed=5).record("toy.x", 1.0)
    assert run.records == {}


def test_the_real_patient_is_the_kits_own_or_the_first_of_real_scans(start: Any, tmp_path: Path) -> None:
    image, labels = ringed_heart()
    for folder, facts in (("course/real_patient", {}), ("own", {}), ("made", {"phantom": True})):
        (tmp_path / folder).mkdir()
        write_study(tmp_path / folder / "one", {"sa_ED": image}, {"sa_ED": labels}, facts)

    def found(**parameters: Any) -> Path:
        return start("classroom", **parameters).real_patient().folder

    assert found() == tmp_path / "course" / "real_patient" / "one"
    assert found(data_dir=tmp_path / "own") == tmp_path / "own" / "one"
    assert found(data_dir=tmp_path / "made") == tmp_path / "course" / "real_patient" / "one"
