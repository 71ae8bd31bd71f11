r"""Fixtures of all tests; the small hearts they share are made by `hearts.py`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_scans() -> Path:
    r"""Folder of real sample scans (`CARDIOLEARN_SCANS`); the test is skipped where there is none."""
    folder = os.environ.get("CARDIOLEARN_SCANS", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("CARDIOLEARN_SCANS names no folder of real scans")
    return Path(folder)
