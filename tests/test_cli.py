r"""The commands: what they pass on, and that a correctable input is one line on stderr with exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from toys import write_kit

from cardiolearn import __version__, cli
from cardiolearn.errors import InputError
from cardiolearn.harness import machine
from cardiolearn.harness import run as harness
from cardiolearn.methods.segmentation import command


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    r"""Exit code of the command line."""
    monkeypatch.setattr(sys, "argv", ["cardiolearn", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code if isinstance(caught.value.code, int) else 0


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    r"""Options that `run` passed on; the run itself reports one problem for lesson "bad"."""
    passed: list[Any] = []

    def run_lessons(lessons: Any, given: harness.RunOptions) -> Any:
        passed.extend((list(lessons), given))
        claims = {"toy": {"verdict": "shown", "evidence": "0.1"}}
        results = {"claims": claims, "notebooks": {"01": {"status": "failed" if "torn" in lessons else "ok"}}}
        return results, ["toy.x: 1, recorded 2"] if set(lessons) & {"bad", "torn"} else []

    monkeypatch.setattr(harness, "run_lessons", run_lessons)
    return passed


def test_run_passes_everything_on(settings: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    options = ["--profile", "full", "--jobs", "2", "--out", tmp_path, "--resume", "--record", "--seed", "3"]
    monkeypatch.chdir(tmp_path)
    more = ["--time-limit", "1.5", "--cluster", "tcp://h:1", "-p", "data_dir=.", "--device", "cpu", "--stage", "9"]
    assert call(monkeypatch, "run", "01", "02", *options, *more) == 0
    parameters = {"profile": "full", "seed": 3, "data_dir": str(tmp_path), "device": "cpu"}
    expected = harness.RunOptions(parameters, 2, tmp_path, True, True, 90.0, 540.0, "tcp://h:1")
    assert settings == [["01", "02"], expected]


def test_run_exits_with_1_on_a_problem(
    settings: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "run") == 0
    assert call(monkeypatch, "run", "bad") == 1
    said = capsys.readouterr()
    assert "claim toy: shown - 0.1" in said.out
    assert "1 problem:\n  toy.x: 1, recorded 2" in said.err
    assert call(monkeypatch, "run", "torn") == 1
    assert capsys.readouterr().out == ""  # no claims of a run that broke off


def test_a_parameter_that_would_have_no_effect_is_one_line(
    settings: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for given, said in (
        (["frames"], "-p frames: expected NAME=VALUE"),
        (["device=cpu"], "-p device=cpu: use --device cpu"),
        (["seed=3"], "-p seed=3: use --seed 3"),
        (["profile=full"], "-p profile=full: use --profile full"),
        (["weights=a", "weights=b"], "-p weights=b: expected one value of weights, got another before"),
    ):
        assert call(monkeypatch, "run", *(word for text in given for word in ("-p", text))) == 2
        assert capsys.readouterr().err == f"cardiolearn: {said}\n"
    assert settings == []


def test_a_device_that_is_not_there_is_one_line_and_nothing_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CARDIOLEARN_HOME", str(write_kit(tmp_path / "kit")))
    for device, said in (
        ("cuda", "'cuda' was asked for, but this machine"),
        ("gpu", "expected auto, cpu, cuda or mps"),
    ):
        assert call(monkeypatch, "run", "--device", device) == 2
        shown = capsys.readouterr().err
        assert shown.count("\n") == 1 and said in shown
    assert not (tmp_path / "kit" / "runs").exists()


def test_segment_prints_the_answer_and_refuses_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def segment_file(scan: Path, out: Path, device: str, view: str) -> str:
        if scan.name == "bad.nii":
            raise InputError(f"{scan}: not an image,\n found text")
        return f"{scan.name} {out.name} {device} {view}"

    monkeypatch.setattr(command, "segment_file", segment_file)
    assert call(monkeypatch, "segment", tmp_path / "a.nii", "--out", tmp_path / "b.nii", "--device", "cpu") == 0
    assert capsys.readouterr().out == "a.nii b.nii cpu sa\n"
    assert call(monkeypatch, "segment", tmp_path / "bad.nii", "--out", tmp_path / "b.nii") == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "not an image, found text" in said.err and said.out == ""
    assert call(monkeypatch, "segment", tmp_path / "a.nii") == 2  # --out is missing


def test_report_and_learner_work_on_the_kits_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("CARDIOLEARN_HOME", str(tmp_path))
    assert call(monkeypatch, "report") == 2
    assert "CARDIOLEARN_HOME" in capsys.readouterr().err
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / "claims.toml").write_text("")
    assert call(monkeypatch, "report") == 2
    assert "start with 'cardiolearn run'" in capsys.readouterr().err
    assert call(monkeypatch, "report", "--readme") == 2
    assert "README.md" in capsys.readouterr().err
    assert call(monkeypatch, "learner") == 2
    assert "notebooks" in capsys.readouterr().err


def test_check_prints_what_was_found_and_exits_with_1_where_something_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for ready in (True, False):
        monkeypatch.setattr(machine, "machine_lines", lambda ready=ready: (["cache    here", "so it is"], ready))
        assert call(monkeypatch, "check") == (0 if ready else 1)
        assert capsys.readouterr().out == "cache    here\nso it is\n"


def test_version_and_help_come_from_a_fresh_process() -> None:
    code = "from cardiolearn.cli import main; main()"
    version = subprocess.run([sys.executable, "-c", code, "version"], capture_output=True, text=True)
    assert (version.returncode, version.stdout) == (0, f"{__version__}\n")
    usage = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True)
    for name in ("run", "report", "learner", "segment", "check", "version"):
        assert name in usage.stdout
    wrong = subprocess.run([sys.executable, "-c", code, "rum"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "Traceback" not in wrong.stderr


def test_a_choice_is_said_in_one_line_and_letters_that_the_terminal_lacks_as_codes(tmp_path: Path) -> None:
    r"""A file called omega whose s-form does not know its voxel size, on a terminal that knows western letters only."""
    scan = tmp_path / "\N{GREEK CAPITAL LETTER OMEGA}.nii"
    nifti = nib.Nifti1Image(np.zeros((20, 20, 3), np.int16), np.eye(4))
    nifti.header["pixdim"][1:4] = 1.8
    scan.write_bytes(nifti.to_bytes()[:80] + np.full(3, 1.8, "<f4").tobytes() + nifti.to_bytes()[92:])
    out = tmp_path / "\N{GREEK CAPITAL LETTER OMEGA}_labels.nii.gz"
    code = "import sys; from cardiolearn.cli import main; sys.argv = ['cardiolearn', 'segment', *sys.argv[1:]]; main()"
    command = [sys.executable, "-c", code, str(scan), "--out", str(out), "--device", "cpu"]
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    ran = subprocess.run(command, capture_output=True, env=environment, encoding="cp1252", check=True)
    assert out.is_file() and r"\u03a9_labels.nii.gz (1 LV cavity" in ran.stdout
    assert "Traceback" not in ran.stderr
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"cardiolearn: warning: {tmp_path}") and r"\u03a9.nii: the s-form says voxels" in line
