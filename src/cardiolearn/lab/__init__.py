r"""What a notebook imports first: `run = lab.start(...)` says where and how the lesson runs and keeps its numbers."""

from __future__ import annotations

from cardiolearn.lab.run import Run
from cardiolearn.lab.start import start

__all__ = ["Run", "start"]
