r"""Where in a scan the heart is, and how large: what the network makes of whole slices.

The heart itself is the ruler: a large and a small one are seen at the same size, and so is a heart in a scan whose
pixel size was lost or stated wrongly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.intensity import to_unit_range
from cardiolearn.imaging.slices import PIXEL, Stack, window
from cardiolearn.imaging.structures import LABELS, LEFT_ATRIUM, LV_CAVITY, MYOCARDIUM, RIGHT_ATRIUM, RV_CAVITY, VIEWS

WINDOW = 128  # pixels, 192 mm: both ventricles of a dilated heart and some surroundings
SMALLEST_WINDOW = 96
MARGIN = 10.0  # mm around what may be heart
SURE = 0.8  # probability of background below which a pixel may be heart: doubts must stay in view
BATCH = 8  # windows at a time; larger pictures go in smaller batches, so that memory does not grow


@dataclass(frozen=True)
class ViewPlan:
    r"""How scans of a view are segmented.

    Args:
        name: of the view, for a reader.
        weights: of the network, in `course/weights`.
        n_classes: that it knows, background included.
        smallest: radius (mm) of a disc as large as a small left ventricle with its wall, in a large section of it.
        average: the same of an average one.
        around: the labels whose middle is the heart's.
        parts: those that make one piece each.
    """

    name: str
    weights: str
    n_classes: int
    smallest: float
    average: float
    around: tuple[int, ...]
    parts: tuple[tuple[int, ...], ...]


SHORT_AXIS = ViewPlan(
    name="short-axis", weights="fcn_sax", n_classes=4, smallest=22.0, average=32.0,
    around=(LV_CAVITY, MYOCARDIUM), parts=((LV_CAVITY, MYOCARDIUM), (RV_CAVITY,)),
)  # fmt: skip
LONG_AXIS = ViewPlan(
    name="long-axis", weights="fcn_lax", n_classes=6, smallest=26.0, average=38.0,
    around=tuple(LABELS.values()),
    parts=((LV_CAVITY, MYOCARDIUM), (RV_CAVITY,), (LEFT_ATRIUM,), (RIGHT_ATRIUM,)),
)  # fmt: skip


def plan_of(view: str) -> ViewPlan:
    r"""How a study's view (`sa`, `la_2ch`, `la_4ch`) is segmented; `la` is either long-axis view.

    Raises:
        InputError: another view.
    """
    if view not in (*VIEWS, "la"):
        raise InputError(f"view: expected {', '.join(VIEWS)} or la, got {view!r}")
    return SHORT_AXIS if view == "sa" else LONG_AXIS


def probabilities(network: nn.Module, images: Tensor) -> Tensor:
    r"""Of each class `(N, C, Y, X)` in pictures `(N, 1, Y, X)`, on the CPU."""
    device = next(network.parameters()).device
    batch = max(1, BATCH * WINDOW**2 // images[0].numel())
    batches = images.chunk(-(-len(images) // batch))  # of like size: a small last one costs nearly as much
    parts = [part.to(device).contiguous(memory_format=torch.channels_last) for part in batches]
    return torch.cat([network(part).softmax(1).cpu() for part in parts])


class HeartPlace(NamedTuple):
    r"""Centre of a heart (y, x in source pixels), the zoom at which it looks as large as an average one, and the `size`
    (pixels) of a window that holds it then."""

    centre: tuple[float, float]
    zoom: float
    size: int


@dataclass(frozen=True)
class _Place:
    r"""Where a heart may be: centre `(y, x)` in source pixels, its left ventricle's radius and how far it reaches from
    the centre along either axis, in mm, how much was seen."""

    centre: tuple[float, float]
    radius: float
    reach: float
    mass: float


def _likeliest(network: nn.Module, pictures: Stack, flat: Tensor, zoom: float, plan: ViewPlan) -> _Place | None:
    # The likeliest heart in whole slices (N, Y, X) of one or two frames, seen at pixels of PIXEL * zoom mm.
    height, width = flat.shape[-2:]
    middle = ((height - 1) / 2, (width - 1) / 2)
    pixel = PIXEL * zoom
    rows, columns = (
        int(np.ceil(n * p / pixel / 16)) * 16 for n, p in zip((height, width), pictures.pixel, strict=True)
    )
    found = probabilities(network, window(flat, pictures.pixel, middle, (rows, columns), zoom))
    found = found.reshape(-1, pictures.data.shape[1], *found.shape[1:]).mean(0)
    piece = _largest_piece(found[:, list(plan.around)].sum(1).numpy())
    if piece is None:
        return None
    (y, x), here, mass = piece
    areas = (((found[:, LV_CAVITY] + found[:, MYOCARDIUM]).numpy() * here) > 0.5).sum((1, 2))
    area = np.quantile(areas[areas > 0], 0.75) * pixel**2 if areas.any() else 0.0  # a large, not the largest section
    centre = tuple(
        m + (c - (n - 1) / 2) * pixel / p
        for m, c, n, p in zip(middle, (y, x), (rows, columns), pictures.pixel, strict=True)
    )
    reach = pixel * _farthest((found[:, 0] < SURE).any(0).numpy(), (y, x))
    return _Place((centre[0], centre[1]), float(np.sqrt(area / np.pi)), reach, mass)


def _farthest(heart: np.ndarray, centre: tuple[float, float]) -> float:
    # How many pixels the connected piece of a mask (Y, X) around `centre` reaches from it along either axis.
    from scipy import ndimage

    parts, _ = ndimage.label(heart)
    at = parts[round(centre[0]), round(centre[1])]
    pixels = np.argwhere(parts == at if at else heart)
    return float(np.abs(pixels - centre).max()) if len(pixels) else 0.0


def _largest_piece(around: np.ndarray) -> tuple[tuple[float, float], np.ndarray, float] | None:
    # Of probabilities (Z, Y, X) the piece that holds most: its middle (y, x), its mask, and how much; None for nothing.
    from scipy import ndimage

    if around.max() < 0.3:
        return None
    smooth = ndimage.gaussian_filter(around, (0.8, 3.0, 3.0))
    parts, n = ndimage.label(smooth > 0.3 * smooth.max())
    mass = ndimage.sum(around, parts, index=np.arange(1, n + 1))
    here = parts == 1 + int(np.argmax(mass))
    _, y, x = ndimage.center_of_mass(around * here)
    return (y, x), here, float(mass.max())


def telling_frames(image: Image) -> Image:
    r"""The frames in which the heart is looked for: the first, and of a cine one in which it is contracted."""
    n = image.n_frames
    return Image(image.data[[0, n * 2 // 5]].float(), image.affine) if n > 2 else image.frame(0)


def find_heart(network: nn.Module, pictures: Stack, plan: ViewPlan) -> HeartPlace | None:
    r"""Where the heart is; None where there is none.

    The heart itself is the ruler: a large and a small one are seen at the same size, and so is a heart in a scan whose
    pixel size was lost or stated wrongly. Most windows are smaller than `WINDOW`, which makes a cine quicker.
    `pictures` are those of the `telling_frames`.
    """
    flat = to_unit_range(pictures.data.float()).flatten(0, 1)
    place = _likeliest(network, pictures, flat, 1.0, plan)
    if place is None or place.radius < plan.smallest:
        closer = _likeliest(network, pictures, flat, 0.6, plan)
        if closer is not None and (place is None or closer.mass > place.mass):
            place = closer
    if place is None:
        return None
    sharper = _likeliest(network, pictures, flat, _zoom(place, plan), plan) or place
    zoom = _zoom(sharper, plan)
    steps = math.ceil(2 * (sharper.reach + MARGIN) / (PIXEL * zoom) / 16)  # sizes that the network can halve
    return HeartPlace(sharper.centre, zoom, min(max(16 * steps, SMALLEST_WINDOW), WINDOW))


def _zoom(place: _Place, plan: ViewPlan) -> float:
    return min(max(place.radius / plan.average, 0.4), 1.6)
