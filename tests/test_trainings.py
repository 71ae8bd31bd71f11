r"""Short trainings: batches from the right slices, Dice by subject, a stage that repeats itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from cardiolearn import trainings
from cardiolearn.experiment import run_variants
from cardiolearn.metrics import dice
from cardiolearn.networks.fcn import FCN
from cardiolearn.phantom import drawn, observers
from cardiolearn.phantom.batches import SIZE, SLICES_PER_SUBJECT, SliceMaps
from cardiolearn.phantom.mri import TRAINING_VENDORS, UNSEEN_VENDOR
from cardiolearn.phantom.tissue import Tissue
from cardiolearn.tensors import write_tensors


def discs(n_subjects: int) -> SliceMaps:
    r"""Slices of a bright cavity in a wall beside a right ventricle; the first subject's are empty."""
    n = n_subjects * SLICES_PER_SUBJECT
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    away = ((y - SIZE / 2) ** 2 + (x - SIZE / 2) ** 2).float().sqrt()
    label = torch.where(away < 15, 1, torch.where(away < 22, 2, torch.where((away < 34) & (x < SIZE / 2), 3, 0)))
    tissue = torch.tensor([Tissue.LUNG, Tissue.LV_BLOOD, Tissue.MYOCARDIUM, Tissue.RV_BLOOD])[label]
    labels = label.to(torch.uint8).repeat(n, 1, 1)
    labels[:SLICES_PER_SUBJECT] = 0
    return SliceMaps(tissue.to(torch.uint8)[None].repeat(n, 3, 1, 1), labels)


class Brightness(nn.Module):
    r"""Calls bright pixels LV cavity."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(20.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((torch.full_like(x, 0.5), x, torch.zeros_like(x), torch.zeros_like(x)), 1) * self.scale


def test_lessons_take_their_first_slices_only() -> None:
    maps = discs(2)
    empty = trainings.Lessons(maps, SLICES_PER_SUBJECT, size=48, pixel=3.0, batch=5)
    images, labels = empty(0, torch.Generator().manual_seed(1))
    assert images.shape == (5, 1, 48, 48) and labels.shape == (5, 48, 48)
    assert not labels.any()
    assert empty._held_out[1].any()  # the second subject
    images, labels = empty._held_out
    assert len(images) == SLICES_PER_SUBJECT
    found = Brightness()(images).argmax(1)
    assert empty.held_out_score(Brightness()) == pytest.approx(
        sum(dice(found == k, labels == k) for k in (1, 2, 3)) / 3
    )


def test_short_lessons_are_upright_and_hold_as_many_subjects_as_asked() -> None:
    lessons = trainings.short_lessons(discs(3), 2, TRAINING_VENDORS[0])
    assert lessons.n == 2 * SLICES_PER_SUBJECT and lessons.upright
    assert trainings.short_lessons(discs(1), 5).n == SLICES_PER_SUBJECT
    _, labels = trainings.Lessons(discs(2), 14, batch=64, upright=True)(0, torch.Generator().manual_seed(0))
    seen = labels.flatten(1).amax(1) > 0
    x = torch.arange(labels.shape[-1]).float()
    centre = {k: (((labels == k) * x).flatten(1).sum(1) / (labels == k).flatten(1).sum(1))[seen] for k in (1, 3)}
    assert (centre[3] < centre[1]).all()  # the right ventricle stays on its side


def test_an_examination_shows_every_slice_once_by_its_scanner() -> None:
    images, labels = trainings.examination(discs(2), UNSEEN_VENDOR, seed=4)
    again, _ = trainings.examination(discs(2), UNSEEN_VENDOR, seed=4)
    other, same_labels = trainings.examination(discs(2), TRAINING_VENDORS[0], seed=4)
    assert len(images) == len(labels) == 2 * SLICES_PER_SUBJECT
    assert torch.equal(images, again) and not torch.equal(images, other)
    assert (labels[:SLICES_PER_SUBJECT] == 0).all() and labels[SLICES_PER_SUBJECT:].any()
    assert same_labels.shape == labels.shape


def test_a_stage_scores_each_subject() -> None:
    tests = {"unseen": trainings.examination(discs(2), UNSEEN_VENDOR, seed=4)}
    network, cpu = Brightness(), torch.device("cpu")
    lessons = trainings.short_lessons(discs(2), 2)
    rows = list(trainings.train_and_examine(network, lessons, tests, steps=1, seed=0, device=cpu))
    assert [row["subject"] for row in rows] == ["00000", "00001"]
    images, truth = tests["unseen"]
    found = network(images).argmax(1)[SLICES_PER_SUBJECT:]
    expected = sum(dice(found == k, truth[SLICES_PER_SUBJECT:] == k) for k in (1, 2, 3)) / 3
    assert rows[1]["dice.unseen"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_two_trainings_at_a_time_learn_what_one_after_the_other_does(tmp_path: Path) -> None:
    for name, hearts in (("slices/train-0-00000-00002", discs(2)), ("examination/test-0-00000-00024", discs(24))):
        file = tmp_path / f"{name}.safetensors"
        file.parent.mkdir()
        write_tensors(file, {"tissue": hearts.tissue, "label": hearts.label}, {})
    variants = {"many": trainings.Variant(2), "one": trainings.Variant(2, TRAINING_VENDORS[0])}
    cpu = torch.device("cpu")
    table = run_variants(
        tmp_path / "t.csv", variants, folder=tmp_path, seeds=[0, 1], steps=2, cohort_seed=0, device=cpu
    )
    assert list(zip(table["variant"], table["seed"], strict=True))[::24] == [(v, s) for s in (0, 1) for v in variants]
    lessons, tests = variants["one"].lessons(tmp_path, 0), trainings.examinations(tmp_path, 0)
    rows = trainings.train_and_examine(FCN(seed=1), lessons, tests, steps=2, seed=1, device=cpu)
    alone = [row["dice.unseen"] for row in rows]
    together = table[(table["variant"] == "one") & (table["seed"] == 1)]["dice.unseen"]
    assert together.tolist() == pytest.approx(alone, abs=0.02) and len(set(alone)) > 1


@pytest.mark.slow
def test_variants_draw_the_same_hearts_by_other_hands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_many, by_one = (
        trainings.Variant(1, annotators=people).lessons(tmp_path, seed=0)
        for people in (observers.ANNOTATORS, observers.THICK_WALLED[2:3])
    )
    assert torch.equal(by_many.maps.tissue, by_one.maps.tissue)
    cavity = [int((lessons.maps.label == 1).sum()) for lessons in (by_many, by_one)]
    assert cavity[1] < 0.9 * cavity[0]  # a thick wall leaves less cavity
    monkeypatch.setattr(drawn, "_draw_file", None)  # drawing again would fail
    assert len(trainings.Variant(1).lessons(tmp_path, seed=0).maps) == SLICES_PER_SUBJECT
