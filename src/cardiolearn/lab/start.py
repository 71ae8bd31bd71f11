r"""The beginning of a lesson: its five parameters are checked, and it says where and how it will run."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from cardiolearn.errors import InputError
from cardiolearn.home import WEIGHTS_VARIABLE, find_home
from cardiolearn.lab.recorded import PROFILES, expected_minutes
from cardiolearn.lab.records import START_MIME, show
from cardiolearn.lab.run import Run


def start(
    lesson: str, *, profile: str, seed: int, device: str, data_dir: str | Path | None, weights: str | Path
) -> Run:
    r"""Check the five parameters of a lesson and say how it will run.

    Raises:
        InputError: An unknown profile, a seed that is no whole number from 0, a device this machine does not have, a
            `data_dir` without studies or with phantom and real ones, or a `weights` folder without `weights.toml`.
    """
    from cardiolearn.figures.style import use_style
    from cardiolearn.learning.device import pick_device
    from cardiolearn.phantom.cohorts.cache import cache_folder

    if profile not in PROFILES:
        raise InputError(f"profile={profile!r}: expected one of {', '.join(PROFILES)}")
    if type(seed) is not int or seed < 0:
        raise InputError(f"seed={seed!r}: expected a whole number from 0")
    folder = None if data_dir is None else Path(data_dir).expanduser().resolve()
    chosen = _choose_weights(str(weights))
    find_home()
    data = "phantom" if folder is None else _kind_of_data(folder)
    kept = cache_folder() / lesson
    run = Run(lesson, profile, seed, pick_device(device), folder, str(weights), kept, data)
    object.__setattr__(run, "started", True)
    use_style()
    facts = {"lesson": lesson, "profile": profile, "seed": seed, "device": device, "data": run.data}
    facts |= {"folder": str(Path.cwd()), "data_dir": folder and str(folder), "weights": chosen}
    show(_introduction(run), {START_MIME: facts})
    return run


def _kind_of_data(folder: Path) -> str:
    r"""Studies that the phantom wrote say so in their `info.toml` (`phantom = true`); all others are real."""
    from cardiolearn.imaging.study import find_studies

    kinds = {"phantom" if study.info.get("phantom") else "real" for study in find_studies(folder)}
    if len(kinds) > 1:
        raise InputError(f"{folder}: holds phantom and real studies; a lesson measures one or the other")
    return kinds.pop()


def _choose_weights(weights: str) -> str:
    r"""Let every `load_weights` of this kernel read from the chosen folder; returns "shipped", or its absolute path."""
    if weights == "shipped":
        os.environ.pop(WEIGHTS_VARIABLE, None)
        return weights
    folder = Path(weights).expanduser().resolve()
    if not (folder / "weights.toml").is_file():
        raise InputError(f"weights={weights!r}: expected 'shipped' or a folder with a weights.toml, found none")
    os.environ[WEIGHTS_VARIABLE] = str(folder)
    return str(folder)


def _introduction(run: Run) -> str:
    import numpy
    import torch

    import cardiolearn
    from cardiolearn.learning.device import training_precision

    precision = training_precision(run.device)
    minutes, origin = expected_minutes(run.lesson, run.profile)
    name = torch.cuda.get_device_name(run.device) if run.device.type == "cuda" else f"{torch.get_num_threads()} threads"
    data = "built-in phantom hearts" if run.data_dir is None else f"scans in {run.data_dir}"
    return "\n".join(
        [
            f"lesson   {run.lesson}, profile {run.profile}, seed {run.seed}",
            f"device   {run.device} ({name}), trains in {precision}",
            f"data     {data}; weights {run.weights}",
            f"versions cardiolearn {cardiolearn.__version__}, Python {platform.python_version()}, "
            f"torch {torch.__version__}, numpy {numpy.__version__}",
            f"expect   about {max(minutes, 0.1):.1f} minutes ({origin})",
        ]
    )
