r"""Many short trainings of one network on varied data: what does it need to learn from?

Everything but the data is held: the network, the number of steps, the batches' size, and the unseen hearts it is tested
on. Short trainings do not reach what a long one does; their differences are what counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cardiolearn.metrics import dice
from cardiolearn.networks.fcn import FCN
from cardiolearn.phantom.batches import SLICES_PER_SUBJECT, SliceMaps, draw_cohort, draw_slices, render_batch
from cardiolearn.phantom.mri import ANY_VENDOR, TRAINING_VENDORS, UNSEEN_VENDOR, Vendor
from cardiolearn.phantom.observers import ANNOTATORS, Observer
from cardiolearn.training import train

SIZE, PIXEL, BATCH = 64, 3.0, 4  # of the short trainings: 4 pictures of 64 x 64 pixels of 3 mm a step
LEARNING_RATE = 2e-3


@dataclass(frozen=True)
class Lessons:
    r"""What a network learns from: the first `n` slices of `maps`, ever anew pictured by `vendor`; the others test it.

    A batch holds `batch` pictures of `size` x `size` pixels of `pixel` mm, with labels below `n_classes`; `upright` as
    in `render_batch`.
    """

    maps: SliceMaps = field(repr=False)
    n: int
    vendor: Vendor = ANY_VENDOR
    size: int = 128
    pixel: float = 1.5
    batch: int = 16
    n_classes: int = 4
    upright: bool = False

    def __call__(self, step: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        r"""Images `(batch, 1, size, size)` and labels of slices drawn at random; what `training.train` asks for."""
        return self._pictures(torch.randint(0, self.n, (self.batch,), generator=generator), generator)

    @staticmethod
    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        r"""Mean cross-entropy of the pixels."""
        return nn.functional.cross_entropy(logits, labels)

    def held_out_score(self, network: nn.Module) -> float:
        r"""Mean Dice of the structures over the slices that are not learnt from, each pictured once."""
        images, labels = self._held_out
        found = _found(network, images)
        return sum(dice(found == k, labels == k) for k in range(1, self.n_classes)) / (self.n_classes - 1)

    @cached_property
    def _held_out(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self._pictures(torch.arange(self.n, len(self.maps)), torch.Generator().manual_seed(99))

    def _pictures(self, picks: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        options: dict[str, Any] = {"size": self.size, "pixel": self.pixel, "n_classes": self.n_classes}
        return render_batch(self.maps, picks, generator, vendor=self.vendor, upright=self.upright, **options)


def short_lessons(maps: SliceMaps, subjects: int, vendor: Vendor = ANY_VENDOR) -> Lessons:
    r"""Small, upright pictures of all slices of the first `subjects` subjects in `maps`."""
    n = min(len(maps), subjects * SLICES_PER_SUBJECT)
    return Lessons(maps, n, vendor, size=SIZE, pixel=PIXEL, batch=BATCH, upright=True)


def examination(maps: SliceMaps, vendor: Vendor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Every slice of `maps` once, as `vendor` pictures it: images `(N, 1, 64, 64)` and labels `(N, 64, 64)`."""
    generator = torch.Generator().manual_seed(seed)
    options: dict[str, Any] = {"size": SIZE, "pixel": PIXEL, "vendor": vendor, "upright": True}
    parts = [
        render_batch(maps, picks, generator, **options) for picks in torch.arange(len(maps)).split(SLICES_PER_SUBJECT)
    ]
    return torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])


@dataclass(frozen=True)
class Variant:
    r"""A choice of data: how many subjects, outlined by whom, pictured by which scanners."""

    subjects: int
    vendor: Vendor = ANY_VENDOR
    annotators: tuple[Observer, ...] = ANNOTATORS

    def lessons(self, folder: Path, seed: int) -> Lessons:
        r"""The data, drawn once and kept in `folder`."""
        name = "slices" if self.annotators == ANNOTATORS else f"slices-{'-'.join(o.name for o in self.annotators)}"
        draw = partial(draw_slices, annotators=self.annotators)
        return short_lessons(
            draw_cohort(self.subjects, folder / name, seed=seed, draw=draw), self.subjects, self.vendor
        )

    def draw(self, folder: Path, cohort_seed: int) -> None:
        r"""The data and the tests, so that trainings find them."""
        self.lessons(folder, cohort_seed)
        examinations(folder, cohort_seed)

    def learn(
        self, folder: Path, cohort_seed: int, *, steps: int, seed: int, device: torch.device
    ) -> list[dict[str, Any]]:
        r"""The FCN trained on this choice; see `train_and_examine`."""
        lessons, tests = self.lessons(folder, cohort_seed), examinations(folder, cohort_seed)
        return list(train_and_examine(FCN(seed=seed), lessons, tests, steps=steps, seed=seed, device=device))


def examinations(folder: Path, seed: int, subjects: int = 24) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    r"""Unseen hearts with their true labels, pictured at `home` (the first training scanner) and by an `unseen` one."""
    hearts = draw_cohort(
        subjects, folder / "examination", cohort="test", seed=seed, draw=partial(draw_slices, annotators=())
    )
    scanners = {"home": TRAINING_VENDORS[0], "unseen": UNSEEN_VENDOR}
    return {name: examination(hearts, vendor, seed) for name, vendor in scanners.items()}


def train_and_examine(
    network: nn.Module,
    lessons: Lessons,
    examinations: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
    *,
    steps: int,
    seed: int,
    device: torch.device,
) -> Iterator[dict[str, Any]]:
    r"""Train `network`; one row per test subject, `dice.*` for each of `examinations`: a stage of an experiment.

    Dice is the mean of LV, myocardium and RV, each over all slices of the subject.
    """
    options: dict[str, Any] = {"learning_rate": LEARNING_RATE, "schedule": "cosine"}
    train(network, lessons, lessons.loss, steps=steps, seed=seed, device=device, **options)
    found = {name: _found(network, images) for name, (images, _) in examinations.items()}
    n_subjects = len(next(iter(found.values()))) // SLICES_PER_SUBJECT
    for i in range(n_subjects):
        here = slice(i * SLICES_PER_SUBJECT, (i + 1) * SLICES_PER_SUBJECT)
        row: dict[str, Any] = {"subject": f"{i:05d}"}
        for name, (_, truth) in examinations.items():
            each = [dice(found[name][here] == k, truth[here] == k) for k in (1, 2, 3)]
            row[f"dice.{name}"] = round(sum(each) / len(each), 5)
        yield row


@torch.no_grad()
def _found(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    device = next(network.parameters()).device
    return torch.cat([network(part.to(device)).argmax(1).cpu() for part in images.split(16)])
