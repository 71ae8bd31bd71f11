r"""One training loop for every network of the kit.

Set `OMP_WAIT_POLICY=PASSIVE` before torch is imported where other processes share the cores: threads that spin while
they wait made training ten times slower.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from cardiolearn.learning.checkpoint import History, TrainingState
from cardiolearn.learning.device import keep_freed_memory, place

Batches = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]
Schedule = Literal["constant", "cosine"]


class TrainingData(Protocol):
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


@dataclass(frozen=True)
class TrainingPlan:
    r"""How long and how to train; the same plan, data and network give the same weights on the CPU.

    Args:
        seed: of the batches and of what random numbers layers ask for.
        schedule: of the learning rate: constant, or falling to zero along half a cosine.
        validate_every: steps between validations, where there is a validation; one comes after the last step too.
        checkpoint_every: steps between checkpoints, where a file is given; one comes after the last step too.
    """

    steps: int
    seed: int
    learning_rate: float = 1e-3
    schedule: Schedule = "constant"
    validate_every: int = 100
    checkpoint_every: int = 100

    def rate(self, step: int) -> float:
        r"""The learning rate of a step, from 0."""
        falling = 0.5 * (1 + math.cos(math.pi * step / self.steps)) if self.schedule == "cosine" else 1.0
        return self.learning_rate * falling

    def settings(self, network: nn.Module) -> dict[str, Any]:
        r"""What a checkpoint must agree in to be gone on with; the length of a constant schedule may change."""
        kept: dict[str, Any] = {"seed": self.seed, "learning_rate": self.learning_rate, "schedule": self.schedule}
        kept |= {"network": type(network).__name__}
        return kept | ({"steps": self.steps} if self.schedule == "cosine" else {})


def train(
    network: nn.Module, batches: Batches, loss: Loss, plan: TrainingPlan, device: torch.device, *,
    validate: Callable[[nn.Module], float] | None = None,
    checkpoint: Path | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> History:  # fmt: skip
    r"""Train `network` in place with Adam; it ends on `device`, in evaluation mode, with its best validated weights.

    Batch and random numbers of a step depend on `(seed, step)` alone, so on the CPU a training is repeatable and one
    that was interrupted goes on from `checkpoint` as if nothing had happened, bit for bit. Calling again after the end
    returns at once. On CUDA the forward pass runs in bfloat16 where the card has it.

    Args:
        batches: `(step, generator)` to `(input, target)` on any device; steps count from 0.
        loss: `(output, target)` to a scalar.
        validate: network in evaluation mode to a score, higher is better.
        checkpoint: file to resume from and to keep up to date, whole at any time; a second training with it waits.
        on_step: called with the number of steps done and the loss, e.g. to plot a curve.

    Raises:
        InputError: `checkpoint` is damaged or belongs to another training.
        FloatingPointError: the loss is not finite; the message names the step.

    >>> layer = nn.Linear(1, 1)
    >>> data = torch.ones(4, 1)
    >>> plan = TrainingPlan(steps=200, seed=0, learning_rate=0.1)
    >>> history = train(layer, lambda step, generator: (data, 3 * data), nn.functional.mse_loss, plan,
    ...                 torch.device("cpu"))
    >>> round(layer(data).mean().item(), 1)
    3.0
    """
    place(network, device)
    keep_freed_memory()
    state = TrainingState(network, plan.learning_rate)
    settings = plan.settings(network)
    with (
        state.resumed(checkpoint, settings),
        _own_random_numbers(device),
        tqdm(total=plan.steps, initial=state.done, disable=_quiet(), unit="step") as bar,
    ):
        network.train()
        started = time.perf_counter() - state.history.seconds
        while state.done < plan.steps:
            for group in state.optimiser.param_groups:
                group["lr"] = plan.rate(state.done)
            value = _step(network, batches, loss, state.optimiser, (plan.seed, state.done), device)
            state.note(value, time.perf_counter() - started)
            last = state.done == plan.steps
            if validate is not None and (last or state.done % plan.validate_every == 0):
                state.judge(_score(network, validate))
                state.history.seconds = time.perf_counter() - started
            if checkpoint is not None and (last or state.done % plan.checkpoint_every == 0):
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
    seed_and_step: tuple[int, int],
    device: torch.device,
) -> float:
    r"""One descent; the weights stay as they are where the loss is not finite. Returns the loss."""
    step = seed_and_step[1]
    seed_of_step = int(np.random.SeedSequence(seed_and_step).generate_state(1, np.uint64)[0])
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


def _as_channels_last(images: Tensor) -> Tensor:
    order = {4: torch.channels_last, 5: torch.channels_last_3d}.get(images.ndim, torch.preserve_format)
    return images.contiguous(memory_format=order) if order != torch.preserve_format else images


def _quiet() -> bool:
    r"""A bar is for somebody who looks: a terminal or a notebook, not a log."""
    return bool(os.environ.get("CI")) or not (sys.stderr.isatty() or "ipykernel" in sys.modules)


@contextmanager
def _own_random_numbers(device: torch.device) -> Iterator[None]:
    r"""Leave torch's global generators as they were found."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
