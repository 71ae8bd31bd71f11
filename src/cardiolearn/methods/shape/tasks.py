r"""What a shape prior is tried on: whole hearts in spoilt short-axis stacks, and the left ventricle in ultrasound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cardiolearn.imaging.structures import LABELS
from cardiolearn.methods.shape.autoencoder import AutoEncoder
from cardiolearn.methods.shape.layers import Grid
from cardiolearn.methods.shape.phantom_hearts import ECHO_GRID, ECHO_SPACING, EchoHearts, Hearts, StackHearts
from cardiolearn.methods.shape.segmenter import Segmenter
from cardiolearn.phantom.body.disease import Cohort
from cardiolearn.phantom.cohorts import ultrasound_volumes, volume_maps, volume_rendering
from cardiolearn.phantom.scanners.mri import ANY_VENDOR, UNSEEN_VENDOR
from cardiolearn.phantom.scanners.ultrasound import ANY_ECHOGRAPH, UNSEEN_ECHOGRAPH


@dataclass(frozen=True)
class Task:
    r"""A task by its `name`, with the `grid` `(Z, Y, X)` of what is found and its voxels' `spacing` in mm.

    Args:
        n_classes: background included.
        upsampling: thin slices to a slice of the picture.
        scans: of each training heart, by as many scanners.
        sample: `(n, folder, cohort, seed)` to the hearts of so many subjects, those of the test cohort under an unseen
            scanner.
    """

    name: str
    n_classes: int
    upsampling: int
    grid: Grid
    spacing: float
    scans: int
    sample: Callable[[int, Path, Cohort, int], Hearts] = field(repr=False)

    @property
    def among(self) -> tuple[str, ...]:
        r"""Keys of the structures."""
        return tuple(key for key, label in LABELS.items() if label < self.n_classes)

    def segmenter(self, seed: int) -> Segmenter:
        r"""The network that is compared with itself, with random weights."""
        return Segmenter(self.n_classes, upsampling=self.upsampling, seed=seed)

    def autoencoder(self, seed: int) -> AutoEncoder:
        r"""The auto-encoder whose encoder judges it, with random weights."""
        return AutoEncoder(self.grid, self.n_classes, seed=seed)


def _stacks(n: int, folder: Path, cohort: Cohort, seed: int) -> StackHearts:
    maps = volume_maps.sample_volume_maps(n, folder, cohort=cohort, seed=seed)
    if cohort == "train":
        return StackHearts(maps, volume_rendering.TRAINING, ANY_VENDOR)
    return StackHearts(maps, volume_rendering.TEST, UNSEEN_VENDOR)


def _echoes(n: int, folder: Path, cohort: Cohort, seed: int) -> EchoHearts:
    volumes = ultrasound_volumes.sample_ultrasound_volumes(n, folder, cohort=cohort, seed=seed)
    return EchoHearts(volumes, ANY_ECHOGRAPH if cohort == "train" else UNSEEN_ECHOGRAPH)


STACKS = Task("stacks", 4, volume_rendering.FACTOR, volume_maps.SHAPE, volume_maps.SPACING, 4, _stacks)
ECHO = Task("echo", 3, 1, ECHO_GRID, ECHO_SPACING, 4, _echoes)
TASKS = {task.name: task for task in (STACKS, ECHO)}
