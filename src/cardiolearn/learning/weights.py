r"""A network's weights: how they begin, where trained ones are kept, and how they are made ready for inference.

Trained weights are small safetensors files in `course/weights/`, listed in `weights.toml` with their origin.
"""

from __future__ import annotations

import copy
import hashlib
import platform
import re
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import cardiolearn
from cardiolearn.errors import InputError
from cardiolearn.home import weights_dir
from cardiolearn.imaging.files import read_tensors, to_toml, write_atomically, write_tensors
from cardiolearn.imaging.locks import locked
from cardiolearn.learning.device import keep_freed_memory, place

MAX_BYTES = 4_000_000
LIST = "weights.toml"


@dataclass(frozen=True)
class Provenance:
    r"""Where weights come from: notebook, profile and seed of the recorded run, and their scores on its test set.

    `commit`, `phantom` (the version of the simulated hearts they learnt from) and `device` are those of the training.
    """

    notebook: str
    profile: str
    seed: int
    commit: str
    phantom: str
    device: str
    metrics: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: _versions())
    sha256: str = ""


def initialise(network: nn.Module, seed: int) -> None:
    r"""Sample every convolution and linear weight of `network` anew from one integer, in place (He normal, zero bias).

    The same seed gives the same weights whatever ran before, because torch's global generator is not asked.

    Source: He et al., ICCV 2015, eq. 10 (fan-in, gain of the rectifier).
    """
    generator = torch.Generator().manual_seed(seed)
    layers = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)
    for module in network.modules():
        if isinstance(module, layers) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def ready(network: nn.Module, device: torch.device) -> Any:
    r"""A copy of a network for inference on `device`, with batch normalisation folded where the network knows how.

    Its numbers are those that a weights file holds, 16-bit ones, whether it was loaded or has just been trained;
    `network` itself holds the same afterwards.
    """
    network.half().float().eval()
    keep_freed_memory()
    fold: Callable[[], nn.Module] | None = getattr(network, "fused", None)
    copied = fold() if fold is not None else copy.deepcopy(network).requires_grad_(False)
    place(copied, device)
    return copied


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
    with locked(weights_dir() / LIST):  # lessons that run side by side each add to it
        entry = asdict(provenance) | {"sha256": save_weights(path, network)}
        entries = (shipped_weights() if (weights_dir() / LIST).exists() else {}) | {name: Provenance(**entry)}
        write_atomically(weights_dir() / LIST, to_toml({key: asdict(entries[key]) for key in sorted(entries)}).encode())
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


def weights_file(name: str) -> tuple[Path, Provenance]:
    r"""The file of the shipped weights `name`, checked against its sha256, and where they come from.

    Raises:
        InputError: no such name, or the file is missing or altered.
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
    return path, entries[name]


def load_weights(network: nn.Module, name: str) -> Provenance:
    r"""Put the shipped weights `name` into `network`.

    Raises:
        InputError: as `weights_file`, or the weights are of a network of another shape.
    """
    path, origin = weights_file(name)
    tensors, _ = read_tensors(path)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"{path}: weights of a network of another shape than this {type(network).__name__}") from error
    return origin


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
