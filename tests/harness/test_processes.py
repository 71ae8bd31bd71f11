r"""Nothing of a notebook lives on when its run is killed, at any moment and with whatever part of it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from toys import write_notebook

from cardiolearn.harness.processes import Known

# A shell lets what it starts in the background ignore interrupts, and so would all that this starts.
RUN = """import signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
from concurrent.futures import ThreadPoolExecutor
from cardiolearn.harness.execute import Job, execute
stop = threading.Event()
with ThreadPoolExecutor() as pool:
    try:
        pool.submit(execute, Job(sys.argv[1], sys.argv[2], {"seed": 0}, 600), stop).result()
    except KeyboardInterrupt:
        stop.set()"""
DAEMONS = """import os, subprocess, sys, time
says = "import os, pathlib, time; pathlib.Path(f'{os.getpid()}.pid').touch(); time.sleep(600)"
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, [sys.executable, "-c", says], ENVIRONMENT)
    os._exit(0)
subprocess.Popen([sys.executable, "-c", says], env={}, start_new_session=True)
time.sleep(600)"""


def test_a_later_process_of_the_same_number_is_another() -> None:
    here = Known.of(os.getpid())
    assert here.lives()
    assert not replace(here, created=here.created - 60).lives()
    ended = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE)
    known = Known.of(ended.pid)
    assert _until(lambda: not known.lives(), 30)  # nobody has asked how it ended
    ended.communicate()


def _until(reached: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (there := reached()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return there


def _living(folder: Path, probe: str) -> list[psutil.Process]:
    r"""Processes that inherited `probe`, and those that wrote their number into the folder."""
    numbers = {int(path.stem) for path in folder.glob("*.pid")}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            ours = process.pid in numbers or process.environ().get("PROBE") == probe
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by signals")
@pytest.mark.parametrize(
    ("stage", "way"),
    [("harness.child", "run"), ("ipykernel", "interrupt"), ("daemons", "run and child"), ("daemons", "group")],
)
def test_nothing_lives_on_after_a_kill(tmp_path: Path, stage: str, way: str) -> None:
    kept = "dict(os.environ)" if "child" in way else "{}"  # without any mark, only its new parent finds it
    path = write_notebook(tmp_path / "01_toy.ipynb", start=DAEMONS.replace("ENVIRONMENT", kept))
    (tmp_path / "scratch").mkdir()
    environment = os.environ | {"PROBE": str(tmp_path), "TMPDIR": str(tmp_path / "scratch")}
    command = [sys.executable, "-c", RUN, str(path), str(tmp_path)]
    run = subprocess.Popen(command, env=environment, start_new_session=True)

    def there(word: str) -> list[psutil.Process]:
        found = []
        for process in _living(tmp_path, str(tmp_path)):
            with contextlib.suppress(psutil.Error):
                found += [process] if word in " ".join(process.cmdline()) else []
        return found

    def begun() -> bool:
        return len(list(tmp_path.glob("*.pid"))) == 2 if stage == "daemons" else bool(there(stage))

    try:
        assert _until(begun, 120)
        moment = random.Random(f"{stage} {way}").uniform(0, 0.5)
        _until(lambda: False, moment)
        also = there("harness.child") if "child" in way else []
        number = signal.SIGINT if way == "interrupt" else signal.SIGKILL
        os.killpg(run.pid, number) if way == "group" else run.send_signal(number)
        for process in also:
            process.kill()
        assert _until(lambda: not _living(tmp_path, str(tmp_path)), 5)
        assert _until(lambda: not list((tmp_path / "scratch").iterdir()), 5)
    finally:
        for process in _living(tmp_path, str(tmp_path)):
            process.kill()
        run.wait()
