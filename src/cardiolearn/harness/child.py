r"""The process that runs one notebook: `python -m cardiolearn.harness.child JOB SCRATCH PARENT CREATED`.

It watches its parent before it imports anything heavy: a run that was killed leaves nobody to watch the time limit.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from cardiolearn.harness.processes import MARK, Known, adopt_orphans, die_with, end_all

WITNESS = "__import__('importlib').import_module('cardiolearn.harness.witness')"
OPENING = f"{WITNESS}.begin()"
CLOSING = f"await {WITNESS}.close()"


def main() -> None:
    r"""Run the notebook and leave `report.json`, {"problems", "peak_mb"}, in the folder SCRATCH."""
    job, scratch = json.loads(sys.argv[1]), Path(sys.argv[2])
    parent = Known(int(sys.argv[3]), float(sys.argv[4]))
    threading.Thread(target=die_with, args=(parent.lives, scratch), daemon=True).start()
    adopt_orphans()
    tempfile.tempdir = str(scratch)  # for the kernel's connection file
    problems = _run(job, scratch)
    text = json.dumps({"problems": problems, "peak_mb": _peak_of_children()})
    (scratch / "report.json").write_text(text, encoding="utf-8")
    end_all(os.environ[MARK], os.getpid())


def _run(job: dict[str, Any], scratch: Path) -> list[str]:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    from cardiolearn.errors import Unfinished
    from cardiolearn.harness.cells import where_it_was
    from cardiolearn.harness.execute import PAUSED
    from cardiolearn.harness.outputs import one_line

    _wait_in_turns()
    _hear_the_witness()
    path = Path(job["notebook"])
    try:
        papermill.execute_notebook(
            path,
            scratch / "executed.ipynb",
            parameters=job["parameters"],
            kernel_name="python3",
            # The witness comes before the first cell; and not a warning a notebook about how the kernel talks.
            extra_arguments=["--log-level=ERROR", f"--IPKernelApp.exec_lines={OPENING}"],
            cwd=path.parent,
            progress_bar={"desc": path.stem} if job["progress"] else False,
        )
    except PapermillExecutionError as error:
        if error.ename == Unfinished.__name__:
            return [f"{PAUSED}{one_line(error.evalue)}; go on with the same command and --resume"]
        shown = f"{error.ename}: {one_line(error.evalue)}"
        return [f"cell [{error.exec_count}]: {'failed' if shown == 'CellExecutionError: ' else shown}"]
    except Exception as error:  # whatever papermill or the kernel raises is the notebook's failure, not ours
        return [f"{type(error).__name__}: {one_line(str(error))}{where_it_was(scratch / 'executed.ipynb')}"]
    return []


def _hear_the_witness() -> None:
    r"""Let the kernel's witness wait for what still runs after the last cell, before the kernel is shut down."""
    from papermill import engines
    from papermill.clientwrap import PapermillNotebookClient

    class Client(PapermillNotebookClient):  # type: ignore[misc]
        def papermill_execute_cells(self) -> None:
            super().papermill_execute_cells()
            self.wait_for_reply(self.kc.execute(CLOSING, silent=True, store_history=False))

    engines.PapermillNotebookClient = Client


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


def _peak_of_children() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    size = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round(size / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)


if __name__ == "__main__":
    main()
