r"""Every cell of a notebook runs to its end, once and in order: nothing may leave one out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cardiolearn.errors import InputError
from cardiolearn.harness.notebooks import read_notebook, tags

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
    r"""The first cell of an executed notebook that did not run to its end, or not in its turn.

    papermill passes over `SystemExit`, with all cells after it.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    for turn, cell in enumerate(cells, start=1):
        if cell.execution_count is None:
            yield f"did not run: {beginning(cell)}"
        elif cell.execution_count != turn:
            yield f"ran as number {cell.execution_count}, expected {turn}: {beginning(cell)}"
        elif cell.metadata.get("papermill", {}).get("status") != "completed":
            errors = [f" ({o['ename']}: {o['evalue']})" for o in cell.outputs if o["output_type"] == "error"]
            yield f"did not run to its end{''.join(errors)}: {beginning(cell)}"
        else:
            continue
        return


def beginning(cell: NotebookNode) -> str:
    r"""A cell as a message names it."""
    lines = cell.source.strip().splitlines() or [""]
    return f"the cell that begins with {lines[0][:60]!r}"


def where_it_was(partial: Path) -> str:
    r"""How far a notebook had come that was saved after each cell and then ended."""
    try:
        cells = [cell for cell in read_notebook(partial).cells if cell.cell_type == "code"]
    except InputError:
        return " before it was first saved"
    states = [cell.metadata.get("papermill", {}) for cell in cells]
    begun = [cell for cell, state in zip(cells, states, strict=True) if state.get("start_time")]
    if not begun:
        return " before its first cell"
    inside = begun[-1].metadata.papermill.status == "running"
    return f" {'in' if inside else 'in or after'} {beginning(begun[-1])}"
