r"""Files a user names: each failure in one line that names the file, each result whole or not there at all."""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from cardiolearn.errors import InputError


@contextlib.contextmanager
def named(path: str | Path) -> Iterator[None]:
    r"""Turn whatever goes wrong while handling `path` into an `InputError` of one line that begins with it."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file or folder") from error
    except PermissionError as error:
        raise InputError(f"{path}: no permission") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: expected a whole gzip file, got a truncated or damaged one") from error
    except MemoryError as error:
        raise InputError(f"{path}: too large for this machine's memory") from error
    except OSError as error:
        raise InputError(f"{path}: {' '.join(str(error.strerror or error).split())}") from error


@contextlib.contextmanager
def silenced(logger_name: str) -> Iterator[None]:
    r"""Keep a library's logger quiet where its remarks are checked for here anyway, or do not matter."""
    logger = logging.getLogger(logger_name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def write_atomically(path: str | Path, content: bytes) -> None:
    r"""Write a file through a temporary neighbour that is renamed when complete.

    Raises:
        InputError: the folder is missing or not writable, the disk is full; nothing is left behind.
    """
    path = Path(path)
    with named(path):
        if not path.parent.is_dir():
            raise InputError(f"expected an existing folder to write into, {path.parent} is none")
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
