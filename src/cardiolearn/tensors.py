r"""Tensors on disk: safetensors files, whole or not there, and a damaged one named in one line."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.files import named, write_atomically


def write_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    r"""Write a safetensors file (and its folder) in one move, from tensors on any device and in any memory layout."""
    with named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    content = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, header)
    write_atomically(path, content)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    r"""Tensors and header of a safetensors file; `InputError` where it is missing or damaged."""
    try:
        with named(path), safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"{path}: expected a safetensors file, got a damaged or another one ({error})") from error
