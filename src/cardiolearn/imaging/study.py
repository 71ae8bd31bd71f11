r"""One folder per subject, the same for real patients and built-in hearts.

The layout is that of the `ukbb_cardiac` repository: `sa.nii.gz` (the cine), `sa_ED.nii.gz`, `sa_ES.nii.gz`,
`label_sa_ED.nii.gz`, ..., `la_2ch*.nii.gz`, `la_4ch*.nii.gz`, and `info.toml`. Labels mean the same in all views.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cardiolearn.errors import InputError
from cardiolearn.imaging.dicom_file import is_dicom
from cardiolearn.imaging.files import named, to_toml
from cardiolearn.imaging.image import Image, resample
from cardiolearn.imaging.numbering import check_numbering
from cardiolearn.imaging.reading import read_image, read_labels, write_image
from cardiolearn.imaging.structures import LABELS, LEFT_ATRIUM, PHASES, RV_CAVITY, VIEWS
from cardiolearn.imaging.unfinished import unfinished


@dataclass(frozen=True)
class Study:
    r"""What one folder holds, read when asked for.

    Args:
        folder: where the files lie.
        subject: research identifier, never a name.
        info: the contents of `info.toml`.
    """

    folder: Path
    subject: str
    info: dict[str, Any] = field(default_factory=dict)

    def path(self, view: str = "sa", phase: str | None = "ED", label: bool = False) -> Path:
        r"""The file of a view (`sa`, `la_2ch`, `la_4ch`) at a phase (`ED`, `ES`, `None` for the cine)."""
        return self.folder / _file_name(view if phase is None else f"{view}_{phase}", label)

    def has(self, view: str = "sa", phase: str | None = "ED", label: bool = False) -> bool:
        r"""Whether the file is there."""
        return self.path(view, phase, label).is_file()

    def image(self, view: str = "sa", phase: str | None = "ED") -> Image:
        r"""The image, float32: `(Z, Y, X)` of a phase, `(T, Z, Y, X)` of the cine (`phase=None`)."""
        return read_image(self._existing(view, phase, label=False))

    def labels(self, view: str = "sa", phase: str | None = "ED") -> Image:
        r"""The label map on the grid of its image, whatever extent it was stored with."""
        path = self._existing(view, phase, label=True)
        with named(path):
            labels = read_labels(path)
            self._check_outlined(labels, phase)
            if view == "sa" and (labels.data == LEFT_ATRIUM).any() and not (labels.data == RV_CAVITY).any():
                raise InputError("expected the right ventricle as label 3, got label 4 (left atrium) and no 3")
            check_numbering(labels)
            return match_labels(labels, self.image(view, phase))

    def outlined(self, phase: str | None = "ED") -> tuple[str, ...] | None:
        r"""Keys of the structures that were outlined at a phase (`None`: at any), as `info.toml` declares, else None.

        `outlined` there is a list, or a table of lists where phases differ: `{ED = ["lv", "myocardium"], ES = ["lv"]}`.

        Raises:
            InputError: it is no list of such keys, or a table of other phases.
        """
        declared = self.info.get("outlined")
        if declared is None:
            return None
        by_phase = declared if isinstance(declared, dict) else dict.fromkeys(PHASES, declared)
        lists = all(isinstance(keys, list) and all(key in LABELS for key in keys) for keys in by_phase.values())
        if not lists or not set(by_phase) <= set(PHASES):
            path, known = self.folder / "info.toml", ", ".join(LABELS)
            raise InputError(
                f"{path}: expected outlined to list some of {known}, or such lists by ED and ES, got {declared}"
            )
        asked = PHASES if phase is None else (phase,)
        return tuple(key for key in LABELS if any(key in by_phase.get(one, ()) for one in asked))

    def _check_outlined(self, labels: Image, phase: str | None) -> None:
        found = {key for key, label in LABELS.items() if (labels.data == label).any()}
        declared = self.outlined(phase)
        if declared is not None and (more := sorted(found - set(declared))):
            raise InputError(
                f"expected {', '.join(declared) or 'nothing'} as info.toml declares, got also {', '.join(more)}"
            )

    def _existing(self, view: str, phase: str | None, label: bool) -> Path:
        path = self.path(view, phase, label)
        if not path.is_file():
            found = sorted(p.name for p in self.folder.glob("*.nii*"))
            raise InputError(f"{self.folder}: expected {path.name}, found {', '.join(found) or 'no NIfTI file'}")
        return path


def open_study(folder: str | Path) -> Study:
    r"""The study in a folder; its subject is `subject` in `info.toml`, else the folder's name.

    Raises:
        InputError: the folder or its images are missing, or `info.toml` cannot be parsed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a study folder, found none")
    if not _is_study(folder):
        raise InputError(f"{folder}: expected a study folder with files such as sa_ED.nii.gz or sa.nii.gz, found none")
    info: dict[str, Any] = {}
    path = folder / "info.toml"
    if path.is_file():
        with named(path):
            try:
                info = tomllib.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise InputError(f"expected TOML, got: {error}") from error
    subject = info.get("subject", folder.resolve().name)
    if not isinstance(subject, str | int) or not str(subject).strip():
        raise InputError(f"{path}: expected the subject's identifier as text, got {subject!r}")
    return Study(folder, str(subject), info)


