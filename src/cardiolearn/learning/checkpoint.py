r"""The state of a training, kept on disk so that a killed one goes on where it was."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cardiolearn.errors import InputError
from cardiolearn.imaging.files import read_tensors, write_atomically, write_tensors
from cardiolearn.imaging.locks import locked
from cardiolearn.learning.averaging import WeightAverage
from cardiolearn.learning.snapshots import Watch

NOTES = "cardiolearn"
BEST = "best/"  # begins the names of the best weights


@dataclass
class History:
    r"""What a training went through: `loss[i]` at step `steps[i]` (from 1), validation score by step, seconds in all.

    `averaged` is the validation score of the averaged weights, None where there were none.

    >>> History.from_dict(json.loads(json.dumps(History([1], [0.5], {1: 0.8}).to_dict())))
    History(steps=[1], loss=[0.5], validation={1: 0.8}, seconds=0.0, averaged=None)
    """

    steps: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    validation: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    averaged: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def write(self, path: Path) -> None:
        r"""Keep a training's course for later lessons: `to_dict` as JSON, the losses to four decimals."""
        rounded = {"loss": [round(loss, 4) for loss in self.loss]}
        write_atomically(path, (json.dumps(self.to_dict() | rounded) + "\n").encode())

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> History:
        r"""Inverse of `to_dict`, also after a passage through JSON, which turns the steps into text."""
        validation = {int(step): float(score) for step, score in values["validation"].items()}
        averaged = values.get("averaged")
        return cls(list(values["steps"]), list(values["loss"]), validation, float(values["seconds"]), averaged)

    def flat(self, tolerance: float) -> bool:
        r"""Whether the validation score stood still over the last third of the steps: see `late_rise`.

        >>> History(list(range(1, 10)), [0.0] * 9, {step: min(step, 6) / 10 for step in range(1, 10)}).flat(0.01)
        True
        """
        return abs(self.late_rise()) <= tolerance

    def late_rise(self) -> float:
        r"""By how much the validation score rose over the last third of the steps, by the line of least squares; NaN
        where there are fewer than three scores, which show nothing."""
        last = len(self.steps)
        late = [(step, score) for step, score in self.validation.items() if step >= last - last / 3]
        if len(late) < 3:
            return math.nan
        step, score = np.array(late).T
        return float(np.polyfit(step - step.mean(), score, 1)[0]) * last / 3


@dataclass(frozen=True)
class Keep:
    r"""What of a training is kept: its checkpoint `path`, from which it goes on, and pictures of an example.

    Args:
        path: of the checkpoint, whole at any time.
        seconds: pause after so long, but not before a step is done.
        watch: takes snapshots at its steps and at the end.
    """

    path: Path
    seconds: float | None = None
    watch: Watch | None = None


class TrainingState:
    r"""All that a resumed training must find again: weights, Adam's moments, the average, best weights, history."""

    def __init__(self, network: nn.Module, learning_rate: float, weight_decay: float = 0.0) -> None:
        self.network = network
        weights = network.parameters()
        self.optimiser = torch.optim.Adam(weights, lr=learning_rate, weight_decay=weight_decay, fused=True)
        self.average = WeightAverage()
        self.history = History()
        self.best: dict[str, Tensor] = {}
        self.best_score = -math.inf

    @property
    def done(self) -> int:
        r"""Steps behind us."""
        return len(self.history.steps)

    def note(self, loss: float) -> None:
        r"""Count a step, with its loss."""
        self.history.steps.append(self.done + 1)
        self.history.loss.append(loss)

    def judge(self, score: float) -> None:
        r"""Note the validation score after the last step; keep the weights if they are the best so far."""
        self.history.validation[self.done] = score
        self._keep_if_best(score)

    def judge_average(self, score: float) -> None:
        r"""Note the validation score of the averaged weights, which the network has; keep them if they are the best."""
        self.history.averaged = score
        self._keep_if_best(score)

    def _keep_if_best(self, score: float) -> None:
        if score > self.best_score:
            self.best_score = score
            self.best = {name: value.clone() for name, value in self.network.state_dict().items()}

    def take_best(self) -> None:
        r"""Give the network its best validated weights, where there was a validation."""
        if self.best:
            self.network.load_state_dict(self.best)

    @contextmanager
    def resumed(self, path: Path | None, settings: dict[str, Any]) -> Iterator[None]:
        r"""Have the checkpoint `path` alone, and begin with what it holds; without one, begin from nothing.

        A second training with the same checkpoint waits for the first, and then goes on from its end: two would do the
        same work twice, and their checkpoints would go back and forth.
        """
        if path is None:
            yield
            return
        with locked(path):
            if path.exists():
                self.load(path, settings)
            yield

    def save(self, path: Path, settings: dict[str, Any]) -> None:
        r"""Replace `path` by one safetensors file with the rest as JSON in its header: all of it or nothing."""
        tensors = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"{BEST}{name}": value for name, value in self.best.items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam/{index}/{name}": value for name, value in moments.items()}
        tensors |= {f"average/{name}": value for name, value in self.average.mean.items()}
        notes = {"settings": settings, "history": self.history.to_dict(), "averaged": self.average.n}
        write_tensors(path, tensors, {NOTES: json.dumps(notes)})

    def load(self, path: Path, settings: dict[str, Any]) -> None:
        r"""Take up the state `save` left; `InputError` where it is damaged or of a training with other settings."""
        tensors, header = read_tensors(path)
        if NOTES not in header:
            raise InputError(f"{path}: expected a training checkpoint, got another safetensors file")
        notes = json.loads(header[NOTES])
        if notes["settings"] != settings:
            raise InputError(f"{path}: checkpoint of another training: expected {settings}, got {notes['settings']}")
        groups: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "average": {}, "adam": {}}
        for name, value in tensors.items():
            kind, _, rest = name.partition("/")
            groups[kind][rest] = value
        try:
            self.network.load_state_dict(groups["network"])
        except RuntimeError as error:
            raise InputError(f"{path}: checkpoint of a network of another shape") from error
        self._load_adam(groups["adam"])
        device = next(self.network.parameters()).device
        self.best, self.history = groups["best"], History.from_dict(notes["history"])
        self.average.n = notes["averaged"]
        self.average.mean = {name: value.to(device) for name, value in groups["average"].items()}
        scores = [*self.history.validation.values(), self.history.averaged]
        self.best_score = max((score for score in scores if score is not None), default=-math.inf)

    def _load_adam(self, saved: dict[str, Tensor]) -> None:
        r"""Put Adam's moments back in the memory layout of their parameters, as they were before; on a card its fused
        step wants the count of steps there as well."""
        parameters = self.optimiser.param_groups[0]["params"]
        for name, value in saved.items():
            index, _, moment = name.partition("/")
            parameter = parameters[int(index)]
            if moment != "step":
                value = torch.empty_like(parameter, requires_grad=False).copy_(value)
            self.optimiser.state[parameter][moment] = value.to(parameter.device)


def best_weights(path: Path) -> dict[str, Tensor]:
    r"""The weights that a training with this checkpoint ends with, for a network that trained no further.

    Raises:
        InputError: the file is missing, damaged, or holds no validated weights.
    """
    weights = {name.removeprefix(BEST): value for name, value in read_tensors(path)[0].items() if name.startswith(BEST)}
    if not weights:
        raise InputError(f"{path}: expected a checkpoint of a training with validation, found no best weights")
    return weights
