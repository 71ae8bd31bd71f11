r"""The house stands: imports run downwards and never in a circle, rooms stay small, the front door opens at once."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "cardiolearn"
FILES = sorted(PACKAGE.rglob("*.py"))
#: From the ground up; what stands on one floor does not know each other.
FLOORS = (
    "errors", "home", "imaging", "measures learning", "phantom figures", "methods lab", "checks harness", "cli",
)  # fmt: skip
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}
#: Floors within packages; the lecture's methods are siblings.
INNER = {"phantom": ("body", "scanners", "cohorts")}
SIBLINGS = "methods"


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def module(path: Path) -> tuple[str, ...]:
    r"""The parts of a file's dotted name below cardiolearn; those of the folder for an `__init__`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    r"""Modules and packages of cardiolearn that a file imports anywhere in it, as parts of their dotted names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names if alias.name != "__version__"]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            first, *parts = name.split(".")
            while first == "cardiolearn" and parts:
                if (PACKAGE.joinpath(*parts).with_suffix(".py")).is_file() or PACKAGE.joinpath(*parts).is_dir():
                    yield tuple(parts)
                    break
                parts.pop()  # a name that the module defines


def upward(path: Path) -> list[str]:
    r"""Imports of a file that do not run downwards."""
    here = module(path)
    return [f"{name_of(path)} imports {'.'.join(there)}" for there in imports(path) if not runs_down(here, there)]


def runs_down(here: tuple[str, ...], there: tuple[str, ...]) -> bool:
    if here[0] != there[0]:
        return FLOOR[there[0]] < FLOOR[here[0]]
    if len(here) < 2 or len(there) < 2 or here[1] == there[1]:
        return True
    if here[0] == SIBLINGS:
        return False
    inner = INNER.get(here[0], ())
    return here[1] not in inner or inner.index(there[1]) < inner.index(here[1])


def circle(files: list[Path]) -> list[str]:
    r"""Modules that import each other in a circle, wherever in them the imports stand; empty where there is none."""
    arrows: dict[str, set[str]] = {}
    for path in files:
        here = ".".join(module(path))
        arrows[here] = {".".join(there) for there in imports(path)} - {here}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("path", [p for p in FILES if module(p)], ids=name_of)
def test_imports_run_downwards_only(path: Path) -> None:
    assert module(path)[0] in FLOOR, f"{module(path)[0]} has no floor yet"
    assert upward(path) == []


def test_nothing_imports_in_a_circle() -> None:
    assert circle(FILES) == []


def test_the_ground_floor_has_a_dozen_rooms() -> None:
    rooms = {module(path)[0] for path in FILES if module(path)}
    assert rooms == set(FLOOR)
    assert len(rooms) <= 12


def test_an_import_that_breaks_the_order_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    cases = {
        "measures/metrics.py": ("from cardiolearn.learning import training", 1),  # across a floor
        "learning/training.py": ("from cardiolearn.methods.segmentation.fcn import FCN", 1),  # upward
        "methods/segmentation/fcn.py": ("def f():\n    from cardiolearn.methods.registration.ffd import register", 1),
        "methods/registration/ffd.py": ("from cardiolearn.learning.training import train", 0),
        "figures/slices.py": ("import cardiolearn.lab.run", 1),
        "lab/run.py": ("from cardiolearn.methods.segmentation.fcn import FCN", 1),  # lab knows no network
        "phantom/body/heart.py": ("from cardiolearn.phantom.scanners import mri", 1),
        "phantom/scanners/mri.py": ("from cardiolearn.phantom.body.heart import Heart", 0),
        "imaging/image.py": ("def f():\n    from cardiolearn.imaging.dicom import read", 0),
        "imaging/dicom.py": ("from cardiolearn.imaging.image import Image", 0),
    }
    for name, (source, _) in cases.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    files = [tmp_path / name for name in cases]
    assert [len(upward(path)) for path in files] == [count for _, count in cases.values()]
    assert {"imaging.image", "imaging.dicom"} <= set(
        circle([tmp_path / "imaging/image.py", tmp_path / "imaging/dicom.py"])
    )
    assert circle([tmp_path / "phantom/body/heart.py", tmp_path / "imaging/image.py"]) == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_holds_one_idea(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_functions_stay_short_and_take_few_parameters(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            a = node.args
            commands = path.name == "cli.py"  # typer's options are parameters
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
            assert commands or len(a.posonlyargs + a.args + a.kwonlyargs) <= 8, f"{node.name}: wants a dataclass"


def test_no_two_classes_share_a_name() -> None:
    names = [
        n.name for p in FILES for n in ast.parse(p.read_text(encoding="utf-8")).body if isinstance(n, ast.ClassDef)
    ]
    assert sorted(set(names)) == sorted(names)


def test_importing_the_package_costs_nothing() -> None:
    r"""Nothing beyond the standard library is loaded, which makes the import fast on every machine."""
    code = "import sys; before = set(sys.modules); import cardiolearn\n"
    code += "new = {n.split('.')[0] for n in set(sys.modules) - before} - sys.stdlib_module_names - {'cardiolearn'}\n"
    code += "assert not new, new"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
