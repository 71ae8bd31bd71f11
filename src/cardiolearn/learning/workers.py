r"""How a process that works for another one begins: before torch is loaded it watches that it is still wanted.

Python runs the top of the main script first, where there is one; what that imports delays the watch. A notebook's
kernel and the command line have nothing heavy there.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.connection import wait

_LOOK_AGAIN = 1.0  # s


def begin() -> None:
    r"""Watch the parent, then take one thread for the computations."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch  # takes seconds, in which the parent may be killed

    torch.set_num_threads(1)


def _end_with_parent() -> None:
    r"""End at once when the parent is gone, even where a process that it forked keeps its end of the pipe open."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    while not wait([parent.sentinel], timeout=_LOOK_AGAIN) and os.getppid() == parent.pid:
        pass
    os._exit(1)
