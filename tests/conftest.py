r"""Fixtures of all tests; the small hearts they share are made by `hearts.py`."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event

import pytest
import torch

from cardiolearn.imaging import locks


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    r"""What is marked `cuda` is skipped by name where no card is."""
    marked = [item for item in items if item.get_closest_marker("cuda")]
    if marked and not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="torch finds no CUDA card on this machine"))


@pytest.fixture(scope="session")
def real_scans() -> Path:
    r"""Folder of real sample scans (`CARDIOLEARN_SCANS`); the test is skipped where there is none."""
    folder = os.environ.get("CARDIOLEARN_SCANS", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("CARDIOLEARN_SCANS names no folder of real scans")
    return Path(folder)


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Event:
    r"""Set as soon as somebody waits for a lock; he looks again at once and not in half a second."""
    somebody, holder = Event(), locks._holder

    def asked(file: Path) -> str:
        found = holder(file)
        somebody.set()
        return found

    monkeypatch.setattr(locks, "_holder", asked)
    monkeypatch.setattr(locks, "_LOOK_AGAIN", 0.001)
    return somebody
