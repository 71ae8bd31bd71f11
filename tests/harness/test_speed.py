r"""How fast a device is said to be: work over time by a clock that is ours, and real work done."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from cardiolearn.harness import speed
from cardiolearn.harness.speed import _per_second, _rings, measure_speed
from cardiolearn.learning.checkpoint import History
from cardiolearn.phantom.body.tissue import N_TISSUES


def test_work_is_counted_after_the_first_time_until_it_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    for tick, calls in ((0.3, 4), (5.0, 1)):  # looks at the clock at the beginning, before each work, and at the end
        clock, done = itertools.count(), iter([100, 7, 7, 7, 7, 7, 7])
        monkeypatch.setattr(speed, "_clock", lambda clock=clock, tick=tick: tick * next(clock))
        assert _per_second(lambda done=done: next(done)) == pytest.approx(7 * calls / ((calls + 1) * tick))


def test_the_work_is_pictures_and_lessons_of_all_tissues(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def train(network: Any, data: Any, loss: Any, plan: Any, device: torch.device) -> History:
        images, labels = data(0, torch.Generator(device).manual_seed(0))
        seen.append(plan.steps)
        assert images.shape == (32, 1, 128, 128) and labels.unique().tolist() == [0, 1, 2, 3]
        return History(steps=[1, 2])

    monkeypatch.setattr(speed, "train", train)
    monkeypatch.setattr(speed, "_per_second", lambda work: float(work()))
    found = measure_speed(torch.device("cpu"))
    assert (found.rendering, found.training, seen) == (32.0, 64.0, [2])
    maps = _rings(2)
    assert maps.tissue.unique().tolist() == list(range(N_TISSUES)) and maps.tissue.shape[0] == len(maps) == 2


@pytest.mark.slow
def test_a_real_device_does_some_work() -> None:
    found = measure_speed(torch.device("cpu"))
    assert found.rendering > 0 and found.training > 0
