r"""Segmenting a whole scan: find the heart anywhere in the picture, then look at it closely.

The network sees one slice at a time, `PIXEL` mm a pixel. A first look at whole slices finds the heart; a second, at a
window round it, is averaged over mirror images and quarter turns where the scan is short enough. The labels return to
the scan's own grid.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from cardiolearn.errors import InputError
from cardiolearn.image import Image
from cardiolearn.slices import PIXEL, Stack, scale, stack, unwindow, window
from cardiolearn.study import PHASES, Study

if TYPE_CHECKING:
    import pandas as pd

WINDOW = 128  # pixels, 192 mm: both ventricles of a dilated heart and some surroundings
MANY_VIEWS = 64  # slices; a longer scan is looked at from fewer sides
BATCH = 16  # windows at a time; larger pictures go in smaller batches, so that memory does not grow


@dataclass(frozen=True)
class Planes:
    r"""What the pictures of a kind of scan show.

    `smallest` and `average` are the radius (mm) of a disc as large as the left ventricle with its wall, in a large
    section of a heart. `around` are the labels whose middle is the heart's; `parts` those that make one piece each.
    """

    smallest: float
    average: float
    around: tuple[int, ...]
    parts: tuple[tuple[int, ...], ...]


SHORT_AXIS = Planes(22.0, 32.0, (1, 2), ((1, 2), (3,)))
LONG_AXIS = Planes(26.0, 38.0, (1, 2, 3, 4, 5), ((1, 2), (3,), (4,), (5,)))


def planes_of(view: str) -> Planes:
    r"""How scans of a study's view (`sa`, `la_2ch`, `la_4ch`) are looked at."""
    return SHORT_AXIS if view == "sa" else LONG_AXIS


_VIEWS = tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4))


def _view(images: Tensor, turns: int, mirrored: bool) -> Tensor:
    return (images.flip(-1) if mirrored else images).rot90(turns, (-2, -1))


def _unview(images: Tensor, turns: int, mirrored: bool) -> Tensor:
    turned = images.rot90(-turns, (-2, -1))
    return turned.flip(-1) if mirrored else turned


