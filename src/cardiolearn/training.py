r"""One training loop for every network of the kit.

Set `OMP_WAIT_POLICY=PASSIVE` before torch is imported where other processes share the cores: threads that spin while
they wait made training ten times slower.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from cardiolearn.errors import InputError

Batches = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]
Schedule = Literal["constant", "cosine"]


@dataclass
class History:
    r"""What a training went through: `loss[i]` after step `steps[i]`, validation score by step, seconds in all."""

    steps: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    validation: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> History:
        r"""Inverse of `to_dict`, also after a passage through JSON, which turns the steps into text."""
        validation = {int(step): float(score) for step, score in values["validation"].items()}
        return cls(list(values["steps"]), list(values["loss"]), validation, float(values["seconds"]))


def pick_device(name: str) -> torch.device:
    r"""The device called `auto`, `cpu`, `cuda` or `mps`; `auto` takes the fastest there is.

    Raises:
        InputError: the name is unknown or this machine lacks the device.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, there in present.items() if there))
    if name not in present:
        raise InputError(f"device: expected auto, cpu, cuda or mps, got {name!r}")
    if not present[name]:
        raise InputError(
            f"device: {name!r} was asked for, but this machine or this build of torch has none; use 'auto'"
        )
    return torch.device(name)


def train(
    network: nn.Module,
    batches: Batches,
    loss: Loss,
    *,
    steps: int,
    seed: int,
    device: torch.device,
    learning_rate: float = 1e-3,
    schedule: Schedule = "constant",
    validate: Callable[[nn.Module], float] | None = None,
    validate_every: int = 100,
    patience: int | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int = 100,
    on_step: Callable[[int, float], None] | None = None,
) -> History:
    r"""Train `network` in place with Adam; it ends on `device`, in evaluation mode, with its best validated weights.

    Batch and random numbers of a step depend on `(seed, step)` alone, so on the CPU a training is repeatable and one
    that was interrupted goes on from `checkpoint` as if nothing had happened, bit for bit. Calling again after the end
    returns at once. On CUDA the forward pass runs in bfloat16 where the card has it.

    Args:
        batches: `(step, generator)` to `(input, target)` on any device; steps count from 0.
        loss: `(output, target)` to a scalar.
        validate: network in evaluation mode to a score, higher is better; called every `validate_every` steps and
            after the last.
        patience: stop after this many validations in a row without a better score.
        checkpoint: file to resume from and to keep up to date; replaced as a whole, so a kill leaves it readable.
        on_step: called with the number of steps done and the loss, e.g. to draw a curve.

    Raises:
        InputError: `checkpoint` is damaged or belongs to another training.
        FloatingPointError: the loss is not finite; the message names the step.

    >>> layer = nn.Linear(1, 1)
    >>> data = torch.ones(4, 1)
    >>> history = train(layer, lambda step, generator: (data, 3 * data), nn.functional.mse_loss,
    ...                 steps=200, seed=0, device=pick_device("cpu"), learning_rate=0.1)
    >>> round(layer(data).mean().item(), 1)
    3.0
    """
    _move(network, device)
    state = _State(network, learning_rate)
    settings = {"seed": seed, "learning_rate": learning_rate, "schedule": schedule, "network": type(network).__name__}
    if schedule == "cosine":
        settings["steps"] = steps
    if checkpoint is not None and checkpoint.exists():
        state.load(checkpoint, settings)

    def save() -> None:
        if checkpoint is not None:
            state.save(checkpoint, settings)

    def validate_now(done: int) -> None:
        assert validate is not None
        network.eval()
        with torch.no_grad():
            state.judge(done, float(validate(network)))
        network.train()

    network.train()
    exhausted = patience is not None and state.stale >= patience
    todo = range(state.done, state.done if exhausted else steps)
    with _own_random_numbers(device), tqdm(todo, initial=state.done, total=steps, disable=_quiet(), unit="step") as bar:
        for step in bar:
            started = time.perf_counter()
            for group in state.optimiser.param_groups:
                group["lr"] = learning_rate * _decay(schedule, step, steps)
            value = _step(network, batches, loss, state.optimiser, seed, step, device)
            if not math.isfinite(value):
                raise FloatingPointError(f"training step {step + 1}: the loss is {value}; lower the learning rate?")
            state.history.steps.append(step + 1)
            state.history.loss.append(value)
            bar.set_postfix(loss=f"{value:.4f}", refresh=False)
            if validate is not None and ((step + 1) % validate_every == 0 or step + 1 == steps):
                validate_now(step + 1)
            state.history.seconds += time.perf_counter() - started
            stop = patience is not None and state.stale >= patience
            if (step + 1) % checkpoint_every == 0 or step + 1 == steps or stop:
                save()
            if on_step is not None:
                on_step(step + 1, value)
            if stop:
                break
    state.finish()
    return state.history


