r"""Finding the left ventricle by rules alone, as it was done before networks learnt to: a circle, then a threshold."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from cardiolearn.imaging.image import Image
from cardiolearn.imaging.intensity import percentiles

RADII = (14.0, 34.0, 2.0)  # mm: smallest, largest, step of the circles looked for
REACH = 70.0  # mm from the middle of the picture: a technician centres the heart
SEARCHED = 0.34  # of the slices, the middle ones: there the cavity is roundest
INSIDE = 1.3  # of the circle's radius; blood farther out is not the left ventricle's


def find_lv_cavity(image: Image) -> Image:
    r"""LV cavity (label 1, uint8) of a short-axis stack `(Z, Y, X)` at one phase, by four rules and no learning.

    1. The left ventricle is the roundest disc of the middle slices, not far from the middle of the picture (Hough
    transform on edges, the best circle of all radii). 2. What is bright is blood (Otsu's threshold within a
    neighbourhood of the circle, slice by slice). 3. Of the bright pieces the one with the most pixels in the circle is
    the cavity, within 1.3 times its radius. 4. It is convex: papillary muscles belong to it. A slice where less than a
    twentieth of the circle is bright has no cavity.

    Source: textbook rules, each of which was published many times; the numbers are ours, set by eye on training hearts.
    """
    from skimage.filters import threshold_otsu
    from skimage.measure import label
    from skimage.morphology import convex_hull_image

    data, pixel = image.data.numpy(), float(np.sqrt(image.spacing[0] * image.spacing[1]))
    labels = np.zeros(data.shape, np.uint8)
    y0, x0, radius = _circle(data, pixel)
    y, x = np.indices(data.shape[1:])
    away = np.hypot(y - y0, x - x0) * pixel
    near, disc = away < 2.0 * radius, away < radius
    for z, plane in enumerate(data):
        bright = plane > threshold_otsu(plane[near]) if np.ptp(plane[near]) else np.zeros_like(near)
        pieces = label(bright & (away < INSIDE * radius))
        sizes = np.bincount(pieces[disc], minlength=2)[1:]
        if sizes.max(initial=0) >= 0.05 * disc.sum():
            labels[z] = convex_hull_image(pieces == 1 + int(sizes.argmax()))
    return image.with_data(torch.from_numpy(labels))


def _circle(data: NDArray[np.float32], pixel: float) -> tuple[float, float, float]:
    # Centre (y, x in pixels) and radius (mm) of the best circle in the middle slices.
    from skimage.feature import canny
    from skimage.transform import hough_circle

    n = len(data)
    half = max(1, round(0.5 * SEARCHED * n))
    middle = data[max(0, n // 2 - half) : n // 2 + half]
    radii = np.arange(*RADII) / pixel
    votes = np.zeros((len(radii), *data.shape[1:]))
    for plane in middle:
        top = percentiles(plane, 99)[0] or 1.0
        votes += hough_circle(canny(np.clip(plane / top, 0, 1), sigma=2.0 / pixel), np.round(radii).astype(int))
    y, x = np.indices(data.shape[1:])
    centre = (np.array(data.shape[1:]) - 1) / 2
    votes *= np.hypot(y - centre[0], x - centre[1]) * pixel < REACH
    best, row, column = np.unravel_index(int(votes.argmax()), votes.shape)
    return float(row), float(column), float(radii[best] * pixel)
