r"""A scan given by its path: read it, segment it, say what was found and what a person should look at."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.reading import read_image, write_image
from cardiolearn.imaging.structures import LABELS, NAMES, VENTRICLES
from cardiolearn.imaging.study import Study, open_study
from cardiolearn.learning.device import pick_device
from cardiolearn.learning.weights import load_weights, ready
from cardiolearn.measures.clinical import ejection_fraction, implausible, mass_g, volumes_ml
from cardiolearn.measures.confidence import doubtful_slices, expected_dice
from cardiolearn.methods.segmentation.fcn import FCN
from cardiolearn.methods.segmentation.heart_place import SHORT_AXIS, ViewPlan, plan_of
from cardiolearn.methods.segmentation.whole_scan import segment_fullest, segment_softly

DOUBTFUL = 0.8  # expected Dice below which a structure wants looking at


def segment_file(scan: Path, out: Path, device: str = "auto", view: str = "sa") -> str:
    r"""Segment `scan` with the shipped network into the NIfTI file `out`; returns what to tell the user.

    Args:
        view: `sa` for a short-axis stack, `la` for a two- or four-chamber picture.

    Raises:
        InputError: the scan cannot be read, or `out` cannot be written; nothing is left behind.
    """
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise InputError(f"{out}: expected a folder that can be written to, {out.parent} is none")
    if not out.name.endswith((".nii", ".nii.gz")):
        raise InputError(f"{out}: expected a name ending in .nii or .nii.gz")
    if view not in ("sa", "la"):
        raise InputError(f"view: expected sa or la, got {view!r}")
    plan, where = plan_of(view), pick_device(device)
    image = read_scan(scan)
    network = FCN(plan.n_classes)
    load_weights(network, plan.weights)
    network = ready(network, where)
    labels, fullest, soft = segment_fullest(image, network, plan)
    judged = labels.frame(fullest)  # of a cine, the frame with the largest cavity
    write_image(out, labels)
    told, found = what_to_check(judged, soft, plan), _found(labels, plan)
    lines = [*told, *found] if warning(judged, plan) else [*found, *told]
    legend = ", ".join(f"{label} {NAMES[key]}" for key, label in LABELS.items() if label < plan.n_classes)
    return "\n".join([*lines, f"labels written to {out} ({legend})"])


def read_scan(scan: Path) -> Image:
    r"""The image of a NIfTI file, a DICOM cine folder or a study folder (its short-axis cine, else ED and ES)."""
    if not scan.is_dir():
        return read_image(scan, as_float=False)
    if not any(scan.glob("sa*.nii*")):
        if subjects := sorted(f.parent.name for f in scan.glob("*/sa*_ED.nii*")):
            raise InputError(f"{scan}: expected one scan, found the subjects {', '.join(subjects)}; name one of them")
        return read_image(scan)
    study = open_study(scan)
    if study.has("sa", None):
        return study.image("sa", None)
    frames = [study.image("sa", phase) for phase in ("ED", "ES") if study.has("sa", phase)]
    if len(frames) == 2 and frames[0].data.shape == frames[1].data.shape:
        return Image(torch.stack([f.data for f in frames]), frames[0].affine)
    return frames[0]


def warning(labels: Image, plan: ViewPlan = SHORT_AXIS) -> str | None:
    r"""What is wrong with a segmentation `(Z, Y, X)` that lacks a ventricle, or in long axis the whole heart, or whose
    volumes no heart has."""
    missing = [NAMES[key] for key, label in VENTRICLES.items() if not (labels.data == label).any()]
    if labels.data.any() and not (missing and plan is SHORT_AXIS):
        return _warning_of_size(labels) if plan is SHORT_AXIS and len(labels.data) > 1 else None
    what = ", ".join(missing) if plan is SHORT_AXIS else "heart"
    other = "; for a long-axis picture: --view la" if plan is SHORT_AXIS and len(labels.data) == 1 else ""
    return f"warning: no {what} found; is this a {plan.name} cardiac MR scan?{other}"


def _warning_of_size(labels: Image) -> str | None:
    if not (odd := implausible(volumes_ml(labels))):
        return None
    size = " x ".join(f"{side:.3g}" for side in labels.spacing)
    return f"warning: no adult heart has {', '.join(odd)}; is the voxel size right ({size} mm), is this a whole stack?"


def what_to_check(labels: Image, soft: Tensor, plan: ViewPlan = SHORT_AXIS) -> list[str]:
    r"""Sentences on what a person should look at in a segmentation of one frame, as `segment_fullest` gives it.

    The `warning`, where there is one; else the structures that the network expects to overlap the truth by less than
    0.8, and slices that it is unsure of; none if all seems well.

    Args:
        labels: `(Z, Y, X)`.
        soft: `(C, Z, Y, X)`, the probability of each class.
    """
    if wrong := warning(labels, plan):
        return [wrong]
    expected = expected_dice(labels.data, soft, VENTRICLES if plan is SHORT_AXIS else LABELS)
    low = [f"{NAMES[key]} (expected Dice {value:.2f})" for key, value in expected.items() if 0 < value < DOUBTFUL]
    slices = doubtful_slices(labels.data, soft) if plan is SHORT_AXIS else []
    lines = [f"look at: {', '.join(low)}"] if low else []
    return lines + ([f"unsure in slices {', '.join(map(str, slices))} (counted from 0)"] if slices else [])


def advice(study: Study, network: nn.Module) -> str:
    r"""`what_to_check` of a study's end-diastole, or first frame: its name and a line for each sentence."""
    image = study.image(phase="ED" if study.has(phase="ED") else None).frame(0)
    told = what_to_check(*segment_softly(image, network))
    return "\n  ".join([study.subject, *(told or ["nothing stands out; look at it all the same"])])


