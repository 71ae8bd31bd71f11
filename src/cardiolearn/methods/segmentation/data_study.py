r"""Many short trainings of one network on varied data: what does it need to learn from?

Everything but the data is held: the network, the number of steps, the batches' size, and the unseen hearts it is tested
on. Short trainings do not reach what a long one does; their differences are what counts.

Each seed learns from other subjects, so trainings of one variant differ by the subjects they were given, as studies do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cardiolearn.errors import InputError
from cardiolearn.imaging.structures import LV_CAVITY, VENTRICLES
from cardiolearn.learning.training import TrainingPlan, train
from cardiolearn.measures.metrics import dice
from cardiolearn.methods.segmentation.fcn import FCN
from cardiolearn.methods.segmentation.training_slices import TrainingSlices, found_labels
from cardiolearn.phantom.cohorts.cache import kept
from cardiolearn.phantom.cohorts.observers import ANNOTATORS, Observer
from cardiolearn.phantom.cohorts.rendering import render_batch
from cardiolearn.phantom.cohorts.slice_maps import (
    SLICES_PER_SUBJECT,
    Sampler,
    SliceMaps,
    _sample_block,
    sample_slice_maps,
    sample_slices,
)
from cardiolearn.phantom.scanners.mri import ANY_VENDOR, TRAINING_VENDORS, UNSEEN_VENDOR, Vendor

SIZE, PIXEL, BATCH = 64, 3.0, 8  # of the short trainings: 8 pictures of 64 x 64 pixels of 3 mm a step
LEARNING_RATE = 2e-3
MOST = 256  # subjects a training learns from: as many are kept for each seed
TESTED = 24  # subjects in each of the tests

Pictures = tuple[torch.Tensor, torch.Tensor]  # images (N, 1, 64, 64) and labels (N, 64, 64)


def short_training_slices(maps: SliceMaps, vendor: Vendor = ANY_VENDOR) -> TrainingSlices:
    r"""Small, upright pictures of all slices of `maps`, every time others."""
    return TrainingSlices(maps, len(maps), vendor, size=SIZE, pixel=PIXEL, batch=BATCH, upright=True)


def pictures_of(maps: SliceMaps, vendor: Vendor, seed: int) -> Pictures:
    r"""Every slice of `maps` once, as `vendor` pictures it: images `(N, 1, 64, 64)` and labels `(N, 64, 64)`."""
    generator = torch.Generator().manual_seed(seed)
    options: dict[str, Any] = {"size": SIZE, "pixel": PIXEL, "vendor": vendor, "upright": True}
    parts = [
        render_batch(maps, picks, generator, **options) for picks in torch.arange(len(maps)).split(SLICES_PER_SUBJECT)
    ]
    return torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])


@dataclass(frozen=True)
class FixedPictures:
    r"""Batches of the same pictures again and again, as of a hospital that scans everybody once: they can be learnt by
    heart."""

    pictures: Pictures = field(repr=False)

    def __call__(self, step: int, generator: torch.Generator) -> Pictures:
        r"""Images `(8, 1, 64, 64)` and labels of pictures picked at random; what `training.train` asks for."""
        images, labels = self.pictures
        picks = torch.randint(0, len(images), (BATCH,), generator=generator, device=generator.device).to(images.device)
        return images[picks], labels[picks]


@dataclass(frozen=True)
class DataVariant:
    r"""A choice of data: how many subjects, outlined by whom, pictured by which scanners, `fixed` once or ever anew."""

    subjects: int
    vendor: Vendor = ANY_VENDOR
    annotators: tuple[Observer, ...] = ANNOTATORS
    fixed: bool = False

    def maps(self, folder: Path, cohort_seed: int, seed: int) -> SliceMaps:
        r"""The slices that training `seed` learns from, sampled once and kept in `folder`.

        They are the first of `MOST` subjects that no other seed has. Those outlined by all annotators are in the files
        that the lesson's own training reads.

        Raises:
            InputError: more than `MOST` subjects.
        """
        if self.subjects > MOST:
            raise InputError(f"data variant: expected at most {MOST} subjects, got {self.subjects}")
        name = "slices" if self.annotators == ANNOTATORS else f"slices-{'-'.join(o.name for o in self.annotators)}"
        sample = partial(sample_slices, annotators=self.annotators)
        return some_slice_maps(MOST * seed, self.subjects, folder / name, cohort_seed, sample)

    def prepare(self, folder: Path, cohort_seed: int, seeds: Sequence[int]) -> None:
        r"""The data and the tests, so that trainings find them."""
        for seed in seeds:
            self.maps(folder, cohort_seed, seed)
        all_test_pictures(folder, cohort_seed)

    def learn(
        self, folder: Path, cohort_seed: int, *, steps: int, seed: int, device: torch.device
    ) -> list[dict[str, Any]]:
        r"""The FCN trained on this choice; see `train_and_test`. `learnt` are its slices, each pictured once: the very
        pictures it learnt from where these are `fixed`."""
        maps, tests = self.maps(folder, cohort_seed, seed), all_test_pictures(folder, cohort_seed)
        learnt = pictures_of(maps, self.vendor, seed)
        there = (learnt[0].to(device), learnt[1].to(device))
        data = FixedPictures(there) if self.fixed else short_training_slices(maps, self.vendor)
        return list(train_and_test(FCN(seed=seed), data, learnt, tests, steps=steps, seed=seed, device=device))


def some_slice_maps(
    first: int, n: int, folder: Path, seed: int, sample: Sampler = sample_slices, *, block: int = 25
) -> SliceMaps:
    r"""The slices of `n` subjects of the training cohort from number `first` on, out of the files that
    `sample_slice_maps` keeps in `folder`, 25 subjects each: the rest of a large cohort is not read. With a smaller
    `block` of subjects to a file two processes share even a few subjects; that needs a folder of its own."""
    starts = range(first - first % block, first + n, block)
    files = {
        folder / f"train-{seed}-{start:05d}-{start + block:05d}.safetensors": partial(
            _sample_block, range(start, start + block), "train", seed, sample
        )
        for start in starts
    }
    parts = kept(files, 2, "sampling hearts", "file")
    here = slice((first - starts[0]) * SLICES_PER_SUBJECT, (first - starts[0] + n) * SLICES_PER_SUBJECT)
    return SliceMaps(
        torch.cat([p["tissue"] for p in parts])[here].clone(), torch.cat([p["label"] for p in parts])[here].clone()
    )


def all_test_pictures(folder: Path, seed: int) -> dict[str, Pictures]:
    r"""Hearts that nobody learns from, each slice pictured once.

    `alike` are the training cohort's, by any scanner and outlined as those learnt from. Those of the test cohort come
    with their true labels, by the first training scanner (`home`) and by an `unseen` one.
    """
    more = sample_slice_maps(TESTED, folder / "slices", seed=seed + 1)
    truly = partial(sample_slices, annotators=())
    hearts = sample_slice_maps(TESTED, folder / "examination", cohort="test", seed=seed, sample=truly)
    scanned = {"alike": (more, ANY_VENDOR), "home": (hearts, TRAINING_VENDORS[0]), "unseen": (hearts, UNSEEN_VENDOR)}
    return {name: pictures_of(maps, vendor, seed) for name, (maps, vendor) in scanned.items()}


def train_and_test(
    network: nn.Module,
    data: TrainingSlices | FixedPictures,
    learnt: Pictures,
    tests: Mapping[str, Pictures],
    *,
    steps: int,
    seed: int,
    device: torch.device,
) -> Iterator[dict[str, Any]]:
    r"""Train `network`; one row per test subject: a stage of an experiment.

    `dice.*` for each of `tests`, the mean of LV, myocardium and RV, each over all slices of the subject, and
    `cavity.*`, how much larger (%) the LV cavity is found than it is. `dice.train` is the mean over the subjects of
    `learnt`: one number a training, the same in all of its rows.
    """
    plan = TrainingPlan(steps, seed, learning_rate=LEARNING_RATE, schedule="cosine")
    train(network, data, TrainingSlices.loss, plan, device)
    trained = float(np.mean([row["dice"] for row in _by_subject(network, learnt)]))
    found = {name: _by_subject(network, pictures) for name, pictures in tests.items()}
    for i, rows in enumerate(zip(*found.values(), strict=True)):
        row: dict[str, Any] = {"subject": f"{i:05d}", "dice.train": round(trained, 5)}
        for name, measured in zip(found, rows, strict=True):
            row |= {f"{what}.{name}": round(value, 5) for what, value in measured.items()}
        yield row


def _by_subject(network: nn.Module, pictures: Pictures) -> list[dict[str, float]]:
    images, truth = pictures
    found, rows = found_labels(network, images), []
    for here in torch.arange(len(images)).split(SLICES_PER_SUBJECT):
        each = [dice(found[here] == k, truth[here] == k) for k in VENTRICLES.values()]
        cavities = [int((labels[here] == LV_CAVITY).sum()) for labels in (found, truth)]
        larger = 100.0 * (cavities[0] / cavities[1] - 1) if cavities[1] else float("nan")
        rows.append({"dice": sum(each) / len(each), "cavity": larger})
    return rows
