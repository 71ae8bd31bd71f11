r"""What goes wrong in a kernel, also where its output was cleared or captured, or where no cell shows it.

`cardiolearn run` lets each kernel start with `begin()`, before the first cell, and end with `close()`, after the last.
What the witness sees is appended to a file, a JSON line each; the harness makes problems of them with `witnessed`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import json
import os
import sys
import threading
import time
import traceback
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from weakref import WeakSet

from cardiolearn.harness.processes import die_with

FILE = "CARDIOLEARN_WITNESS"
PATIENCE = 3.0  # seconds for what still runs after the last cell
SENTENCES = {
    "error": "error in the kernel, not shown by any cell: {}",
    "running": "{} still runs after the last cell",
    "replaced": "the notebook replaced {}, with which errors are seen",
    "changed": "the notebook changed how cells are run: {}",
    "stopped": "the notebook stopped its kernel with {}",
    "command": "the notebook ran the command {}: a lesson runs none, its failure could stay unseen",
}
# Threads of these packages serve the kernel or wait for work; they are no part of a lesson.
HELPERS = {"asyncio", "concurrent", "ipykernel", "multiprocessing", "tqdm", "zmq"}
_here: list[Witness] = []  # the one of this kernel


def begin() -> None:
    r"""Watch this kernel from now on; leaves no name in its namespace."""
    from IPython import get_ipython

    _here.append(Witness(Path(os.environ[FILE]), get_ipython()))


async def close() -> None:
    r"""The last thing in a kernel: wait a little for what still runs, and say that all was seen."""
    await _here[0].close()


def witnessed(path: Path, known: list[str]) -> list[str]:
    r"""Problems from a witness's file, without errors that the `known` problems name already."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    seen = [json.loads(line) for line in lines]
    found = [
        SENTENCES[kind].format(text)
        for kind, text in seen
        if kind in SENTENCES and not (kind == "error" and any(text[:150] in problem for problem in known))
    ]
    if not known and not found and ["closed", ""] not in seen:
        found.append("the kernel was not watched to its end")
    return found


