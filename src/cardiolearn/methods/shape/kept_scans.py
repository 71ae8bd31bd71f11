r"""Scans made before a training begins, and kept: as in a clinical study, all networks learn from the same ones."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import Tensor

from cardiolearn.imaging.structures import PHASES
from cardiolearn.methods.shape.phantom_hearts import Hearts, scan_of
from cardiolearn.methods.shape.tasks import TASKS
from cardiolearn.methods.shape.volume_source import FixedVolumes
from cardiolearn.phantom.body.disease import Cohort, Group
from cardiolearn.phantom.cohorts.cache import kept_in_blocks


def kept_scans(task: str, subjects: int, folder: Path, seed: int) -> FixedVolumes:
    r"""The training scans of a task: each of the hearts `Task.scans` times, each time by another scanner.

    Scan `i` shows heart `i // Task.scans`. Pictures are kept in the folder, as 16-bit numbers; processes share the work
    of making them.

    Args:
        task: name of one of `TASKS`.
        folder: of the task's hearts.
        seed: of the cohort.
    """
    hearts, times = _hearts(task, subjects, folder, seed), TASKS[task].scans
    scan, scans = partial(_scan, task, subjects, folder), folder / f"scanned-{times}-times"
    found = kept_in_blocks(
        scan, subjects, scans, cohort="train", seed=seed, group=None, jobs=None, title="scanning hearts"
    )
    return FixedVolumes(hearts.labels.repeat_interleave(times, 0), found["images"])


def _scan(
    task: str, subjects: int, folder: Path, block: range, cohort: Cohort, seed: int, group: Group | None
) -> dict[str, Tensor]:
    hearts, times = _hearts(task, subjects, folder, seed), TASKS[task].scans
    numbers = range(len(PHASES) * block.start, len(PHASES) * block.stop)
    return {"images": torch.cat([scan_of(hearts, i, seed + k)[0].half() for i in numbers for k in range(times)])}


@lru_cache(maxsize=1)
def _hearts(task: str, subjects: int, folder: Path, seed: int) -> Hearts:
    r"""Read once by each process."""
    return TASKS[task].sample(subjects, folder, "train", seed)