def _found(labels: Image, plan: ViewPlan) -> list[str]:
    r"""What was measured: areas of one slice, else volumes, and of a cine the ejection fractions."""
    if plan is not SHORT_AXIS:
        return _areas(labels)
    if labels.data.shape[-3] == 1:
        return ["one slice: areas, and no volumes", *_areas(labels)]
    volumes = [volumes_ml(labels.frame(t)) for t in range(labels.n_frames)]
    if len(volumes) == 1:
        return [f"volume: {_volumes(volumes[0])}"]
    lines = [f"{phase} (frame {t}): {_volumes(volumes[t])}" for phase, t in _phases(labels).items()]
    return lines + [line for side in ("lv", "rv") if (line := _ejection(side, [v[side] for v in volumes]))]


def _volumes(volume: dict[str, float]) -> str:
    mass = mass_g(volume["myocardium"])
    return f"LV {volume['lv']:.1f} mL, RV {volume['rv']:.1f} mL, LV mass {mass:.1f} g"


def _ejection(side: str, volumes: list[float]) -> str | None:
    name, most, least = side.upper(), max(volumes), min(volumes)
    if least > 0:
        return f"{name} ejection fraction: {ejection_fraction(most, least):.1f} %"
    if most > 0:
        t = volumes.index(least)
        return f"{name} ejection fraction: none, there is no {name} in frame {t}; is this a short-axis stack?"
    return None


def _areas(labels: Image) -> list[str]:
    # Areas of the chambers in one plane, for a cine in the frames of largest and smallest LV cavity.
    pixel = labels.pixel_area * 1e-2
    cine = labels.n_frames > 1
    lines = []
    for phase, t in _phases(labels).items() if cine else (("area", 0),):
        frame = labels.frame(t).data
        area = {NAMES[key]: int((frame == label).sum()) * pixel for key, label in LABELS.items()}
        where = f"{phase} (frame {t})" if cine else phase
        lines.append(f"{where}: " + ", ".join(f"{name} {value:.1f} cm2" for name, value in area.items() if value))
    return lines


def _phases(labels: Image) -> dict[str, int]:
    r"""The frames of a cine with the largest and the smallest LV cavity."""
    size = [int((frame == LABELS["lv"]).sum()) for frame in labels.data]
    return {"ED": size.index(max(size)), "ES": size.index(min(size))}