def _step(
    network: nn.Module,
    batches: Batches,
    loss: Loss,
    optimiser: torch.optim.Optimizer,
    seed: int,
    step: int,
    device: torch.device,
) -> float:
    r"""One descent; the weights stay as they were where the loss is not finite."""
    number = int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
    torch.manual_seed(number)  # layers such as dropout know no other source
    inputs, target = batches(step, torch.Generator().manual_seed(number))
    inputs, target = _as_channels_last(inputs.to(device)), target.to(device)
    half = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        value = loss(network(inputs), target)
    number_of_loss = value.item()
    if math.isfinite(number_of_loss):
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    return number_of_loss


class _State:
    r"""All that a resumed training must find again: weights, Adam's moments, best weights, history."""

    def __init__(self, network: nn.Module, learning_rate: float) -> None:
        self.network = network
        self.optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
        self.history = History()
        self.best: dict[str, Tensor] = {}
        self.best_score = -math.inf
        self.stale = 0

    @property
    def done(self) -> int:
        return len(self.history.steps)

    def judge(self, step: int, score: float) -> None:
        r"""Keep the weights if they are the best so far."""
        self.history.validation[step] = score
        self.stale += 1
        if score > self.best_score:
            self.best_score, self.stale = score, 0
            self.best = {name: value.clone() for name, value in self.network.state_dict().items()}

    def finish(self) -> None:
        if self.best:
            self.network.load_state_dict(self.best)
        self.network.eval()

    def save(self, path: Path, settings: dict[str, Any]) -> None:
        r"""One safetensors file with the rest as JSON in its header, so that it is replaced in one move."""
        tensors = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam/{index}/{name}": value for name, value in moments.items()}
        tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        notes = {"settings": settings, "history": self.history.to_dict(), "stale": self.stale}
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            save_file(tensors, temporary, {"cardiolearn": json.dumps(notes)})
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def load(self, path: Path, settings: dict[str, Any]) -> None:
        try:
            with safe_open(path, framework="pt") as file:
                notes = json.loads((file.metadata() or {})["cardiolearn"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        except (SafetensorError, KeyError, OSError) as error:
            raise InputError(f"{path}: expected a training checkpoint, got something else ({error})") from error
        if notes["settings"] != settings:
            raise InputError(f"{path}: checkpoint of another training: expected {settings}, found {notes['settings']}")
        groups: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "adam": {}}
        for name, value in tensors.items():
            kind, _, rest = name.partition("/")
            groups[kind][rest] = value
        try:
            self.network.load_state_dict(groups["network"])
        except RuntimeError as error:
            raise InputError(f"{path}: checkpoint of a network of another shape") from error
        self._load_adam(groups["adam"])
        self.history, self.stale = History.from_dict(notes["history"]), notes["stale"]
        self.best = groups["best"]
        self.best_score = max(self.history.validation.values(), default=-math.inf)

    def _load_adam(self, saved: dict[str, Tensor]) -> None:
        r"""Put Adam's moments back in the memory layout of their parameters, as they were before."""
        parameters = self.optimiser.param_groups[0]["params"]
        for name, value in saved.items():
            index, _, moment = name.partition("/")
            parameter = parameters[int(index)]
            if moment != "step":
                value = torch.empty_like(parameter, requires_grad=False).copy_(value)
            self.optimiser.state[parameter][moment] = value


def _move(network: nn.Module, device: torch.device) -> None:
    r"""To `device`; 2D convolutions are 1.5 to 2.6 times faster on the CPU with the channels innermost."""
    network.to(device)
    if any(isinstance(module, nn.Conv2d) for module in network.modules()):
        network.to(memory_format=torch.channels_last)


def _as_channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images


def _decay(schedule: Schedule, step: int, steps: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * step / steps)) if schedule == "cosine" else 1.0


def _quiet() -> bool:
    r"""A bar is for somebody who looks: a terminal or a notebook, not a log."""
    return bool(os.environ.get("CI")) or not (sys.stderr.isatty() or "ipykernel" in sys.modules)


@contextmanager
def _own_random_numbers(device: torch.device) -> Iterator[None]:
    r"""Leave torch's global generators as they were found."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
