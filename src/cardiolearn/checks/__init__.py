r"""Answer checks for the exercises: `from cardiolearn import checks`, then `checks.dice(my_dice)`.

A new exercise is one `Exercise(...)` in a module of this folder and one name here.
"""

from __future__ import annotations

from cardiolearn.checks.forests import hough_vote, information_gain, same_label, trimmed_step
from cardiolearn.checks.fully_convolutional import skip_join, training_step, weighted_loss
from cardiolearn.checks.segmentation import contour_distance, dice, ejection_fraction, volume
from cardiolearn.checks.shape import code_loss, constrained_step, cross_entropy, pieces
from cardiolearn.checks.superresolution import displacement, gradient_step, thin_slice

__all__ = [
    "code_loss",
    "constrained_step",
    "contour_distance",
    "cross_entropy",
    "dice",
    "displacement",
    "ejection_fraction",
    "gradient_step",
    "hough_vote",
    "information_gain",
    "pieces",
    "same_label",
    "skip_join",
    "thin_slice",
    "training_step",
    "trimmed_step",
    "volume",
    "weighted_loss",
]
