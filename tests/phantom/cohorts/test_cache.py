r"""What is kept: files made once, a folder named after the phantom's code, trainings brought over."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from hearts import here, ringed_heart
from torch import Tensor

import cardiolearn
from cardiolearn.errors import InputError
from cardiolearn.imaging.unfinished import unfinished
from cardiolearn.phantom.cohorts import cache
from cardiolearn.phantom.cohorts.cache import (
    CACHE_VARIABLE,
    cache_folder,
    keep_study,
    kept,
    phantom_version,
)

SOURCES = Path(cardiolearn.__file__).parents[1]


# ---------------------------------------------------------------------- files
def numbered(asked: list[int], number: int) -> dict[str, Tensor]:
    asked.append(number)
    return {"x": torch.tensor([number])}


def test_missing_files_alone_are_made_and_all_are_read_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "in_processes", here)
    asked: list[int] = []
    files = {tmp_path / "new" / f"{i}.safetensors": partial(numbered, asked, i) for i in (3, 1, 2)}
    first, *others = files.items()
    assert [int(part["x"]) for part in kept(dict(others), 2, "making", "file")] == [1, 2]
    assert [int(part["x"]) for part in kept(files, 2, "making", "file")] == [3, 1, 2]
    assert asked == [1, 2, 3]
    assert [int(part["x"]) for part in kept(dict([first]), 2, "making", "file")] == [3] and asked == [1, 2, 3]


def test_a_file_whose_making_fails_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> dict[str, Tensor]:
        raise InputError("no heart")

    monkeypatch.setattr(cache, "in_processes", here)
    with pytest.raises(InputError, match="no heart"):
        kept({tmp_path / "0.safetensors": failing}, 1, "making", "file")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "0.safetensors"
    file.write_bytes(b"half a fi")
    with pytest.raises(InputError, match=str(file)):
        kept({file: partial(numbered, [], 0)}, 1, "making", "file")


def test_of_two_runs_the_quicker_ones_file_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    r"""A second run makes both files while the first makes one of them; its arrays cannot be told apart but by time."""
    monkeypatch.setattr(cache, "in_processes", here)
    paths, asked = [tmp_path / f"{i}.safetensors" for i in range(2)], list[int]()
    stamps: list[int] = []

    def slow() -> dict[str, Tensor]:
        kept({path: partial(numbered, asked, i) for i, path in enumerate(paths)}, 1, "making", "file")
        stamps.extend(path.stat().st_mtime_ns for path in paths)
        return numbered(asked, 0)

    found = kept({paths[0]: slow, paths[1]: partial(numbered, asked, 1)}, 1, "making", "file")
    assert [int(part["x"]) for part in found] == [0, 1] and asked == [0, 1, 0]
    assert [path.stat().st_mtime_ns for path in paths] == stamps


KILLED = """
import os, signal, sys, threading, time
from functools import partial
from pathlib import Path
from cardiolearn.phantom.cohorts.cache import kept

first, second, daemon = (Path(name) for name in sys.argv[1:])
MAKE = "{'x': __import__('torch').arange(9)}"

def leave_a_daemon():
    while not first.exists():
        time.sleep(0.01)
    if os.fork() == 0:  # it keeps all pipes open that this process has
        daemon.with_name("unfinished").write_text(str(os.getpid()))
        daemon.with_name("unfinished").rename(daemon)
        signal.pause()

if __name__ == "__main__":
    threading.Thread(target=leave_a_daemon, daemon=True).start()
    kept({first: partial(eval, MAKE), second: partial(eval, f"__import__('time').sleep(600) or {MAKE}")}, 2, "", "")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_nothing_outlives_a_killed_run_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "killed.py").write_text(KILLED)
    files, daemon = [tmp_path / f"{name}.safetensors" for name in "ab"], tmp_path / "daemon"
    with subprocess.Popen([sys.executable, tmp_path / "killed.py", *files, daemon], stderr=subprocess.DEVNULL) as child:
        while not daemon.exists():
            assert child.poll() is None
            time.sleep(0.01)
        forked = psutil.Process(int(daemon.read_text()))
        below = psutil.Process(child.pid).children(recursive=True)
        begun = [p for p in below if re.search(r"multiprocessing\.(spawn|forkserver)", str(p.cmdline()))]
        workers = [p for p in begun if not p.children()]  # not the one that they are forked from
        assert len(workers) == 2
        child.kill()
    try:
        assert psutil.wait_procs(workers, timeout=60)[1] == []
    finally:
        forked.kill()
    assert not files[1].exists()
    stamp = files[0].stat().st_mtime_ns
    monkeypatch.setattr(cache, "in_processes", here)
    again = kept({path: partial(numbered, [], 1) for path in files}, 1, "making", "file")
    assert again[0]["x"].tolist() == list(range(9)) and again[1]["x"].tolist() == [1]
    assert files[0].stat().st_mtime_ns == stamp


