r"""One writer at a time: the second waits or is refused, and a killed one holds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from threading import Event, Thread

import pytest

from cardiolearn.errors import InputError
from cardiolearn.imaging import locks
from cardiolearn.imaging.locks import locked

HOLDS = """
import sys
from pathlib import Path
from cardiolearn.imaging.locks import locked
with locked(Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""


def test_a_second_one_is_refused_by_name_until_the_first_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    with locked(path), pytest.raises(InputError) as caught, locked(path, wait=False):
        pass
    assert str(caught.value) == (
        f"{path}: process {os.getpid()} is at work on it; wait for its end, or name another place"
    )
    with pytest.raises(ZeroDivisionError), locked(path, wait=False):
        raise ZeroDivisionError
    with locked(path, wait=False), locked(tmp_path / "new" / "other.csv", wait=False):
        pass
    if sys.platform != "win32":
        assert list(path.parent.iterdir()) == []


def test_a_second_one_waits_and_says_for_whom(
    tmp_path: Path, waiting: Event, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, order, take, looks, often = tmp_path / "table.csv", list[str](), locks._take, count(1), Event()

    def counted(file: Path) -> int | None:
        if next(looks) == 5:
            often.set()
        return take(file)

    def second() -> None:
        with locked(path):
            order.append("second")

    with locked(path):
        thread = Thread(target=second)
        monkeypatch.setattr(locks, "_take", counted)
        thread.start()
        assert waiting.wait(60) and often.wait(60)
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]
    assert capsys.readouterr().out == f"{path}: process {os.getpid()} is at work on it; waiting for its end\n"


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(path)], **pipes) as child:  # type: ignore[call-overload]
        assert child.stdout.readline() == b"mine\n"
        with pytest.raises(InputError, match=f"process {child.pid} is at work"), locked(path, wait=False):
            pass
        child.kill()
    with locked(path, wait=False):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed")
def test_a_lock_file_that_was_removed_just_before_it_was_locked_protects_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock = tmp_path / "table.csv", locks._lock

    def late(descriptor: int) -> bool:
        monkeypatch.setattr(locks, "_lock", lock)
        (tmp_path / ".table.csv.lock").unlink()  # its holder has ended
        return lock(descriptor)

    monkeypatch.setattr(locks, "_lock", late)
    with locked(path), pytest.raises(InputError, match="is at work"), locked(path, wait=False):
        pass


@pytest.mark.parametrize("refuse", [lambda *_: OSError(95, "not supported"), lambda *_: OSError(37, "no locks")])
def test_a_disk_without_locks_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuse: Callable[..., OSError]
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def flock(*_: object) -> None:
        raise refuse()

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tmp_path / "a"), locked(tmp_path / "a", wait=False):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file.table\.csv: "), locked(tmp_path / "file" / "table.csv"):
        pass
