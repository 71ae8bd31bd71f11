r"""Fixtures of all tests; the small hearts they share are made by `hearts.py`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
import torch
from hypothesis import settings
from lab_page import find_browser

from cardiolearn.imaging import locks

settings.register_profile("kit", deadline=None)  # no test measures time
settings.load_profile("kit")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-lesson", action="store_true", help="use every lesson in the browser, not only the first")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    r"""What a machine lacks is skipped by name: a card (`cuda`), a browser (`browser`); `every_lesson` is asked for."""
    missing = {}
    if not torch.cuda.is_available():
        missing["cuda"] = "torch finds no CUDA card on this machine"
    if find_browser() is None:
        missing["browser"] = "no Chromium or no Playwright on this machine"
    if not config.getoption("--every-lesson"):
        missing["every_lesson"] = "`make browser` uses every lesson"
    for item in items:
        for name, reason in missing.items():
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


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


@pytest.fixture
def double_precision() -> Iterator[None]:
    r"""Tensors are of double precision: for methods that are held against each other to a millionth."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
