r"""What the kit's folder says of itself: the commit that made a number."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cardiolearn import home


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    r"""A folder like the kit's, in git, with one commit."""
    for folder in ("course", "src", "notebooks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "claims.toml").write_text("")
    monkeypatch.setenv(home.VARIABLE, str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True, capture_output=True)
    return tmp_path


def test_the_commit_is_named_and_whether_code_or_lessons_differ_from_it(kit: Path) -> None:
    head = subprocess.run(["git", "-C", str(kit), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    ask = home.commit.__wrapped__  # without its memory
    assert ask() == head.stdout[:12]
    (kit / "course" / "results.json").write_text("")  # what a run records does not make it another program
    assert ask() == head.stdout[:12]
    for folder in ("src", "notebooks"):
        (kit / folder / "new.py").write_text("")
        assert ask() == head.stdout[:12] + "-dirty"
        (kit / folder / "new.py").unlink()


def test_without_git_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / "claims.toml").write_text("")
    monkeypatch.setenv(home.VARIABLE, str(tmp_path))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert home.commit.__wrapped__() == "unknown"
