r"""A cohort before the echograph: what the probe's beams meet in each subject is sampled once and kept, and every batch
is another scan of it, with new speckle, gain, shadows and haze."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cardiolearn.phantom.body.disease import Cohort, Group
from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.body.subject import sample_subject
from cardiolearn.phantom.cohorts.cache import kept_in_blocks
from cardiolearn.phantom.scanners.probe import Probe, met_by_beams, place_probe
from cardiolearn.phantom.scanners.sector import SHAPE, SPACING
from cardiolearn.phantom.scanners.ultrasound import ANY_ECHOGRAPH, Echograph, scan_ultrasound

ACTIVATIONS = (0.0, 1.0)  # end-diastole, end-systole


@dataclass(frozen=True)
class UltrasoundVolumes:
    r"""Codes `(N, 2, DEPTHS, BEAMS, BEAMS)` (uint8) of what the beams meet in N subjects, at end-diastole and
    end-systole; :mod:`~cardiolearn.phantom.scanners.echo_tissue` says what they mean."""

    codes: Tensor

    def __len__(self) -> int:
        return len(self.codes)


def sample_beams(
    index: int, cohort: Cohort = "train", seed: int = 0, group: Group | None = None, device: torch.device | str = "cpu"
) -> UltrasoundVolumes:
    r"""Subject `index` of a cohort, alone, under a probe of its own. Reproducible from the arguments; the probe is held
    alike on every `device`."""
    subject = sample_subject(index, cohort=cohort, seed=seed, group=group)
    scene = Scene(subject, device)
    return UltrasoundVolumes(met_by_beams(scene, own_probe(scene), ACTIVATIONS)[None])


def own_probe(scene: Scene) -> Probe:
    r"""The probe that a subject's heart is seen with, always the same one."""
    return place_probe(scene, torch.Generator("cpu").manual_seed((scene.subject.seed * 7 + 6) % 2**62))


def sample_ultrasound_volumes(
    n: int,
    folder: Path,
    *,
    cohort: Cohort = "train",
    seed: int = 0,
    group: Group | None = None,
    jobs: int | None = None,
) -> UltrasoundVolumes:
    r"""Subjects 0 to `n` - 1 (of one `group`, or all), kept in `folder` so that an interrupted call goes on.

    `jobs` processes (by default one for each core) share the work, 25 subjects to a file. About 1.6 s of one core and
    1.8 MB of memory a subject.
    """
    how: dict[str, Any] = {"cohort": cohort, "seed": seed, "group": group, "jobs": jobs}
    found = kept_in_blocks(sample_beams_block, n, folder, title="placing probes", **how)
    return UltrasoundVolumes(found["codes"])


def sample_beams_block(indices: range, cohort: Cohort, seed: int, group: Group | None) -> dict[str, Tensor]:
    r"""What a file of `sample_ultrasound_volumes` holds: the `codes` of these subjects, one after another."""
    return {"codes": torch.cat([sample_beams(index, cohort, seed, group).codes for index in indices])}


def render_ultrasound(
    volumes: UltrasoundVolumes, picks: Tensor, generator: torch.Generator, *,
    echograph: Echograph = ANY_ECHOGRAPH, shape: Sequence[int] = SHAPE, spacing: float = SPACING,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    r"""Pictures `(n, 1, Z, Y, X)` in [0, 1] and labels `(n, Z, Y, X)` (int64: 1 LV cavity, 2 its wall).

    `picks` `(n,)` counts moments: `2 i` is subject `i` at end-diastole, `2 i + 1` at end-systole. All of it happens on
    the device of the volumes, which must be that of the `generator`. A coarser box, of fewer and larger voxels, shows
    the same field.
    """
    codes = volumes.codes.flatten(0, 1)[picks]
    picture, label = scan_ultrasound(codes, echograph, generator, shape=shape, spacing=spacing)
    return picture[:, None], label.long()
