r"""Hearts of ellipsoids with six landmarks, turned about z and scaled, that tests of landmark forests share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from cardiolearn.methods.forests.landmark_trees import Subjects
from cardiolearn.methods.forests.landmarks import LandmarkSettings

SHAPE, SPACING = (18, 24, 28), (3.0, 2.0, 2.5)  # voxels and mm, (z, y, x)
#: A forest for them that grows in a moment.
SMALL = LandmarkSettings(patch=12, label=6, each=40, share=0.3, pairs=40, trees=2, folds=2)
#: Where the landmarks of a heart of size 1 are, mm about its middle, (z, y, x).
MARKS = np.array([[-16, 0, 0], [16, 0, 0], [0, -9, -6], [0, 9, -6], [0, 0, 10], [0, 0, -20]], float)
_ELLIPSOIDS = (((0, 0, -12), (13, 8, 9)), ((0, 0, 0), (16, 11, 11)), ((0, 0, 0), (12, 7, 7)))  # RV, wall, LV
_GREY = np.array([0.3, 0.85, 0.15, 0.9])


def turned_heart(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    r"""Picture `SHAPE`, labels and landmarks `(6, 3)` in voxels of a heart."""
    generator = np.random.default_rng(seed)
    turn, size = generator.uniform(-0.5, 0.5), generator.uniform(0.85, 1.15)
    matrix = size * turned_about_z(turn)
    middle = 0.5 * np.array(SHAPE) * SPACING + generator.normal(0.0, 1.5, 3)
    places = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), -1) * SPACING - middle
    own = places @ np.linalg.inv(matrix)
    labels = np.zeros(SHAPE, np.uint8)
    for label, (at, radii) in zip((3, 2, 1), _ELLIPSOIDS, strict=True):
        labels[(((own - at) / radii) ** 2).sum(-1) < 1.0] = label
    picture = _GREY[labels] + generator.normal(0.0, 0.04, SHAPE)
    marks = (MARKS @ matrix + middle) / SPACING
    return torch.from_numpy(picture).float().clamp(0, 1), torch.from_numpy(labels), torch.from_numpy(marks)


def turned_about_z(angle: float) -> np.ndarray:
    r"""Rows (z, y, x) times this are turned by an angle (rad), from x to y."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])


def turned_hearts(seeds: Sequence[int], persons: Sequence[int] | None = None) -> Subjects:
    r"""Several of them."""
    pictures, labels, marks = (torch.stack(part) for part in zip(*map(turned_heart, seeds), strict=True))
    return Subjects(pictures, labels, marks, SPACING, None if persons is None else torch.tensor(persons))
