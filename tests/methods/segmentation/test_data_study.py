r"""Short trainings on varied data: the right slices, Dice by subject, a stage that repeats itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hearts import disc_maps, here
from sklearn.metrics import f1_score
from torch import nn

from cardiolearn.errors import InputError
from cardiolearn.imaging.files import write_tensors
from cardiolearn.learning.experiment import run_variants
from cardiolearn.methods.segmentation import data_study
from cardiolearn.methods.segmentation.data_study import DataVariant
from cardiolearn.methods.segmentation.fcn import FCN
from cardiolearn.phantom.body.disease import Cohort
from cardiolearn.phantom.cohorts import cache, observers
from cardiolearn.phantom.cohorts.slice_maps import (
    SIZE,
    SLICES_PER_SUBJECT,
    SliceMaps,
    sample_slice_maps,
    sample_slices,
)
from cardiolearn.phantom.scanners.mri import ANY_VENDOR, TRAINING_VENDORS, UNSEEN_VENDOR

CPU = torch.device("cpu")


def discs(n_subjects: int) -> SliceMaps:
    r"""All slices of `n_subjects`; the first one's have no labels."""
    maps = disc_maps(n_subjects * SLICES_PER_SUBJECT, 104)
    maps.label[:SLICES_PER_SUBJECT] = 0
    return maps


class Brightness(nn.Module):
    r"""Calls bright pixels LV cavity."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(20.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((torch.full_like(x, 0.5), x, torch.zeros_like(x), torch.zeros_like(x)), 1) * self.scale


def test_short_trainings_are_upright_and_hold_all_slices() -> None:
    data = data_study.short_training_slices(discs(2), TRAINING_VENDORS[0])
    assert data.n == 2 * SLICES_PER_SUBJECT and data.upright and data.vendor is TRAINING_VENDORS[0]
    images, labels = data(0, torch.Generator().manual_seed(0))
    assert images.shape == (8, 1, 64, 64) and labels.shape == (8, 64, 64)


def test_pictures_show_every_slice_once_by_its_scanner() -> None:
    images, labels = data_study.pictures_of(discs(2), UNSEEN_VENDOR, seed=4)
    again, _ = data_study.pictures_of(discs(2), UNSEEN_VENDOR, seed=4)
    other, same_labels = data_study.pictures_of(discs(2), TRAINING_VENDORS[0], seed=4)
    assert len(images) == len(labels) == 2 * SLICES_PER_SUBJECT
    assert torch.equal(images, again) and not torch.equal(images, other)
    assert (labels[:SLICES_PER_SUBJECT] == 0).all() and labels[SLICES_PER_SUBJECT:].any()
    assert same_labels.shape == labels.shape


def test_fixed_pictures_come_again_and_again_each_with_its_labels() -> None:
    images, labels = torch.rand(5, 1, 6, 7), torch.arange(5)[:, None, None].expand(5, 6, 7)
    data = data_study.FixedPictures((images, labels))
    generator = torch.Generator().manual_seed(0)
    seen = [data(step, generator) for step in range(20)]
    for batch, drawn in seen:
        assert torch.equal(batch, images[drawn[:, 0, 0]])
    shown = torch.cat([drawn[:, 0, 0] for _, drawn in seen]).bincount(minlength=5)
    assert shown.sum() == 160 and (shown - 32).abs().max() < 20  # all of them, about as often


def test_a_stage_scores_each_subject_with_scikit_learns_macro_f1() -> None:
    tests = {"unseen": data_study.pictures_of(discs(3), UNSEEN_VENDOR, seed=4)}
    tests["home"] = data_study.pictures_of(discs(3), TRAINING_VENDORS[0], seed=4)
    network, learnt = Brightness(), data_study.pictures_of(discs(2), ANY_VENDOR, seed=1)
    rows = list(
        data_study.train_and_test(network, data_study.FixedPictures(learnt), learnt, tests, steps=1, seed=0, device=CPU)
    )
    assert [row["subject"] for row in rows] == ["00000", "00001", "00002"]

    def macro_f1(images: torch.Tensor, truth: torch.Tensor) -> float:
        found = network(images).argmax(1).flatten()
        return float(f1_score(truth.flatten(), found, labels=[1, 2, 3], average="macro", zero_division=1.0))

    for name, (images, truth) in tests.items():
        here = slice(SLICES_PER_SUBJECT, 2 * SLICES_PER_SUBJECT)
        assert rows[1][f"dice.{name}"] == pytest.approx(macro_f1(images[here], truth[here]), abs=1e-4)
        bright = network(images[here]).argmax(1) == 1
        share = bright.sum().item() / (truth[here] == 1).sum().item()
        assert rows[1][f"cavity.{name}"] == pytest.approx(100 * (share - 1), abs=1e-4)
        assert np.isnan(rows[0][f"cavity.{name}"])  # there is no cavity to compare with
    each = [macro_f1(*(part[i : i + SLICES_PER_SUBJECT] for part in learnt)) for i in (0, SLICES_PER_SUBJECT)]
    assert [row["dice.train"] for row in rows] == pytest.approx([np.mean(each)] * 3, abs=1e-4)


@pytest.fixture
def numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    r"""Sampling a block writes maps whose tissue is the subject's number modulo 251; returns who was sampled."""
    asked: list[int] = []

    def sample(index: int, cohort: str = "train", seed: int = 0, annotators: object = ()) -> SliceMaps:
        asked.append(index)
        one = torch.full((SLICES_PER_SUBJECT, 3, 4, 4), index % 251, dtype=torch.uint8)
        return SliceMaps(one, torch.zeros(SLICES_PER_SUBJECT, 4, 4, dtype=torch.uint8))

    monkeypatch.setattr(cache, "in_processes", here)
    monkeypatch.setattr(data_study, "sample_slices", sample)
    return asked


