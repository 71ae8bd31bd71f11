r"""The house stands: imports run downwards only, and the lecture's methods do not know each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "cardiolearn"

FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "files", "home", "image", "nifti", "dicom", "study", "metrics", "surfaces", "statistics"}),
    frozenset({"phantom"}),
    frozenset({"networks", "forests", "registration", "quality", "training", "checkpoint", "weights"}),
    frozenset({"ledger", "records", "claims", "experiment", "plots", "widgets", "segmentation", "evaluation"}),
    frozenset({"lab", "checks"}),
    frozenset({"harness"}),
    frozenset({"cli"}),
)
METHODS = frozenset({"networks", "forests", "registration", "quality"})


def name_of(path: Path) -> str:
    r"""Dotted name below the package, without `__init__`: `networks.fcn`, `networks`, or nothing for the package."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {name_of(path): path for path in sorted(SOURCE.rglob("*.py"))}


def floor(module: str) -> int:
    room = module.split(".")[0]
    levels = [level for level, rooms in enumerate(FLOORS) if room in rooms]
    assert len(levels) == 1, f"{room}: give the room one floor in tests/test_floors.py"
    return levels[0]


def imports(path: Path) -> set[str]:
    r"""Modules of the package that a file imports anywhere, also inside its functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it leads"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    ours = {name.removeprefix("cardiolearn.") for name in found if name.startswith("cardiolearn.")}
    return {name for name in ours if name in MODULES}


@pytest.mark.parametrize("module", [name for name in MODULES if name])
def test_imports_run_downwards(module: str) -> None:
    above = {name for name in imports(MODULES[module]) if floor(name) > floor(module)}
    assert not above, f"{module} (floor {floor(module)}) imports from above"


@pytest.mark.parametrize("module", [name for name in MODULES if name.split(".")[0] in METHODS])
def test_methods_do_not_import_each_other(module: str) -> None:
    own = module.split(".")[0]
    others = {name for name in imports(MODULES[module]) if name.split(".")[0] in METHODS and name != own}
    if own != "networks":  # the files of one forest or one registration work together; each network stands alone
        others = {name for name in others if name.split(".")[0] != own}
    assert not others


def test_the_package_itself_imports_none_of_its_modules() -> None:
    assert not imports(MODULES[""])
