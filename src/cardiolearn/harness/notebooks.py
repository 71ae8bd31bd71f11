r"""Which notebooks there are, and what their cells are.

Notebooks are discovered by glob and none is ever skipped: a skip list is what a course decays into.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cardiolearn.errors import InputError

if TYPE_CHECKING:
    from nbformat import NotebookNode

PARAMETERS: dict[str, Any] = {
    "profile": "classroom",
    "seed": 0,
    "device": "auto",
    "data_dir": None,
    "weights": "shipped",
}
FURTHER = re.compile(r"^#{1,3} .*\bgo further\b", re.IGNORECASE | re.MULTILINE)


def discover(folder: Path, lessons: Sequence[str] = ()) -> list[Path]:
    r"""Notebooks of a folder in order; `lessons` picks some by name or leading part ("02", "03_acnn").

    Raises:
        InputError: No notebook at all, or a name that fits none or several.
    """
    every = sorted(folder.glob("*.ipynb"))
    if not every:
        raise InputError(f"{folder}: expected notebooks (*.ipynb), found none")
    chosen = set()
    for lesson in lessons:
        fits = [path for path in every if path.stem == lesson] or [p for p in every if p.stem.startswith(lesson)]
        if len(fits) != 1:
            names = ", ".join(path.stem for path in fits or every)
            raise InputError(
                f"lesson {lesson!r}: it could be {names}; give more of the name" if fits
                else f"no lesson {lesson!r}; there is {names}"
            )  # fmt: skip
        chosen.add(fits[0])
    return [path for path in every if path in chosen] if lessons else every


def read_notebook(path: Path) -> NotebookNode:
    r"""The notebook of a file, validated.

    Raises:
        InputError: Not a notebook of format 4.
    """
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except (OSError, ValueError, AttributeError, KeyError, nbformat.ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: expected a Jupyter notebook of format 4, found {reason}") from None
    return notebook


def tags(cell: NotebookNode) -> list[str]:
    r"""Tags of a cell."""
    return list(cell.metadata.get("tags", []))


def code_lines(cell: NotebookNode) -> int:
    r"""Lines of a code cell that are not blank."""
    return sum(1 for line in cell.source.splitlines() if line.strip())


def core_path(cells: Sequence[NotebookNode]) -> list[NotebookNode]:
    r"""The cells before the first heading "Go further"; all cells where there is none."""
    ends = (i for i, cell in enumerate(cells) if cell.cell_type == "markdown" and FURTHER.search(cell.source))
    return list(cells[: next(ends, len(cells))])


def core_figures(notebook: NotebookNode) -> int:
    r"""Figures that an executed notebook shows in its core path."""
    code = (cell for cell in core_path(notebook.cells) if cell.cell_type == "code")
    return sum("image/png" in output.get("data", {}) for cell in code for output in cell.get("outputs", []))
