r"""The two tasks: what is found has the grid of the truth, and the structures that the task has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cardiolearn.methods.shape import tasks
from cardiolearn.methods.shape.phantom_hearts import EchoHearts, StackHearts
from cardiolearn.methods.shape.tasks import ECHO, STACKS, TASKS, Task
from cardiolearn.phantom.cohorts.volume_rendering import STACK_SHAPE, TEST, TRAINING
from cardiolearn.phantom.scanners.ultrasound import ANY_ECHOGRAPH, UNSEEN_ECHOGRAPH


@pytest.mark.parametrize(("task", "pictures"), [(STACKS, STACK_SHAPE), (ECHO, ECHO.grid)])
def test_networks_fit_the_task(task: Task, pictures: tuple[int, int, int]) -> None:
    with torch.device("meta"):
        found = task.segmenter(0)(torch.empty(1, 1, *pictures))
        rebuilt = task.autoencoder(0)(torch.empty(1, task.n_classes, *task.grid))
    assert found.shape == rebuilt.shape == (1, task.n_classes, *task.grid)
    assert len(task.among) == task.n_classes - 1 and TASKS[task.name] is task


def test_the_test_cohort_has_another_scanner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, Path, str, int]] = []

    def sample(n: int, folder: Path, *, cohort: str, seed: int) -> None:
        asked.append((n, folder, cohort, seed))

    monkeypatch.setattr(tasks.volume_maps, "sample_volume_maps", sample)
    monkeypatch.setattr(tasks.ultrasound_volumes, "sample_ultrasound_volumes", sample)
    known, unseen = (STACKS.sample(3, tmp_path, cohort, 7) for cohort in ("train", "test"))  # type: ignore[arg-type]
    assert isinstance(known, StackHearts) and isinstance(unseen, StackHearts)
    assert (known.degradation, unseen.degradation) == (TRAINING, TEST) and known.vendor != unseen.vendor
    heard, other = (ECHO.sample(3, tmp_path, cohort, 7) for cohort in ("train", "test"))  # type: ignore[arg-type]
    assert isinstance(heard, EchoHearts) and isinstance(other, EchoHearts)
    assert (heard.echograph, other.echograph) == (ANY_ECHOGRAPH, UNSEEN_ECHOGRAPH)
    assert asked == [(3, tmp_path, cohort, 7) for cohort in ("train", "test")] * 2
