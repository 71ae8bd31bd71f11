r"""Notebooks are found, named and read, or it is said in one line why not."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from cardiolearn.errors import InputError
from cardiolearn.harness.notebooks import core_figures, core_path, discover, read_notebook


def test_the_core_path_ends_at_the_first_go_further() -> None:
    figure = new_output("display_data", data={"image/png": "aGk=", "text/plain": "<Figure>"})
    cells = [
        new_markdown_cell("# Toy"),
        new_code_cell("1", outputs=[figure, new_output("stream", text="no figure"), figure]),
        new_markdown_cell("words\n## Go further: more"),
        new_code_cell("2", outputs=[figure]),
    ]
    assert core_path(cells) == cells[:2] and core_path(cells[:2]) == cells[:2]
    assert core_figures(new_notebook(cells=cells)) == 2


def test_discovery_finds_every_notebook_and_names_what_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found none"):
        discover(tmp_path)
    for name in ("02_b", "01_a", "01_ab"):
        nbformat.write(new_notebook(), tmp_path / f"{name}.ipynb")
    assert [path.stem for path in discover(tmp_path)] == ["01_a", "01_ab", "02_b"]
    assert [path.stem for path in discover(tmp_path, ["02", "01_a"])] == ["01_a", "02_b"]
    with pytest.raises(InputError, match="it could be 01_a, 01_ab; give more of the name"):
        discover(tmp_path, ["01"])
    with pytest.raises(InputError, match="no lesson '99'; there is 01_a, 01_ab, 02_b"):
        discover(tmp_path, ["99"])


def test_a_torn_notebook_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    for content in ("{", "[]", '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{}]}'):
        path.write_text(content)
        with pytest.raises(InputError, match="expected a Jupyter notebook") as caught:
            read_notebook(path)
        assert "\n" not in str(caught.value)
