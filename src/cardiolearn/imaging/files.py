r"""Files: each failure in one line that names the file, each result whole or not there at all; tensors and TOML."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import os
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cardiolearn.errors import InputError, InputWarning
from cardiolearn.imaging.unfinished import unfinished

if TYPE_CHECKING:
    from torch import Tensor


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


def warn(path: str | Path, text: str) -> None:
    r"""Say in an `InputWarning` of one line what was odd about `path`, and what was chosen."""
    warnings.warn(f"{path}: {text}", InputWarning, stacklevel=3)


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
        with unfinished(path) as temporary:
            with open(temporary, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: dict[str, str]) -> None:
    r"""Write a safetensors file (and its folder) in one move, from tensors on any device and in any memory layout."""
    from safetensors.torch import save

    with named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    content = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, header)
    write_atomically(path, content)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    r"""Tensors and header of a safetensors file; `InputError` where it is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with named(path), safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"{path}: expected a safetensors file, got a damaged or another one ({error})") from error


def to_toml(table: Mapping[str, Any], name: str = "") -> str:
    r"""TOML of a table: plain values first, then each table in it under its name; the standard library only reads TOML.

    Raises:
        InputError: a value that is neither text, a number, a truth value nor a list or table of such.

    >>> print(to_toml({"seed": 3, "metrics": {"dice.lv": 0.5}}), end="")
    seed = 3
    [metrics]
    "dice.lv" = 0.5
    """
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    text = "".join(f"{_key(key)} = {_value(value)}\n" for key, value in plain.items())
    for key in (key for key in table if key not in plain):
        inner = f"{name}.{_key(key)}" if name else _key(key)
        text += f"[{inner}]\n{to_toml(table[key], inner)}"
    return text


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: Any) -> str:
    plain = value.tolist() if hasattr(value, "tolist") else value  # numpy's and torch's numbers and arrays
    if isinstance(plain, bool):
        return "true" if plain else "false"
    if isinstance(plain, str):
        return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(plain, int | float):
        return repr(plain)
    if isinstance(plain, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in plain.items()) + "}"
    if isinstance(plain, list | tuple):
        return "[" + ", ".join(map(_value, plain)) + "]"
    raise InputError(f"TOML: expected text, numbers, lists or tables, got {type(value).__name__}")
