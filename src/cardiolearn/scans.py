r"""A scan given by its path: read it, segment it, say what was found and what a person should look at."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cardiolearn.errors import InputError
from cardiolearn.evaluation import ATRIA, VENTRICLES
from cardiolearn.image import Image, read_image, write_image
from cardiolearn.study import MYOCARDIAL_DENSITY_G_PER_ML, open_study

DOUBTFUL = 0.8  # expected Dice below which a structure wants looking at
NAMES = {"lv": "LV", "myocardium": "myocardium", "rv": "RV", "la": "left atrium", "ra": "right atrium"}


def read_scan(scan: Path) -> Image:
    r"""The image of a NIfTI file, a DICOM cine folder or a study folder (its short-axis cine, else ED and ES)."""
    if not scan.is_dir():
        return read_image(scan)
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


def _frames(labels: Image) -> tuple[torch.Tensor, int, int]:
    # Labels (T, Z, Y, X) and the frames with the largest and the smallest LV cavity.
    frames = labels.data if labels.data.ndim == 4 else labels.data[None]
    size = (frames == VENTRICLES["lv"]).flatten(1).sum(1)
    return frames, int(size.argmax()), int(size.argmin())


def _volumes(labels: Image) -> list[str]:
    # Volumes, and for a cine the ejection fractions between the frames of largest and smallest LV cavity.
    if labels.data.shape[-3] == 1:
        return ["one slice: areas, and no volumes", *_areas(labels)]
    frames, ed, es = _frames(labels)
    voxel = float(np.prod(labels.spacing)) * 1e-3
    volume = torch.stack([(frames == c).flatten(1).sum(1) for c in (1, 2, 3)], 1).double() * voxel
    lines = []
    for name, t in (("ED", ed), ("ES", es)):
        left, wall, right = volume[t].tolist()
        where = f"{name} (frame {t})" if len(frames) > 1 else "volume"
        mass = wall * MYOCARDIAL_DENSITY_G_PER_ML
        lines.append(f"{where}: LV {left:.1f} mL, RV {right:.1f} mL, LV mass {mass:.1f} g")
        if len(frames) == 1:
            return lines
    most, least = volume.max(0).values, volume.min(0).values
    for name, c in (("LV", 0), ("RV", 2)):
        if least[c] > 0:
            lines.append(f"{name} ejection fraction: {100 * float(1 - least[c] / most[c]):.1f} %")
        elif most[c] > 0:
            t = int(volume[:, c].argmin())
            lines.append(
                f"{name} ejection fraction: none, there is no {name} in frame {t}; is this a short-axis stack?"
            )
    return lines


def _areas(labels: Image) -> list[str]:
    # Areas of the chambers in one plane, for a cine in the frames of largest and smallest LV cavity.
    frames, ed, es = _frames(labels)
    pixel = labels.spacing[0] * labels.spacing[1] * 1e-2
    lines = []
    for name, t in (("ED", ed), ("ES", es)) if len(frames) > 1 else (("area", 0),):
        where = f"{name} (frame {t})" if len(frames) > 1 else name
        area = {NAMES[k]: int((frames[t] == c).sum()) * pixel for k, c in (VENTRICLES | ATRIA).items()}
        lines.append(f"{where}: " + ", ".join(f"{k} {v:.1f} cm2" for k, v in area.items() if v))
    return lines


def what_to_check(image: Image, network: nn.Module, view: str = "sa") -> list[str]:
    r"""Sentences on what a person should look at in the segmentation of one frame `(Z, Y, X)`; none if all seems well.

    A structure is named where it was not found or where the network expects to overlap the truth by less than 0.8; and
    so are slices that it is unsure of.
    """
    from cardiolearn.quality import doubtful_slices, expected_dice
    from cardiolearn.segmentation import LONG_AXIS, SHORT_AXIS, segment_softly

    labels, soft = segment_softly(image, network, SHORT_AXIS if view == "sa" else LONG_AXIS)
    found = expected_dice(labels.data, soft, VENTRICLES | (ATRIA if view == "la" else {}))
    missing = [NAMES[k] for k in VENTRICLES if view == "sa" and not (labels.data == VENTRICLES[k]).any()]
    if not labels.data.any() or missing:
        what = "short-axis" if view == "sa" else "long-axis"
        other = "; for a long-axis picture: --view la" if view == "sa" and len(labels.data) == 1 else ""
        return [f"warning: no {', '.join(missing or ['heart'])} found; is this a {what} cardiac MR scan?{other}"]
    low = [f"{NAMES[k]} (expected Dice {v:.2f})" for k, v in found.items() if 0 < v < DOUBTFUL]
    slices = doubtful_slices(labels.data, soft) if view == "sa" else []
    lines = [f"look at: {', '.join(low)}"] if low else []
    return lines + ([f"unsure in slices {', '.join(map(str, slices))} (counted from 0)"] if slices else [])


def segment_file(scan: Path, out: Path, device: str = "auto", view: str = "sa") -> str:
    r"""Segment `scan` with the shipped network into the NIfTI file `out`; returns what to tell the user.

    Args:
        view: `sa` for a short-axis stack, `la` for a two- or four-chamber picture.

    Raises:
        InputError: the scan cannot be read, or `out` cannot be written; nothing is left behind.
    """
    from cardiolearn.networks.fcn import FCN
    from cardiolearn.segmentation import LONG_AXIS, SHORT_AXIS, segment
    from cardiolearn.training import keep_freed_memory, pick_device
    from cardiolearn.weights import load_weights

    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise InputError(f"{out}: expected a folder that can be written to, {out.parent} is none")
    if not out.name.endswith((".nii", ".nii.gz")):
        raise InputError(f"{out}: expected a name ending in .nii or .nii.gz")
    if view not in ("sa", "la"):
        raise InputError(f"view: expected sa or la, got {view!r}")
    where = pick_device(device)
    image = read_scan(scan)
    keep_freed_memory()
    network = FCN(n_classes=4 if view == "sa" else 6)
    load_weights(network, f"fcn_{'sax' if view == 'sa' else 'lax'}")
    fused = network.fused().to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    labels = segment(image, fused, SHORT_AXIS if view == "sa" else LONG_AXIS)
    write_image(out, labels)
    told = what_to_check(image.frame(_frames(labels)[1]), fused, view)
    numbers = _volumes(labels) if view == "sa" else _areas(labels)
    lines = [*told, *numbers] if told and told[0].startswith("warning") else [*numbers, *told]
    legend = "1 LV cavity, 2 myocardium, 3 RV cavity" + ("" if view == "sa" else ", 4 left atrium, 5 right atrium")
    return "\n".join([*lines, f"labels written to {out} ({legend})"])
