r"""The learner's notebooks: the solved ones without their solutions, derived and never written by hand."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import TYPE_CHECKING

from cardiolearn.harness.contract import SOLUTION
from cardiolearn.harness.notebooks import discover, read_notebook, tags
from cardiolearn.imaging.files import write_atomically

if TYPE_CHECKING:
    from nbformat import NotebookNode

_END = re.compile(r"^\s*# end\s*$")


def without_solution(source: str) -> str:
    r"""A cell's code with `...` in place of each stretch from a line `# solution` to a line `# end` or the cell's end.

    >>> print(without_solution("def double(x):\n    # solution\n    return 2 * x\n    # end\nprint(double(3))"))
    def double(x):
        ...  # your code here
    print(double(3))
    """
    kept: list[str] = []
    inside = False
    for line in source.splitlines():
        start = SOLUTION.match(line)
        if start and not inside:
            kept.append(f"{start['indent']}...  # your code here")
            inside = True
        elif inside and _END.match(line):
            inside = False
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def learner_notebook(notebook: NotebookNode) -> NotebookNode:
    r"""A copy without cells tagged `solution`, and without the solutions in exercises."""
    learner = copy.deepcopy(notebook)
    learner.cells = [cell for cell in learner.cells if "solution" not in tags(cell)]
    for cell in learner.cells:
        if "exercise" in tags(cell):
            cell.source = without_solution(cell.source)
        if cell.cell_type == "markdown":  # links are seen from notebooks/, the copy lies in course/learner/
            cell.source = cell.source.replace("](../course/", "](../").replace("](../README", "](../../README")
    return learner


def learner_files(notebooks: Path) -> dict[str, bytes]:
    r"""Content of each learner's notebook by file name."""
    import nbformat

    return {
        path.name: (nbformat.writes(learner_notebook(read_notebook(path))) + "\n").encode()
        for path in discover(notebooks)
    }


def write_learner(notebooks: Path, target: Path) -> list[Path]:
    r"""Regenerate the folder `target`; notebooks in it that have no source any more are removed."""
    files = learner_files(notebooks)
    target.mkdir(parents=True, exist_ok=True)
    for stale in set(target.glob("*.ipynb")) - {target / name for name in files}:
        stale.unlink()
    for name, content in files.items():
        write_atomically(target / name, content)
    return [target / name for name in files]
