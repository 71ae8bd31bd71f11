r"""Plain against constrained: one table, equal beginnings, rows that are those of the networks left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from hearts import here, seeded, shell_hearts

from cardiolearn.errors import InputError
from cardiolearn.figures.widgets import predict
from cardiolearn.imaging.files import read_tensors
from cardiolearn.learning import experiment, training
from cardiolearn.learning.training import TrainingPlan
from cardiolearn.learning.weights import ready
from cardiolearn.methods.shape import pairs, tasks
from cardiolearn.methods.shape.evaluation import as_found, scores, segment_all
from cardiolearn.methods.shape.phantom_hearts import cases, each_once
from cardiolearn.methods.shape.tasks import Task
from cardiolearn.methods.shape.trainings import WEIGHT_DECAY, judge
from cardiolearn.methods.shape.volume_source import FixedVolumes
from cardiolearn.phantom.cohorts import cache as cohort_cache

GRID = (16, 16, 16)
CPU = torch.device("cpu")
SIZES = {"subjects": 2, "held": 1, "tests": 2}


def toy_hearts(n: int, folder: Path, cohort: str, seed: int) -> FixedVolumes:
    labels = shell_hearts(2 * n, GRID).roll(1 if cohort == "test" else 0, 3)
    noise = 0.1 * torch.randn((2 * n, 1, *GRID), generator=seeded(seed))
    return FixedVolumes(labels, torch.tensor([0.0, 1.0, 0.6, 0.3])[labels.long()][:, None] + noise)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Task:
    task = Task("toy", 4, 1, GRID, 2.5, 1, toy_hearts)  # type: ignore[arg-type]
    monkeypatch.setitem(tasks.TASKS, "toy", task)
    for module in (experiment, cohort_cache):
        monkeypatch.setattr(module, "in_processes", here)
    monkeypatch.setattr(training, "trains_in_half", lambda device: False)  # in bfloat16 no training repeats exactly
    return task


@pytest.fixture
def judged(toy: Task, tmp_path: Path) -> dict[str, Any]:
    prior = judge(toy.autoencoder(0).eval(), toy, toy_hearts(2, tmp_path, "train", 0), 0.5)  # type: ignore[arg-type]
    return pairs.keep_judge(tmp_path, toy, prior)


def run(folder: Path, judged: dict[str, Any], **changes: Any) -> pd.DataFrame:
    how = {"steps": 3, "seeds": range(2), "cohort_seed": 0, "device": CPU} | changes
    return pairs.compare(folder, judged, SIZES, {"plain": 0.0, "constrained": 0.5}, **how)


def test_a_row_for_every_variant_training_and_test_subject(tmp_path: Path, judged: dict[str, Any]) -> None:
    table = run(tmp_path, judged)
    assert len(table) == 2 * 2 * 2 and set(table["variant"]) == {"plain", "constrained"}
    assert list(table.columns) == ["variant", "seed", "subject", *pairs.MEASURED]
    assert set(table["subject"]) == {"00000", "00001"} and np.isfinite(table[list(pairs.MEASURED)].to_numpy()).all()
    by_variant = table.groupby("variant")["surface"].apply(list)
    assert by_variant["plain"] != by_variant["constrained"]  # the prior does something
    course = pairs.courses(tmp_path, judged, SIZES, {"plain": 0.0, "constrained": 0.5}, seeds=range(2), steps=3)
    assert len(course) == 2 * 2 * 3 and set(course["step"]) == {1, 2, 3}
    pd.testing.assert_frame_equal(run(tmp_path, judged), table)  # from the file


def test_plain_and_constrained_begin_alike_and_differ_in_the_prior_alone(
    tmp_path: Path, judged: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[tuple[list[torch.Tensor], Any, TrainingPlan]] = []

    def noted(network: torch.nn.Module, data: Any, loss: Any, plan: TrainingPlan, device: Any, **more: Any) -> Any:
        began.append(([p.detach().clone() for p in network.parameters()], data, plan))
        return train(network, data, loss, plan, device, **more)

    train = training.train
    monkeypatch.setattr(pairs, "train", noted)
    run(tmp_path, judged, seeds=range(1))
    (weights, plain, plan), (others, constrained, other_plan) = began
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True)) and plan == other_plan
    assert plan.weight_decay == WEIGHT_DECAY
    assert plain.prior is None and constrained.prior.strength == 0.5
    assert (plain.n, plain.batch, plain.n_classes) == (constrained.n, constrained.batch, constrained.n_classes)
    for one, two in zip(plain(3, seeded(3)), constrained(3, seeded(3)), strict=True):
        assert torch.equal(one, two)


def test_without_strength_the_judge_plays_no_part(tmp_path: Path, judged: dict[str, Any]) -> None:
    how: dict[str, Any] = {"seeds": range(1), "steps": 2, "cohort_seed": 0, "device": CPU}
    plain = pairs.compare(tmp_path / "a", judged, SIZES, {"plain": 0.0}, **how)  # the folder has no judge at all
    again = pairs.compare(tmp_path / "b", judged | {"judge": "none", "variance": 9.0}, SIZES, {"plain": 0.0}, **how)
    pd.testing.assert_frame_equal(plain, again)


def test_the_networks_of_a_seed_are_those_whose_rows_are_in_the_table(
    toy: Task, tmp_path: Path, judged: dict[str, Any]
) -> None:
    table, strengths = run(tmp_path, judged), {"plain": 0.0, "constrained": 0.5}
    networks = pairs.networks(tmp_path, judged, SIZES, strengths, seed=1, steps=3)
    assert not any(network.training for network in networks.values())
    again = pairs.tested({name: ready(network, CPU) for name, network in networks.items()}, toy, 2, tmp_path / "toy", 0)
    for name in strengths:
        rows = table[(table["variant"] == name) & (table["seed"] == 1)].set_index("subject")
        means = again[again["method"] == name].groupby("subject")["hausdorff"].mean()
        np.testing.assert_allclose(rows["hausdorff"], means, atol=1e-5)
    with pytest.raises(InputError, match="no such file"):
        pairs.networks(tmp_path, judged, SIZES, strengths, seed=2, steps=3)


def test_the_judge_is_found_again_by_its_weights(toy: Task, tmp_path: Path, judged: dict[str, Any]) -> None:
    kept, _ = read_tensors(tmp_path / judged["judge"])
    expected = toy.autoencoder(0).encoder.state_dict()
    assert set(kept) == set(expected)
    for name, value in kept.items():
        torch.testing.assert_close(value.float(), expected[name].float(), rtol=1e-3, atol=1e-4)  # 16 bits
    other = judge(toy.autoencoder(1).eval(), toy, toy_hearts(2, tmp_path, "train", 0), 0.5)  # type: ignore[arg-type]
    assert pairs.keep_judge(tmp_path, toy, other)["judge"] != judged["judge"]


def test_what_is_tested_and_shown(toy: Task, tmp_path: Path) -> None:
    network, hearts = toy.segmenter(3).eval(), toy_hearts(2, tmp_path, "test", 5)
    table, rows = pairs.shown({"one": network}, toy, each_once(hearts, 5))  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(table, pairs.tested({"one": network}, toy, 2, tmp_path, 5))
    assert hearts.images is not None
    found = segment_all(network, hearts.images, cases(4), (2.5,) * 3)
    truth = as_found(hearts.labels, cases(4), (2.5,) * 3)
    last = table[(table["subject"] == "00001") & (table["phase"] == "ES")].iloc[0]
    assert last["hausdorff"] == pytest.approx(scores(found["00001", "ES"], truth["00001", "ES"])["hausdorff"])
    worst = table.loc[table["hausdorff"].idxmax()]
    assert next(iter(rows)) == f"worst: {worst['subject']} {worst['phase']}"
    assert [list(line) for line in rows.values()] == [["what goes in", "one", "truth"]] * 3


def test_records_keep_the_pairing(tmp_path: Path, judged: dict[str, Any]) -> None:
    table = run(tmp_path, judged)
    records = pairs.to_record(table, "cmr")
    assert len(records) == 2 * len(pairs.MEASURED)
    of = records["acnn.cmr.hausdorff.constrained"]
    assert of["unit"] == "mm" and of["seeds"] == [0, 1] and of["subjects"] == ["00000", "00001"]
    row = table[(table["variant"] == "constrained") & (table["seed"] == 1) & (table["subject"] == "00000")]
    assert of["values"][1, 0] == row["hausdorff"].item()
    wide = pairs.by_subject(table, "dice")
    expected = table[(table["variant"] == "plain") & (table["subject"] == "00001")]["dice"].mean()
    assert list(wide) == ["plain", "constrained"] and wide.loc["00001", "plain"] == pytest.approx(expected)


def test_the_drawn_gains_are_constrained_minus_plain_and_the_guess_is_beside_them() -> None:
    rows = [
        {"variant": variant, "seed": seed, "subject": subject, "hausdorff": 10.0 * seed + mm, "implausible": share}
        for variant, mm, share in (("plain", 4.0, 0.5), ("constrained", 2.5, 0.0)) for seed in (0, 1)
        for subject in ("a", "b")
    ]  # fmt: skip
    guess = predict("By how much?", low=-5, high=5, unit="mm")
    guess.value = -3.0
    answer = pairs.draw_gains(pd.DataFrame(rows), guess)
    distance, implausible = plt.gcf().axes
    assert "-1.50 mm" in answer and [ax.get_title() for ax in (distance, implausible)] == list(pairs.GAINS.values())
    dots = {ax: [list(line.get_ydata()) for line in ax.lines if line.get_marker() == "o"] for ax in plt.gcf().axes}
    assert dots == {distance: [[-1.5, -1.5]], implausible: [[-0.5, -0.5]]}
    assert any("your guess" in text.get_text() for text in distance.texts)
