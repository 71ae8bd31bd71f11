r"""Things drawn once and kept: a file each, by several processes, so that an interrupted drawing goes on."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from cardiolearn.tensors import read_tensors, write_tensors

Draw = Callable[[], dict[str, Tensor]]


def _draw_file(path: Path, draw: Draw) -> None:
    torch.set_num_threads(1)
    write_tensors(path, draw(), {})


def keep_drawn(files: Mapping[Path, Draw], jobs: int, title: str, unit: str) -> list[dict[str, Tensor]]:
    r"""The tensors of each file, in this order; `jobs` processes draw those that are missing.

    `title` and `unit` are shown by the progress bar. What draws is sent to another process, so it must be importable
    there: a function of a module, or a partial of one.
    """
    missing = {path: draw for path, draw in files.items() if not path.exists()}
    if missing:
        with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
            work = [pool.submit(_draw_file, path, draw) for path, draw in missing.items()]
            for done in tqdm(as_completed(work), total=len(work), desc=title, unit=unit):
                done.result()
    return [read_tensors(path)[0] for path in files]
