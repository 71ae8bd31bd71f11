r"""A synthetic cohort on disk, in the layout of real studies, so that notebooks read both alike.

The label files hold the truth at each slice's mid-plane. What annotators would have outlined is not stored: it
follows from the truth and the subject's seed, see :func:`outlines`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from cardiolearn.errors import InputError
from cardiolearn.imaging.files import named
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.structures import PHASES, VIEWS
from cardiolearn.imaging.study import Study, open_study
from cardiolearn.learning.device import at_once, in_processes
from cardiolearn.learning.progress import tqdm
from cardiolearn.phantom.body.disease import Cohort
from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.body.subject import Subject, sample_cohort
from cardiolearn.phantom.cohorts.cache import keep_study as write_study  # no statement changes, nor the version
from cardiolearn.phantom.cohorts.observers import OBSERVERS, outline
from cardiolearn.phantom.scanners.acquisition import Scan, frame_activations, scan_short_axis
from cardiolearn.phantom.scanners.long_axis import LONG_AXIS_VIEWS, scan_long_axis
from cardiolearn.phantom.scanners.mri import UNSEEN_VENDOR, Vendor

END_DIASTOLE_END_SYSTOLE = (0.0, 1.0)


@dataclass(frozen=True)
class Examination:
    r"""How each subject is scanned.

    Args:
        vendor: of the scanner.
        frames: of the cine, spread evenly over the heart beat; 0 for end-diastole and end-systole alone.
        shape: rows and columns of the pictures.
        views: of `sa`, `la_2ch`, `la_4ch`.
        visit: the same hearts are scanned and outlined anew at every visit: another planning, setting and noise.

    Raises:
        InputError: an unknown view, one twice, or none.
    """

    vendor: Vendor = UNSEEN_VENDOR
    frames: int = 0
    shape: tuple[int, int] = (160, 176)
    views: tuple[str, ...] = ("sa",)
    visit: int = 0

    def __post_init__(self) -> None:
        if not self.views or set(self.views) - set(VIEWS) or len(set(self.views)) < len(self.views):
            found = ", ".join(self.views) or "none"
            raise InputError(f"views: expected some of {', '.join(VIEWS)}, each once, got {found}")

    @property
    def activations(self) -> tuple[float, ...]:
        r"""Of the frames that are scanned."""
        return frame_activations(self.frames) if self.frames else END_DIASTOLE_END_SYSTOLE

    def facts(self) -> dict[str, Any]:
        r"""For `info.toml`: what a study was made with."""
        facts = {"vendor": self.vendor.name, "frames": self.frames, "shape": list(self.shape)}
        return facts | {"views": list(self.views), "visit": self.visit}


def write_studies(
    folder: Path, n: int, examination: Examination | None = None, *,
    cohort: Cohort = "test", seed: int = 0, jobs: int | None = None,
) -> list[Study]:  # fmt: skip
    r"""Subjects 0 to `n` - 1 as study folders in `folder`; those that are there already are kept.

    Each has `sa_ED`, `sa_ES` and their true labels; with `frames` also the cine `sa` and its labels; the same for other
    `views`. `jobs` processes (by default one for each core) share the work, about 4 s of one core per stack and half a
    second per long-axis view. An interrupted call goes on with the subjects that are missing.

    Args:
        folder: made where it is missing.
        examination: by default end-diastole and end-systole in short axis, on the unseen scanner.

    Raises:
        InputError: `folder` holds another cohort of the same subjects' names, or the disk refuses.
    """
    how = examination or Examination()
    with named(folder):
        folder.mkdir(parents=True, exist_ok=True)
    subjects = sample_cohort(n, cohort=cohort, seed=seed)
    made_with = {"cohort": cohort, "seed": seed} | how.facts()
    missing = [s for s in subjects if not _is_there(folder / s.identity, made_with)]
    for subject, scans in _scan_all(missing, how, jobs or at_once()):
        _write(folder / subject.identity, subject, scans, how, made_with)
    return [open_study(folder / s.identity) for s in subjects]


def outlines(study: Study, phase: str) -> dict[str, Image]:
    r"""Short-axis label maps `(Z, Y, X)` of a phase by annotator, on the image's grid.

    A phantom is outlined by the three :data:`OBSERVERS`, each in a way of his own that is the same at every call. A
    real study has one `annotator`, or none.

    Raises:
        InputError: a phantom study that does not say what seeds its annotators, as earlier versions wrote it.
    """
    if not study.has("sa", phase, label=True):
        return {}
    labels = study.labels("sa", phase)
    if not study.info.get("phantom"):
        return {"annotator": labels}
    if "annotators_seed" not in study.info:
        raise InputError(f"{study.folder}: expected annotators_seed in info.toml, found none; write the study anew")
    seed = int(study.info["annotators_seed"]) + PHASES.index(phase)
    return {o.name: labels.with_data(outline(labels.data, labels.spacing, o, seed)) for o in OBSERVERS}


def outline_all(studies: Iterable[Study]) -> dict[tuple[str, str], dict[str, Image]]:
    r"""`outlines` of each short-axis scan by (subject, phase); scans without labels are passed over."""
    pairs = [(study, phase) for phase in PHASES for study in studies]
    every = {(study.subject, phase): outlines(study, phase) for study, phase in pairs if study.has("sa", phase)}
    return {key: outlined for key, outlined in every.items() if outlined}


def _scan_all(
    subjects: Sequence[Subject], how: Examination, jobs: int
) -> Iterator[tuple[Subject, dict[str, list[Scan]]]]:
    r"""Each subject with the parts of its views' cines, as soon as all of them are scanned."""
    parts = [(view, part) for view in how.views for part in _parts(how, len(subjects), jobs)]
    tasks = [partial(_scan_part, subject, how, view, part) for subject in subjects for view, part in parts]
    waiting: dict[int, dict[int, Scan]] = {i: {} for i in range(len(subjects))}
    with tqdm(total=len(subjects), desc="scanning hearts", unit="subject", disable=not subjects) as bar:
        for number, scan in in_processes(tasks, jobs):
            i, k = divmod(number, len(parts))
            waiting[i][k] = scan
            if len(waiting[i]) == len(parts):
                scans = waiting.pop(i)
                bar.update()
                yield subjects[i], {v: [scans[k] for k, (of, _) in enumerate(parts) if of == v] for v in how.views}


