r"""Short trainings on varied data: the right slices, Dice by subject, a stage that repeats itself, unusual subjects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hearts import disc_maps
from scipy.spatial.distance import mahalanobis
from sklearn.metrics import f1_score
from torch import nn

from cardiolearn.imaging.files import write_tensors
from cardiolearn.learning.experiment import run_variants
from cardiolearn.methods.segmentation import data_study
from cardiolearn.methods.segmentation.data_study import DataVariant, unusualness
from cardiolearn.methods.segmentation.fcn import FCN
from cardiolearn.phantom.body.subject import sample_cohort, sample_subject
from cardiolearn.phantom.cohorts import cache, observers
from cardiolearn.phantom.cohorts.slice_maps import SLICES_PER_SUBJECT, SliceMaps
from cardiolearn.phantom.scanners.mri import TRAINING_VENDORS, UNSEEN_VENDOR

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


def test_short_trainings_are_upright_and_hold_as_many_subjects_as_asked() -> None:
    data = data_study.short_training_slices(discs(3), 2, TRAINING_VENDORS[0])
    assert data.n == 2 * SLICES_PER_SUBJECT and data.upright and data.vendor is TRAINING_VENDORS[0]
    assert data_study.short_training_slices(discs(1), 5).n == SLICES_PER_SUBJECT
    images, labels = data(0, torch.Generator().manual_seed(0))
    assert images.shape == (4, 1, 64, 64) and labels.shape == (4, 64, 64)


def test_test_pictures_show_every_slice_once_by_its_scanner() -> None:
    images, labels = data_study.test_pictures(discs(2), UNSEEN_VENDOR, seed=4)
    again, _ = data_study.test_pictures(discs(2), UNSEEN_VENDOR, seed=4)
    other, same_labels = data_study.test_pictures(discs(2), TRAINING_VENDORS[0], seed=4)
    assert len(images) == len(labels) == 2 * SLICES_PER_SUBJECT
    assert torch.equal(images, again) and not torch.equal(images, other)
    assert (labels[:SLICES_PER_SUBJECT] == 0).all() and labels[SLICES_PER_SUBJECT:].any()
    assert same_labels.shape == labels.shape


def test_a_stage_scores_each_subject_with_scikit_learns_macro_f1() -> None:
    tests = {"unseen": data_study.test_pictures(discs(2), UNSEEN_VENDOR, seed=4)}
    tests["home"] = data_study.test_pictures(discs(2), TRAINING_VENDORS[0], seed=4)
    network = Brightness()
    data = data_study.short_training_slices(discs(2), 2)
    rows = list(data_study.train_and_test(network, data, tests, steps=1, seed=0, device=CPU))
    assert [row["subject"] for row in rows] == ["00000", "00001"]
    for name, (images, truth) in tests.items():
        here = slice(SLICES_PER_SUBJECT, None)
        found, wanted = network(images[here]).argmax(1).flatten(), truth[here].flatten()
        expected = f1_score(wanted, found, labels=[1, 2, 3], average="macro", zero_division=1.0)
        assert rows[1][f"dice.{name}"] == pytest.approx(expected, abs=1e-4)


@pytest.fixture
def one_thread() -> Iterator[None]:
    r"""As in the processes of `run_variants`: sums in another order differ, in bfloat16 visibly."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_two_trainings_at_a_time_learn_what_one_after_the_other_does(tmp_path: Path, one_thread: None) -> None:
    for name, hearts in (("slices/train-0-00000-00002", discs(2)), ("examination/test-0-00000-00024", discs(24))):
        file = tmp_path / f"{name}.safetensors"
        file.parent.mkdir()
        write_tensors(file, {"tissue": hearts.tissue, "label": hearts.label}, {})
    variants = {"many": DataVariant(2), "one": DataVariant(2, TRAINING_VENDORS[0])}
    table = run_variants(
        tmp_path / "t.csv", variants, folder=tmp_path, seeds=[0, 1], steps=2, cohort_seed=0, device=CPU
    )
    assert list(zip(table["variant"], table["seed"], strict=True))[::24] == [(v, s) for s in (0, 1) for v in variants]
    data, tests = variants["one"].training_slices(tmp_path, 0), data_study.all_test_pictures(tmp_path, 0)
    assert list(tests) == ["home", "unseen"]
    rows = data_study.train_and_test(FCN(seed=1), data, tests, steps=2, seed=1, device=CPU)
    alone = [row["dice.unseen"] for row in rows]
    together = table[(table["variant"] == "one") & (table["seed"] == 1)]["dice.unseen"]
    assert together.tolist() == pytest.approx(alone, abs=1e-3) and len(set(alone)) > 1


@pytest.mark.slow
def test_variants_sample_the_same_hearts_outlined_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_many, by_one = (
        DataVariant(1, annotators=people).training_slices(tmp_path, seed=0)
        for people in (observers.ANNOTATORS, observers.THICK_WALLED[2:3])
    )
    assert torch.equal(by_many.maps.tissue, by_one.maps.tissue)
    cavity = [int((data.maps.label == 1).sum()) for data in (by_many, by_one)]
    assert cavity[1] < 0.9 * cavity[0]  # a thick wall leaves less cavity
    monkeypatch.setattr(cache, "_make_file", None)  # sampling again would fail
    assert len(DataVariant(1).training_slices(tmp_path, seed=0).maps) == SLICES_PER_SUBJECT


def test_unusualness_is_scipys_mahalanobis_distance() -> None:
    names = ["lv_edv", "lv_esv", "rv_edv", "rv_esv", "lv_mass"]
    subjects = [sample_subject(i, cohort="test", seed=0) for i in range(4)]
    infos = [
        {"subject": s.identity, "lv_mass_g": s.lv_mass, **{f"{n}_ml": getattr(s, n) for n in names[:4]}}
        for s in subjects
    ]
    usual = np.log([[getattr(s, n) for n in names] for s in sample_cohort(500, cohort="train", seed=0)])
    inverse = np.linalg.inv(np.cov(usual.T))
    expected = [mahalanobis(np.log([getattr(s, n) for n in names]), usual.mean(0), inverse) for s in subjects]
    assert unusualness(infos).to_numpy() == pytest.approx(expected)
    assert list(unusualness(infos).index) == [s.identity for s in subjects]
