r"""Scans that are kept: each heart as often as its task says, by another scanner each time, and the same ones again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hearts import here, seeded, shell_hearts
from torch import Tensor

from cardiolearn.methods.shape import kept_scans as module
from cardiolearn.methods.shape import tasks
from cardiolearn.methods.shape.kept_scans import kept_scans
from cardiolearn.methods.shape.tasks import Task
from cardiolearn.phantom.cohorts import cache

GRID = (6, 8, 8)


class NoisyHearts:
    r"""Hearts whose picture is their labels in grey, and noise."""

    def __init__(self, n: int) -> None:
        self.labels = shell_hearts(2 * n, GRID)

    def __len__(self) -> int:
        return len(self.labels)

    def __call__(self, picks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        labels = self.labels[picks]
        return labels[:, None] + torch.rand((len(picks), 1, *GRID), generator=generator), labels


@pytest.fixture(autouse=True)
def noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task("noisy", 4, 1, GRID, 2.5, 3, lambda n, folder, cohort, seed: NoisyHearts(n))  # type: ignore[arg-type, return-value]
    monkeypatch.setitem(tasks.TASKS, "noisy", task)
    monkeypatch.setattr(cache, "in_processes", here)
    monkeypatch.setattr(cache, "_BLOCK", 2)
    module._hearts.cache_clear()


def test_each_heart_is_scanned_as_often_as_its_task_says_by_other_numbers(tmp_path: Path) -> None:
    scans, hearts = kept_scans("noisy", 5, tmp_path, 7), NoisyHearts(5)
    assert len(scans) == 3 * 10 and scans.images is not None
    assert torch.equal(scans.labels, hearts.labels.repeat_interleave(3, 0))
    noise = scans.images.float()[:, 0] - scans.labels
    assert (noise > -0.01).all() and (noise < 1.01).all()
    assert len({tuple(one.flatten().tolist()) for one in noise}) == 30


def test_they_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = kept_scans("noisy", 5, tmp_path, 7)
    monkeypatch.setattr(NoisyHearts, "__call__", None)  # nothing can be scanned any more
    again = kept_scans("noisy", 5, tmp_path, 7)
    assert first.images is not None and again.images is not None and torch.equal(first.images, again.images)


def test_a_larger_cohort_has_the_smaller_one_as_its_beginning(tmp_path: Path) -> None:
    few, many = (kept_scans("noisy", n, tmp_path / str(n), 7) for n in (2, 5))
    assert few.images is not None and many.images is not None
    assert torch.equal(few.images, many.images[: len(few)])


def test_another_number_of_scans_is_not_taken_for_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_scans("noisy", 2, tmp_path, 7)
    monkeypatch.setitem(tasks.TASKS, "noisy", replace(tasks.TASKS["noisy"], scans=2))
    scans = kept_scans("noisy", 2, tmp_path, 7)
    assert scans.images is not None and len(scans.images) == len(scans.labels) == 2 * 4


def test_pictures_are_given_as_32_bit_numbers(tmp_path: Path) -> None:
    images, labels = kept_scans("noisy", 2, tmp_path, 7)(torch.tensor([0, 5]), seeded())
    assert images.dtype == torch.float32 and labels.shape == (2, *GRID)
