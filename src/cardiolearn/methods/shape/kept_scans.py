r"""Scans made before a training begins, and kept: as in a clinical study, all networks learn from the same ones."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor

from cardiolearn.learning.device import at_once
from cardiolearn.methods.shape.phantom_hearts import Hearts, scan_of
from cardiolearn.methods.shape.tasks import TASKS
from cardiolearn.methods.shape.volume_source import FixedVolumes
from cardiolearn.phantom.cohorts.cache import kept

_BLOCK = 50  # hearts to a file


def kept_scans(task: str, subjects: int, folder: Path, seed: int) -> FixedVolumes:
    r"""The training scans of a task: each of the hearts `Task.scans` times, each time by another scanner.

    Scan `i` shows heart `i // Task.scans`. Pictures are kept in the folder, as 16-bit numbers; processes share the work
    of making them.

    Args:
        task: name of one of `TASKS`.
        folder: of the task's hearts.
        seed: of the cohort.
    """
    hearts = _hearts(task, subjects, folder, seed)
    blocks = [range(i, min(i + _BLOCK, len(hearts))) for i in range(0, len(hearts), _BLOCK)]
    files = {
        folder / f"scans-{seed}-{b.start:05d}-{b.stop:05d}.safetensors": partial(_scan, task, subjects, folder, seed, b)
        for b in blocks
    }
    parts = kept(files, at_once(), title="scanning hearts", unit="file")
    labels = hearts.labels.repeat_interleave(TASKS[task].scans, 0)
    return FixedVolumes(labels, torch.cat([part["images"] for part in parts]))


def _scan(task: str, subjects: int, folder: Path, seed: int, block: range) -> dict[str, Tensor]:
    hearts, times = _hearts(task, subjects, folder, seed), TASKS[task].scans
    scans = [scan_of(hearts, heart, seed + k)[0].half() for heart in block for k in range(times)]
    return {"images": torch.cat(scans)}


@cache
def _hearts(task: str, subjects: int, folder: Path, seed: int) -> Hearts:
    r"""Read once by each process."""
    return TASKS[task].sample(subjects, folder, "train", seed)
