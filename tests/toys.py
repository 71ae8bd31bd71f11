r"""Toys that tests share: a ledger of one claim, a small notebook, and a kit that holds both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from cardiolearn.harness.execute import Job, execute
from cardiolearn.harness.notebooks import PARAMETERS
from cardiolearn.lab.ledger import Claim, load_claims

FIELDS = {
    "id": '"toy.claim"',
    "section": '"01_toy"',
    "slide": '"A Slide"',
    "statement": '"ours is better"',
    "source": '"slide"',
    "paper": '"0.9 / 0.8"',
    "metrics": '[{ ours = "toy.ours", baseline = "toy.base", words = "ours minus base" }]',
    "rule": '{ kind = "higher" }',
    "test": '"bootstrap"',
    "evidence": '"a toy"',
}


def claim_text(**changed: str | None) -> str:
    r"""A claim as the ledger writes it, `changed` in some fields; one that is None is left out."""
    fields = FIELDS | changed
    return "[[claim]]\n" + "".join(f"{key} = {value}\n" for key, value in fields.items() if value is not None)


def toy_ledger(folder: Path, **changed: str | None) -> list[Claim]:
    r"""The ledger of `claim_text`, written to `folder` and read again."""
    path = folder / "claims.toml"
    path.write_text(claim_text(**changed))
    return load_claims(path)


DEFAULTS = "\n".join(f"{name} = {value!r}" for name, value in PARAMETERS.items())
CALL = "profile=profile, seed=seed, device=device, data_dir=data_dir, weights=weights"


GOOD = """names = [f"s{i}" for i in range(8)]
run.record("toy.ours", [seed + 1.0 + i / 100 for i in range(8)], subjects=names)
run.record("toy.base", [i / 100 for i in range(8)], subjects=names)
run.claims()"""


def write_notebook(path: Path, *code: str, start: str | None = None, parameters: bool = True) -> Path:
    r"""A notebook with the parameters cell, `lab.start`, and cells of code."""
    name = path.stem
    begin = start or f"from cardiolearn import lab\nrun = lab.start({name!r}, {CALL})"
    first = new_code_cell(DEFAULTS, metadata={"tags": ["parameters"]} if parameters else {})
    cells = [new_markdown_cell(f"# {name}"), first, new_code_cell(begin), *(new_code_cell(c) for c in code)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def write_kit(home: Path) -> Path:
    r"""A kit's folder with a ledger of one claim."""
    (home / "course" / "results").mkdir(parents=True)
    (home / "notebooks").mkdir()
    (home / "course" / "claims.toml").write_text(claim_text(id='"toy.better"', section='"01_good"'))
    return home


def run_one(path: Path, out: Path, limit: float = 120, **parameters: Any) -> Any:
    out.mkdir(exist_ok=True)
    return execute(Job(str(path), str(out), PARAMETERS | parameters, limit))
