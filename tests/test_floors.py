r"""The house stands: imports run downwards only, rooms stay small, and the front door opens at once."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "cardiolearn"
FILES = sorted(PACKAGE.rglob("*.py"))
FLOORS = {
    0: "errors files tensors home records ledger image slices nifti dicom study metrics surfaces statistics evaluation",
    1: "phantom",
    2: "networks forests registration quality rules checkpoint weights training",
    3: "plots charts widgets claims experiment segmentation scans tables trainings trials live "
    "thin_slices restoration restored tracking pictures",
    4: "lab checks",
    5: "harness",
    6: "cli",
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms.split()}
SIBLINGS = {"networks", "forests", "registration", "quality"}  # the lecture's methods: none imports another


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room(path: Path) -> str:
    r"""The file or folder of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    r"""Dotted names, below cardiolearn, of what a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "cardiolearn":
                yield from (alias.name for alias in node.names if alias.name != "__version__")
            elif node.module and node.module.startswith("cardiolearn."):
                yield node.module.removeprefix("cardiolearn.")
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix("cardiolearn.") for a in node.names if a.name.startswith("cardiolearn."))


def upward(path: Path) -> list[str]:
    r"""Imports of a file that do not run downwards."""
    here = room(path)
    found = []
    for name in imports(path):
        there = name.split(".")[0]
        crossing = here in SIBLINGS and there in SIBLINGS and here != there
        if there not in FLOOR or FLOOR[there] > FLOOR[here] or crossing:
            found.append(f"{path.relative_to(PACKAGE)} imports {name}")
    return found


@pytest.mark.parametrize("path", [p for p in FILES if p.name != "__init__.py" or p.parent != PACKAGE], ids=name_of)
def test_imports_run_downwards_only(path: Path) -> None:
    assert room(path) in FLOOR, f"{room(path)} has no floor yet"
    assert upward(path) == []


def test_an_upward_import_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "networks").mkdir()
    cases = {
        "metrics.py": "from cardiolearn import training",
        "networks/fcn.py": "def f():\n    from cardiolearn.forests.tree import grow",
        "plots.py": "import cardiolearn.lab",
        "training.py": "from cardiolearn.networks.fcn import FCN\nfrom cardiolearn.image import Image",
    }
    for name, source in cases.items():
        (tmp_path / name).write_text(source)
    assert [len(upward(tmp_path / name)) for name in cases] == [1, 1, 1, 0]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_holds_one_idea(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_the_networks_do_not_import_each_other() -> None:
    methods = {path.stem for path in (PACKAGE / "networks").glob("*.py")} - {"__init__"}
    for path in (PACKAGE / "networks").glob("*.py"):
        others = {name.split(".")[1] for name in imports(path) if name.startswith("networks.")}
        assert not others & (methods - {path.stem}), path


def test_importing_the_package_costs_nothing() -> None:
    r"""Nothing beyond the standard library is loaded, which makes the import fast on every machine."""
    code = "import sys; before = set(sys.modules); import cardiolearn\n"
    code += "new = {n.split('.')[0] for n in set(sys.modules) - before} - sys.stdlib_module_names - {'cardiolearn'}\n"
    code += "assert not new, new"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
