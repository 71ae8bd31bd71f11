r"""Where the kit's own files are: `notebooks/`, `course/weights/`, `course/results/`, `course/real_patient/`, ...

A notebook may run in its own folder, in a learner's copy, or under papermill from anywhere; the library may be
installed in place or copied. So the folder is looked up once, the same way for everybody.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from functools import lru_cache
from pathlib import Path

from cardiolearn.errors import InputError

VARIABLE = "CARDIOLEARN_HOME"
WEIGHTS_VARIABLE = "CARDIOLEARN_WEIGHTS"


def find_home(here: Path | None = None) -> Path:
    r"""Folder that holds `course/claims.toml`: `CARDIOLEARN_HOME`, else upward from here, else upward from the library.

    Args:
        here: where to look upward from; default the working directory.

    Raises:
        InputError: `CARDIOLEARN_HOME` names a folder without `course/claims.toml`, or no such folder is found.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if not _is_home(Path(named)):
            raise InputError(f"{VARIABLE}={named}: expected the kit's folder, found no course/claims.toml in it")
        return Path(named).resolve()
    for start in (here or Path.cwd(), Path(__file__).parent):
        for folder in (start.resolve(), *start.resolve().parents):
            if _is_home(folder):
                return folder
    raise InputError(
        f"{Path.cwd()}: no folder with course/claims.toml here or above; set {VARIABLE} to the kit's folder"
    )


def _is_home(folder: Path) -> bool:
    return (folder / "course" / "claims.toml").is_file()


def weights_dir() -> Path:
    r"""Folder of the trained weights: the one a lesson was started with (`weights=PATH`), else `course/weights`."""
    chosen = os.environ.get(WEIGHTS_VARIABLE)
    return Path(chosen) if chosen else find_home() / "course" / "weights"


def results_dir() -> Path:
    r"""Folder of the recorded runs and their tables, `course/results`."""
    return find_home() / "course" / "results"


def real_patient_dir() -> Path:
    r"""Folder of the one real patient that comes with the kit, `course/real_patient`: a folder of studies."""
    return find_home() / "course" / "real_patient"


@lru_cache(maxsize=1)
def commit() -> str:
    r"""The commit of the kit's folder, with "-dirty" where library or lessons differ from it; "unknown" without git."""
    git = ["git", "-C", str(find_home())]
    try:
        known = subprocess.run(
            [*git, "describe", "--always", "--abbrev=12", "--exclude=*"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", "src", "notebooks"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return known.stdout.strip() + ("-dirty" if changed.stdout.strip() else "")


@lru_cache(maxsize=1)
def code_version() -> str:
    r"""A short hash of the library's code: what was computed with other code is not taken for this one's."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def weights_version() -> str:
    r"""A short hash of what is known of the trained weights, their checksums with it; "none" where there are none."""
    listed = weights_dir() / "weights.toml"
    return hashlib.sha256(listed.read_bytes()).hexdigest()[:8] if listed.is_file() else "none"