# ---------------------------------------------------------------------- studies
FACTS = {"subject": "s", "seed": 3, "views": ["sa"], "phantom": True, "lv_edv_ml": 120.00000000000001}


def test_the_study_that_another_run_wrote_is_kept(tmp_path: Path) -> None:
    image, labels = ringed_heart()
    keep_study(tmp_path / "s", {"sa_ED": image}, {"sa_ED": labels}, FACTS)
    stamp = (tmp_path / "s" / "sa_ED.nii.gz").stat().st_mtime_ns
    again = keep_study(tmp_path / "s", {"sa_ED": image}, {"sa_ED": labels}, FACTS | {"lv_edv_ml": 120.0})
    assert again.folder == tmp_path / "s" and again.info == FACTS | {"outlined": ["lv", "myocardium", "rv"]}
    assert (tmp_path / "s" / "sa_ED.nii.gz").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("other", [{"seed": 4}, {"views": ["sa", "la_2ch"]}, {"frames": 12}])
def test_a_study_of_another_kind_is_not_taken_for_it(tmp_path: Path, other: dict[str, Any]) -> None:
    image, labels = ringed_heart()
    keep_study(tmp_path / "s", {"sa_ED": image}, {"sa_ED": labels}, FACTS | other)
    with pytest.raises(InputError, match="s: expected a new folder, it exists already"):
        keep_study(tmp_path / "s", {"sa_ED": image}, {"sa_ED": labels}, FACTS)
    with pytest.raises(InputError, match="got 'axial_ED'"):
        keep_study(tmp_path / "t", {"axial_ED": image}, {}, FACTS)


def test_the_last_moment_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    r"""The other run ends while this one writes its images."""
    image, labels = ringed_heart()
    replace = os.replace

    def late(source: Path, target: Path) -> None:
        if Path(target).name == "s":
            monkeypatch.setattr(os, "replace", replace)
            keep_study(tmp_path / "s", {"sa_ES": image}, {}, FACTS)
        replace(source, target)

    monkeypatch.setattr(os, "replace", late)
    assert keep_study(tmp_path / "s", {"sa_ED": image}, {"sa_ED": labels}, FACTS).has(phase="ES")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


# ---------------------------------------------------------------------- the folder
def test_the_folder_is_named_after_the_code_and_lies_where_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert cache_folder() == tmp_path / f"phantom-{phantom_version()}"
    assert list(tmp_path.iterdir()) == []  # asking makes nothing
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setattr(cache.platformdirs, "user_cache_path", lambda name: tmp_path / "user" / name)
    assert cache_folder() == tmp_path / "user" / "cardiolearn" / f"phantom-{phantom_version()}"


def test_a_cache_that_cannot_be_written_to_names_what_moves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file.cache: the cache cannot be written to \(.+\); .* CARDIOLEARN_CACHE"):
        cache_folder()

    def full(folder: Path) -> None:
        assert folder == tmp_path / f"phantom-{phantom_version()}"  # it is there, and so it counts
        raise OSError(30, "Read-only file system")

    (tmp_path / f"phantom-{phantom_version()}").mkdir()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(cache, "try_to_write", full)
    with pytest.raises(InputError) as caught:
        cache_folder()
    assert str(caught.value) == (
        f"{tmp_path}: the cache cannot be written to (Read-only file system); name a folder in CARDIOLEARN_CACHE"
    )


def test_what_killed_runs_left_is_swept_when_the_folder_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    lesson = cache_folder() / "01_ml_in_mia"
    lesson.mkdir(parents=True)
    with unfinished(lesson / "a.safetensors") as mine:
        (dead := mine.with_name(re.sub(r"-\d+-", "-1-", mine.name, count=1))).touch()  # of process 1, begun at our time
        mine.touch()
        cache_folder()
        assert list(lesson.iterdir()) == [mine] and not dead.exists()


# ---------------------------------------------------------------------- the version
@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    r"""No version is remembered from one test to the next."""
    yield
    phantom_version.cache_clear()


@pytest.fixture
def other_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    r"""A copy of the library whose version is asked for in place of our own."""
    root = tmp_path / "src"
    shutil.copytree(SOURCES / "cardiolearn", root / "cardiolearn", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cache, "__file__", str(root / "cardiolearn" / "phantom" / "cohorts" / "cache.py"))
    return root


def version() -> str:
    phantom_version.cache_clear()
    return phantom_version()


