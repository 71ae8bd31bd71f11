r"""One training loop for every network of the kit.

Set `OMP_WAIT_POLICY=PASSIVE` before torch is imported where other processes share the cores: threads that spin while
they wait made training ten times slower.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from cardiolearn.checkpoint import History, TrainingState
from cardiolearn.errors import InputError

Batches = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]
Schedule = Literal["constant", "cosine"]


class Lessons(Protocol):
    r"""What a network learns from: batches, the loss that judges its answers, and data held out to score it with."""

    @property
    def n(self) -> int:
        r"""How many things there are to learn from."""

    def __call__(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        r"""Inputs and targets of a step."""

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        r"""A scalar, made small."""

    def held_out_score(self, network: nn.Module) -> float:
        r"""Higher is better."""


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


def keep_freed_memory() -> None:
    r"""Keep large blocks that are freed for the next ones, where the C library is glibc. Call before inference.

    By default each activation above 32 MB is fetched from the system anew and page-faulted in: without this the FCN
    needed 2 to 3 times as long for ten slices of 192x208 and 1.2 times as long for a training step. Peak memory stays.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, top_pad, mmap_max = -1, -2, -4  # names of malloc.h
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 64 * 2**20)


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
    place(network, device)
    keep_freed_memory()
    state = TrainingState(network, learning_rate)
    settings = {"seed": seed, "learning_rate": learning_rate, "schedule": schedule, "network": type(network).__name__}
    if schedule == "cosine":
        settings["steps"] = steps
    if checkpoint is not None and checkpoint.exists():
        state.load(checkpoint, settings)

    network.train()
    started = time.perf_counter() - state.history.seconds
    with _own_random_numbers(device), tqdm(total=steps, initial=state.done, disable=_quiet(), unit="step") as bar:
        while state.done < steps and (patience is None or state.stale < patience):
            for group in state.optimiser.param_groups:
                group["lr"] = learning_rate * _decay(schedule, state.done, steps)
            value = _step(network, batches, loss, state.optimiser, seed, state.done, device)
            state.history.steps.append(state.done + 1)
            state.history.loss.append(value)
            if validate is not None and (state.done % validate_every == 0 or state.done == steps):
                state.judge(_score(network, validate))
            state.history.seconds = time.perf_counter() - started
            finished = state.done == steps or (patience is not None and state.stale >= patience)
            if checkpoint is not None and (finished or state.done % checkpoint_every == 0):
                state.save(checkpoint, settings)
            if on_step is not None:
                on_step(state.done, value)
            bar.set_postfix(loss=f"{value:.4f}", refresh=False)
            bar.update()
    state.take_best()
    network.eval()
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
    r"""One descent; the weights stay as they are where the loss is not finite. Returns the loss."""
    seed_of_step = int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
    torch.manual_seed(seed_of_step)  # layers such as dropout know no other source
    inputs, target = batches(step, torch.Generator().manual_seed(seed_of_step))
    inputs, target = _as_channels_last(inputs.to(device)), target.to(device)
    half = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        value = loss(network(inputs), target)
    if not math.isfinite(number := value.item()):
        raise FloatingPointError(f"training step {step + 1}: the loss is {number}; is the learning rate too high?")
    optimiser.zero_grad()
    torch.autograd.backward(value)
    optimiser.step()
    return number


def _score(network: nn.Module, validate: Callable[[nn.Module], float]) -> float:
    r"""The validation score of the network in evaluation mode, which it then leaves."""
    network.eval()
    with torch.no_grad():
        score = float(validate(network))
    network.train()
    return score


def place(network: nn.Module, device: torch.device) -> None:
    r"""Move to `device`, in place, with the channels innermost: on the CPU 1.5 to 2.6 times faster."""
    solid = any(isinstance(module, nn.Conv3d) for module in network.modules())
    flat = any(isinstance(module, nn.Conv2d) for module in network.modules())
    order = torch.channels_last_3d if solid else torch.channels_last if flat else torch.preserve_format
    network.to(device, memory_format=order)  # type: ignore[call-overload]


def _as_channels_last(images: Tensor) -> Tensor:
    order = {4: torch.channels_last, 5: torch.channels_last_3d}.get(images.ndim, torch.preserve_format)
    return images.contiguous(memory_format=order) if order != torch.preserve_format else images


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
