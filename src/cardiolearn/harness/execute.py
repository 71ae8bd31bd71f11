r"""Executes one notebook in a process that can be killed, and finds everything that went wrong in it.

papermill alone lets these pass with exit code 0: an exception in a widget callback, a parameter that does not exist, no
parameters cell, a kernel in the wrong folder, a notebook that hangs between cells. Each is a failure here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cardiolearn.errors import InputError, Unfinished
from cardiolearn.harness.cells import tag_problems, where_it_was
from cardiolearn.harness.notebooks import PARAMETERS, read_notebook
from cardiolearn.harness.outputs import judge_executed, stages_of
from cardiolearn.harness.processes import MARK, Known, end_all
from cardiolearn.harness.witness import FILE, witnessed
from cardiolearn.imaging.files import write_atomically
from cardiolearn.lab.records import Record
from cardiolearn.learning.clock import UNTIL_VARIABLE

#: How the one problem of a notebook begins whose long work pauses.
PAUSED = f"{Unfinished.__name__}: "


@dataclass(frozen=True)
class Job:
    r"""One notebook to run: its path, the folder for the executed copy, all parameters, and its seconds.

    After the seconds of `stage` its long trainings and tables pause.
    """

    notebook: str
    out: str
    parameters: dict[str, Any]
    time_limit: float
    threads: int | None = None
    progress: bool = False
    stage: float | None = None

    @property
    def name(self) -> str:
        r"""The lesson's name, the file name without its ending."""
        return Path(self.notebook).stem

    @property
    def expected(self) -> dict[str, Any]:
        r"""What the kernel must say at `lab.start`, where it runs; relative paths are meant from there."""
        folder = Path(self.notebook).resolve().parent
        given = {key: self.parameters[key] for key in PARAMETERS if key in self.parameters}
        for key, none in (("data_dir", None), ("weights", "shipped")):
            if key in given and given[key] != none:
                given[key] = str((folder / Path(given[key]).expanduser()).resolve())
        return given | {"lesson": self.name, "folder": str(folder)}

    @property
    def executed(self) -> Path:
        r"""Where the executed notebook goes."""
        return Path(self.out) / Path(self.notebook).name


@dataclass(frozen=True)
class Outcome:
    r"""How one notebook fared, with its records and the stages it went on from or finished.

    `peak_mb` is the kernel's largest memory, None if unknown.
    """

    name: str
    seconds: float
    peak_mb: float | None
    problems: list[str]
    sha256: str
    records: tuple[Record, ...] = ()
    stages: tuple[dict[str, Any], ...] = ()

    @property
    def status(self) -> str:
        r"""One of "ok", "unfinished" (long work pauses, and that is all) and "failed"."""
        if len(self.problems) == 1 and self.problems[0].startswith(PAUSED):
            return "unfinished"
        return "failed" if self.problems else "ok"


def execute(job: Job, stop: threading.Event | None = None) -> Outcome:
    r"""Run a notebook to its end, its time limit, or until `stop` is set; never raises for what a notebook does."""
    began = time.monotonic()
    digest = hashlib.sha256(Path(job.notebook).read_bytes()).hexdigest()
    problems, peak_mb = parameter_problems(job), None
    records: tuple[Record, ...] = ()
    stages: tuple[dict[str, Any], ...] = ()
    if not problems:
        with tempfile.TemporaryDirectory(prefix="cardiolearn-") as scratch:
            problems, peak_mb = _in_a_process(job, Path(scratch), stop or threading.Event())
            if not problems:
                executed = read_notebook(job.executed)
                problems, records = judge_executed(executed, job.expected)
                stages = stages_of(executed)
            problems += witnessed(Path(scratch) / "witness", problems)
    seconds = round(time.monotonic() - began, 1)
    return Outcome(job.name, seconds, peak_mb, problems, digest, () if problems else records, stages)


def parameter_problems(job: Job) -> list[str]:
    r"""Parameters that papermill would silently inject without effect, and tags with which it leaves cells out."""
    from papermill import inspect_notebook

    try:
        notebook = read_notebook(Path(job.notebook))
    except InputError as error:
        return [str(error)]
    known = set(inspect_notebook(job.notebook))
    if not known:
        return ["no cell tagged 'parameters' that defines parameters"]
    unknown = sorted(set(job.parameters) - known)
    return [
        *tag_problems(notebook),
        *(f"unknown parameter {name!r}; the notebook has {sorted(known)}" for name in unknown),
    ]


def _in_a_process(job: Job, scratch: Path, stop: threading.Event) -> tuple[list[str], float | None]:
    r"""Run the job in a child; returns problems and peak memory. The executed copy appears only when it is complete."""
    partial, report, mark = scratch / "executed.ipynb", scratch / "report.json", secrets.token_hex(8)
    environment = {"OMP_WAIT_POLICY": "PASSIVE", "PYDEVD_DISABLE_FILE_VALIDATION": "1"} | dict(os.environ)
    environment |= {MARK: mark, FILE: str(scratch / "witness")}
    if job.stage is not None:
        environment[UNTIL_VARIABLE] = str(time.time() + job.stage)
    if job.threads:
        environment["OMP_NUM_THREADS"] = str(job.threads)
    parent = Known.of(os.getpid())
    command = [sys.executable, "-m", "cardiolearn.harness.child", json.dumps(asdict(job)), str(scratch)]
    command += [str(parent.pid), str(parent.created)]
    # In a session of its own, or what kills this process with its group would kill those that clean up, too.
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        why = _wait(child, job.time_limit, stop)
    finally:
        end_all(mark, child.pid if child.poll() is None else None)  # else another process may have its number
        child.wait()
    _keep(partial, job.executed)
    if why:
        return [why + where_it_was(partial)], None
    if not report.is_file():
        return [f"the process that ran it ended with code {child.returncode}"], None
    found = json.loads(report.read_text(encoding="utf-8"))
    return found["problems"], found["peak_mb"]


def _wait(child: subprocess.Popen[bytes], limit: float, stop: threading.Event) -> str:
    r"""Wait for the end of a process; returns why it must be ended, or nothing."""
    deadline = time.monotonic() + limit
    while not stop.is_set():
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=max(0.0, min(0.2, deadline - time.monotonic())))
            return ""
        if time.monotonic() >= deadline:
            return f"killed after its time limit of {limit:g} s"
    return "interrupted"


def _keep(partial: Path, target: Path) -> None:
    r"""Move the executed notebook, also an unfinished one, to its place; a torn one is dropped."""
    target.unlink(missing_ok=True)
    with contextlib.suppress(InputError):
        read_notebook(partial)
        write_atomically(target, partial.read_bytes())
