r"""What a notebook hides from its cells is found: all of it in one kernel, each under a name of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from toys import GOOD, run_one, write_kit, write_notebook

from cardiolearn.harness.witness import witnessed

SETUP = """import asyncio, contextlib, io, logging, multiprocessing, sys, threading, time, traceback, _thread
import ipywidgets
from concurrent.futures import ThreadPoolExecutor
from IPython.core.magic import register_cell_magic
from IPython.display import clear_output
print(*dir())
def fail(what): raise ValueError(what)
@register_cell_magic
def skip(line, cell): pass
def caught(what, show):
    try: fail(what)
    except ValueError: show()"""
HIDDEN = {
    "in a captured cell": "%%capture\ncaught('in a captured cell', traceback.print_exc)",
    "printed and cleared": "caught('printed and cleared', traceback.print_exc)\nclear_output()",
    "shown and cleared": "caught('shown and cleared', get_ipython().showtraceback)\nclear_output()",
    "redirected": "with contextlib.redirect_stderr(io.StringIO()):\n    caught('redirected', traceback.print_exc)",
    "formatted": "caught('formatted', traceback.format_exc)",
    "logged": "log = logging.getLogger('x')\nlog.addHandler(logging.StreamHandler(io.StringIO()))\n"
    "log.propagate = False\ncaught('logged', lambda: log.exception('oops'))",
    "in an Output": "out = ipywidgets.Output()\ndisplay(out)\nwith out: fail('in an Output')\nout.clear_output()",
    "of a button": "button = ipywidgets.Button()\nbutton.on_click(lambda _: fail('of a button'))\n"
    "button.click()\nclear_output()",
    "of a cell in a cell": "get_ipython().run_cell('fail(\"of a cell in a cell\")')\nclear_output()",
    "in a thread": "t = threading.Thread(target=fail, args=('in a thread',))\nt.start()\nt.join()\nclear_output()",
    "behind another hook": "kept, threading.excepthook = threading.excepthook, print\n"
    "t = threading.Thread(target=fail, args=('behind another hook',))\nt.start()\nt.join()\n"
    "threading.excepthook = kept\nclear_output()",
    "in a bare thread": "_thread.start_new_thread(fail, ('in a bare thread',))\ntime.sleep(0.1)\nclear_output()",
    "when thrown away": "class Left:\n    def __del__(self): fail('when thrown away')\nLeft()\nclear_output()",
    "in the loop": "asyncio.get_event_loop().call_soon(fail, 'in the loop')",
    "in a task": "async def later():\n    await asyncio.sleep(0.2)\n    fail('in a task')\n"
    "task = asyncio.create_task(later())",
    "in an executor": "pool = ThreadPoolExecutor(1)\npool.submit(fail, 'in an executor')",
    "after the last cell": "threading.Timer(0.5, fail, ('after the last cell',)).start()",
    "in a timer": "asyncio.get_event_loop().call_later(0.5, fail, 'in a timer')",
}
OTHERS = {
    "the command !false:": "!false",
    "the command !exit 1:": "x = !exit 1",
    "a thread (sleeper) still runs after the last cell": "threading.Thread(target=time.sleep, args=(60,), "
    "name='sleeper', daemon=True).start()",
    "a task given to an executor still runs after the last cell": "ended = threading.Event()\npool.submit(ended.wait)\n"
    "threading._register_atexit(ended.set)",
    "%%skip is its own and may leave a cell out": "%%skip\n1 / 0",
    "how cells are run: TransformerManager.line_transforms": "manager = get_ipython().input_transformer_manager\n"
    "manager.line_transforms.append(list)",
    "the notebook replaced threading.excepthook": "kept, threading.excepthook = threading.excepthook, print",
}
if sys.platform != "win32":
    HIDDEN |= {
        "in a fork": "p = multiprocessing.get_context('fork').Process(target=fail, args=('in a fork',))\n"
        "p.start()\np.join()\nclear_output()",
    }
    OTHERS |= {"the command %%bash --no-raise-error:": "%%bash --no-raise-error\nfalse"}
RESTORED = "threading.excepthook = kept"


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Any]:
    r"""Problems of one notebook that hides all this, and what it shows."""
    home = write_kit(tmp_path_factory.mktemp("kit"))
    cells = [GOOD, SETUP, *HIDDEN.values(), *OTHERS.values(), RESTORED]
    path = write_notebook(home / "notebooks" / "01_hidden.ipynb", *cells)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARDIOLEARN_HOME", str(home))
        outcome = run_one(path, home / "out")
    assert outcome.status == "failed" and outcome.records == ()
    return outcome.problems, nbformat.read(home / "out" / path.name, 4)


@pytest.mark.slow
def test_errors_that_no_cell_shows_are_found(hidden: Any) -> None:
    beginning = "error in the kernel, not shown by any cell: ValueError: "
    assert {problem.removeprefix(beginning) for problem in hidden[0] if beginning in problem} == set(HIDDEN)


@pytest.mark.slow
@pytest.mark.parametrize("problem", OTHERS)
def test_what_would_hide_errors_is_found(hidden: Any, problem: str) -> None:
    assert any(problem in found for found in hidden[0])


@pytest.mark.slow
def test_the_witness_says_nothing_else_and_leaves_no_name(hidden: Any) -> None:
    problems, executed = hidden
    assert len(problems) == len(HIDDEN) + len(OTHERS)
    texts = [output.get("text", "") for cell in executed.cells for output in cell.get("outputs", [])]
    names = set(next(text for text in texts if "clear_output" in text).split())
    assert not names & {"cardiolearn", "importlib", "witness", "begin"}


def test_errors_are_reported_once(tmp_path: Path) -> None:
    path = tmp_path / "witness"
    assert witnessed(path, ["killed"]) == [] and witnessed(path, []) == ["the kernel was not watched to its end"]
    lines = [["error", "ValueError: a"], ["error", "ValueError: b"], ["closed", ""]]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert witnessed(path, ["cell [3]: ValueError: a"]) == ["error in the kernel, not shown by any cell: ValueError: b"]
