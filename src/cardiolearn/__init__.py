r"""cardiolearn: a teaching-and-reproduction kit for learning anatomical image representations of the heart.

Importing the package costs nothing: every submodule is imported where it is used.
"""

from __future__ import annotations

__version__ = "0.1.0"
