r"""A synthetic cohort on disk, in the layout of real studies, so that notebooks read both alike.

The label files hold the truth at each slice's mid-plane. What annotators would have drawn is not stored: it follows
from the truth and the subject's seed, see :func:`drawings`.
"""

from __future__ import annotations

import ast
import hashlib
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import platformdirs
import torch
from tqdm import tqdm

from cardiolearn.errors import InputError
from cardiolearn.files import named
from cardiolearn.image import Image
from cardiolearn.phantom.acquisition import Scan, frame_activations, scan_short_axis
from cardiolearn.phantom.long_axis import LONG_AXIS_VIEWS, scan_long_axis
from cardiolearn.phantom.mri import UNSEEN_VENDOR, Vendor
from cardiolearn.phantom.observers import OBSERVERS, observe
from cardiolearn.phantom.scene import Scene
from cardiolearn.phantom.subject import Cohort, Subject, sample_cohort
from cardiolearn.study import PHASES, VIEWS, Study, open_study, write_study

CACHE_VARIABLE = "CARDIOLEARN_CACHE"
END_DIASTOLE_END_SYSTOLE = (0.0, 1.0)


def write_cohort(
    folder: Path,
    n: int,
    *,
    cohort: Cohort = "test",
    seed: int = 0,
    vendor: Vendor = UNSEEN_VENDOR,
    frames: int = 0,
    shape: tuple[int, int] = (160, 176),
    views: Sequence[str] = ("sa",),
    visit: int = 0,
    jobs: int = 2,
) -> list[Study]:
    r"""Subjects 0 to `n` - 1 as study folders in `folder`; those that are there already are kept.

    Each has `sa_ED`, `sa_ES` and their true labels; with `frames` also the cine `sa` and its labels; the same for other
    `views`. `jobs` processes share the work, about 4 s of one core per stack and half a second per long-axis view. An
    interrupted call goes on with the subjects that are missing.

    Args:
        folder: made where it is missing.
        frames: of the cine, spread evenly over the heart beat; 0 for end-diastole and end-systole alone.
        shape: rows and columns of the pictures.
        views: of `sa`, `la_2ch`, `la_4ch`.
        visit: the same hearts are scanned and drawn anew at every visit: another planning, setting and noise.

    Raises:
        InputError: an unknown view; `folder` holds another cohort of the same subjects' names, or the disk refuses.
    """
    if not views or set(views) - set(VIEWS) or len(set(views)) < len(views):
        raise InputError(f"views: expected some of {', '.join(VIEWS)}, each once, got {', '.join(views) or 'none'}")
    with named(folder):
        folder.mkdir(parents=True, exist_ok=True)
    subjects = sample_cohort(n, cohort=cohort, seed=seed)
    made_with: dict[str, Any] = {"cohort": cohort, "seed": seed, "vendor": vendor.name, "frames": frames}
    made_with |= {"shape": list(shape), "views": list(views), "visit": visit}
    missing = [s for s in subjects if not _is_there(folder / s.identity, made_with)]
    if missing:
        activations = frame_activations(frames) if frames else END_DIASTOLE_END_SYSTOLE
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)) as pool:
            work: list[dict[str, list[Future[Scan]]]] = [
                {
                    view: [
                        pool.submit(_scan_frame, s, vendor, view, a, t, shape, _look(s, visit))
                        for t, a in enumerate(activations)
                    ]
                    for view in views
                }
                for s in missing
            ]
            for subject, scans in zip(tqdm(missing, desc="scanning hearts", unit="subject"), work, strict=True):
                done = {view: [scan.result() for scan in of_view] for view, of_view in scans.items()}
                _write(folder / subject.identity, subject, done, frames, made_with)
    return [open_study(folder / s.identity) for s in subjects]


def drawings(study: Study, phase: str) -> dict[str, Image]:
    r"""Short-axis label maps `(Z, Y, X)` of a phase by annotator, on the image's grid.

    A phantom's are drawn by the three :data:`OBSERVERS`, each in a way of his own that is the same at every call. A
    real study has one `annotator`, or none.
    """
    if not study.has("sa", phase, label=True):
        return {}
    labels = study.labels("sa", phase)
    if "hand" not in study.info:
        return {"annotator": labels}
    seed = int(study.info["hand"]) + PHASES.index(phase)
    return {o.name: labels.with_data(observe(labels.data, labels.spacing, o, seed)) for o in OBSERVERS}


def cache_folder() -> Path:
    r"""Where drawn hearts and unfinished trainings are kept: `CARDIOLEARN_CACHE`, else the user's cache folder.

    Its last part names the phantom's code, so that a changed phantom never meets hearts of the old one.
    """
    root = os.environ.get(CACHE_VARIABLE)
    return (Path(root) if root else platformdirs.user_cache_path("cardiolearn")) / f"phantom-{phantom_version()}"


@lru_cache(maxsize=1)
def phantom_version() -> str:
    r"""A short hash of what the modules that draw hearts do; comments, layout and docstrings do not count."""
    digest, todo, seen = hashlib.sha256(), ["batches", "cohort", "long_axis_batches", "volumes"], set[str]()
    while todo:
        name = todo.pop()
        seen.add(name)
        tree = ast.parse((Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cardiolearn.phantom."):
                other = str(node.module).removeprefix("cardiolearn.phantom.")
                todo += [] if other in {*seen, *todo} else [other]
        digest.update(f"{name}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()[:8]


@lru_cache(maxsize=1)
def _scene(subject: Subject) -> Scene:
    return Scene(subject)


def _scan_frame(
    subject: Subject, vendor: Vendor, view: str, activation: float, frame: int, shape: tuple[int, int], seed: int
) -> Scan:
    r"""One frame; geometry and scanner follow from the visit's seed, so that the frames of a visit fit together."""
    scene, when = _scene(subject), (activation,)
    if view in LONG_AXIS_VIEWS:
        return scan_long_axis(scene, vendor, view, when, seed=seed, shape=shape, first=frame)
    return scan_short_axis(scene, vendor, when, seed=seed, shape=shape, first=frame)


def _look(subject: Subject, visit: int) -> int:
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
    folder: Path, subject: Subject, scans: Mapping[str, Sequence[Scan]], frames: int, made_with: dict[str, Any]
) -> None:
    activations = [scan.activations[0] for scan in next(iter(scans.values()))]
    phases = {"ED": activations.index(min(activations)), "ES": activations.index(max(activations))}
    images: dict[str, Image] = {}
    labels: dict[str, Image] = {}
    for view, cine in scans.items():
        images |= {f"{view}_{phase}": cine[t].image.frame(0) for phase, t in phases.items()}
        labels |= {f"{view}_{phase}": cine[t].labels.frame(0) for phase, t in phases.items()}
        if frames:
            images[view] = _cine([scan.image for scan in cine], subject.heart_rate)
            labels[view] = _cine([scan.labels for scan in cine], subject.heart_rate)
    write_study(
        folder,
        images,
        labels,
        _facts(subject, made_with["visit"]) | {f"frame_{p}": t for p, t in phases.items()} | made_with,
    )


def _cine(frames: Sequence[Image], heart_rate: float) -> Image:
    data = torch.cat([frame.data for frame in frames])
    return Image(data, frames[0].affine, 60.0 / heart_rate / len(frames))


def _facts(subject: Subject, visit: int) -> dict[str, Any]:
    r"""What is known of a subject without looking at the pictures; `hand` seeds the annotators."""
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
        "hand": _look(subject, visit),
    } | volumes
