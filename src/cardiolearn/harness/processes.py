r"""All processes of one notebook: known by a mark they inherit, and ended together.

Kernels live in sessions of their own, and a daemon that a notebook forks has no parent any more; the environment is
what each of them keeps.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

MARK = "CARDIOLEARN_RUN"
WATCH = 0.3  # seconds between two looks at the parent
CREATION = 2.0  # seconds within which a process is the same one: clocks are set, and numbers are given out again later


@dataclass(frozen=True)
class Known:
    r"""A process by its number and by the time it was made, so that no later one is taken for it."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> Known:
        r"""A process that lives."""
        return cls(pid, psutil.Process(pid).create_time())

    def lives(self) -> bool:
        r"""Whether it runs; a dead one that nobody has asked about yet does not."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < CREATION
            return bool(same and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False


def end_all(mark: str, root: int | None, seconds: float = 3.0) -> None:
    r"""Kill what carries the mark, what descends from process `root`, and what these start meanwhile."""
    deadline = time.monotonic() + seconds
    while (found := _of_one_notebook(mark, root)) and time.monotonic() < deadline:
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.01)


def die_with(lives: Callable[[], bool], scratch: Path) -> None:
    r"""For a thread: when the parent no longer `lives`, end this process and its notebook, and leave no files."""
    while lives():
        time.sleep(WATCH)
    end_all(os.environ.get(MARK, ""), os.getpid())
    for _ in range(10):  # the main thread may still write
        shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


def _of_one_notebook(mark: str, root: int | None) -> list[psutil.Process]:
    found = {}
    with contextlib.suppress(psutil.Error):
        below = psutil.Process(root).children(recursive=True) if root is not None else []
        found = {process.pid: process for process in below}
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            if process.environ().get(MARK) == mark:
                found[pid] = process
    found.pop(os.getpid(), None)
    return [process for process in found.values() if _runs(process)]


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def adopt_orphans() -> None:
    r"""On Linux, become the parent of descendants that lose theirs: one may have emptied its environment."""
    if sys.platform == "linux":
        set_child_subreaper = 36  # of sys/prctl.h
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)
