r"""Trained weights: small safetensors files in `course/weights/`, listed in `weights.toml` with their origin."""

from __future__ import annotations

import hashlib
import platform
import re
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import cardiolearn
from cardiolearn.errors import InputError
from cardiolearn.files import write_atomically
from cardiolearn.home import weights_dir
from cardiolearn.tensors import read_tensors, write_tensors

MAX_BYTES = 4_000_000
LIST = "weights.toml"


@dataclass(frozen=True)
class Provenance:
    r"""Where weights come from: notebook, profile and seed of the recorded run, and their scores on its test set."""

    notebook: str
    profile: str
    seed: int
    metrics: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: _versions())
    sha256: str = ""


def save_weights(path: Path, network: nn.Module, *, half: bool = True) -> str:
    r"""Write the weights and statistics of `network` to a safetensors file, whole or not at all; returns its sha256.

    Args:
        half: 16-bit floats, which halve the file and cost a segmentation nothing visible.

    Raises:
        ValueError: a weight does not fit into 16 bits, or the file would exceed 4 MB.
    """
    tensors = {name: _store(name, value, half) for name, value in network.state_dict().items()}
    size = sum(value.numel() * value.element_size() for value in tensors.values())
    if size > MAX_BYTES:
        raise ValueError(f"{path}: expected at most {MAX_BYTES} bytes of weights, got {size}")
    write_tensors(path, tensors, {"format": "pt"})
    return _sha256(path)


def ship_weights(name: str, network: nn.Module, provenance: Provenance) -> Path:
    r"""Write `course/weights/<name>.safetensors` and its entry in `weights.toml`; returns the file."""
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise ValueError(f"weights: expected a name of a-z, 0-9 and _, got {name!r}")
    path = weights_dir() / f"{name}.safetensors"
    entry = asdict(provenance) | {"sha256": save_weights(path, network)}
    entries = (shipped_weights() if (weights_dir() / LIST).exists() else {}) | {name: Provenance(**entry)}
    text = "\n".join(_as_toml(key, entries[key]) for key in sorted(entries))
    write_atomically(weights_dir() / LIST, text.encode())
    return path


def shipped_weights() -> dict[str, Provenance]:
    r"""The entries of `course/weights/weights.toml` by name.

    Raises:
        InputError: the list is missing, is not TOML, or an entry lacks a field or has one too many.
    """
    path = weights_dir() / LIST
    try:
        return {name: Provenance(**entry) for name, entry in tomllib.loads(path.read_text(encoding="utf-8")).items()}
    except FileNotFoundError as error:
        raise InputError(f"{path}: the list of shipped weights is missing") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError) as error:
        raise InputError(f"{path}: expected the list of shipped weights, got something else ({error})") from error


def load_weights(network: nn.Module, name: str) -> Provenance:
    r"""Put the shipped weights `name` into `network`, after checking the file against its sha256.

    Raises:
        InputError: no such name, or the file is missing, altered, or of a network of another shape.
    """
    entries = shipped_weights()
    if name not in entries:
        raise InputError(f"weights {name!r}: expected one of {', '.join(sorted(entries)) or '(none shipped yet)'}")
    path = weights_dir() / f"{name}.safetensors"
    if not path.is_file():
        raise InputError(f"{path}: the weights file is missing; fetch it again from the repository")
    if (found := _sha256(path)) != entries[name].sha256:
        expected = entries[name].sha256[:12]
        raise InputError(f"{path}: the weights file was altered: expected sha256 {expected}..., got {found[:12]}...")
    tensors, _ = read_tensors(path)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"{path}: weights of a network of another shape than this {type(network).__name__}") from error
    return entries[name]


def _store(name: str, value: Tensor, half: bool) -> Tensor:
    if not (half and value.is_floating_point()):
        return value
    small = value.half()
    if not torch.isfinite(small).all():
        raise ValueError(f"weights: expected finite values below 65504 in {name!r}, got up to {value.abs().max():.3g}")
    return small


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _versions() -> dict[str, str]:
    return {"cardiolearn": cardiolearn.__version__, "python": platform.python_version(), "torch": torch.__version__}


def _as_toml(name: str, provenance: Provenance) -> str:
    r"""One entry: plain values first, then its tables; names with dots are quoted."""
    values: dict[str, Any] = asdict(provenance)
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    lines = [f"[{name}]", *(f"{key} = {_value(value)}" for key, value in values.items() if key not in tables)]
    for key, table in tables.items():
        lines += [f"[{name}.{key}]", *(f"{_value(inner)} = {_value(value)}" for inner, value in table.items())]
    return "\n".join(lines) + "\n"


def _value(value: str | int | float) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(float(value) if isinstance(value, float) else int(value))  # numpy's numbers print otherwise
