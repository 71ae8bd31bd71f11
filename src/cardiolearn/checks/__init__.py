r"""Answer checks for the exercises: `from cardiolearn import checks`, then `checks.dice(my_dice)`.

A new exercise is one `Exercise(...)` in a module of this folder and one name here.
"""

from __future__ import annotations

from cardiolearn.checks.measures import contour_distance, dice
from cardiolearn.checks.pictures import psnr, smooth_l1, thick_slice
from cardiolearn.checks.volumes import ejection_fraction, volume

__all__ = ["contour_distance", "dice", "ejection_fraction", "psnr", "smooth_l1", "thick_slice", "volume"]
