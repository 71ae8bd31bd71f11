r"""What a computation runs on: the device, its memory, and processes beside this one."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

import torch
from torch import nn

from cardiolearn.errors import InputError
from cardiolearn.learning import workers

Result = TypeVar("Result")


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


def trains_in_half(device: torch.device) -> bool:
    r"""Whether a training on `device` computes its network in bfloat16: where convolutions are faster for it.

    They are on graphics cards that know it, and on CPUs with instructions for it: with matrix tiles (AMX) the FCN
    learns from a slice in about 0.7 times, a super-resolution network in half of the time that float32 takes; with
    those of AVX-512 (Zen 4) the FCN in 0.6 times.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    ask: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)  # older torch has none
    return device.type == "cpu" and any(ask().get(name, False) for name in ("amx_bf16", "avx512_bf16"))


def training_precision(device: torch.device) -> str:
    r"""How finely a training computes on `device`: `"float32"` or `"bfloat16"`."""
    return "bfloat16" if trains_in_half(device) else "float32"


def training_words(device: torch.device) -> str:
    r"""Where and how finely a training computes, for records: `"cpu, float32"` or `"cuda, bfloat16"`."""
    return f"{device.type}, {training_precision(device)}"


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


def place(network: nn.Module, device: torch.device) -> None:
    r"""Move to `device`, in place, with the channels innermost: on the CPU 1.5 to 2.6 times faster."""
    solid = any(isinstance(module, nn.Conv3d) for module in network.modules())
    flat = any(isinstance(module, nn.Conv2d) for module in network.modules())
    order = torch.channels_last_3d if solid else torch.channels_last if flat else torch.preserve_format
    network.to(device, memory_format=order)  # type: ignore[call-overload]


def at_once() -> int:
    r"""How many processes work side by side: one for each core, 2 to 12 (each loads torch, some 0.4 GB)."""
    return min(max(os.cpu_count() or 2, 2), 12)


def in_processes(tasks: Sequence[Callable[[], Result]], jobs: int) -> Iterator[tuple[int, Result]]:
    r"""The number and the result of each of `tasks` as it ends, `jobs` at a time, each in a process with one thread.

    Small computations do more that way than one after the other on all cores. A task is sent to another process, so it
    must be importable there: a function of a module, or a partial of one. After a failure nothing that waits is begun,
    but for what was handed to a process already. When this process is killed, those end too.
    """
    if not tasks:
        return
    pool = ProcessPoolExecutor(jobs, workers.context(), workers.begin)
    try:
        work = {pool.submit(task): number for number, task in enumerate(tasks)}
        for done in as_completed(work):
            yield work.pop(done), done.result()
    finally:
        pool.shutdown(cancel_futures=True)  # once only: leaving a `with` would shut down again and take it back
