r"""How a process that works for another one begins: before torch is loaded it watches that it is still wanted.

Python runs the top of the main script first, where there is one; what that imports delays the watch. A notebook's
kernel and the command line have nothing heavy there.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext

_LOOK_AGAIN = 1.0  # s


def context() -> BaseContext:
    r"""How processes are begun. On Linux they are forked from one that has loaded torch and done nothing else: after
    the first, two of them begin in 0.4 s instead of 1.9 s. Elsewhere each loads torch anew."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    multiprocessing.set_forkserver_preload(["torch"])
    return multiprocessing.get_context("forkserver")


def begin() -> None:
    r"""Watch the parent, then take one thread for the computations."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch  # takes seconds where it is not loaded, in which the parent may be killed

    torch.set_num_threads(1)


def _end_with_parent() -> None:
    r"""End at once when the parent is gone, even where a process that it forked keeps its end of the pipe open."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    while not wait([parent.sentinel], timeout=_LOOK_AGAIN) and _is_there(parent.pid):
        pass
    os._exit(1)


def _is_there(pid: int | None) -> bool:
    if sys.platform == "win32" or pid is None:  # there the sentinel is the process itself
        return True
    try:
        os.kill(pid, 0)  # asks, and does nothing
    except ProcessLookupError:
        return False
    return True