def subjects_in(maps: SliceMaps) -> list[int]:
    return maps.tissue[::SLICES_PER_SUBJECT, 0, 0, 0].tolist()


def test_each_seed_learns_from_its_own_256_subjects(tmp_path: Path, numbered: list[int]) -> None:
    for seed, first in ((0, 0), (1, 256), (2, 512)):
        for n in (1, 16, 64):
            maps = DataVariant(n).maps(tmp_path, 5, seed)
            assert subjects_in(maps) == [i % 251 for i in range(first, first + n)]
            assert len(maps) == n * SLICES_PER_SUBJECT == len(maps.label)
    assert len(numbered) == len(set(numbered))  # nobody twice
    assert len(numbered) < 0.5 * 3 * 256  # and nobody whom no training asked for, but for the rest of a file
    with pytest.raises(InputError, match="at most 256 subjects, got 300"):
        DataVariant(300).maps(tmp_path, 5, 0)


def test_the_lessons_own_files_are_read(tmp_path: Path, numbered: list[int]) -> None:
    sample_slice_maps(300, tmp_path / "slices", seed=5, sample=data_study.sample_slices)
    numbered.clear()
    assert subjects_in(DataVariant(30).maps(tmp_path, 5, 1)) == [*range(5, 35)]  # 256 to 285, modulo 251
    assert numbered == []


def test_what_is_prepared_is_all_that_trainings_need(
    tmp_path: Path, numbered: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tested: list[int] = []
    monkeypatch.setattr(data_study, "all_test_pictures", lambda folder, seed: tested.append(seed))
    variants = [DataVariant(30), DataVariant(2, annotators=observers.THICK_WALLED[2:3])]
    for variant in variants:
        variant.prepare(tmp_path, 7, [0, 1])
    assert tested == [7, 7]
    assert {path.parent.name for path in tmp_path.rglob("*.safetensors")} == {"slices", "slices-O3t"}
    numbered.clear()
    for variant in variants:
        for seed in (0, 1):
            variant.maps(tmp_path, 7, seed)
    assert numbered == []


@pytest.fixture
def one_thread() -> Iterator[None]:
    r"""As in the processes of `run_variants`: sums in another order differ, in bfloat16 visibly."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_two_trainings_at_a_time_learn_what_one_after_the_other_does(tmp_path: Path, one_thread: None) -> None:
    files = {"slices/train-0-00000-00025": 25, "slices/train-0-00250-00275": 25, "slices/train-1-00000-00024": 24}
    for name, n in (files | {"examination/test-0-00000-00024": 24}).items():
        file, hearts = tmp_path / f"{name}.safetensors", discs(n)
        file.parent.mkdir(exist_ok=True)
        hearts.label[:] = hearts.label[-1]
        write_tensors(file, {"tissue": hearts.tissue, "label": hearts.label}, {})
    variants = {"fixed": DataVariant(2, fixed=True), "one": DataVariant(2, TRAINING_VENDORS[0])}
    table = run_variants(
        tmp_path / "t.csv", variants, folder=tmp_path, seeds=[0, 1], steps=2, cohort_seed=0, device=CPU
    )
    assert list(zip(table["variant"], table["seed"], strict=True))[::24] == [(v, s) for s in (0, 1) for v in variants]
    tests = data_study.all_test_pictures(tmp_path, 0)
    assert list(tests) == ["alike", "home", "unseen"]
    for name, variant in variants.items():
        maps = variant.maps(tmp_path, 0, 1)
        learnt = data_study.pictures_of(maps, variant.vendor, 1)
        endless = data_study.short_training_slices(maps, variant.vendor)
        data = data_study.FixedPictures(learnt) if variant.fixed else endless
        rows = list(data_study.train_and_test(FCN(seed=1), data, learnt, tests, steps=2, seed=1, device=CPU))
        together = table[(table["variant"] == name) & (table["seed"] == 1)]
        for column in ("dice.train", "dice.unseen"):
            alone = [row[column] for row in rows]
            assert together[column].tolist() == pytest.approx(alone, abs=1e-3)
        assert together["dice.unseen"].nunique() > 1


@pytest.mark.slow
def test_variants_sample_the_same_hearts_outlined_by_others(tmp_path: Path) -> None:
    by_many, by_one = (
        data_study.some_slice_maps(0, 1, tmp_path / name, 0, partial(of_the_first, annotators=people))
        for name, people in (("many", observers.ANNOTATORS), ("one", observers.THICK_WALLED[2:3]))
    )
    assert torch.equal(by_many.tissue, by_one.tissue)
    cavity = [int((maps.label == 1).sum()) for maps in (by_many, by_one)]
    assert cavity[1] < 0.9 * cavity[0]  # a thick wall leaves less cavity


def of_the_first(index: int, cohort: Cohort, seed: int, annotators: Sequence[observers.Observer]) -> SliceMaps:
    r"""The first subject's slices; the 24 others of a file have empty ones, which cost nothing."""
    if index == 0:
        return sample_slices(index, cohort, seed, annotators)
    nothing = torch.zeros(SLICES_PER_SUBJECT, 3, SIZE, SIZE, dtype=torch.uint8)
    return SliceMaps(nothing, nothing[:, 0])
