r"""What is kept: files made once, a folder named after the phantom's code, trainings brought over."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from hearts import here
from torch import Tensor

import cardiolearn
from cardiolearn.errors import InputError
from cardiolearn.phantom.cohorts import cache
from cardiolearn.phantom.cohorts.cache import CACHE_VARIABLE, PREDECESSOR, cache_folder, kept, phantom_version

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


@pytest.fixture
def old_house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    r"""Trainings and hearts as the predecessor left them."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    folder = tmp_path / f"phantom-{PREDECESSOR}"
    for name in (
        "01_ml_in_mia/fcn.safetensors", "01_ml_in_mia/data.csv", "01_ml_in_mia/data.settings.json",
        "02_super_resolution/siamese.safetensors", "01_ml_in_mia/slices/train-0-00000-00025.safetensors",
        "02_super_resolution/volumes/train-0-00000.safetensors", "test/test-00000/sa_ED.nii.gz", "stray.safetensors",
    ):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_finished_trainings_of_the_predecessor_are_brought_over_and_its_hearts_are_not(old_house: Path) -> None:
    folder = cache_folder()
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {
        "01_ml_in_mia/fcn.safetensors", "01_ml_in_mia/data.csv", "01_ml_in_mia/data.settings.json",
        "02_super_resolution/siamese.safetensors",
    }  # fmt: skip
    assert all((folder / name).read_text() == name for name in found)
    assert (old_house / "01_ml_in_mia" / "fcn.safetensors").is_file()  # copied, not moved


def test_nothing_is_brought_over_where_the_new_folder_is_there(old_house: Path) -> None:
    folder = old_house.parent / f"phantom-{phantom_version()}"
    folder.mkdir()
    assert cache_folder() == folder and list(folder.iterdir()) == []
    shutil.rmtree(old_house)
    folder.rmdir()
    assert cache_folder() == folder and not folder.exists()


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
    samplers = [f"cardiolearn.phantom.cohorts.{name}" for name in ("rendering", "slice_maps", "studies", "volumes")]
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