class Witness:
    r"""Watches one kernel: every way in which an error is shown, and what ends or outlives the cells."""

    def __init__(self, file: Path, shell: Any) -> None:
        self.file, self.shell, self.pid = file, shell, os.getpid()
        self.said: set[str] = set()
        self.watched: list[tuple[Any, str, Any]] = []  # object, attribute, and what was put there
        self.submitted: set[Future[Any]] = set()  # to executors, and not done
        self.failed: list[Future[Any]] = []
        self.asked: WeakSet[Future[Any]] = WeakSet()  # how they ended
        self._watch(sys, "unraisablehook", lambda seen: self._error(seen.exc_type, seen.exc_value))
        self._watch(threading, "excepthook", lambda seen: None)  # only to see whether it is replaced
        self._hear_threads()
        self._watch(traceback.TracebackException, "format", lambda seen, **_: self._formatted(seen))
        self._watch(BaseEventLoop, "call_exception_handler", lambda loop, context: self._in_a_loop(context))
        self._watch(shell, "showtraceback", lambda shown=None, *_, **__: self._error(*(shown or sys.exc_info())[:2]))
        self._watch(shell, "ask_exit", lambda: self.say("stopped", "exit()"))
        self._watch(shell, "system", lambda command, *_, **__: self.say("command", f"!{command}"))
        self._watch(shell, "getoutput", lambda command, *_, **__: self.say("command", f"!{command}"))
        self._watch(shell, "run_cell_magic", self._cell_magic)
        self._watch(shell.kernel, "do_shutdown", self._shut_down)
        self._watch(os, "_exit", self._exit)
        for executor in (ThreadPoolExecutor, ProcessPoolExecutor):
            self._watch(executor, "submit", lambda *_, **__: None, self._submitted)
        self._watch(Future, "result", lambda future, *_, **__: self.asked.add(future))
        self._watch(Future, "exception", lambda future, *_, **__: self.asked.add(future))
        self.kept = [(owner, name, _copy(getattr(owner, name))) for owner, name in _ways_of_running(shell)]
        shell.events.register("post_run_cell", self._after_a_cell)
        self.at_first = {*threading.enumerate(), *self._watch_the_parent(shell.kernel.parent)}

    def say(self, kind: str, text: str) -> None:
        r"""Append a line to the file, once."""
        line = json.dumps([kind, " ".join(text.split())[:300]]) + "\n"
        if line not in self.said:
            self.said.add(line)
            with contextlib.suppress(OSError), self.file.open("a", encoding="utf-8") as file:
                file.write(line)

    async def close(self) -> None:
        r"""Wait a little for threads and tasks of the notebook; say which still run, and that all was seen."""
        deadline = time.monotonic() + PATIENCE
        while (left := self._running()) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for future in self.failed:
            if future not in self.asked:
                self._error(type(future._exception), future._exception)
        for error in _never_asked():
            self._error(type(error), error)
        for name in left:
            self.say("running", name)
        self.say("closed", "")

    def _watch(
        self, owner: Any, name: str, see: Callable[..., Any], see_result: Callable[[Any], Any] | None = None
    ) -> None:
        r"""Let `see` have the arguments of a function whenever it is called, and `see_result` what it returned."""
        original = getattr(owner, name)

        @functools.wraps(original)
        def watched(*arguments: Any, **options: Any) -> Any:
            see(*arguments, **options)
            returned = original(*arguments, **options)
            if see_result is not None:
                see_result(returned)
            return returned

        setattr(owner, name, watched)
        self.watched.append((owner, name, watched))

    def _error(self, kind: type | None, value: object) -> None:
        try:
            text = "" if value is None else str(value)
        except Exception:  # a message that cannot be made is no reason to see nothing
            text = "(its message cannot be shown)"
        self.say("error", f"{kind.__name__ if kind else 'error'}: {text}")

    def _formatted(self, seen: traceback.TracebackException) -> None:
        name = str(getattr(seen, "exc_type_str", None) or getattr(seen.exc_type, "__name__", "error"))
        self.say("error", f"{name.rpartition('.')[2]}: {seen}")

    def _hear_threads(self) -> None:
        r"""Have each thread tell its error before it calls `excepthook`, which a cell may replace and put back."""
        make = threading._make_invoke_excepthook  # type: ignore[attr-defined]

        def made() -> Callable[[threading.Thread], Any]:
            invoke = make()

            def told(thread: threading.Thread) -> Any:
                kind, value = sys.exc_info()[:2]
                if kind is not SystemExit:  # ends a thread in silence, as Python means it
                    self._error(kind, value)
                return invoke(thread)

            return told

        threading._make_invoke_excepthook = made  # type: ignore[attr-defined]

    def _in_a_loop(self, context: dict[str, Any]) -> None:
        if (error := context.get("exception")) is not None:
            self._error(type(error), error)

    def _submitted(self, future: Future[Any]) -> None:
        self.submitted.add(future)
        future.add_done_callback(self._done)

    def _done(self, future: Future[Any]) -> None:
        self.submitted.discard(future)
        if not future.cancelled() and future._exception is not None:  # `exception()` would count as asked
            self.failed.append(future)

    def _cell_magic(self, magic: str, line: str, *_: Any) -> None:
        scripts = self.shell.magics_manager.registry["ScriptMagics"].script_magics
        if magic in ("script", *scripts):
            self.say("command", f"%%{magic} {line}")
        elif getattr(self.shell.find_cell_magic(magic), "__module__", "") == "__main__":
            self.say("changed", f"%%{magic} is its own and may leave a cell out")

    def _shut_down(self, *_: Any, **__: Any) -> None:
        if threading.current_thread() is threading.main_thread():  # the harness asks another thread for it
            self.say("stopped", "do_shutdown()")

    def _exit(self, code: int) -> None:
        if os.getpid() == self.pid:  # forked processes end so
            self.say("stopped", f"os._exit({code})")

    def _after_a_cell(self, result: Any) -> None:
        if (error := result.error_before_exec or result.error_in_exec) is not None:
            self._error(type(error), error)
        for owner, name, ours in self.watched:
            if getattr(owner, name, None) is not ours:
                self.say("replaced", _named(owner, name))
        for owner, name, before in self.kept:
            if getattr(owner, name, None) != before:
                self.say("changed", _named(owner, name))

    def _running(self) -> list[str]:
        threads = [t for t in threading.enumerate() if t not in self.at_first and _of_the_notebook(t)]
        tasks = [task for task in asyncio.all_tasks() if _of_a_cell(task.get_coro())]
        timers = [timer for timer in getattr(asyncio.get_running_loop(), "_scheduled", ()) if _calls_a_cell(timer)]
        return [
            *(f"a thread ({thread.name})" for thread in threads),
            *(f"a task ({task.get_name()})" for task in tasks),
            *["a timer of the event loop" for _ in timers[:1]],
            *["a task given to an executor" for _ in list(self.submitted)[:1]],
        ]

    def _watch_the_parent(self, app: Any) -> list[threading.Thread]:
        r"""ipykernel ends a kernel whose parent was killed; take along what the kernel started."""
        if sys.platform == "win32" or app.poller is None:
            return []
        parent, scratch = app.parent_handle, self.file.parent
        app.poller = threading.Thread(target=die_with, args=(lambda: os.getppid() == parent, scratch), daemon=True)
        return [app.poller]


def _of_the_notebook(thread: threading.Thread) -> bool:
    if isinstance(thread, threading._DummyThread):  # not Python's own; it stays in the list when it has ended
        return False
    made_of = getattr(thread, "_target", None) or getattr(thread, "function", None) or type(thread)
    return (getattr(made_of, "__module__", None) or "").partition(".")[0] not in HELPERS


def _never_asked() -> list[BaseException]:
    r"""What tasks failed with that nobody has asked; one that was thrown away has told the loop."""
    gc.collect()
    tasks = [task for task in gc.get_objects() if issubclass(type(task), asyncio.Future) and task.done()]
    return [task._exception for task in tasks if task._log_traceback]


def _of_a_cell(coroutine: Any) -> bool:
    frame = getattr(coroutine, "cr_frame", None)
    return frame is not None and frame.f_globals.get("__name__") == "__main__"


def _calls_a_cell(timer: Any) -> bool:
    return not timer.cancelled() and getattr(timer._callback, "__module__", "") == "__main__"


def _ways_of_running(shell: Any) -> list[tuple[Any, str]]:
    r"""What stands between the text of a cell and its being run, as objects and attributes."""
    lists = ("cleanup_transforms", "line_transforms", "token_transformers")
    of_shell = ("input_transformers_post", "ast_transformers", "run_cell_async", "run_code", "_showtraceback")
    return [
        *((shell.input_transformer_manager, name) for name in lists),
        *((shell, name) for name in of_shell),
        (shell.kernel, "do_execute"),
    ]


def _copy(value: Any) -> Any:
    return list(value) if isinstance(value, list) else value


def _named(owner: Any, name: str) -> str:
    return f"{getattr(owner, '__name__', type(owner).__name__)}.{name}"
