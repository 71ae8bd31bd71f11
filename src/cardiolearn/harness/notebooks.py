r"""Which notebooks there are, and the contract each must keep before it is run.

Notebooks are discovered by glob and none is ever skipped: a skip list is what a course decays into.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
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
PREDICT = "predict"  # a cell that asks for a guess
COVER = "cover"  # a cell with the picture that the lesson is known by: the first of the report
TAGS = {"parameters", "exercise", "solution", "check", "widget", PREDICT, COVER}
CELL_LINES, LONG_CELL, LONG_CELLS, NOTEBOOK_LINES = 25, 15, 0.2, 300
EXERCISES, WIDGETS, CORE_FIGURES = 3, 2, 5
PARTS = ("**Predict.**", "I get a different number", "### Key points", "### Quiz", "### Further reading")
FURTHER = re.compile(r"^#{1,3} .*\bgo further\b", re.IGNORECASE | re.MULTILINE)
_IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\(|<img\b(?P<html>[^>]*)>", re.IGNORECASE)
_HTML_ALT = re.compile(r"""\balt\s*=\s*("[^"]*\S[^"]*"|'[^']*\S[^']*')""", re.IGNORECASE)


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


def contract_problems(notebook: NotebookNode) -> list[str]:
    r"""Everything in which a notebook breaks the contract; an empty list is a pass."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [
        *_parameters(code),
        *_start(code),
        *_tags(notebook.cells),
        *_sizes(code),
        *_leftovers(notebook, code),
        *_figures(notebook.cells),
        *_core_path(notebook.cells),
        *_whole(notebook.cells, code),
    ]


def _parameters(code: Sequence[NotebookNode]) -> Iterable[str]:
    tagged = [i for i, cell in enumerate(code) if "parameters" in tags(cell)]
    if tagged != [0]:
        yield f"exactly the first code cell must be tagged 'parameters', tagged are {tagged or 'none'}"
        return
    try:
        found = {
            target.id: ast.literal_eval(node.value)
            for node in ast.parse(code[0].source).body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
    except (SyntaxError, ValueError):
        yield "the parameters cell must assign plain values, one name a line"
        return
    if found != PARAMETERS or [type(found[k]) for k in PARAMETERS] != [type(v) for v in PARAMETERS.values()]:
        yield f"the parameters cell must be {PARAMETERS}, found {found}"


def _start(code: Sequence[NotebookNode]) -> Iterable[str]:
    source = code[1].source if len(code) > 1 else ""
    call = re.search(r"^run = lab\.start\((.*?)\)", source, re.MULTILINE | re.DOTALL)
    if call is None:
        yield "the second code cell must call run = lab.start(...)"
        return
    for name in PARAMETERS:
        if not re.search(rf"\b{name}\s*=\s*{name}\b", call[1]):
            yield f"lab.start must be given {name}={name}, so that the parameter has an effect"


def _tags(cells: Sequence[NotebookNode]) -> Iterable[str]:
    for i, cell in enumerate(cells):
        for tag in sorted(set(tags(cell)) - TAGS):
            yield f"cell {i}: unknown tag {tag!r}; allowed are {', '.join(sorted(TAGS))}"


def _sizes(code: Sequence[NotebookNode]) -> Iterable[str]:
    for i, cell in enumerate(code):
        if code_lines(cell) > CELL_LINES:
            yield f"code cell {i} has {code_lines(cell)} lines, {CELL_LINES} at most"
    many = [i for i, cell in enumerate(code) if code_lines(cell) > LONG_CELL]
    if len(many) > LONG_CELLS * len(code):
        yield f"code cells {many} have over {LONG_CELL} lines; {LONG_CELLS:.0%} of the cells may"
    total = sum(code_lines(cell) for cell in code)
    if total > NOTEBOOK_LINES:
        yield f"{total} code lines, {NOTEBOOK_LINES} at most"


def _leftovers(notebook: NotebookNode, code: Sequence[NotebookNode]) -> Iterable[str]:
    for i, cell in enumerate(code):
        if cell.outputs or cell.execution_count is not None:
            yield f"code cell {i} has outputs or an execution count; run nbstripout"
    if "widgets" in notebook.metadata:
        yield "the notebook keeps widget state; run nbstripout"
    kernel = notebook.metadata.get("kernelspec", {}).get("name")
    if kernel != "python3":
        yield f"the kernel must be python3, which every machine has; found {kernel!r}"


def _figures(cells: Sequence[NotebookNode]) -> Iterable[str]:
    for i, cell in enumerate(cells):
        if cell.cell_type != "markdown":
            continue
        for image in _IMAGE.finditer(cell.source):
            if not (image["alt"] or "").strip() and not _HTML_ALT.search(image["html"] or ""):
                yield f"cell {i}: a figure without alt text"


def _core_path(cells: Sequence[NotebookNode]) -> Iterable[str]:
    further = [i for i, cell in enumerate(cells) if cell.cell_type == "markdown" and FURTHER.search(cell.source)]
    if not further:
        yield "no heading 'Go further' ends the core path"
        return
    core = [tag for cell in cells[: further[0]] for tag in tags(cell)]
    for tag in ("exercise", "widget"):
        if core.count(tag) > 1:
            yield f"the core path has {core.count(tag)} cells tagged {tag!r}, 1 at most"


def _whole(cells: Sequence[NotebookNode], code: Sequence[NotebookNode]) -> Iterable[str]:
    r"""What a lesson must have: exercises that are checked, widgets, the parts a reader looks for, the claims."""
    kinds = [tags(cell) for cell in code]
    for tag, least in (("exercise", EXERCISES), ("widget", WIDGETS)):
        if (found := sum(tag in kind for kind in kinds)) < least:
            yield f"{found} cells tagged {tag!r}, expected at least {least}"
    for i, (kind, following) in enumerate(zip(kinds, [*kinds[1:], []], strict=True)):
        if "exercise" in kind and "check" not in following:
            yield f"code cell {i} is an exercise, and the next code cell does not check it"
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for part in PARTS:
        if part not in text:
            yield f"no {part!r} in the text"
    if not any(re.search(r"^run\.claims\(\)", cell.source, re.MULTILINE) for cell in code):
        yield "no run.claims() shows how the lecture's claims fared"


def core_figures(notebook: NotebookNode) -> int:
    r"""Figures an executed notebook shows before its first heading "Go further"; at most `CORE_FIGURES`."""
    shown = 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and FURTHER.search(cell.source):
            break
        if cell.cell_type == "code":
            shown += sum("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
    return shown
