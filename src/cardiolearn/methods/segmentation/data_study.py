r"""Many short trainings of one network on varied data: what does it need to learn from?

Everything but the data is held: the network, the number of steps, the batches' size, and the unseen hearts it is tested
on. Short trainings do not reach what a long one does; their differences are what counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from cardiolearn.imaging.structures import VENTRICLES
from cardiolearn.learning.training import TrainingPlan, train
from cardiolearn.measures.metrics import dice
from cardiolearn.methods.segmentation.fcn import FCN
from cardiolearn.methods.segmentation.training_slices import TrainingSlices, found_labels
from cardiolearn.phantom.body.subject import sample_cohort
from cardiolearn.phantom.cohorts.observers import ANNOTATORS, Observer
from cardiolearn.phantom.cohorts.rendering import render_batch
from cardiolearn.phantom.cohorts.slice_maps import SLICES_PER_SUBJECT, SliceMaps, sample_slice_maps, sample_slices
from cardiolearn.phantom.scanners.mri import ANY_VENDOR, TRAINING_VENDORS, UNSEEN_VENDOR, Vendor

SIZE, PIXEL, BATCH = 64, 3.0, 4  # of the short trainings: 4 pictures of 64 x 64 pixels of 3 mm a step
LEARNING_RATE = 2e-3


def short_training_slices(maps: SliceMaps, subjects: int, vendor: Vendor = ANY_VENDOR) -> TrainingSlices:
    r"""Small, upright pictures of all slices of the first `subjects` subjects in `maps`."""
    n = min(len(maps), subjects * SLICES_PER_SUBJECT)
    return TrainingSlices(maps, n, vendor, size=SIZE, pixel=PIXEL, batch=BATCH, upright=True)


def test_pictures(maps: SliceMaps, vendor: Vendor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Every slice of `maps` once, as `vendor` pictures it: images `(N, 1, 64, 64)` and labels `(N, 64, 64)`."""
    generator = torch.Generator().manual_seed(seed)
    options: dict[str, Any] = {"size": SIZE, "pixel": PIXEL, "vendor": vendor, "upright": True}
    parts = [
        render_batch(maps, picks, generator, **options) for picks in torch.arange(len(maps)).split(SLICES_PER_SUBJECT)
    ]
    return torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])


@dataclass(frozen=True)
class DataVariant:
    r"""A choice of data: how many subjects, outlined by whom, pictured by which scanners."""

    subjects: int
    vendor: Vendor = ANY_VENDOR
    annotators: tuple[Observer, ...] = ANNOTATORS

    def training_slices(self, folder: Path, seed: int) -> TrainingSlices:
        r"""The data, sampled once and kept in `folder`."""
        name = "slices" if self.annotators == ANNOTATORS else f"slices-{'-'.join(o.name for o in self.annotators)}"
        sample = partial(sample_slices, annotators=self.annotators)
        return short_training_slices(
            sample_slice_maps(self.subjects, folder / name, seed=seed, sample=sample), self.subjects, self.vendor
        )

    def prepare(self, folder: Path, cohort_seed: int) -> None:
        r"""The data and the tests, so that trainings find them."""
        self.training_slices(folder, cohort_seed)
        all_test_pictures(folder, cohort_seed)

    def learn(
        self, folder: Path, cohort_seed: int, *, steps: int, seed: int, device: torch.device
    ) -> list[dict[str, Any]]:
        r"""The FCN trained on this choice; see `train_and_test`."""
        data, tests = self.training_slices(folder, cohort_seed), all_test_pictures(folder, cohort_seed)
        return list(train_and_test(FCN(seed=seed), data, tests, steps=steps, seed=seed, device=device))


def all_test_pictures(folder: Path, seed: int, subjects: int = 24) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    r"""Unseen hearts with their true labels, pictured at `home` (the first training scanner) and by an `unseen` one."""
    hearts = sample_slice_maps(
        subjects, folder / "examination", cohort="test", seed=seed, sample=partial(sample_slices, annotators=())
    )
    scanners = {"home": TRAINING_VENDORS[0], "unseen": UNSEEN_VENDOR}
    return {name: test_pictures(hearts, vendor, seed) for name, vendor in scanners.items()}


def train_and_test(
    network: nn.Module,
    data: TrainingSlices,
    tests: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
    *,
    steps: int,
    seed: int,
    device: torch.device,
) -> Iterator[dict[str, Any]]:
    r"""Train `network`; one row per test subject, `dice.*` for each of `tests`: a stage of an experiment.

    Dice is the mean of LV, myocardium and RV, each over all slices of the subject.
    """
    plan = TrainingPlan(steps, seed, learning_rate=LEARNING_RATE, schedule="cosine")
    train(network, data, data.loss, plan, device)
    found = {name: found_labels(network, images) for name, (images, _) in tests.items()}
    n_subjects = len(next(iter(found.values()))) // SLICES_PER_SUBJECT
    for i in range(n_subjects):
        here = slice(i * SLICES_PER_SUBJECT, (i + 1) * SLICES_PER_SUBJECT)
        row: dict[str, Any] = {"subject": f"{i:05d}"}
        for name, (_, truth) in tests.items():
            each = [dice(found[name][here] == k, truth[here] == k) for k in VENTRICLES.values()]
            row[f"dice.{name}"] = round(sum(each) / len(each), 5)
        yield row


def unusualness(infos: Iterable[Mapping[str, Any]], n: int = 500) -> pd.Series:
    r"""How far each subject lies from the training cohort (Mahalanobis distance), by subject.

    Compared are the logarithms of the true volumes of both ventricles and of the LV mass with those of `n` subjects of
    the phantom's training cohort. `infos` are those of phantom studies.
    """
    names = ["lv_edv", "lv_esv", "rv_edv", "rv_esv", "lv_mass"]
    usual = np.log([[getattr(s, name) for name in names] for s in sample_cohort(n, cohort="train", seed=0)])
    facts = {i["subject"]: [i[f"{name}_{'g' if name == 'lv_mass' else 'ml'}"] for name in names] for i in infos}
    away = np.log(list(facts.values())) - usual.mean(0)
    inverse = np.linalg.inv(np.cov(usual, rowvar=False))
    distance = np.sqrt(np.einsum("ij,jk,ik->i", away, inverse, away))
    return pd.Series(distance, index=pd.Index(list(facts), name="subject"), name="unusualness")
