r"""Where what was sampled once is kept, so that an interrupted call goes on and a second one finds it."""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import platformdirs
import torch
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.imaging.files import read_tensors, write_tensors
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.study import Study, open_study, write_study
from cardiolearn.imaging.unfinished import sweep, try_to_write
from cardiolearn.learning.device import at_once, in_processes
from cardiolearn.learning.progress import tqdm
from cardiolearn.phantom.body.disease import Cohort, Group

CACHE_VARIABLE = "CARDIOLEARN_CACHE"
_BLOCK = 25  # subjects to a file
_SAMPLERS = tuple(
    f"cardiolearn.phantom.cohorts.{name}"
    for name in (
        "ct_volumes", "mr_volumes", "poses", "rendering", "slice_maps", "studies", "ultrasound_volumes", "volume_maps",
        "volume_rendering", "volumes",
    )
)  # fmt: skip
_HEARTS = ("cardiolearn.phantom.", "cardiolearn.imaging.structures")  # where what hearts depend on is said

Make = Callable[[], Mapping[str, Tensor]]


def cache_folder() -> Path:
    r"""Where sampled hearts and unfinished trainings are kept: `CARDIOLEARN_CACHE`, else the user's cache folder.

    Its last part names the phantom's code, so that a changed phantom never meets hearts of the old one. What
    killed processes left half-written in it is removed.

    Raises:
        InputError: nothing can be written there; the message says how to choose another folder.
    """
    root = cache_root()
    folder = root / f"phantom-{phantom_version()}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        try_to_write(folder if folder.exists() else root)
    except OSError as error:
        why = error.strerror or error
        raise InputError(f"{root}: the cache cannot be written to ({why}); name a folder in {CACHE_VARIABLE}") from None
    sweep(folder)
    return folder


def cache_root() -> Path:
    r"""The folder of the cache, for all versions of the phantom; it may not be there yet."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else platformdirs.user_cache_path("cardiolearn")


@lru_cache(maxsize=1)
def phantom_version() -> str:
    r"""A short hash of what the phantom's modules that make hearts say.

    Comments, layout and docstrings do not count, nor what the files are called or in which order they import.
    """
    statements, todo, seen = list[str](), list(_SAMPLERS), {__name__, *_SAMPLERS}
    while todo:
        tree = ast.parse(_path(todo.pop()).read_text(encoding="utf-8"))
        for other in _imported(tree):
            if other not in seen:
                seen.add(other)
                todo.append(other)
        statements += _said(tree)
    return hashlib.sha256("\n".join(sorted(statements)).encode()).hexdigest()[:8]


def _path(module: str) -> Path:
    return Path(__file__).parents[3].joinpath(*module.split(".")).with_suffix(".py")


def _imported(tree: ast.Module) -> Iterator[str]:
    r"""The modules, of those that hearts depend on, that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = (str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names))
            yield from (name for name in names if name.startswith(_HEARTS) and _path(name).is_file())


def _said(tree: ast.Module) -> Iterator[str]:
    r"""Each statement of a module but imports and docstrings, as it is understood."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    yield from (_text(node) for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom))


def _text(part: object) -> str:
    r"""A part of a syntax tree in words that are the same in every Python: fields that are empty are left out, for
    newer versions have more of them."""
    if isinstance(part, list):
        return f"[{' '.join(map(_text, part))}]"
    if not isinstance(part, ast.AST):
        return repr(part)
    fields = (f"{name}={_text(value)}" for name, value in ast.iter_fields(part) if value not in (None, []))
    return f"{type(part).__name__}({' '.join(fields)})"


def kept(files: Mapping[Path, Make], jobs: int, title: str, unit: str) -> list[Mapping[str, Tensor]]:
    r"""The tensors of each file, in this order; `jobs` processes make those that are missing.

    `title` and `unit` are shown by the progress bar. What makes a file is sent to another process, so it must be
    importable there: a function of a module, or a partial of one.
    """
    missing = [partial(_make_file, path, make) for path, make in files.items() if not path.exists()]
    for _ in tqdm(in_processes(missing, jobs), total=len(missing), desc=title, unit=unit, disable=not missing):
        pass
    return [read_tensors(path)[0] for path in files]


def kept_in_blocks(
    make: Callable[[range, Cohort, int, Group | None], Mapping[str, Tensor]], n: int, folder: Path, *,
    cohort: Cohort, seed: int, group: Group | None, jobs: int | None, title: str,
) -> dict[str, Tensor]:  # fmt: skip
    r"""As `kept`, for subjects 0 to `n` - 1 in `folder`, 25 to a file: each tensor that `make` gives, of all of them.

    `jobs` processes share the work, by default one for each core.
    """
    name = f"{cohort}-{seed}" + (f"-{group}" if group else "")
    blocks = [range(i, min(i + _BLOCK, n)) for i in range(0, n, _BLOCK)]
    files = {
        folder / f"{name}-{b.start:05d}-{b.stop:05d}.safetensors": partial(make, b, cohort, seed, group) for b in blocks
    }
    parts = kept(files, jobs or at_once(), title, "file")
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def _make_file(path: Path, make: Make) -> None:
    if path.exists():  # another run was quicker
        return
    tensors = make()
    if not path.exists():
        write_tensors(path, tensors, {})


def keep_study(
    folder: Path, images: Mapping[str, Image], labels: Mapping[str, Image], info: Mapping[str, Any]
) -> Study:
    r"""As `write_study`; but where another run has meanwhile written the same subject, that study is kept.

    Raises:
        InputError: `folder` holds another study, or the disk refuses.
    """
    try:
        return write_study(folder, images, labels, info)
    except InputError:
        if not folder.is_dir() or _told(open_study(folder).info) != _told(info):
            raise
        return open_study(folder)


def _told(info: Mapping[str, Any]) -> dict[str, Any]:
    r"""What a subject was made with, and so what its arrays are; measured numbers may differ in their last digit."""
    return {key: value for key, value in info.items() if not isinstance(value, float) and key != "outlined"}
