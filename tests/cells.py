r"""What a notebook's cells define, to be held against the library: the notebook's method is code, so it is tested."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace

from nbformat import NotebookNode

from cardiolearn.harness.notebooks import read_notebook, tags

_DEFINES = (ast.FunctionDef, ast.ClassDef)


def method_cell(notebook: Path, name: str) -> SimpleNamespace:
    r"""Functions and classes of a solved notebook, up to the cell tagged `method` that defines `name`.

    Run are all imports up to there, what the cells tagged `method` or `exercise` define, and their constants, such as
    `FILTERS = (16, 32)`; nothing else, so that no data is needed.

    Raises:
        AssertionError: No cell tagged `method` defines `name`.
    """
    namespace: dict[str, object] = {"__name__": "notebook"}
    for cell in read_notebook(notebook).cells:
        if cell.cell_type != "code":
            continue
        exec(compile(_definitions(cell), notebook.name, "exec"), namespace)
        if "method" in tags(cell) and name in _names(cell):
            return SimpleNamespace(**{key: value for key, value in namespace.items() if not key.startswith("__")})
    raise AssertionError(f"{notebook.name}: no cell tagged 'method' defines {name}")


def _names(cell: NotebookNode) -> set[str]:
    return {node.name for node in ast.parse(cell.source).body if isinstance(node, _DEFINES)}


def _definitions(cell: NotebookNode) -> ast.Module:
    r"""Imports of a cell, and of a cell that holds the method its functions, classes and constants too."""
    method = {"method", "exercise"} & set(tags(cell))
    tree = ast.parse(cell.source)
    tree.body = [
        node
        for node in tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        or (method and (isinstance(node, _DEFINES) or (isinstance(node, ast.Assign) and _is_constant(node.value))))
    ]
    return tree


def _is_constant(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True
