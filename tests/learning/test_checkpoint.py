r"""What a training keeps on disk: all of it comes back, another training's is refused, and a history draws again."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
import torch
from scipy.stats import linregress
from torch import Tensor, nn

from cardiolearn.errors import InputError
from cardiolearn.imaging.files import write_tensors
from cardiolearn.learning.checkpoint import History, Keep, TrainingState, best_weights
from cardiolearn.learning.training import TrainingPlan, train

SETTINGS = {"seed": 3, "network": "Sequential"}


def small_network(seed: int = 0) -> nn.Sequential:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return network


def step(state: TrainingState, n: int = 1) -> None:
    r"""Some descents, always of the same kind: what follows depends on weights, moments and statistics alone."""
    for _ in range(n):
        picture = torch.linspace(-1, 1, 2 * 49).reshape(2, 1, 7, 7)
        loss = (state.network(picture) - 1).square().mean()
        state.optimiser.zero_grad()
        loss.backward()
        state.optimiser.step()
        state.note(loss.item())
        state.history.seconds = 0.5 * state.done


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_state_comes_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.safetensors"
    left = TrainingState(small_network(), 0.01)
    step(left, 3)
    left.judge(0.7)
    left.average.add(left.network)
    step(left, 2)
    left.average.add(left.network)
    left.judge_average(0.6)
    left.judge(0.4)
    left.save(path, SETTINGS)
    assert os.listdir(path.parent) == ["state.safetensors"]
    found = TrainingState(small_network(seed=9), 0.01)
    found.load(path, SETTINGS)
    assert same(found.network.state_dict(), left.network.state_dict())
    assert same(found.best, left.best) and not same(found.best, left.network.state_dict())
    assert (found.done, found.best_score, found.history) == (5, 0.7, left.history)
    assert same(found.average.mean, left.average.mean) and found.average.n == 2 and found.history.averaged == 0.6
    assert found.history.validation == {3: 0.7, 5: 0.4} and found.history.seconds == 2.5
    for mine, theirs in zip(found.optimiser.param_groups[0]["params"], left.network.parameters(), strict=True):
        moments, expected = found.optimiser.state[mine], left.optimiser.state[theirs]
        assert same(moments, expected) and set(moments) == {"step", "exp_avg", "exp_avg_sq"}
        assert moments["step"] == 5 and moments["exp_avg"].stride() == mine.stride()
    for state in (left, found):
        step(state, 4)
        state.average.add(state.network)
    assert same(found.average.mean, left.average.mean)
    assert same(found.network.state_dict(), left.network.state_dict())


def test_the_best_weights_are_a_copy_and_a_worse_or_equal_score_changes_nothing() -> None:
    state = TrainingState(small_network(), 0.1)
    before = {name: value.clone() for name, value in state.network.state_dict().items()}
    state.take_best()  # nothing was validated
    assert same(state.network.state_dict(), before)
    state.judge(0.5)
    for score in (0.5, 0.1, math.nan):
        step(state)
        state.judge(score)
    assert state.best_score == 0.5 and not same(state.network.state_dict(), before)
    state.take_best()
    assert same(state.network.state_dict(), before)


def test_another_training_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    TrainingState(small_network(), 0.01).save(path, SETTINGS)
    with pytest.raises(InputError, match=r"state\.safetensors: checkpoint of another training: expected .*4.* got .*3"):
        TrainingState(small_network(), 0.01).load(path, SETTINGS | {"seed": 4})
    with pytest.raises(InputError, match=r"state\.safetensors: checkpoint of a network of another shape"):
        TrainingState(nn.Conv2d(1, 1, 1), 0.01).load(path, SETTINGS)
    write_tensors(path, {"a": torch.ones(1)}, {"format": "pt"})
    with pytest.raises(InputError, match=r"state\.safetensors: expected a training checkpoint, got another"):
        TrainingState(small_network(), 0.01).load(path, SETTINGS)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"state\.safetensors: expected a"):
        TrainingState(small_network(), 0.01).load(path, SETTINGS)


def test_history_survives_json() -> None:
    history = History([1, 2], [0.5, 0.25], {2: 0.75}, 1.5)
    assert History.from_dict(json.loads(json.dumps(history.to_dict()))) == history


def test_a_written_history_holds_its_losses_to_four_decimals(tmp_path: Path) -> None:
    history = History(steps=[1, 2, 3], loss=[1.0, 0.5, 1 / 3], validation={3: 0.8}, seconds=2.0)
    history.write(tmp_path / "curve.json")
    text = (tmp_path / "curve.json").read_text(encoding="utf-8")
    assert text.endswith("}\n") and json.loads(text)["loss"] == [1.0, 0.5, 0.3333]
    assert History.from_dict(json.loads(text)) == History([1, 2, 3], [1.0, 0.5, 0.3333], {3: 0.8}, 2.0)
    assert history.loss[2] == 1 / 3


@pytest.mark.parametrize(("rise", "flat"), [(0.0, True), (0.0009, True), (0.0011, False), (-0.0011, False)])
def test_a_score_is_flat_where_its_line_over_the_last_third_is(rise: float, flat: bool) -> None:
    r"""90 steps with a score at every 5th; over the last third, 30 steps, the line may rise by 0.03."""
    generator = np.random.default_rng(0)
    score = {}
    for number, step in enumerate(range(5, 91, 5)):
        early = step < 60
        score[step] = generator.random() if early else 0.8 + rise * (step - 60) + 0.01 * (number % 2 - 0.5)
    history = History(list(range(1, 91)), [0.0] * 90, score)
    x = np.array([step for step in score if step >= 60])
    slope = linregress(x, [score[step] for step in x]).slope
    assert history.flat(0.03) == flat == (abs(slope) * 30 <= 0.03)


def test_the_weights_that_a_training_ends_with_are_found_in_its_checkpoint(tmp_path: Path) -> None:
    path, state = tmp_path / "state.safetensors", TrainingState(small_network(), 0.01)
    state.save(path, SETTINGS)
    with pytest.raises(InputError, match="a checkpoint of a training with validation, found no best weights"):
        best_weights(path)
    state.judge(0.5)
    best = {name: value.clone() for name, value in state.network.state_dict().items()}
    step(state)
    state.judge(0.4)  # worse: the earlier ones stay
    state.save(path, SETTINGS)
    assert same(best_weights(path), best) and not same(state.network.state_dict(), best)


def test_too_few_scores_show_nothing() -> None:
    assert not History([1, 2, 3], [0.0] * 3, {1: 0.5, 2: 0.5, 3: 0.5}).flat(1.0)
    assert not History().flat(1.0) and math.isnan(History().late_rise())


def test_the_best_score_of_a_resumed_training_may_be_that_of_the_average(tmp_path: Path) -> None:
    left, found = (TrainingState(small_network(), 0.01) for _ in range(2))
    step(left)
    left.judge(0.5)
    left.judge_average(0.8)
    left.save(tmp_path / "state.safetensors", SETTINGS)
    found.load(tmp_path / "state.safetensors", SETTINGS)
    assert found.best_score == 0.8


def test_a_second_training_with_the_same_checkpoint_waits_and_takes_its_end(tmp_path: Path, waiting: Event) -> None:
    data, plan = torch.linspace(-1, 1, 8)[:, None], TrainingPlan(6, seed=0, checkpoint_seconds=0.0)
    networks, second = [nn.Linear(1, 1), nn.Linear(1, 1)], list[int]()

    def fit(network: nn.Module, on_step: Callable[[int, float], None]) -> None:
        checkpoint, loss = tmp_path / "new" / "state.safetensors", nn.functional.mse_loss
        cpu = torch.device("cpu")
        train(network, lambda *_: (data, 3 * data), loss, plan, cpu, keep=Keep(checkpoint), on_step=on_step)

    thread = Thread(target=fit, args=(networks[1], lambda step, loss: second.append(step)))

    def in_the_middle(step: int, loss: float) -> None:
        if step == 3:
            thread.start()
            assert waiting.wait(60)

    fit(networks[0], in_the_middle)
    thread.join(60)
    assert second == [] and same(networks[0].state_dict(), networks[1].state_dict())
