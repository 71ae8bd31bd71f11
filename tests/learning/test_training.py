r"""The training loop: repeatable, resumable bit for bit, killed without loss, stopped where it must."""

from __future__ import annotations

import contextlib
import copy
import itertools
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from cardiolearn.errors import InputError, Unfinished
from cardiolearn.learning import training
from cardiolearn.learning.checkpoint import History, Keep
from cardiolearn.learning.snapshots import Snapshots, Watch
from cardiolearn.learning.training import Schedule, TrainingPlan, train
from cardiolearn.learning.weights import initialise

CPU = torch.device("cpu")


@pytest.fixture(autouse=True, params=[False, True], ids=["float32", "bfloat16"])
def half(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    r"""Every test is made in either precision, whatever this machine's processor is good at."""
    monkeypatch.setattr(training, "trains_in_half", lambda device: request.param)
    return bool(request.param)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    r"""A second passes each time that the training looks at its clock: when it begins, and after every step."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))


def small_network(seed: int = 0) -> nn.Sequential:
    r"""Convolution, batch normalisation and dropout: each a place where a resumed training could differ."""
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(8, 2, 1)
    )
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return network


def discs(step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    r"""Bright discs in noise; where they lie comes from the generator alone."""
    y, x = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    centre = torch.rand(4, 2, 1, 1, generator=generator) * 16
    target = ((y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2 < 16).long()
    image = target + 0.5 * torch.randn(4, 16, 16, generator=generator)
    return image[:, None], target


def accuracy(network: nn.Module) -> float:
    assert not network.training
    assert not torch.is_grad_enabled()
    image, target = discs(0, torch.Generator().manual_seed(99))
    return (network(image).argmax(1) == target).float().mean().item()


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def fit(network: nn.Module, steps: int = 20, *, seed: int = 1, rate: float = 0.01, **options: Any) -> History:
    r"""Train on the discs; `options` are those of the plan or of `train`."""
    names = {"schedule", "validate_every", "checkpoint_seconds", "average", "weight_decay"} & options.keys()
    plan = TrainingPlan(steps, seed, learning_rate=rate, **{name: options.pop(name) for name in names})
    kept = {name: options.pop(name) for name in {"checkpoint", "seconds", "watch"} & options.keys()}
    keep = Keep(kept.pop("checkpoint"), **kept) if kept else None
    return train(network, discs, functional.cross_entropy, plan, CPU, keep=keep, **options)


def test_it_learns_and_ends_in_evaluation_mode() -> None:
    network = small_network()
    history = fit(network, 60)
    assert history.steps == list(range(1, 61))
    assert sum(history.loss[-5:]) < 0.5 * sum(history.loss[:5])
    assert not network.training
    image, target = discs(0, torch.Generator().manual_seed(99))
    majority = (target == 0).float().mean()
    assert (network(image).argmax(1) == target).float().mean() > 0.5 * (1 + majority)


@pytest.mark.parametrize(("schedule", "decay"), [("constant", 0.0), ("cosine", 0.0), ("cosine", 0.5)])
def test_it_is_torchs_adam_on_the_batches_it_was_given(schedule: Schedule, decay: float, half: bool) -> None:
    r"""Weight decay is half of it times the squares of all weights beside the loss, written out."""
    network = nn.Sequential(  # no bias before the normalisation: nothing would pull at it but rounding
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)
    )
    other = copy.deepcopy(network)
    seen: list[tuple[Tensor, Tensor]] = []

    def batches(step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        assert step == len(seen)
        seen.append(discs(step, generator))
        return seen[-1]

    plan = TrainingPlan(steps=8, seed=3, learning_rate=0.02, schedule=schedule, weight_decay=decay)
    history = train(network, batches, functional.cross_entropy, plan, CPU)
    optimiser, losses = torch.optim.Adam(other.parameters(), lr=0.02), []
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 8 if schedule == "cosine" else 10**9)
    for image, target in seen:
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            output = other(image)
        loss = functional.cross_entropy(output.float(), target)
        (loss + 0.5 * decay * sum(p.square().sum() for p in other.parameters())).backward()
        optimiser.step()
        falling.step()
        losses.append(loss.item())
    assert len({image.sum().item() for image, _ in seen}) == 8  # no batch comes twice
    assert history.loss == pytest.approx(losses, rel=1e-4)
    for name, value in other.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value, rtol=1e-3, atol=1e-5)


def test_seconds_go_on_where_an_earlier_training_stopped(tmp_path: Path, clock: None) -> None:
    options = {"checkpoint": tmp_path / "state.safetensors"}
    assert fit(small_network(), 5, **options).seconds == 5.0
    assert fit(small_network(), 8, **options).seconds == 8.0


@pytest.mark.parametrize("schedule", ["constant", "cosine", "dropped"])
def test_the_same_seed_gives_the_same_weights(schedule: str) -> None:
    networks = [small_network(), small_network(), small_network()]
    for noise, (network, seed) in enumerate(zip(networks, (5, 5, 6), strict=True)):
        torch.manual_seed(noise)  # the global generator must not matter
        fit(network, seed=seed, schedule=schedule)
    assert same(networks[0], networks[1])
    assert not same(networks[0], networks[2])


def test_the_global_generator_is_left_alone() -> None:
    network = small_network()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    fit(network, 3)
    assert torch.equal(torch.rand(1), expected)


def test_a_dropped_rate_is_whole_to_the_middle_and_a_tenth_in_the_last_third() -> None:
    plan = TrainingPlan(steps=60, seed=0, learning_rate=0.5, schedule="dropped")
    rates = [plan.rate(step) for step in range(60)]
    assert rates[:31] == [0.5] * 31 and rates[40:] == pytest.approx([0.05] * 20)
    assert rates[35] == pytest.approx(0.275) and all(a > b for a, b in itertools.pairwise(rates[30:41]))


def test_the_cosine_ends_near_zero() -> None:
    r"""Against a closed form: with a gradient of constant sign Adam's steps are as long as the learning rate."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    walked: list[float] = []
    train(
        network,
        lambda step, generator: (torch.ones(1, 1), torch.ones(1, 1)),
        lambda output, target: -(output * target).sum(),
        TrainingPlan(steps=10, seed=0, learning_rate=0.1, schedule="cosine"),
        CPU,
        on_step=lambda step, loss: walked.append(network.weight.item()),
    )
    rates = 0.05 * (1 + torch.cos(torch.pi * torch.arange(10) / 10))
    torch.testing.assert_close(torch.tensor(walked), rates.cumsum(0), atol=1e-5, rtol=1e-4)


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("stop_at", [1, 7, 10, 19])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_resumed_training_equals_an_uninterrupted_one(
    tmp_path: Path, clock: None, stop_at: int, schedule: str
) -> None:
    options: dict[str, Any] = {"schedule": schedule, "validate": accuracy, "validate_every": 4}
    options["average"] = schedule == "cosine"
    whole = small_network()
    expected = fit(whole, **options)

    def interrupt(step: int, loss: float) -> None:
        if step == stop_at:
            raise StoppedError

    options |= {"checkpoint": tmp_path / "run" / "state.safetensors", "checkpoint_seconds": 3.0}
    with pytest.raises(StoppedError):
        fit(small_network(), on_step=interrupt, **options)
    resumed = small_network(seed=77 if stop_at >= 3 else 0)  # what it began with is forgotten once a checkpoint exists
    first_steps: list[int] = []
    history = fit(resumed, on_step=lambda step, loss: first_steps.append(step), **options)
    assert first_steps[0] == stop_at // 3 * 3 + 1
    assert same(resumed, whole)
    assert (history.steps, history.loss) == (expected.steps, expected.loss)
    assert (history.validation, history.averaged) == (expected.validation, expected.averaged)


@pytest.mark.parametrize("seconds", [0.0, 1.0, 3.0])
def test_a_training_in_stages_equals_one_at_a_stretch(tmp_path: Path, clock: None, seconds: float) -> None:
    r"""Of 11 steps each stage takes as many as it has seconds, but one at least."""
    options: dict[str, Any] = {"schedule": "cosine", "average": True, "validate": accuracy, "validate_every": 2}
    whole = small_network()
    expected = fit(whole, 11, **options)
    path, ends = tmp_path / "state.safetensors", list[int]()
    while True:
        network, steps = small_network(seed=len(ends)), list[int]()
        try:
            history = fit(
                network,
                11,
                checkpoint=path,
                seconds=seconds,
                on_step=lambda step, _, s=steps: s.append(step),
                **options,
            )
            break
        except Unfinished as pause:
            ends.append(steps[-1])
            assert str(pause) == f"state: {ends[-1]} of 11 training steps are done"
    length = max(1, int(seconds))
    assert ends == list(range(length, 11, length))
    assert same(network, whole)
    assert (history.loss, history.validation, history.averaged) == (
        expected.loss, expected.validation, expected.averaged,
    )  # fmt: skip


def test_the_average_is_that_of_the_last_fifth() -> None:
    r"""With a gradient of constant sign Adam's steps are as long as the rate: weights are at -0.01 k after k steps."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    plan = TrainingPlan(steps=20, seed=0, learning_rate=0.01, average=True)
    batch = torch.ones(1, 1), torch.ones(1, 1)
    train(network, lambda *_: batch, lambda output, target: (output * target).sum(), plan, CPU)
    assert network.weight.item() == pytest.approx(-0.01 * (17 + 18 + 19 + 20) / 4, rel=1e-4)


def test_the_average_is_taken_where_it_is_best_and_its_statistics_are_those_of_its_weights() -> None:
    for scores, better in (([0.2, 0.3, 0.4], True), ([0.2, 0.4, 0.3], False)):
        given, seen = iter(scores), list[nn.Module]()

        def validate(network: nn.Module, given: Any = given, seen: list[nn.Module] = seen) -> float:
            seen.append(copy.deepcopy(network))
            return next(given)

        network = small_network()
        history = fit(network, 10, average=True, validate=validate, validate_every=5)
        assert (history.validation, history.averaged) == ({5: scores[0], 10: scores[1]}, scores[2])
        assert same(network, seen[2 if better else 1]) and not same(seen[1], seen[2])
        convolution, norm = seen[2][0], seen[2][1]
        assert isinstance(norm, nn.BatchNorm2d)
        many = discs(0, torch.Generator().manual_seed(1))[0]
        for seed in range(2, 300):
            many = torch.cat([many, discs(0, torch.Generator().manual_seed(seed))[0]])
        found = convolution(many).detach()
        torch.testing.assert_close(norm.running_mean, found.mean((0, 2, 3)), atol=0.03, rtol=0.03)
        torch.testing.assert_close(norm.running_var, found.var((0, 2, 3)), atol=0.03, rtol=0.05)
        assert norm.momentum == 0.1


def test_snapshots_are_taken_early_late_and_at_the_end_and_survive_an_interruption(tmp_path: Path) -> None:
    image, truth = discs(0, torch.Generator().manual_seed(5))
    files = [tmp_path / name / "watch.npz" for name in ("whole", "parts")]
    whole, parts = (Watch(file, image[0].clamp(0, 1), truth[0]) for file in files)
    network = small_network()
    start = copy.deepcopy(network).eval()
    fit(network, 31, checkpoint=tmp_path / "whole.safetensors", watch=whole)
    found = Snapshots.read(files[0])
    assert list(found.labels) == [0, 20, 31]
    for step, one in ((0, start), (31, network)):
        assert np.array_equal(found.labels[step], one(image[:1].clamp(0, 1)).argmax(1)[0].numpy())
    options: dict[str, Any] = {"checkpoint": tmp_path / "state.safetensors", "seconds": 0.0}
    with contextlib.suppress(Unfinished):
        fit(small_network(), 31, watch=parts, **options)
    for _ in range(30):
        with contextlib.suppress(Unfinished):
            fit(small_network(seed=7), 31, watch=parts, **options)
    again = Snapshots.read(files[1])
    assert list(again.labels) == [0, 20, 31]
    assert all(np.array_equal(again.labels[step], labels) for step, labels in found.labels.items())


def test_batches_are_asked_for_with_a_generator_of_the_device_and_go_there(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, generators = list[torch.device](), torch.Generator

    def on(device: torch.device) -> torch.Generator:
        asked.append(device)
        return generators()

    monkeypatch.setattr(torch, "Generator", on)
    meta = torch.device("meta")
    batch = training._batch(discs, (3, 0), meta)
    assert asked == [meta] and [part.device for part in batch] == [meta, meta]


def test_a_finished_training_is_not_done_again(tmp_path: Path) -> None:
    checkpoint = tmp_path / "state.safetensors"
    first, second = small_network(), small_network(seed=8)
    history = fit(first, checkpoint=checkpoint)
    again = fit(second, checkpoint=checkpoint, on_step=lambda step, loss: pytest.fail("trained again"))
    assert same(first, second)
    assert again == history
    assert list(tmp_path.iterdir()) == [checkpoint]


def test_a_constant_training_can_be_prolonged_but_another_one_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "state.safetensors"
    whole, longer = small_network(), small_network()
    fit(whole, 12)
    fit(longer, 8, checkpoint=checkpoint)
    fit(longer, 12, checkpoint=checkpoint)
    assert same(whole, longer)
    others: list[dict[str, Any]] = [{"seed": 2}, {"rate": 0.02}, {"schedule": "cosine"}, {"weight_decay": 0.1}]
    for other in others:
        with pytest.raises(InputError, match=r"state\.safetensors: checkpoint of another training"):
            fit(small_network(), 20, checkpoint=checkpoint, **other)
    falling = tmp_path / "falling.safetensors"
    fit(small_network(), 8, checkpoint=falling, schedule="cosine")
    averaged = tmp_path / "averaged.safetensors"
    fit(small_network(), 8, checkpoint=averaged, average=True)
    with pytest.raises(InputError, match="checkpoint of another training"):  # of other steps
        fit(small_network(), 12, checkpoint=averaged, average=True)
    with pytest.raises(InputError, match="checkpoint of another training"):  # its rate would have fallen otherwise
        fit(small_network(), 12, checkpoint=falling, schedule="cosine")
    with pytest.raises(InputError, match="another shape"):
        fit(nn.Sequential(nn.Conv2d(1, 2, 1)), 20, checkpoint=checkpoint)


def test_the_best_validated_weights_are_kept() -> None:
    scores = iter([0.2, 0.9, 0.5, float("nan"), 0.1])
    seen: list[nn.Module] = []

    def validate(network: nn.Module) -> float:
        seen.append(small_network())
        seen[-1].load_state_dict(network.state_dict())
        return next(scores)

    network = small_network()
    history = fit(network, 10, validate=validate, validate_every=2)
    assert list(history.validation) == [2, 4, 6, 8, 10]
    assert same(network, seen[1])
    assert not same(network, seen[-1])
    odd = fit(small_network(), 5, validate=accuracy, validate_every=3)
    assert list(odd.validation) == [3, 5]  # after the last step too


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_and_names_the_step(bad: float) -> None:
    network = small_network()
    calls: list[int] = []

    def loss(output: Tensor, target: Tensor) -> Tensor:
        calls.append(1)
        return functional.cross_entropy(output, target) * (bad if len(calls) == 3 else 1.0)

    with pytest.raises(FloatingPointError, match=r"training step 3: the loss is (nan|inf)"):
        train(network, discs, loss, TrainingPlan(steps=5, seed=0), CPU)
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())


def test_a_volume_network_trains_too() -> None:
    network = nn.Conv3d(1, 1, 3, padding=1)
    initialise(network, seed=0)
    history = train(
        network,
        lambda step, generator: (torch.ones(1, 1, 4, 5, 6), torch.zeros(1, 1, 4, 5, 6)),
        functional.mse_loss,
        TrainingPlan(steps=100, seed=0, learning_rate=0.05),
        CPU,
    )
    assert history.loss[-1] < 0.2 * history.loss[0]


CHILD = """
import sys
from pathlib import Path
import torch
from torch import nn
from cardiolearn.learning import training
from cardiolearn.learning.checkpoint import Keep
from cardiolearn.learning.training import TrainingPlan, train
from cardiolearn.learning.weights import initialise

training.trains_in_half = lambda device: False  # here as there

def batches(step, generator):
    x = torch.randn(8, 64, generator=generator)
    return x, x.flip(1)

def run(checkpoint, on_step):
    network = nn.Linear(64, 64)
    initialise(network, seed=0)
    train(network, batches, nn.functional.mse_loss, TrainingPlan(steps=400, seed=0, checkpoint_seconds=0.0),
          torch.device("cpu"), keep=Keep(checkpoint), on_step=on_step)
    return network
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("half", [False], indirect=True)
def test_a_killed_training_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    checkpoint = tmp_path / "state.safetensors"
    # every step writes the checkpoint, so that the kill falls into a write more often than not
    call = "run(Path(sys.argv[1]), lambda step, loss: print(step, flush=True))"
    command = [sys.executable, "-c", CHILD + call, str(checkpoint)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        done = [int(child.stdout.readline()) for _ in range(37)][-1]
        child.kill()
    assert child.returncode == -signal.SIGKILL
    scope: dict[str, Any] = {}
    exec(CHILD, scope)
    steps: list[int] = []
    resumed = scope["run"](checkpoint, lambda step, loss: steps.append(step))
    assert done < steps[0] < 400
    assert same(resumed, scope["run"](tmp_path / "whole.safetensors", None))
