r"""What a device is good for: how many training pictures it makes, and how many it learns from, in a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from cardiolearn.learning.training import TrainingPlan, train
from cardiolearn.methods.segmentation.fcn import FCN
from cardiolearn.methods.segmentation.training_slices import TrainingSlices
from cardiolearn.phantom.body.tissue import N_TISSUES
from cardiolearn.phantom.cohorts.slice_maps import SIZE, SliceMaps

ENOUGH = 1.0  # seconds that a number is measured for, at least
_clock = time.perf_counter


@dataclass(frozen=True)
class Speed:
    r"""Slices of 128x128 pixels a second: pictured, and pictured and learnt from by the FCN, a batch at a time."""

    rendering: float
    training: float


def measure_speed(device: torch.device) -> Speed:
    r"""Some 5 s on two CPU cores; it needs no sampled hearts: what a slice shows costs no time."""
    data = TrainingSlices(_rings(4), 4)
    generator = torch.Generator(device).manual_seed(0)
    plan = TrainingPlan(steps=2 if device.type == "cpu" else 20, seed=0)
    network = FCN()

    def render() -> int:
        images, _ = data(0, generator)
        return len(images) if images.sum().item() else 0  # asking for a number waits for the device

    def learn() -> int:
        return data.batch * len(train(network, data, data.loss, plan, device).steps)

    return Speed(_per_second(render), _per_second(learn))


def _per_second(work: Callable[[], int]) -> float:
    r"""How much `work` does in a second, as it says itself, after a first time in which it is made ready."""
    work()
    done, began = 0, _clock()
    while not done or _clock() - began < ENOUGH:
        done += work()
    return done / (_clock() - began)


def _rings(n: int) -> SliceMaps:
    r"""Concentric rings of all tissues around a ball of three structures."""
    x = torch.arange(SIZE) - SIZE // 2
    radius = (x[:, None] ** 2 + x**2).sqrt()
    tissue = (radius * (2 * N_TISSUES / SIZE)).remainder(N_TISSUES).to(torch.uint8).expand(n, 3, -1, -1)
    label = (3 - radius / 10).clamp_min(0).to(torch.uint8).expand(n, -1, -1)
    return SliceMaps(tissue, label)
