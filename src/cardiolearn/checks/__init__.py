r"""Answer checks for the exercises: `from cardiolearn import checks`, then `checks.dice(my_dice)`.

A new exercise is one `Exercise(...)` in a module of this folder and one name here.
"""

from __future__ import annotations

from cardiolearn.checks.measures import contour_distance, dice
from cardiolearn.checks.volumes import ejection_fraction, volume

__all__ = ["contour_distance", "dice", "ejection_fraction", "volume"]