def _parts(how: Examination, n_subjects: int, jobs: int) -> list[range]:
    # The frames of a view that one task scans: all, for they share much, but where too few subjects occupy the jobs.
    frames, pieces = len(how.activations), math.ceil(jobs / max(n_subjects, 1))
    size = math.ceil(frames / pieces)
    return [range(first, min(first + size, frames)) for first in range(0, frames, size)]


@lru_cache(maxsize=1)
def _scene(subject: Subject) -> Scene:
    return Scene(subject)


def _scan_part(subject: Subject, how: Examination, view: str, frames: range) -> Scan:
    r"""Some frames of a view; geometry and scanner follow from the visit's seed: the frames of a visit fit together."""
    scene, when, seed = _scene(subject), how.activations[frames.start : frames.stop], _visit_seed(subject, how.visit)
    if view in LONG_AXIS_VIEWS:
        return scan_long_axis(scene, how.vendor, view, when, seed=seed, shape=how.shape, first=frames.start)
    return scan_short_axis(scene, how.vendor, when, seed=seed, shape=how.shape, first=frames.start)


def _visit_seed(subject: Subject, visit: int) -> int:
    # What seeds the planning, the scanner and the annotators of a visit.
    return int((subject.seed + 7_919 * visit) % 2**62)


def _is_there(folder: Path, made_with: dict[str, Any]) -> bool:
    if not folder.exists():
        return False
    info = open_study(folder).info
    for key, value in made_with.items():
        if info.get(key) != value:
            raise InputError(f"{folder}: expected a subject of {key} {value}, found {info.get(key, 'another study')}")
    return True


def _write(
    folder: Path, subject: Subject, scans: Mapping[str, Sequence[Scan]], how: Examination, made_with: dict[str, Any]
) -> None:
    phases = {"ED": how.activations.index(min(how.activations)), "ES": how.activations.index(max(how.activations))}
    images: dict[str, Image] = {}
    labels: dict[str, Image] = {}
    for view, parts in scans.items():
        image = _cine([part.image for part in parts], subject.heart_rate)
        label = _cine([part.labels for part in parts], subject.heart_rate)
        images |= {f"{view}_{phase}": image.frame(t) for phase, t in phases.items()}
        labels |= {f"{view}_{phase}": label.frame(t) for phase, t in phases.items()}
        if how.frames:
            images[view], labels[view] = image, label
    frames = {f"frame_{phase}": t for phase, t in phases.items()}
    write_study(folder, images, labels, _facts(subject, how.visit) | frames | made_with)


def _cine(parts: Sequence[Image], heart_rate: float) -> Image:
    data = torch.cat([part.data for part in parts])
    return Image(data, parts[0].affine, 60.0 / heart_rate / len(data))


def _facts(subject: Subject, visit: int) -> dict[str, Any]:
    r"""What is known of a subject without looking at the pictures, and what seeds its annotators."""
    volumes = {f"{name}_ml": getattr(subject, name) for name in ("lv_edv", "lv_esv", "rv_edv", "rv_esv")}
    return {
        "subject": subject.identity,
        "phantom": True,
        "group": subject.group,
        "sex": subject.sex,
        "age": subject.age,
        "body_surface_area": subject.body_surface_area,
        "heart_rate": subject.heart_rate,
        "lv_mass_g": subject.lv_mass,
        "annotators_seed": _visit_seed(subject, visit),
    } | volumes
