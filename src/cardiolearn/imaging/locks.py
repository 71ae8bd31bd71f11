r"""One writer at a time, where several processes work towards the same file."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from cardiolearn.errors import InputError
from cardiolearn.imaging.files import named

_LOOK_AGAIN = 0.5  # s


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    r"""Work towards the file `path` alone: whoever comes second waits, and says for whom.

    It is the system's own lock on a hidden file beside `path`, so it ends with the process, however that ends. Where a
    disk knows no locks there is none.

    Args:
        wait: else the second is refused.

    Raises:
        InputError: the folder is not writable; or another process has it, and `wait` is false.
    """
    file, told = path.with_name(f".{path.name}.lock"), False
    with named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        while (descriptor := _take(file)) is None:
            if not wait:
                raise InputError(f"{path}: {_holder(file)} is at work on it; wait for its end, or name another place")
            if not told:
                print(f"{path}: {_holder(file)} is at work on it; waiting for its end", flush=True)
                told = True
            time.sleep(_LOOK_AGAIN)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps the file, which is as good as none
            file.unlink()
        os.close(descriptor)


def _take(file: Path) -> int | None:
    r"""The open lock file, None where another has it."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        if not _lock(descriptor):
            os.close(descriptor)
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
                return descriptor
        os.close(descriptor)  # its last holder removed it before we had it: this one protects nothing


def _lock(descriptor: int) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            os.lseek(descriptor, 2**20, os.SEEK_SET)  # far from what it says, which others read
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        os.lseek(descriptor, 0, os.SEEK_SET)
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # this disk knows no locks
        return True
    return True


def _holder(file: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        return f"process {int(file.read_text())}"
    return "another process"
