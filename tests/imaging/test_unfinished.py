r"""What is unfinished has a name of its own; what killed processes left of it is removed, and nothing else is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cardiolearn.imaging import files
from cardiolearn.imaging import unfinished as module
from cardiolearn.imaging.files import write_atomically
from cardiolearn.imaging.unfinished import sweep, try_to_write, unfinished

KILLED = """
import os, sys
from pathlib import Path
from cardiolearn.imaging.unfinished import unfinished
for name in sys.argv[1:]:
    place = unfinished(Path(name)).__enter__()
    if Path(name).suffix:
        place.write_bytes(b"half a fi")
    else:
        place.mkdir()
        (place / "half").touch()
os._exit(9)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    r"""What a killed process left of two files, one of them with a very long name, and of a folder."""
    folder = tmp_path_factory.mktemp("left")
    subprocess.run([sys.executable, "-c", KILLED, *(str(folder / n) for n in ("a.bin", "Ω" * 120 + ".x", "study"))])
    assert len(names(folder)) == 4
    return folder


@pytest.fixture
def places(left: Path, tmp_path: Path) -> Iterator[Path]:
    r"""A folder with a copy of it all, in it and in a folder in it; their user is this one, as the process's was."""
    for folder in (tmp_path, tmp_path / "inner"):
        folder.mkdir(exist_ok=True)
        for path in left.iterdir():
            if path.is_dir():
                (folder / path.name).mkdir()
                (folder / path.name / "half").touch()
            else:
                (folder / path.name).write_bytes(path.read_bytes())
    yield tmp_path


def renamed(path: Path, part: int, new: str) -> Path:
    r"""The same with another machine (0), process (1) or beginning (2)."""
    *of, who, end = path.name.split(".")
    said = who.split("-")
    said[part] = new
    return path.rename(path.with_name(".".join([*of, "-".join(said), end])))


def of(folder: Path, name: str) -> Path:
    (found,) = folder.glob(f".{name}.*.part")
    return found


def test_writing_a_file_removes_what_a_killed_process_left_of_it_alone(places: Path) -> None:
    before = names(places)
    gone = of(places, "a.bin").name
    write_atomically(places / "a.bin", b"whole")
    assert names(places) == sorted({*before, "a.bin"} - {gone})


def test_a_folder_is_swept_with_those_in_it(places: Path) -> None:
    longer = f"inner/{of(places, 'a.bin').name}.nii"
    for name in ("a.bin", ".a.bin.part", ".a.bin.4242.part", "b.part", longer):
        (places / name).write_bytes(b"somebody's")
    (places / "link").symlink_to(places.parent, target_is_directory=True)
    sweep(places)
    assert names(places) == [".a.bin.4242.part", ".a.bin.part", "a.bin", "b.part", "inner", longer, "link"]
    sweep(places / "none")


def test_what_is_being_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with unfinished(path) as first, unfinished(path) as second:  # two threads' files of one name
        assert first != second
        first.touch()
        second.mkdir()
        sweep(tmp_path)
        write_atomically(path, b"whole")
        assert set(tmp_path.iterdir()) == {first, second, path}
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_number_that_was_given_anew_is_another_process(places: Path) -> None:
    path = renamed(of(places, "a.bin"), 1, str(os.getpid()))  # this process began at another time
    sweep(places)
    assert not path.exists()


@pytest.mark.parametrize("whose", ["another machine's", "another user's", "of an unknown time"])
def test_what_nobody_here_can_ask_for_stays_for_a_day(
    places: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    path = of(places, "a.bin")
    if whose == "another machine's":
        path = renamed(path, 0, "0123abcd")
    elif whose == "another user's":
        other = path.stat().st_uid + 1
        monkeypatch.setattr(os, "getuid", lambda: other, raising=False)
    else:
        path = renamed(path, 2, "0")
    for age, stays in ((23, True), (25, False)):
        os.utime(path, (time.time() - 3600 * age,) * 2)
        sweep(places)
        assert path.exists() is stays


def test_a_killed_process_that_nobody_has_buried_is_dead(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "a.bin")], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.read() == b""  # it has ended, and was not waited for
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    sweep(tmp_path)
    assert names(tmp_path) == []
    child.wait()
    child.stdout.close()


def test_two_machines_with_the_same_numbers_have_other_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def name() -> str:
        module._machine.cache_clear()
        with unfinished(tmp_path / "a") as path:
            return re.sub(r"-[0-9a-f]{8}\.part", "", path.name)

    ours = name()
    monkeypatch.setattr(module.platform, "node", lambda: "another")
    other = name()
    module._machine.cache_clear()
    assert ours != other and ours.split("-")[1:] == other.split("-")[1:] and "another" not in other


def test_the_second_of_two_writers_may_come_in_the_middle_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, fsync = tmp_path / "a.bin", os.fsync

    def meanwhile(descriptor: int) -> None:
        monkeypatch.setattr(files.os, "fsync", fsync)
        write_atomically(path, b"second")
        assert path.read_bytes() == b"second"

    monkeypatch.setattr(files.os, "fsync", meanwhile)
    write_atomically(path, b"first")
    assert path.read_bytes() == b"first" and list(tmp_path.iterdir()) == [path]


def test_a_trial_leaves_nothing_and_is_not_talked_round(tmp_path: Path) -> None:
    try_to_write(tmp_path)
    assert names(tmp_path) == []
    with pytest.raises(OSError):
        try_to_write(tmp_path / "none")
