r"""What this machine offers: the answer to "will the lessons run here?"."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from cardiolearn import methods
from cardiolearn.errors import InputError
from cardiolearn.home import find_home, results_dir
from cardiolearn.imaging.files import silenced
from cardiolearn.imaging.unfinished import try_to_write

if TYPE_CHECKING:
    from torch import nn

#: Free where hearts are kept: the three lessons in `classroom` leave 103 MB there, all six will leave some 220 MB.
LEAST_CACHE_GB = 0.3


@dataclass(frozen=True)
class Finding:
    r"""One thing that lessons need, what was found of it, and whether they run with that."""

    name: str
    text: str
    good: bool = True


def machine_lines() -> tuple[list[str], bool]:
    r"""A line for each thing that lessons need and one for the answer, and whether that is yes."""
    found = list(_findings())
    ready = all(finding.good for finding in found)
    lines = [f"{finding.name:8} {finding.text}" for finding in found]
    return [*lines, "ready" if ready else "not ready: see above"], ready


def _findings() -> Iterator[Finding]:
    yield from _software()
    yield _cache()
    try:
        home = find_home()
    except InputError as error:
        yield Finding("kit", str(error), False)
        return
    yield Finding("kit", str(home))
    yield _course(home)
    yield _weights()
    yield _runs(home / "runs")
    yield _kernel()
    yield _connections()
    yield _figures()


def _software() -> Iterator[Finding]:
    import torch

    system = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("python", system, sys.version_info >= (3, 11))
    yield Finding("torch", f"{torch.__version__}, {os.cpu_count()} CPU cores, {torch.get_num_threads()} threads")
    yield _device()


def _device() -> Finding:
    r"""A few pictures are made and learnt from."""
    import torch

    from cardiolearn.harness.speed import measure_speed
    from cardiolearn.learning.device import pick_device, training_precision

    device = pick_device("auto")
    name = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
    speed, precision = measure_speed(device), training_precision(device)
    rates = f"renders {speed.rendering:.0f} slices of 128x128 a second, renders and learns from {speed.training:.0f}"
    return Finding("device", f"{device}{name}: {rates} in {precision}")


def _cache() -> Finding:
    r"""A file is written to the cache, and its disk is asked how much more it takes."""
    from cardiolearn.phantom.cohorts.cache import CACHE_VARIABLE, cache_folder

    try:
        folder = cache_folder()
    except InputError as error:
        return Finding("cache", str(error), False)
    free = shutil.disk_usage(_nearest(folder)).free / 1e9
    text = f"{folder}, {free:.1f} GB free"
    if free < LEAST_CACHE_GB:
        return Finding("cache", f"{text}: expected {LEAST_CACHE_GB} GB; name another disk in {CACHE_VARIABLE}", False)
    return Finding("cache", text)


def _course(home: Path) -> Finding:
    r"""The ledger, the recorded runs and the tables of long experiments are read."""
    from cardiolearn.lab.ledger import load_claims
    from cardiolearn.lab.recorded import PROFILES, recorded_run
    from cardiolearn.learning.experiment import read_table

    try:
        claims = load_claims(home / "course" / "claims.toml")
        runs = [name for name in PROFILES if recorded_run(name) is not None]
        tables = [read_table(path) for path in sorted(results_dir().glob("*.csv"))]
        for path in sorted(results_dir().glob("*.json")):
            _read_json(path)
    except InputError as error:
        return Finding("course", f"{error}; fetch it again from the repository", False)
    return Finding("course", f"{len(claims)} claims, {len(tables)} tables, recorded runs: {', '.join(runs) or 'none'}")


def _read_json(path: Path) -> None:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected JSON, found {error}") from None


def _weights() -> Finding:
    r"""Every file of `weights.toml` is compared with its checksum and put into the network it is for."""
    from cardiolearn.learning.weights import load_weights, shipped_weights, weights_file

    networks = _networks()
    try:
        names = sorted({*shipped_weights(), *networks})
        for name in names:
            if name in networks:
                load_weights(networks[name](), name)
            else:
                weights_file(name)
    except InputError as error:
        return Finding("weights", str(error), False)
    return Finding("weights", f"{len(names)} files whole: {', '.join(names)}")


def _networks() -> dict[str, Callable[[], nn.Module]]:
    r"""What the lessons load, by the name of the weights: `SHIPPED` of `shipped`, where a method has that file."""
    found: dict[str, Callable[[], nn.Module]] = {}
    for method in iter_modules(methods.__path__, f"{methods.__name__}."):
        if find_spec(f"{method.name}.shipped"):
            found |= import_module(f"{method.name}.shipped").SHIPPED
    return found


def _runs(folder: Path) -> Finding:
    r"""A lesson in JupyterLab writes no run, so another folder will do."""
    try:
        try_to_write(_nearest(folder))
    except OSError as error:
        return Finding(
            "runs", f"{folder}: cannot be written to ({error.strerror}); 'cardiolearn run' needs --out FOLDER"
        )
    return Finding("runs", str(folder))


def _kernel() -> Finding:
    r"""Lessons run in the kernel `python3`, which may be another environment's."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return Finding("kernel", "there is no Jupyter kernel python3; install it with: pip install ipykernel", False)
    command = str(spec.argv[0]) if spec.argv else ""
    ours = {"python", f"python{sys.version_info[0]}", f"python{sys.version_info[0]}.{sys.version_info[1]}"}
    if command in ours or _bin(command) == _bin(sys.executable):  # Jupyter takes a bare name for its own Python
        return Finding("kernel", f"python3 is {sys.executable}")
    where = f"python3 in {spec.resource_dir} runs {command}, not {sys.executable}"
    return Finding("kernel", f"{where}; make it anew: python -m ipykernel install --sys-prefix", False)


def _bin(command: str) -> Path:
    r"""The folder of a program; the program itself is often a link to a Python that environments share."""
    return Path(shutil.which(command) or command).parent.resolve()


def _connections() -> Finding:
    r"""Jupyter writes a file for each kernel that it starts."""
    from jupyter_core.paths import jupyter_runtime_dir

    folder = Path(jupyter_runtime_dir())
    try:
        try_to_write(_nearest(folder))
    except OSError as error:
        text = f"{folder}: cannot be written to ({error.strerror}); name a folder in JUPYTER_RUNTIME_DIR"
        return Finding("jupyter", text, False)
    return Finding("jupyter", str(folder))


def _figures() -> Finding:
    r"""matplotlib keeps what it knows of fonts; where it cannot, it takes a folder for the time being."""
    try:
        with silenced("matplotlib"):
            import matplotlib

            folder = Path(matplotlib.get_configdir())
    except OSError as error:
        return Finding("figures", " ".join(str(error).split()), False)
    if folder.parent == Path(tempfile.gettempdir()) and folder.name.startswith("matplotlib-"):
        return Finding("figures", f"{folder}, until the end of each lesson; to keep it, name a folder in MPLCONFIGDIR")
    return Finding("figures", str(folder))


def _nearest(folder: Path) -> Path:
    r"""The folder itself, or the first one above it that is there."""
    return next(place for place in (folder, *folder.parents) if place.exists())
