r"""Every cell of a notebook runs to its end, once and in order: nothing may leave one out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cardiolearn.harness.notebooks import tags

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: Tags that nbclient and papermill obey.
CHANGING = {
    "skip-execution": "leaves it out",
    "raises-exception": "lets it fail unseen",
    "injected-parameters": "lets papermill replace it",
    "papermill-error-cell-tag": "lets papermill remove it",
}


def tag_problems(notebook: NotebookNode) -> Iterable[str]:
    r"""Tags of a notebook's cells that would change what is run."""
    for cell in notebook.cells:
        for tag in tags(cell):
            if tag in CHANGING:
                yield f"the tag {tag!r} {CHANGING[tag]}: {beginning(cell)}"


def cell_problems(notebook: NotebookNode) -> Iterable[str]:
    r"""The first cell of an executed notebook that did not run to its end, or not in its turn."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    for turn, cell in enumerate(cells, start=1):
        if cell.execution_count is None:
            yield f"did not run: {beginning(cell)}"
        elif cell.execution_count != turn:
            yield f"ran as number {cell.execution_count}, expected {turn}: {beginning(cell)}"
        elif cell.metadata.get("papermill", {}).get("status") != "completed":
            yield f"did not run to its end: {beginning(cell)}"
        else:
            continue
        return


def beginning(cell: NotebookNode) -> str:
    r"""A cell as a message names it."""
    lines = cell.source.strip().splitlines() or [""]
    return f"the cell that begins with {lines[0][:60]!r}"
