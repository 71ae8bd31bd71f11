r"""What is being written has a name of its own until it is whole; what killed processes left of theirs is removed.

Such a name says which process writes: its number, when it began, and a hash of its machine, so that neither a number
that was given anew nor another machine's file on a shared disk is taken for a dead one's.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

_NAME = re.compile(r"\.(?P<of>.+)\.(?P<machine>[0-9a-f]{8})-(?P<pid>\d+)-(?P<began>\d+)-[0-9a-f]{8}\.part", re.DOTALL)
_LONGEST = 150  # bytes of a name that its unfinished neighbour repeats: file systems allow 255 in all
_A_DAY = 86_400.0  # seconds


@contextlib.contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    r"""A free name beside `path` for what is moved there when it is whole; nothing is left under it afterwards.

    What killed processes left of theirs, for the same `path`, is removed first.
    """
    of = _short(path.name)
    for left in _names_in(path.parent):
        if left["of"] == of and _is_left(path.parent, left):
            _remove(path.parent / left[0])
    pid = os.getpid()
    temporary = path.with_name(f".{of}.{_machine()}-{pid}-{_began(pid) or 0}-{secrets.token_hex(4)}.part")
    try:
        yield temporary
    finally:
        _remove(temporary)


def sweep(folder: Path) -> None:
    r"""Remove, in a folder and all folders in it, what killed processes left unfinished, and nothing else.

    What a process of another machine writes is left alone until nothing has happened to it for a day.
    """
    for where, folders, _ in os.walk(folder):
        found = list(_names_in(Path(where)))
        for left in found:
            if _is_left(Path(where), left):
                _remove(Path(where, left[0]))
        folders[:] = set(folders) - {left[0] for left in found}


def try_to_write(folder: Path) -> None:
    r"""Write a small file into a folder and remove it: permissions alone do not say whether a disk takes any.

    Raises:
        OSError: it cannot be written there.
    """
    with unfinished(folder / "trial") as trial:
        trial.write_bytes(bytes(1024))


def _names_in(folder: Path) -> list[re.Match[str]]:
    try:
        return [match for name in os.listdir(folder) if (match := _NAME.fullmatch(name))]
    except OSError:
        return []


def _is_left(folder: Path, name: re.Match[str]) -> bool:
    r"""Whether the process that wrote there is gone. Of another machine's or user's that is known by the time alone."""
    try:
        found = os.lstat(folder / name[0])
    except OSError:  # gone in the meantime
        return False
    pid, began, user = int(name["pid"]), int(name["began"]), getattr(os, "getuid", lambda: found.st_uid)()
    if name["machine"] == _machine() and found.st_uid == user and began:
        return _began(pid) != began
    return time.time() - found.st_mtime > _A_DAY


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _short(name: str) -> str:
    return os.fsencode(name)[:_LONGEST].decode(errors="ignore")


@lru_cache(maxsize=1)
def _machine() -> str:
    r"""A hash of what process numbers hold for: a machine, or a container on it."""
    numbering = ""
    with contextlib.suppress(OSError, AttributeError):
        numbering = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{platform.node()} {numbering}".encode()).hexdigest()[:8]


def _began(pid: int) -> int | None:
    r"""When a process began, None where there is none: by a clock that nobody sets, as far as the system has one."""
    if sys.platform != "linux":
        return _began_by_the_clock(pid)
    try:
        state, *numbers = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else int(numbers[18])  # clock ticks between the machine's start and the process's


def _began_by_the_clock(pid: int) -> int | None:
    import psutil  # type: ignore[import-untyped]

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else int(process.create_time() * 1000)
    except psutil.Error:
        return None
