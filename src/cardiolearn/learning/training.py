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
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from cardiolearn.errors import Unfinished
from cardiolearn.learning.averaging import measure_statistics
from cardiolearn.learning.checkpoint import History, Keep, TrainingState
from cardiolearn.learning.device import keep_freed_memory, place, trains_in_half
from cardiolearn.learning.progress import tqdm
from cardiolearn.learning.snapshots import STEPS

Batches = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]
Schedule = Literal["constant", "cosine", "dropped"]
STATISTICS_BATCHES = 50  # that batch normalisation measures for averaged weights


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
        schedule: of the learning rate: constant; falling to zero along half a cosine; or dropped to a tenth between the
            middle and the last third, so that a score which still rises in the last third tells that more steps would
            help. (With a cosine it always rises there, because the rate falls.)
        average: take the mean of the weights over the last fifth of the steps as well; the network ends with it where
            its validation score is the best of all, or where there is no validation.
        weight_decay: the loss has half of this times the sum of all squared weights beside it, by Adam's gradient.
        validate_every: steps between validations, where there is a validation; one comes after the last step too.
        checkpoint_seconds: between checkpoints, where a file is given: what a killed training loses, but for a step.
    """

    steps: int
    seed: int
    learning_rate: float = 1e-3
    schedule: Schedule = "constant"
    average: bool = False
    weight_decay: float = 0.0
    validate_every: int = 100
    checkpoint_seconds: float = 60.0

    def rate(self, step: int) -> float:
        r"""The learning rate of a step, from 0."""
        done = step / self.steps
        if self.schedule == "cosine":
            return self.learning_rate * _half_a_cosine(done)
        if self.schedule == "dropped":
            low = 0.1
            return self.learning_rate * (low + (1.0 - low) * _half_a_cosine(min(max(6.0 * done - 3.0, 0.0), 1.0)))
        return self.learning_rate

    def averages(self, step: int) -> bool:
        r"""Whether the weights after so many steps are part of the mean."""
        return self.average and step > 0.8 * self.steps

    def settings(self, network: nn.Module) -> dict[str, Any]:
        r"""What a checkpoint must agree in to be gone on with; the length of a constant schedule may change."""
        kept: dict[str, Any] = {"seed": self.seed, "learning_rate": self.learning_rate, "schedule": self.schedule}
        kept |= {"network": type(network).__name__, "average": self.average}
        kept |= {"weight_decay": self.weight_decay} if self.weight_decay else {}
        return kept | ({"steps": self.steps} if self.schedule != "constant" or self.average else {})


def _half_a_cosine(x: float) -> float:
    r"""From 1 at 0 to 0 at 1."""
    return 0.5 * (1.0 + math.cos(math.pi * x))


def train(
    network: nn.Module, batches: Batches, loss: Loss, plan: TrainingPlan, device: torch.device, *,
    validate: Callable[[nn.Module], float] | None = None,
    keep: Keep | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> History:  # fmt: skip
    r"""Train `network` in place with Adam; it ends on `device`, in evaluation mode, with its best validated weights.

    Batch and random numbers of a step depend on `(seed, step)` alone, so on the CPU a training is repeatable and one
    that was interrupted goes on as if nothing had happened, bit for bit. Calling again after the end returns at once.
    The network computes in bfloat16 where that is faster (`trains_in_half`), the loss never.

    Args:
        batches: `(step, generator)` to `(input, target)`; steps count from 0. The generator is of `device`, and so
            should be what is made with it.
        loss: `(output, target)` to a scalar.
        validate: network in evaluation mode to a score, higher is better.
        keep: a checkpoint to go on from, and when to pause; a second training with the same one waits.
        on_step: called with the number of steps done and the loss, e.g. to plot a curve.

    Raises:
        InputError: the checkpoint is damaged or belongs to another training.
        FloatingPointError: the loss is not finite; the message names the step.
        Unfinished: the seconds of `keep` are over; the same call goes on.

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
    state = TrainingState(network, plan.learning_rate, plan.weight_decay)
    with (
        state.resumed(keep.path if keep else None, plan.settings(network)),
        _own_random_numbers(device),
        tqdm(total=plan.steps, initial=state.done, disable=_quiet(), unit="step") as bar,
    ):
        network.train()
        keeper = _Keeper(state, plan, keep)
        while state.done < plan.steps:
            for group in state.optimiser.param_groups:
                group["lr"] = plan.rate(state.done)
            value = _step(network, batches, loss, state.optimiser, (plan.seed, state.done), device)
            state.note(value)
            _judge(state, plan, validate, batches, device)
            keeper.after_a_step()
            if on_step is not None:
                on_step(state.done, value)
            bar.set_postfix(loss=f"{value:.4f}", refresh=False)
            bar.update()
            keeper.pause_if_over()
    state.take_best()
    network.eval()
    if keep and keep.watch:
        keep.watch.take(plan.steps, network)
    return state.history


