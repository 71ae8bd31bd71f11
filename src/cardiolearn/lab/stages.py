r"""Stages of a long run that were finished before: who made them, when, and how long it took.

A longer run goes on from trainings and tables that an earlier one finished, maybe with other code. What it reports is
put together from all of them, so each keeps a note beside it that says where it comes from.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cardiolearn.home import code_version, commit
from cardiolearn.imaging.files import write_atomically
from cardiolearn.lab.records import STAGE_MIME, show


@contextmanager
def stage(name: str, kept: Path, device: str) -> Iterator[dict[str, Any]]:
    r"""Do, or go on with, or find finished, the stage whose result is the file `kept`; say so in the notebook's output.

    Gives the note, which is filled in when the stage is over. The file `<kept>.stage.json` gathers in it `seconds` and
    the `commits` that had a part in it; `earlier` are the seconds before this run. A result without a note, of an older
    version, has unknown commits and no seconds.
    """
    note = kept.with_name(f"{kept.name}.stage.json")
    before, told = _read(note, kept), dict[str, Any]()
    began = time.perf_counter()
    kept_before, over = kept.is_file(), False
    try:
        yield told
        over = True
    finally:
        spent = time.perf_counter() - began
        now = before | {"seconds": round(before["seconds"] + spent, 1)}
        # Worked on, and not just read again: it broke off, is new, or took longer than reading does.
        if not (over and kept_before) or spent > 0.05 * before["seconds"] + 10:
            now |= _made_with(before["commits"], device)
            if kept.parent.is_dir():
                write_atomically(note, (json.dumps(now) + "\n").encode())
        else:
            now = before
    told |= now | {"stage": name, "earlier": before["seconds"]}
    text = f"stage {name}: {now['seconds']:.0f} s on {now['device']}, commit {', '.join(now['commits'])}"
    show(text, {STAGE_MIME: told})


def _read(note: Path, kept: Path) -> dict[str, Any]:
    if note.is_file():
        known: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        return known
    commits = ["unknown"] if kept.is_file() else []
    return {"seconds": 0.0, "commits": commits, "device": "unknown", "phantom": "unknown", "date": "unknown"}


def _made_with(commits: list[str], device: str) -> dict[str, Any]:
    from cardiolearn.phantom.cohorts.cache import phantom_version

    every = list(dict.fromkeys([*commits, commit()]))
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    return {"commits": every, "code": code_version(), "phantom": phantom_version(), "device": device, "date": today}