def find_studies(data_dir: str | Path) -> list[Study]:
    r"""The studies in a folder, by name; or the one study that the folder is. Other folders in it are passed over."""
    data_dir = Path(data_dir)
    if data_dir.is_file():
        raise InputError(
            f"{data_dir}: expected a folder of studies, got a file; for one scan: cardiolearn segment SCAN"
        )
    if not data_dir.is_dir():
        raise InputError(f"{data_dir}: expected a folder of studies, there is no such folder")
    if _is_study(data_dir):
        return [open_study(data_dir)]
    studies = [open_study(f) for f in sorted(data_dir.iterdir()) if not f.name.startswith(".") and _is_study(f)]
    if not studies:
        what = "none; it holds DICOM files: cardiolearn segment reads them" if _holds_dicom(data_dir) else "none"
        raise InputError(f"{data_dir}: expected one folder per subject with files such as sa_ED.nii.gz, found {what}")
    _check_distinct(data_dir, studies)
    return studies


def _check_distinct(data_dir: Path, studies: Sequence[Study]) -> None:
    r"""Refuse two studies of one subject: whatever is kept by subject would silently lose one of them."""
    folders: dict[str, str] = {}
    for study in studies:
        if (other := folders.setdefault(study.subject, study.folder.name)) != study.folder.name:
            raise InputError(
                f"{data_dir}: expected each subject once, but {other} and {study.folder.name} both are subject "
                f"{study.subject!r} (info.toml); give each its own"
            )


def write_study(
    folder: str | Path, images: Mapping[str, Image], labels: Mapping[str, Image], info: Mapping[str, Any]
) -> Study:
    r"""Write a study folder, whole or not at all.

    Args:
        folder: does not exist yet; the folder above it does.
        images: by view and phase: `sa` (the cine), `sa_ED`, `sa_ES`, `la_4ch_ED`, ...
        labels: by the same names, with values of `LABELS`.
        info: for `info.toml`: text, numbers, truth values, lists and tables of them. Nothing that identifies a person.
            `outlined`, the structures that the labels hold, is added.

    Raises:
        InputError: the folder exists, a name or a label is unknown, the disk refuses.
    """
    folder = Path(folder)
    if not images:
        raise InputError(f"{folder}: expected at least one image to write, got none")
    if folder.exists():
        raise InputError(f"{folder}: expected a new folder, it exists already")
    if not folder.parent.is_dir():
        raise InputError(f"{folder}: expected an existing folder to write into, {folder.parent} is none")
    with named(folder), unfinished(folder) as temporary:
        temporary.mkdir()
        for name, image in images.items():
            write_image(temporary / _file_name(name, label=False), image)
        for name, image in labels.items():
            known = [0, *LABELS.values()]
            unknown = sorted(set(image.data.unique().tolist()) - set(known))
            if unknown:
                raise InputError(f"{folder}: expected labels {known} in {name}, got also {unknown}")
            write_image(temporary / _file_name(name, label=True), image, np.uint8)
        declared = {"outlined": _outlined_in(labels.values())} if labels else {}
        (temporary / "info.toml").write_text(to_toml(declared | dict(info)), encoding="utf-8")
        os.replace(temporary, folder)
    return open_study(folder)


def match_labels(labels: Image, image: Image) -> Image:
    r"""Bring a label map to the grid of its image: crop, pad, permute and flip by whole voxels as the affines say.

    Args:
        labels: `(Z, Y, X)`, or with as many frames as the image.
        image: whose grid is wanted; the result's dtype is that of the labels.

    Raises:
        InputError: other voxels (size, direction, or between those of the image), no overlap, other frames.
    """
    if labels.data.shape[:-3] not in ((), image.data.shape[:-3]):
        raise InputError(f"labels: expected {image.n_frames} frames as in the image, got {labels.n_frames}")
    relation = np.linalg.inv(labels.affine) @ image.affine  # image voxel -> label voxel
    whole = np.rint(relation)
    extent = np.array([*image.data.shape[:-4:-1], 1])
    drift = np.abs(relation - whole)[:3] @ extent  # how far the two grids run apart, in voxels, within the image
    if abs(abs(np.linalg.det(whole[:3, :3])) - 1) > 1e-6 or drift.max() > 0.25:
        raise InputError(
            f"labels: expected the voxels of the image, {_grid(image)}, got {_grid(labels)}: "
            "the affines differ by more than whole voxels"
        )
    covered = resample(labels.with_data(torch.ones(labels.data.shape[-3:])), image.affine, image.data.shape[-3:], 0)
    if not covered.data.any():
        raise InputError(f"labels: expected to overlap the image, {_grid(image)}, got {_grid(labels)}")
    return resample(labels, image.affine, image.data.shape[-3:], order=0)


def _outlined_in(maps: Iterable[Image]) -> list[str]:
    present = set().union(*(image.data.unique().tolist() for image in maps))
    return [key for key, label in LABELS.items() if label in present]


def _file_name(name: str, label: bool) -> str:
    known = [view for view in VIEWS] + [f"{view}_{phase}" for view in VIEWS for phase in PHASES]
    if name not in known:
        raise InputError(f"study: expected a view and phase of {', '.join(known)}, got {name!r}")
    return f"{'label_' if label else ''}{name}.nii.gz"


def _is_study(folder: Path) -> bool:
    return any((folder / f"{v}{p}.nii.gz").is_file() for v in VIEWS for p in ("", *(f"_{phase}" for phase in PHASES)))


def _grid(image: Image) -> str:
    spacing = " x ".join(f"{s:.4g}" for s in image.spacing)
    origin = ", ".join(f"{v:.4g}" for v in image.affine[:3, 3])
    return f"{' x '.join(map(str, image.data.shape[:-4:-1]))} voxels of {spacing} mm from ({origin})"


def _holds_dicom(folder: Path) -> bool:
    # A look at a few files: the folder may be a whole archive.
    return any(is_dicom(path) for path in islice((f for f in folder.rglob("*") if f.is_file()), 20))
