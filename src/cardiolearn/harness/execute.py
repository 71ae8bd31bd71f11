r"""Executes one notebook in a process that can be killed, and finds everything that went wrong in it.

papermill alone lets these pass with exit code 0: an exception in a widget callback, a parameter that does not exist, no
parameters cell, a kernel in the wrong folder, a notebook that hangs between cells. Each is a failure here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from cardiolearn.errors import InputError
from cardiolearn.harness.notebooks import read_notebook
from cardiolearn.harness.outputs import judge_executed, one_line
from cardiolearn.imaging.files import write_atomically
from cardiolearn.lab.records import Record


@dataclass(frozen=True)
class Job:
    r"""One notebook to run: its path, the folder for the executed copy, all parameters, and its seconds."""

    notebook: str
    out: str
    parameters: dict[str, Any]
    time_limit: float
    threads: int | None = None
    progress: bool = False

    @property
    def name(self) -> str:
        r"""The lesson's name, the file name without its ending."""
        return Path(self.notebook).stem

    @property
    def expected(self) -> dict[str, Any]:
        r"""What the kernel must say at `lab.start`."""
        given = {key: self.parameters[key] for key in ("profile", "seed") if key in self.parameters}
        return given | {"lesson": self.name, "folder": str(Path(self.notebook).resolve().parent)}

    @property
    def executed(self) -> Path:
        r"""Where the executed notebook goes."""
        return Path(self.out) / Path(self.notebook).name


@dataclass(frozen=True)
class Outcome:
    r"""How one notebook fared, with its records; `peak_mb` is the kernel's largest memory, None if unknown."""

    name: str
    seconds: float
    peak_mb: float | None
    problems: list[str]
    sha256: str
    records: tuple[Record, ...] = ()

    @property
    def status(self) -> str:
        r"""Either "ok" or "failed"."""
        return "failed" if self.problems else "ok"


def execute(job: Job) -> Outcome:
    r"""Run a notebook to its end or its time limit; never raises for what a notebook does."""
    began = time.monotonic()
    digest = hashlib.sha256(Path(job.notebook).read_bytes()).hexdigest()
    report: dict[str, Any] = {}
    records: tuple[Record, ...] = ()
    problems = parameter_problems(job)
    if not problems:
        report = _in_a_process(job)
        problems = report["problems"]
    if not problems:
        problems, records = judge_executed(read_notebook(job.executed), job.expected)
    seconds = round(time.monotonic() - began, 1)
    return Outcome(job.name, seconds, report.get("peak_mb"), problems, digest, records)


def parameter_problems(job: Job) -> list[str]:
    r"""Parameters that papermill would silently inject without effect."""
    from papermill import inspect_notebook

    try:
        read_notebook(Path(job.notebook))
    except InputError as error:
        return [str(error)]
    known = set(inspect_notebook(job.notebook))
    if not known:
        return ["no cell tagged 'parameters' that defines parameters"]
    return [
        f"unknown parameter {name!r}; the notebook has {sorted(known)}" for name in sorted(set(job.parameters) - known)
    ]


def _in_a_process(job: Job) -> dict[str, Any]:
    r"""Run the job in a child; returns {"problems", "peak_mb"}. The executed copy appears only when it is complete."""
    with tempfile.TemporaryDirectory(prefix="cardiolearn-") as scratch:
        partial = Path(scratch) / "executed.ipynb"
        report = Path(scratch) / "report.json"
        environment = {"OMP_WAIT_POLICY": "PASSIVE", "PYDEVD_DISABLE_FILE_VALIDATION": "1"} | dict(os.environ)
        if job.threads:
            environment["OMP_NUM_THREADS"] = str(job.threads)
        command = [sys.executable, "-m", "cardiolearn.harness.execute", json.dumps(asdict(job)), scratch]
        child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        found: dict[str, Any] = {"problems": [], "peak_mb": None}
        try:
            child.wait(timeout=job.time_limit)
        except subprocess.TimeoutExpired:
            found["problems"] = [f"killed after its time limit of {job.time_limit:g} s{_where_it_hung(partial)}"]
        finally:
            _kill_tree(child)
        if not found["problems"]:
            ended = f"the process that ran it ended with code {child.returncode}"
            found = json.loads(report.read_text()) if report.is_file() else {"problems": [ended], "peak_mb": None}
        _keep(partial, job.executed)
        return found


def _keep(partial: Path, target: Path) -> None:
    r"""Move the executed notebook, also an unfinished one, to its place; a torn one is dropped."""
    target.unlink(missing_ok=True)
    with contextlib.suppress(InputError):
        read_notebook(partial)
        write_atomically(target, partial.read_bytes())


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    r"""End a process and all it started: kernels live in sessions of their own and would survive it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        _kill_children(psutil.Process(process.pid))
        process.kill()
    process.wait()


def _kill_children(process: psutil.Process) -> None:
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def _where_it_hung(partial: Path) -> str:
    try:
        cells = read_notebook(partial).cells
    except InputError:
        return " before it was first saved"
    running = [cell.source for cell in cells if cell.metadata.get("papermill", {}).get("status") == "running"]
    return f" in the cell that begins with {running[0].splitlines()[0][:60]!r}" if running else " between two cells"


def main() -> None:
    r"""The child: `python -m cardiolearn.harness.execute JOB SCRATCH`."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    job, scratch = Job(**json.loads(sys.argv[1])), Path(sys.argv[2])
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
    problems = []
    _wait_in_turns()
    try:
        papermill.execute_notebook(
            job.notebook,
            scratch / "executed.ipynb",
            parameters=job.parameters,
            kernel_name="python3",
            extra_arguments=["--log-level=ERROR"],  # not a warning a notebook about how the kernel talks
            cwd=Path(job.notebook).parent,
            progress_bar={"desc": job.name} if job.progress else False,
        )
    except PapermillExecutionError as error:
        problems.append(f"cell [{error.exec_count}]: {error.ename}: {one_line(error.evalue)}")
    except Exception as error:  # whatever papermill or the kernel raises is the notebook's failure, not ours
        problems.append(f"{type(error).__name__}: {one_line(str(error))}")
    text = json.dumps({"problems": problems, "peak_mb": _peak_of_children()})
    (scratch / "report.json").write_text(text, encoding="utf-8")


def _wait_in_turns() -> None:
    r"""Look for the kernel's messages anew every second, in this process.

    nbclient may miss the answer to a cell that fills an Output widget while it writes to the same socket, and then
    waits for ever (nbclient, issue 312); a fresh look finds it.
    """
    from jupyter_client.channels import AsyncZMQSocketChannel

    get = AsyncZMQSocketChannel.get_msg

    async def get_msg(self: AsyncZMQSocketChannel, timeout: float | None = None) -> dict[str, Any]:
        while timeout is None:
            with contextlib.suppress(queue.Empty):
                return await get(self, timeout=1.0)
        return await get(self, timeout=timeout)

    AsyncZMQSocketChannel.get_msg = get_msg  # type: ignore[method-assign]


def _die_with(parent: int) -> None:
    r"""End with the kernel when the run was killed: nobody would be left to watch the time limit."""
    while os.getppid() == parent and psutil.pid_exists(parent):
        time.sleep(1)
    _kill_children(psutil.Process())
    os._exit(1)


def _peak_of_children() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    size = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round(size / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)


if __name__ == "__main__":
    main()
