r"""What this machine offers: the answer to "will the lessons run here?"."""

from __future__ import annotations

import os
import platform
import shutil
import sys

from cardiolearn.errors import InputError
from cardiolearn.home import find_home

LEAST_DISK_GB = 1.0


def machine_lines() -> tuple[list[str], bool]:
    r"""One line each for Python, torch, device, disk, the kit's folder and its weights, and whether all is well."""
    import torch

    from cardiolearn.learning.device import pick_device

    device = pick_device("auto")
    lines = [
        f"python   {platform.python_version()} on {platform.system()} {platform.machine()}",
        f"torch    {torch.__version__}, {os.cpu_count()} CPU cores, {torch.get_num_threads()} threads",
        f"device   {device}{f' ({torch.cuda.get_device_name(device)})' if device.type == 'cuda' else ''}",
    ]
    ready = sys.version_info >= (3, 11)
    try:
        home = find_home()
    except InputError as error:
        return [*lines, f"kit      {error}"], False
    free = shutil.disk_usage(home).free / 1e9
    lines += [f"kit      {home}", f"disk     {free:.1f} GB free{'' if free >= LEAST_DISK_GB else ': too little'}"]
    weights, whole = _weights_line()
    return [*lines, weights], ready and whole and free >= LEAST_DISK_GB


def _weights_line() -> tuple[str, bool]:
    r"""Every file of `weights.toml` is read and compared with its checksum."""
    from cardiolearn.learning.weights import shipped_weights, weights_file

    bad = []
    try:
        names = list(shipped_weights())
    except InputError as error:
        return f"weights  {error}", False
    for name in names:
        try:
            weights_file(name)
        except InputError:
            bad.append(name)
    if bad:
        return f"weights  missing or altered: {', '.join(bad)}; fetch them again from the repository", False
    return f"weights  {len(names)} files whole: {', '.join(names) or 'none shipped'}", True
