r"""Progress bars: tqdm's own in a terminal; in a notebook one plain line, which at the end says what was done.

A notebook shows what is written to stderr on red, where readers look for errors, and keeps every state of the bar.
"""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm as _TerminalBar


def tqdm(*args: Any, **options: Any) -> Any:
    r"""A progress bar with tqdm's own arguments; it works alike as an iterable and in a `with`.

    >>> sum(tqdm([1, 2], disable=True))
    3
    """
    return (_NotebookLine if _in_notebook() else _TerminalBar)(*args, **options)


def _in_notebook() -> bool:
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


class _NotebookLine(_TerminalBar):  # type: ignore[misc]  # tqdm has no types
    r"""A bar in one output that is renewed, and ends as a sentence such as "segmenting: 6 subjects in 00:21"."""

    def __init__(self, *args: Any, **options: Any) -> None:
        from IPython.display import display

        super().__init__(*args, **options, gui=True, mininterval=0.5)  # gui: nothing is written to stderr
        if not self.disable:
            self._screen = display({"text/plain": str(self)}, raw=True, display_id=True)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        self._show(msg or str(self))

    def close(self) -> None:
        if self.disable:
            return
        super().close()
        done = f"{self.n}" if self.total in (None, self.n) else f"{self.n} of {self.total}"
        took = self.format_interval(self.format_dict["elapsed"])
        what = f"{self.desc}: " if self.desc else ""
        self._show(f"{what}{done} {self.unit}{'' if (self.total or self.n) == 1 else 's'} in {took}")

    def _show(self, text: str) -> None:
        if self._screen is not None:  # an IPython without a notebook shows nothing
            self._screen.update({"text/plain": text}, raw=True)
