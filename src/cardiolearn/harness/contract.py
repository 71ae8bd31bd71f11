r"""The contract that each notebook must keep before it is run: parts, sizes, tags, and what a learner does in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from cardiolearn.harness.notebooks import PARAMETERS, code_lines, core_path, tags

if TYPE_CHECKING:
    from nbformat import NotebookNode

TAGS = {"parameters", "exercise", "solution", "check", "widget", "predict", "method", "cover"}  # cover: see `shown`
CELL_LINES, METHOD_LINES, NOTEBOOK_LINES = 15, 40, 300
EXERCISES, WIDGETS = 3, 2  # at least, in all
CORE_WORDS, CORE_FIGURES, CORE_WIDGETS, CORE_EXERCISES = 1600, 7, 2, 2  # at most, in the core path
PARTS = ("I get a different number", "### Key points", "### Quiz", "### Further reading")
PREDICT = "**Predict.**"
_IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\(|<img\b(?P<html>[^>]*)>", re.IGNORECASE)
_HTML_ALT = re.compile(r"""\balt\s*=\s*("[^"]*\S[^"]*"|'[^']*\S[^']*')""", re.IGNORECASE)
_FOLD = re.compile(r"<details\b.*?</details>", re.IGNORECASE | re.DOTALL)
#: What is no word: formulas, addresses of links and pictures, tags of HTML.
_NO_WORD = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$|\]\([^)]*\)|<[^>]+>", re.DOTALL)
SOLUTION = re.compile(r"^(?P<indent>[ \t]*)# solution[ \t]*$", re.MULTILINE)  # what begins what learners do not get
_NAMED_QUIZ = re.compile(r"""widgets\.quiz\("[0-9a-z_]+"\);?""")
_WORD = re.compile(r"\w[\w'\u2019.,/-]*")


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
        *_first_screen(notebook.cells),
        *_core_path(notebook.cells),
        *_guesses(notebook.cells),
        *_whole(notebook.cells, code),
        *_secrets(notebook.cells),
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
    counted = [code_lines(cell) for cell in code]
    for i, (cell, lines) in enumerate(zip(code, counted, strict=True)):
        most = METHOD_LINES if "method" in tags(cell) else CELL_LINES
        if lines > most:
            yield f"code cell {i} has {lines} lines, {most} at most"
        if "method" in tags(cell) and not re.search(r"^(def|class) ", cell.source, re.MULTILINE):
            yield f"code cell {i} is tagged 'method', and defines no function or class"
    if sum(counted) > NOTEBOOK_LINES:
        yield f"{sum(counted)} code lines, {NOTEBOOK_LINES} at most"


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


def _first_screen(cells: Sequence[NotebookNode]) -> Iterable[str]:
    first_code = next((i for i, cell in enumerate(cells) if cell.cell_type == "code"), len(cells))
    if not any(_IMAGE.search(cell.source) for cell in cells[:first_code]):
        yield "no picture before the first code cell shows what the lesson can do"


def words_outside_folds(cells: Sequence[NotebookNode]) -> int:
    r"""Words that a reader of these cells meets: those of markdown, less what is folded, formulas, addresses, code."""
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return len(_WORD.findall(_NO_WORD.sub(" ", _FOLD.sub(" ", text))))


def _core_path(cells: Sequence[NotebookNode]) -> Iterable[str]:
    core = core_path(cells)
    if len(core) == len(cells):
        yield "no heading 'Go further' ends the core path"
        return
    for tag, most in (("exercise", CORE_EXERCISES), ("widget", CORE_WIDGETS)):
        if (found := sum(tag in tags(cell) for cell in core)) > most:
            yield f"the core path has {found} cells tagged {tag!r}, {most} at most"
    if (words := words_outside_folds(core)) > CORE_WORDS:
        yield f"the core path has {words} words outside folds, {CORE_WORDS} at most"


def _guesses(cells: Sequence[NotebookNode]) -> Iterable[str]:
    r"""A guess is made, comes back in the result, and what there is to see stays folded until then."""
    if not any("predict" in tags(cell) for cell in core_path(cells)):
        yield "no cell of the core path is tagged 'predict'"
    for i, cell in enumerate(cells):
        later = list(cells[i + 1 :])
        if cell.cell_type == "markdown":
            following = next((other for other in later if other.cell_type == "code"), None)
            if PREDICT in cell.source and (following is None or "predict" not in tags(following)):
                yield f"cell {i}: {PREDICT} asks, and the next code cell, tagged 'predict', must take the guess"
        elif "predict" in tags(cell) or "widgets.predict(" in cell.source:
            yield from _one_guess(i, cell, later)


def _one_guess(i: int, cell: NotebookNode, later: Sequence[NotebookNode]) -> Iterable[str]:
    names = re.findall(r"^(\w+) = widgets\.predict\(", cell.source, re.MULTILINE)
    if not names or "predict" not in tags(cell):
        yield f"cell {i}: a guess is taken by `guess = widgets.predict(...)` in a cell tagged 'predict'"
    for name in names:
        code = ((k, c) for k, c in enumerate(later) if c.cell_type == "code" and "predict" not in tags(c))
        uses = (k for k, c in code if re.search(rf"\b{name}\b", c.source))
        used = next(uses, None)
        if used is None:
            yield f"cell {i}: nothing shows the guess {name!r} beside what was found"
            continue
        reading = next((c.source for c in later[used:] if c.cell_type == "markdown"), "")
        if not _FOLD.search(reading):
            yield f"cell {i}: the text after the result that answers {name!r} is not folded (<details>)"


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
    if not any("widgets.quiz(" in cell.source for cell in code):
        yield "no widgets.quiz(...) answers the reader"
    if not any(re.search(r"^run\.claims\(\)", cell.source, re.MULTILINE) for cell in code):
        yield "no run.claims() shows how the lecture's claims fared"


def _secrets(cells: Sequence[NotebookNode]) -> Iterable[str]:
    r"""What `harness.learner` would hand to learners as it is, for it takes answers only out of cells it knows."""
    for i, cell in enumerate(cells):
        if cell.cell_type != "code" or "solution" in tags(cell):
            continue
        if bool(SOLUTION.search(cell.source)) != ("exercise" in tags(cell)):
            yield f"cell {i}: the tag 'exercise' and a line '# solution' go together, or learners get the solution"
        if "widgets.quiz(" in cell.source and not _NAMED_QUIZ.fullmatch(cell.source.strip()):
            yield f"cell {i}: a quiz must be named, and alone in its cell, or learners get its answers"