def imported_by(modules: list[str]) -> set[str]:
    r"""What Python itself imports with `modules`, of the phantom; without packages."""
    code = (
        f"import sys, {', '.join(modules)}; print(*(n for n, m in sys.modules.items() if not hasattr(m, '__path__')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return {name for name in found if name.startswith("cardiolearn.phantom.")}


@pytest.mark.slow
def test_every_module_that_makes_hearts_counts(other_sources: Path) -> None:
    r"""Whatever of the phantom Python imports with what samples hearts: a statement more is another phantom."""
    names = (
        "ct_volumes", "mr_volumes", "poses", "rendering", "slice_maps", "studies", "ultrasound_volumes", "volume_maps",
        "volume_rendering", "volumes",
    )  # fmt: skip
    samplers = [f"cardiolearn.phantom.cohorts.{name}" for name in names]
    chain = imported_by(samplers) - {cache.__name__}
    assert {"cardiolearn.phantom.body.noise", "cardiolearn.phantom.scanners.exposure", *samplers} < chain
    files = {name: (other_sources / name.replace(".", "/")).with_suffix(".py") for name in chain}
    files["cardiolearn.imaging.structures"] = other_sources / "cardiolearn" / "imaging" / "structures.py"
    for file in files.values():  # their imports alone: quicker to parse
        nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        file.write_text("\n".join(ast.unparse(node) for node in nodes if isinstance(node, ast.ImportFrom)))
    before, versions = version(), set()
    for name, file in files.items():
        text = file.read_text(encoding="utf-8")
        file.write_text(text + "\n_ANOTHER = 1\n", encoding="utf-8")
        versions.add(version())
        assert version() != before, name
        file.write_text(text, encoding="utf-8")
    assert version() == before
    assert len(versions) == 1  # a statement counts wherever it stands: files may be cut anew


def test_what_makes_no_hearts_does_not_count(other_sources: Path) -> None:
    before = version()
    for name in ("phantom/scanners/artefacts", "phantom/cohorts/stacks", "methods/segmentation/fcn", "imaging/image"):
        with (other_sources / "cardiolearn" / f"{name}.py").open("a", encoding="utf-8") as file:
            file.write("\n_ANOTHER = 1\n")
    (other_sources / "cardiolearn" / "phantom" / "body" / "unused.py").write_text("x = 1\n")
    assert version() == before


def test_comments_docstrings_layout_and_the_order_of_imports_do_not_count(other_sources: Path) -> None:
    before = version()
    file = other_sources / "cardiolearn" / "phantom" / "body" / "scene.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Expr(ast.Constant("Said otherwise."))
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    others = [node for node in tree.body[1:] if node not in imports]
    future, *rest = imports
    tree.body = [tree.body[0], future, *reversed(rest), *others]
    file.write_text("# A remark.\n" + ast.unparse(tree) + "  # another one\n", encoding="utf-8")  # unparse: own layout
    assert version() == before
    file.write_text(file.read_text(encoding="utf-8").replace("-0.62", "-0.63"), encoding="utf-8")
    assert version() != before


def test_a_module_counts_that_is_reached_by_detours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    r"""studies -> scanners.one -> body (a package's name alone) -> body.two -> imaging.structures."""
    root = tmp_path / "cardiolearn" / "phantom"
    files = {
        "cohorts/rendering.py": "", "cohorts/slice_maps.py": "", "cohorts/volumes.py": "",
        "cohorts/ultrasound_volumes.py": "", "cohorts/volume_maps.py": "", "cohorts/volume_rendering.py": "",
        "cohorts/ct_volumes.py": "", "cohorts/mr_volumes.py": "", "cohorts/poses.py": "",
        "cohorts/studies.py": "from cardiolearn.phantom.scanners.one import a\n",
        "scanners/one.py": "from cardiolearn.phantom.body import two\n\na = two.b\n",
        "body/two.py": "def f():\n    from cardiolearn.imaging.structures import c\n\n    return c\n\nb = f()\n",
        "body/three.py": "d = 1\n", "../imaging/structures.py": "c = 1\n",
    }  # fmt: skip
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(cache, "__file__", str(root / "cohorts" / "cache.py"))
    before = version()
    for name in ("cohorts/studies.py", "scanners/one.py", "body/two.py", "../imaging/structures.py"):
        (root / name).write_text(files[name] + "e = 2\n")
        assert version() != before, name
        (root / name).write_text(files[name])
    (root / "body/three.py").write_text("d = 2\n")
    assert version() == before


def test_a_newer_python_reads_the_same_in_a_statement() -> None:
    r"""Newer versions know more fields (`type_params` since 3.12) and leave empty ones out (3.13): neither counts."""
    statement = ast.parse("def f(a: int) -> int:\n    return a + 1\n").body[0]
    before = cache._text(statement)
    statement._fields = (*statement._fields, "type_params_too")
    statement.type_params_too = []  # type: ignore[attr-defined]
    assert cache._text(statement) == before
    statement.type_params_too = [ast.Constant(2)]  # type: ignore[attr-defined]
    assert cache._text(statement) != before
    assert cache._text(ast.parse("a - 1")) != cache._text(ast.parse("a + 1")) != cache._text(ast.parse("a + 2"))
