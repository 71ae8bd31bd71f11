r"""What an executed notebook says: its outputs, the records among them, and everything that went wrong in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cardiolearn.errors import InputError
from cardiolearn.harness.asked import data_problems, start_problems, weights_problems
from cardiolearn.harness.cells import cell_problems
from cardiolearn.harness.contract import CORE_FIGURES
from cardiolearn.harness.notebooks import core_figures
from cardiolearn.lab.records import CHECK_MIME, MIME, STAGE_MIME, START_MIME, WEIGHTS_MIME, Record, from_bundle

if TYPE_CHECKING:
    from nbformat import NotebookNode

WIDGET_MIME = "application/vnd.jupyter.widget-state+json"


def one_line(text: str) -> str:
    r"""A message for a list of problems."""
    return " ".join(str(text).split())[:300]


def outputs(notebook: NotebookNode) -> Iterator[dict[str, Any]]:
    r"""Every output of an executed notebook: of its cells, and of the Output widgets a callback writes into."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            yield from cell.get("outputs", [])
    state = notebook.metadata.get("widgets", {}).get(WIDGET_MIME, {}).get("state", {})
    for model in state.values():
        yield from model.get("state", {}).get("outputs") or []


def records_of(notebook: NotebookNode) -> tuple[Record, ...]:
    r"""What an executed notebook recorded.

    Raises:
        InputError: A malformed record, or a name recorded twice: there is one answer.
    """
    records: dict[str, Record] = {}
    for bundle in _bundles(notebook, MIME):
        record = from_bundle(bundle)
        if record.name in records:
            raise InputError(f"{record.name} is recorded twice")
        records[record.name] = record
    return tuple(records.values())


def _bundles(notebook: NotebookNode, mime: str) -> list[dict[str, Any]]:
    return [output["data"][mime] for output in outputs(notebook) if mime in output.get("data", {})]


def stages_of(notebook: NotebookNode) -> tuple[dict[str, Any], ...]:
    r"""The stages of a longer run that an executed notebook is put together from, see `lab.stages`."""
    return tuple(_bundles(notebook, STAGE_MIME))


def judge_executed(notebook: NotebookNode, expected: dict[str, Any]) -> tuple[list[str], tuple[Record, ...]]:
    r"""What is wrong with a notebook that ran to its end, and the records of one with which nothing is.

    `expected` is what the kernel must have said at `lab.start`: lesson, folder, and the parameters it was given.
    """
    problems = [*cell_problems(notebook), *_errors(notebook)]
    for check in _bundles(notebook, CHECK_MIME):
        if not check["passed"]:
            problems.append(f"the solved exercise {check['name']!r} does not pass its own check")
    if (figures := core_figures(notebook)) > CORE_FIGURES:
        problems.append(f"the core path shows {figures} figures, {CORE_FIGURES} at most")
    problems += _without_words(notebook)
    problems += start_problems(expected, _bundles(notebook, START_MIME))
    records: tuple[Record, ...] = ()
    try:
        problems += weights_problems(expected, _bundles(notebook, WEIGHTS_MIME))
        records = records_of(notebook)
        if not records:
            problems.append("it recorded no number: run.record(...) was never called")
        problems += data_problems(expected.get("data_dir"), records)
    except InputError as error:
        problems.append(str(error))
    return problems, () if problems else records


def _without_words(notebook: NotebookNode) -> Iterator[str]:
    r"""Figures that say nothing to who cannot see them."""
    for output in outputs(notebook):
        alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
        if "image/png" in output.get("data", {}) and not alt.strip():
            yield "a figure without alt text: give it a title, labelled axes, or alt_text.describe(figure, ...)"


def _errors(notebook: NotebookNode) -> Iterator[str]:
    for output in outputs(notebook):
        if output["output_type"] == "error" and output["ename"] != "SystemExit":  # which `cell_problems` names
            yield f"error in a widget callback: {output['ename']}: {one_line(output['evalue'])}"
        elif output["output_type"] == "stream" and "Traceback (most recent call last)" in _text(output):
            yield f"traceback on {output['name']}: {_text(output).strip().splitlines()[-1][:200]}"


def _text(output: dict[str, Any]) -> str:
    text = output.get("text", "")
    return text if isinstance(text, str) else "".join(text)
