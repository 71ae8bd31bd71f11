r"""`cardiolearn check`: each thing that lessons need is looked at, and named where it is missing."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from torch import nn
from toys import write_kit

from cardiolearn.harness import machine, speed
from cardiolearn.harness.machine import machine_lines
from cardiolearn.harness.speed import Speed
from cardiolearn.home import find_home
from cardiolearn.learning.weights import Provenance, ship_weights
from cardiolearn.phantom.cohorts.cache import CACHE_VARIABLE

ORIGIN = Provenance("01_good", "full", 0, "0123456789ab", "c0ffee12", "cpu")


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    r"""A kit that is ready, with one network and one recorded table."""
    home = write_kit(tmp_path / "kit")
    monkeypatch.setenv("CARDIOLEARN_HOME", str(home))
    monkeypatch.delenv("CARDIOLEARN_WEIGHTS", raising=False)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    for variable in ("JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    monkeypatch.setattr(speed, "measure_speed", lambda device: Speed(1234.4, 56.6))
    monkeypatch.setattr(machine, "_networks", lambda: {"net": lambda: nn.Linear(2, 1)})
    ship_weights("net", nn.Linear(2, 1), ORIGIN)
    (home / "course" / "results" / "toy.csv").write_text("subject,dice\na,0.5\n")
    (home / "course" / "results" / "toy.json").write_text("[1]")
    return home


def found() -> tuple[dict[str, str], bool]:
    r"""What is said of each thing, and the answer."""
    *lines, answer = machine_lines()[0]
    ready = machine_lines()[1]
    assert answer == ("ready" if ready else "not ready: see above") and "\n" not in "".join(lines)
    return {line[:9].strip(): line[9:] for line in lines}, ready


def test_a_machine_that_is_ready_and_is_left_as_it_was(kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object) -> None:
        raise AssertionError("a port was opened")

    monkeypatch.setattr(socket.socket, "bind", closed)
    before = sorted(kit.rglob("*"))
    said, ready = found()
    assert ready
    assert list(said) == [
        "python", "torch", "device", "cache", "kit", "course", "weights", "runs", "kernel", "jupyter", "figures",
    ]  # fmt: skip
    words = "renders 1234 slices of 128x128 a second, renders and learns from 57 in "
    assert words in said["device"] and said["device"].endswith(("bfloat16", "float32"))
    assert said["course"] == "1 claims, 1 tables, recorded runs: none" and said["weights"] == "1 files whole: net"
    assert said["runs"] == str(kit / "runs") and said["cache"].startswith(str(kit.parent / "cache" / "phantom-"))
    assert sorted(kit.rglob("*")) == before and list((kit.parent / "cache").iterdir()) == []


def test_the_weights_of_every_lesson_fit_the_network_they_are_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARDIOLEARN_HOME", str(Path(__file__).parents[2]))
    monkeypatch.delenv("CARDIOLEARN_WEIGHTS", raising=False)
    assert set(machine._networks()) == {path.stem for path in find_home().glob("course/weights/*.safetensors")}
    assert machine._weights().good and machine._course(find_home()).good


def other_shape(kit: Path) -> None:
    ship_weights("net", nn.Linear(3, 1), ORIGIN)


def half_a_file(kit: Path) -> None:
    file = kit / "course" / "weights" / "net.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def unlisted(kit: Path) -> None:
    (kit / "course" / "weights" / "weights.toml").write_text("")


def another_is_lost(kit: Path) -> None:
    ship_weights("other", nn.Linear(1, 1), ORIGIN)
    (kit / "course" / "weights" / "other.safetensors").unlink()


def write(name: str, text: str) -> Callable[[Path], None]:
    def damage(kit: Path) -> None:
        (kit / name).write_text(text)

    return damage


@pytest.mark.parametrize(
    ("damage", "name", "words"),
    [
        (other_shape, "weights", "net.safetensors: weights of a network of another shape than this Linear"),
        (half_a_file, "weights", "net.safetensors: the weights file was altered"),
        (unlisted, "weights", "weights 'net': expected one of (none shipped yet)"),
        (another_is_lost, "weights", "other.safetensors: the weights file is missing"),
        (write("course/claims.toml", "[[claim]\n"), "course", "claims.toml: expected a claims ledger in TOML"),
        (write("course/results/classroom.json", "{}"), "course", "classroom.json: expected the results of a run"),
        (write("course/results/toy.csv", ""), "course", "toy.csv: expected a table of results in csv"),
        (write("course/results/toy.json", "[1"), "course", "toy.json: expected JSON"),
    ],
)
def test_a_damaged_kit_is_not_ready(kit: Path, damage: Callable[[Path], None], name: str, words: str) -> None:
    damage(kit)
    said, ready = found()
    assert not ready and words in said[name]


def test_without_a_kit_the_machine_is_not_ready(kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (kit / "course" / "claims.toml").unlink()
    said, ready = found()
    assert not ready and "CARDIOLEARN_HOME" in said["kit"]


@pytest.mark.parametrize(
    ("variable", "name"), [(CACHE_VARIABLE, "cache"), ("JUPYTER_RUNTIME_DIR", "jupyter")], ids=lambda value: value
)
def test_a_folder_that_takes_no_file_is_named_with_the_variable_that_moves_it(
    kit: Path, monkeypatch: pytest.MonkeyPatch, variable: str, name: str
) -> None:
    r"""A file stands in the way, which stops an administrator too."""
    (kit.parent / "file").touch()
    monkeypatch.setenv(variable, str(kit.parent / "file" / "below"))
    said, ready = found()
    assert not ready
    assert f"{kit.parent / 'file' / 'below'}" in said[name] and variable in said[name] and "written" in said[name]


def test_a_full_disk_is_not_ready(kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> Any:
        asked.append(path)
        return shutil._ntuple_diskusage(10**12, 10**12 - 2 * 10**8, 2 * 10**8)  # type: ignore[attr-defined]

    monkeypatch.setattr(machine.shutil, "disk_usage", usage)
    said, ready = found()
    assert not ready and "0.2 GB free: expected 0.3 GB; name another disk in CARDIOLEARN_CACHE" in said["cache"]
    assert set(asked) == {kit.parent / "cache"}


def test_runs_may_go_elsewhere(kit: Path) -> None:
    (kit / "runs").touch()
    said, ready = found()
    assert ready and said["runs"].endswith("'cardiolearn run' needs --out FOLDER")


@pytest.mark.parametrize(
    ("program", "ours"),
    [
        ("python", True),
        ("python3", True),
        (sys.executable, True),
        (os.path.join(os.path.dirname(sys.executable), "python3.99"), True),
        ("/opt/other/bin/python", False),
        ("python2", False),
        ("", False),
    ],
)
def test_the_kernel_is_this_environments(kit: Path, monkeypatch: pytest.MonkeyPatch, program: str, ours: bool) -> None:
    spec = KernelSpec(argv=[program, "-m", "ipykernel_launcher"] if program else [], resource_dir="/there")
    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", lambda self, name: {"python3": spec}[name])
    finding = machine._kernel()
    assert finding.good is ours
    assert ours or ("/there" in finding.text and "ipykernel install --sys-prefix" in finding.text)


def test_an_environment_that_links_to_the_same_python_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "python").symlink_to(os.path.realpath(sys.executable))
    spec = KernelSpec(argv=[str(tmp_path / "other" / "python")])
    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", lambda self, name: spec)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "one" / "python"))
    assert not machine._kernel().good


def test_no_kernel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(self: KernelSpecManager, name: str) -> KernelSpec:
        raise NoSuchKernel(name)

    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", none)
    assert machine._kernel() == machine.Finding(
        "kernel", "there is no Jupyter kernel python3; install it with: pip install ipykernel", False
    )


def test_figures_need_some_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "file" / "below"))
    asked = partial(matplotlib._get_config_or_cache_dir, matplotlib._get_xdg_config_dir)  # never remembers
    monkeypatch.setattr(matplotlib, "get_configdir", asked)
    finding = machine._figures()
    assert finding.good and finding.text.endswith("name a folder in MPLCONFIGDIR") and not caplog.records

    def nowhere() -> str:
        raise OSError("Matplotlib requires access\nto a folder")

    monkeypatch.setattr(matplotlib, "get_configdir", nowhere)
    assert machine._figures() == machine.Finding("figures", "Matplotlib requires access to a folder", False)