class _Keeper:
    r"""Looks at the clock after each step: what is due is saved, and when the time is up the training pauses."""

    def __init__(self, state: TrainingState, plan: TrainingPlan, keep: Keep | None) -> None:
        self.state, self.plan, self.keep = state, plan, keep
        self.now = self.saved = time.perf_counter()
        self.began = self.now - state.history.seconds
        self.until = math.inf if keep is None or keep.seconds is None else self.now + keep.seconds
        self._look()

    def after_a_step(self) -> None:
        self._look()
        self.now = time.perf_counter()
        self.state.history.seconds = self.now - self.began
        due = self.now >= min(self.saved + self.plan.checkpoint_seconds, self.until)
        if self.keep and (due or self.state.done == self.plan.steps):
            self.state.save(self.keep.path, self.plan.settings(self.state.network))
            self.saved = self.now

    def pause_if_over(self) -> None:
        if self.keep and self.now >= self.until and self.state.done < self.plan.steps:
            done = f"{self.state.done} of {self.plan.steps} training steps are done"
            raise Unfinished(f"{self.keep.path.stem}: {done}")

    def _look(self) -> None:
        if self.keep and self.keep.watch and self.state.done in STEPS and self.state.done < self.plan.steps:
            self.keep.watch.take(self.state.done, self.state.network)


def _step(
    network: nn.Module,
    batches: Batches,
    loss: Loss,
    optimiser: torch.optim.Optimizer,
    seed_and_step: tuple[int, int],
    device: torch.device,
) -> float:
    r"""One descent; the weights stay as they are where the loss is not finite. Returns the loss."""
    inputs, target = _batch(batches, seed_and_step, device)
    value = loss(_output(network, inputs), target)
    if not math.isfinite(number := value.item()):
        step = seed_and_step[1] + 1
        raise FloatingPointError(f"training step {step}: the loss is {number}; is the learning rate too high?")
    optimiser.zero_grad()
    torch.autograd.backward(value)
    optimiser.step()
    return number


def _batch(batches: Batches, seed_and_step: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    seed_of_step = int(np.random.SeedSequence(seed_and_step).generate_state(1, np.uint64)[0])
    torch.manual_seed(seed_of_step)  # layers such as dropout know no other source
    inputs, target = batches(seed_and_step[1], torch.Generator(device).manual_seed(seed_of_step))
    return _as_channels_last(inputs.to(device)), target.to(device)


def _output(network: nn.Module, inputs: Tensor) -> Tensor:
    half = trains_in_half(inputs.device)
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=half):
        output: Tensor = network(inputs)
    return output.float() if half else output


def _judge(
    state: TrainingState,
    plan: TrainingPlan,
    validate: Callable[[nn.Module], float] | None,
    batches: Batches,
    device: torch.device,
) -> None:
    r"""Score the weights where it is time to, count them into the average, and score that after the last step."""
    if plan.averages(state.done):
        state.average.add(state.network)
    last = state.done == plan.steps
    if validate is not None and (last or state.done % plan.validate_every == 0):
        state.judge(_score(state.network, validate))
    if last and plan.average:
        state.average.put_into(state.network)
        numbers = range(plan.steps, plan.steps + STATISTICS_BATCHES)
        fresh = (_batch(batches, (plan.seed, number), device)[0] for number in numbers)
        measure_statistics(state.network, fresh)
        if validate is not None:
            state.judge_average(_score(state.network, validate))


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
