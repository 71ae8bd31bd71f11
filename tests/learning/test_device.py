r"""Devices by name, networks placed on them, and tasks in processes of their own."""

from __future__ import annotations

import copy
import ctypes
import math
import multiprocessing
import operator
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from cardiolearn.errors import InputError
from cardiolearn.learning import device
from cardiolearn.learning.device import in_processes, keep_freed_memory, pick_device, place, trains_in_half

CPU = torch.device("cpu")


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == CPU
    with pytest.raises(InputError, match="'cuda' was asked for"):
        pick_device("cuda")
    with pytest.raises(InputError, match="expected auto, cpu, cuda or mps, got 'gpu'"):
        pick_device("gpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto").type == "cuda"
    assert pick_device("cpu") == CPU


# --- memory ---


def test_freed_memory_is_kept_by_what_glibc_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[int, int] = {}

    class Library:
        def __init__(self, name: None) -> None:
            self.mallopt = asked.__setitem__

    monkeypatch.setattr(ctypes, "CDLL", Library)
    monkeypatch.setattr(sys, "platform", "linux")
    keep_freed_memory()
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX in glibc's malloc.h
    assert asked[mmap_max] == 0 and asked[trim_threshold] == 2**31 - 1


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # musl has no mallopt; other systems are not asked
    keep_freed_memory()


# --- placing ---


@pytest.mark.parametrize(
    ("network", "shape", "order"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), (2, 3, 9, 8), torch.channels_last),
        (nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU()), (2, 3, 7, 9, 8), torch.channels_last_3d),
        (nn.Sequential(nn.Linear(5, 4), nn.ReLU()), (2, 5), torch.contiguous_format),
    ],
    ids=["2D", "3D", "linear"],
)
def test_a_placed_network_has_its_channels_innermost_and_the_same_answer(
    network: nn.Sequential, shape: tuple[int, ...], order: torch.memory_format
) -> None:
    before, x = copy.deepcopy(network), torch.rand(shape, generator=torch.Generator().manual_seed(0))
    place(network, CPU)
    weight = network[0].weight
    assert isinstance(weight, nn.Parameter) and weight.is_contiguous(memory_format=order)
    if order != torch.contiguous_format:
        assert weight.stride()[1] == 1
    torch.testing.assert_close(network(x), before(x))


def test_a_network_is_placed_on_its_device() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    place(network, torch.device("meta"))
    assert {value.device.type for value in network.state_dict().values()} == {"meta"}


# --- processes ---

WAIT = """
import os
for _ in range(10**7):
    if os.path.exists({other!r}):
        break
else:
    raise TimeoutError
"""


@pytest.mark.slow
def test_results_come_with_their_numbers_as_they_end(tmp_path: Path) -> None:
    flag = tmp_path / "the last has begun"
    tasks: list[Callable[[], object]] = [
        partial(exec, WAIT.format(other=str(flag))),  # while the other process does all the rest
        *(partial(math.comb, 10, k) for k in range(5)),
        torch.get_num_threads,
        os.getpid,
        flag.touch,
    ]
    found = list(in_processes(tasks, 2))
    order = [number for number, _ in found]
    assert sorted(order) == list(range(9)) and order.index(0) > order.index(7)
    results = dict(found)
    assert [results[n] for n in range(1, 6)] == [1, 10, 45, 120, 210]  # Pascal's triangle
    assert results[6] == 1 and results[7] != os.getpid()


@pytest.mark.slow
def test_after_a_failure_what_waits_is_not_begun(tmp_path: Path) -> None:
    work = "import pathlib; sum(range(10**7)); pathlib.Path({mark!r}).touch()"
    waiting = [partial(exec, work.format(mark=str(tmp_path / str(n)))) for n in range(12)]
    with pytest.raises(ZeroDivisionError):
        list(in_processes([partial(operator.truediv, 1, 0), *waiting], 1))
    for process in multiprocessing.active_children():  # it ends what it had been handed, two or three tasks
        process.join()
    assert len(list(tmp_path.iterdir())) < 12


@pytest.mark.slow
def test_a_failure_comes_through() -> None:
    tasks = [partial(operator.truediv, 6, 3), partial(operator.truediv, 1, 0)]
    found: list[tuple[int, float]] = []
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        for pair in in_processes(tasks, 1):
            found.append(pair)
    assert found == [(0, 2.0)]


def test_nothing_to_do_needs_no_process() -> None:
    assert list(in_processes([], 2)) == []


def test_a_worker_watches_its_parent_before_it_loads_what_takes_seconds() -> None:
    code = """
import sys, threading
from cardiolearn.learning import workers
assert not {"torch", "numpy"} & set(sys.modules), "the watch begins late"
threading.Thread.start = lambda thread: sys.exit(7 * ("torch" not in sys.modules) * thread.daemon)
workers.begin()
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 7


@pytest.mark.parametrize(
    ("can", "half"),
    [({"amx_bf16": True}, True), ({"avx512_bf16": True}, True), ({"avx512_f": True}, False), ({}, False)],
)
def test_a_processor_trains_in_half_where_it_has_instructions_for_it(
    can: dict[str, bool], half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can, raising=False)
    assert trains_in_half(torch.device("cpu")) is half
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # as in older versions of torch
    assert not trains_in_half(torch.device("cpu"))


@pytest.mark.parametrize(("cores", "processes"), [(None, 2), (1, 2), (6, 6), (96, 12)])
def test_a_process_for_each_core_but_not_too_many(
    cores: int | None, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device.os, "cpu_count", lambda: cores)
    assert device.at_once() == processes