def _probabilities(network: nn.Module, images: Tensor) -> Tensor:
    device = next(network.parameters()).device
    batch = max(1, BATCH * WINDOW**2 // images[0].numel())
    parts = [part.to(device).contiguous(memory_format=torch.channels_last) for part in images.split(batch)]
    return torch.cat([network(part).softmax(1).cpu() for part in parts])


@dataclass(frozen=True)
class _Place:
    r"""Where a heart may be: centre `(y, x)` in source pixels, its left ventricle's radius in mm, how much was seen."""

    centre: tuple[float, float]
    radius: float
    mass: float


def _look(network: nn.Module, pictures: Stack, flat: Tensor, zoom: float, planes: Planes) -> _Place | None:
    # The likeliest heart in whole slices (N, Y, X) of one or two frames, seen at pixels of PIXEL * zoom mm.
    from scipy import ndimage

    height, width = flat.shape[-2:]
    middle = ((height - 1) / 2, (width - 1) / 2)
    pixel = PIXEL * zoom
    rows, columns = (
        int(np.ceil(n * p / pixel / 16)) * 16 for n, p in zip((height, width), pictures.pixel, strict=True)
    )
    found = _probabilities(network, window(flat, pictures.pixel, middle, (rows, columns), zoom))
    found = found.reshape(-1, pictures.data.shape[1], *found.shape[1:]).mean(0)
    around = found[:, list(planes.around)].sum(1).numpy()
    if around.max() < 0.3:
        return None
    smooth = ndimage.gaussian_filter(around, (0.8, 3.0, 3.0))
    parts, n = ndimage.label(smooth > 0.3 * smooth.max())
    mass = ndimage.sum(around, parts, index=np.arange(1, n + 1))
    here = parts == 1 + int(np.argmax(mass))
    _, y, x = ndimage.center_of_mass(around * here)
    areas = (((found[:, 1] + found[:, 2]).numpy() * here) > 0.5).sum((1, 2))
    area = np.quantile(areas[areas > 0], 0.75) * pixel**2 if areas.any() else 0.0  # a large, not the largest section
    centre = tuple(
        m + (c - (n - 1) / 2) * pixel / p
        for m, c, n, p in zip(middle, (y, x), (rows, columns), pictures.pixel, strict=True)
    )
    return _Place((centre[0], centre[1]), float(np.sqrt(area / np.pi)), float(mass.max()))


def _find_heart(network: nn.Module, pictures: Stack, planes: Planes) -> tuple[tuple[float, float], float] | None:
    r"""Centre of the heart (y, x in source pixels) and the zoom at which it looks as large as an average one, or None.

    The heart itself is the ruler: a large and a small one are seen at the same size, and so is a heart in a scan whose
    pixel size was lost or stated wrongly.
    """
    data = pictures.data
    frames = data[[0, len(data) * 2 // 5]] if len(data) > 2 else data[:1]
    flat = scale(frames).flatten(0, 1)
    place = _look(network, pictures, flat, 1.0, planes)
    if place is None or place.radius < planes.smallest:
        closer = _look(network, pictures, flat, 0.6, planes)
        if closer is not None and (place is None or closer.mass > place.mass):
            place = closer
    if place is None:
        return None
    sharper = _look(network, pictures, flat, _zoom(place, planes), planes) or place
    return sharper.centre, _zoom(sharper, planes)


def _zoom(place: _Place, planes: Planes) -> float:
    return min(max(place.radius / planes.average, 0.4), 1.6)


def _keep_the_heart(labels: np.ndarray, planes: Planes) -> np.ndarray:
    # One heart: of each part the largest connected piece; islands go.
    from scipy import ndimage

    for part in planes.parts:
        pieces, n = ndimage.label(np.isin(labels, part), structure=np.ones((3, 3, 3)))
        if n > 1:
            sizes = np.bincount(pieces.ravel())[1:]
            labels = np.where((pieces > 0) & (pieces != 1 + int(np.argmax(sizes))), 0, labels)
    for z, plane in enumerate(labels):  # papillary muscles belong to the cavity, so a cavity has no holes
        for c in (5, 4, 3, 1):
            labels[z] = np.where(ndimage.binary_fill_holes(plane == c), c, labels[z])
    return labels


@torch.no_grad()
def _segment(image: Image, network: nn.Module, planes: Planes) -> tuple[Image, list[Tensor]]:
    # Labels on the scan's grid; of each frame the classes' probabilities (Z, C, Y, X), in the network's order.
    pictures = stack(image)
    n_frames, n_slices, height, width = pictures.data.shape
    labels = torch.zeros((n_frames, n_slices, height, width), dtype=torch.uint8)
    place = _find_heart(network, pictures, planes)
    if place is None:
        return image.with_data(pictures.restore(labels)), []
    centre, zoom = place
    views = _VIEWS if n_frames * n_slices <= MANY_VIEWS else _VIEWS[::5]
    around = scale(window(pictures.data.flatten(0, 1), pictures.pixel, centre, (WINDOW, WINDOW), zoom))
    last: list[Tensor] = []
    for t in range(n_frames):
        part = around[t * n_slices : (t + 1) * n_slices]
        mean = sum(_unview(_probabilities(network, _view(part, *view)), *view) for view in views) / len(views)
        assert isinstance(mean, Tensor)
        whole = unwindow(mean, pictures.pixel, centre, (height, width), zoom)
        labels[t] = torch.from_numpy(_keep_the_heart(whole.argmax(1).to(torch.uint8).numpy(), planes))
        last = [whole]
    return image.with_data(pictures.restore(labels)), last


def segment(image: Image, network: nn.Module, planes: Planes = SHORT_AXIS) -> Image:
    r"""Labels (uint8) of a scan, on its own grid: 0-3 in short axis, 0-5 in long axis.

    Args:
        image: `(T, Z, Y, X)` or `(Z, Y, X)`, any axis order, any pixel size, the heart anywhere.
        network: maps `(N, 1, Y, X)` in [0, 1] to logits `(N, 4 or 6, Y, X)`; in evaluation mode.
        planes: what the scan shows.
    """
    return _segment(image, network, planes)[0]


def segment_softly(image: Image, network: nn.Module, planes: Planes = SHORT_AXIS) -> tuple[Image, Tensor]:
    r"""As `segment`, and how probable the network holds each class: `(C, Z, Y, X)`, summing to 1.

    Outside the window it looked at, and where it finds no heart, background is certain.

    Raises:
        InputError: a cine; choose a frame first.
    """
    if image.n_frames != 1:
        raise InputError(f"segment_softly: expected one frame (Z, Y, X), got {tuple(image.data.shape)}")
    labels, found = _segment(image, network, planes)
    n_classes = 1 + max(label for part in planes.parts for label in part)
    if not found:
        soft = torch.zeros((n_classes, *image.data.shape[-3:]))
    else:
        restore = stack(image.with_data(image.data.reshape(image.data.shape[-3:]))).restore
        soft = torch.stack([restore(found[0][None, :, c]) for c in range(n_classes)])
    soft[0] += 1.0 - soft.sum(0)
    return labels, soft


def segment_all(
    studies: Iterable[Study], network: nn.Module, view: str = "sa"
) -> tuple[dict[tuple[str, str], Image], pd.DataFrame]:
    r"""Labels of the studies' scans of a view by (subject, phase), and the `seconds` each `subject` took.

    Scans that a study lacks are passed over, and so are studies that have none of the view.
    """
    import pandas as pd
    from tqdm import tqdm

    found, seconds = {}, {}
    seen = [study for study in studies if any(study.has(view, phase) for phase in PHASES)]
    for study in tqdm(seen, desc=f"segmenting {view}", unit="subject", disable=not seen):
        scans = {phase: study.image(view, phase) for phase in PHASES if study.has(view, phase)}
        start = time.perf_counter()
        for phase, image in scans.items():
            found[study.subject, phase] = segment(image, network, planes_of(view))
        seconds[study.subject] = time.perf_counter() - start
    return found, pd.DataFrame({"subject": list(seconds), "seconds": list(seconds.values())})
