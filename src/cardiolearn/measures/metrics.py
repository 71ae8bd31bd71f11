r"""How alike two segmentations or two images are, written down once.

Contours follow Bai et al. 2018 as implemented (`image_utils.distance_metric`, OpenCV's external contours): the points
of a contour are the *centres of the mask's outermost pixels*, those with an edge-neighbour outside once holes are
filled. A disc of radius r thus has its contour about half a pixel inside its edge; distances between two contours are
free of that offset. The deviation: OpenCV lists a pixel of a one-pixel-wide line twice, here it counts once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import box_around

_SSIM_REACH = 5  # pixels: the Gaussian window of SD 1.5 is cut off there


class ContourDistance(NamedTuple):
    r"""A distance averaged over slices.

    `mm` is NaN where no slice shows both contours; `n_slices` entered the mean, `n_dropped` show only one of the two.
    """

    mm: float
    n_slices: int
    n_dropped: int


class MyocardiumDistance(NamedTuple):
    r"""Both borders of the ring; the epicardial one is what Bai et al. report for the myocardium."""

    endocardium: ContourDistance
    epicardium: ContourDistance


def dice(a: torch.Tensor, b: torch.Tensor) -> float:
    r"""Dice overlap of two masks of any equal shape: two empty masks agree (1), an empty and a non-empty do not (0).

    >>> dice(torch.tensor([1, 1, 0, 0]), torch.tensor([0, 1, 1, 1]))
    0.4
    """
    _same_shape(a, b)
    a, b = a.bool(), b.bool()
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def mean_contour_distance(a: torch.Tensor, b: torch.Tensor, spacing: Sequence[float]) -> ContourDistance:
    r"""Mean distance between the outer contours, per slice and in plane, both directions averaged, then over slices.

    Args:
        a: mask `(Z, Y, X)` or `(Y, X)`.
        b: mask of the same shape.
        spacing: `(dx, dy)` or `(dx, dy, dz)` in mm, as `Image.spacing`; dz is not used.

    Source: Bai et al. 2018, "mean contour distance"; the number of dropped slices is ours.
    """
    return _over_slices(a, b, spacing, lambda ab, ba: (ab.mean() + ba.mean()) / 2)


def hausdorff_contour_distance(a: torch.Tensor, b: torch.Tensor, spacing: Sequence[float]) -> ContourDistance:
    r"""Hausdorff distance between the outer contours of each slice, averaged over slices; arguments as above.

    Source: Bai et al. 2018, "Hausdorff distance": a mean of in-plane maxima, and not a 3D Hausdorff distance.
    """
    return _over_slices(a, b, spacing, lambda ab, ba: max(ab.max(), ba.max()))


def myocardium_contour_distance(a: torch.Tensor, b: torch.Tensor, spacing: Sequence[float]) -> MyocardiumDistance:
    r"""Mean contour distance of the two borders of a ring; arguments as for `mean_contour_distance`.

    The endocardial contour is that of the area the ring encloses; a slice whose ring is open has none.
    """
    return MyocardiumDistance(
        mean_contour_distance(_enclosed(a), _enclosed(b), spacing), mean_contour_distance(a, b, spacing)
    )


def psnr(image: torch.Tensor, reference: torch.Tensor, mask: torch.Tensor, data_range: float) -> float:
    r"""Peak signal-to-noise ratio in dB inside a mask; infinite for equal images.

    Args:
        image: any shape.
        reference: the same shape.
        mask: the same shape, at least one voxel.
        data_range: the peak: largest minus smallest possible value.
    """
    _check_pictures(image, reference, mask, data_range)
    error = float((image.double() - reference.double())[mask.bool()].square().mean())
    return 10 * math.log10(data_range**2 / error) if error else math.inf


def ssim(image: torch.Tensor, reference: torch.Tensor, mask: torch.Tensor, data_range: float) -> float:
    r"""Structural similarity, computed slice by slice in plane and averaged inside a mask.

    Args:
        image: `(Z, Y, X)` or `(Y, X)`, at least 11 x 11 pixels.
        reference: the same shape.
        mask: the same shape, at least one voxel.
        data_range: largest minus smallest possible value.

    Source: Wang et al. 2004: Gaussian window of SD 1.5 pixels, K1 = 0.01, K2 = 0.03.
    """
    from skimage.metrics import structural_similarity

    _check_pictures(image, reference, mask, data_range)
    if image.ndim not in (2, 3) or min(image.shape[-2:]) < 11:
        raise InputError(f"ssim: expected slices of at least 11 x 11 pixels, got {tuple(image.shape)}")
    total = 0.0
    for x, y, m in zip(_slices(image), _slices(reference), _slices(mask), strict=True):
        if m.any():
            box = _surroundings(m)
            _, similarity = structural_similarity(
                x[box].astype(np.float64),
                y[box].astype(np.float64),
                data_range=data_range,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                full=True,
            )
            total += float(similarity[m[box].astype(bool)].sum())
    return total / int(mask.bool().sum())


def _surroundings(mask: np.ndarray) -> tuple[slice, ...]:
    r"""The part of a picture that counts for the similarity within `mask` `(Y, X)`, as large as a window at least."""
    box = box_around(mask, (2 * _SSIM_REACH, 2 * _SSIM_REACH))
    assert box is not None
    return box


def _over_slices(
    a: torch.Tensor, b: torch.Tensor, spacing: Sequence[float], reduce: Callable[[np.ndarray, np.ndarray], float]
) -> ContourDistance:
    _same_shape(a, b)
    if a.ndim not in (2, 3) or len(spacing) not in (2, 3) or not min(spacing) > 0:
        raise InputError(f"contours: expected (Z, Y, X) and (dx, dy[, dz]) in mm, got {tuple(a.shape)}, {spacing}")
    values, dropped = [], 0
    for one, other in zip(_slices(a.bool()), _slices(b.bool()), strict=True):
        if one.any() and other.any():
            values.append(float(reduce(*_contour_distances(one, other, spacing))))
        elif one.any() or other.any():
            dropped += 1
    return ContourDistance(float(np.mean(values)) if values else math.nan, len(values), dropped)


def _contour_distances(a: np.ndarray, b: np.ndarray, spacing: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    r"""For each contour point of `a` the distance in mm to the contour of `b`, and the other way round."""
    from scipy.ndimage import distance_transform_edt

    contour_a, contour_b = outer_contour(a), outer_contour(b)
    pixel = (spacing[1], spacing[0])
    return (
        distance_transform_edt(~contour_b, sampling=pixel)[contour_a],
        distance_transform_edt(~contour_a, sampling=pixel)[contour_b],
    )


def outer_contour(mask: np.ndarray) -> np.ndarray:
    r"""The outermost pixels of a mask `(Y, X)`, holes filled; beyond the picture is outside."""
    from scipy.ndimage import binary_erosion, binary_fill_holes

    filled = binary_fill_holes(mask)
    return np.asarray(filled & ~binary_erosion(filled))


def _enclosed(ring: torch.Tensor) -> torch.Tensor:
    r"""What the mask encloses in each slice, without the mask itself."""
    from scipy.ndimage import binary_fill_holes

    filled = np.stack([binary_fill_holes(s) & ~s for s in _slices(ring.bool())])
    return torch.from_numpy(filled).reshape(ring.shape)


def _slices(volume: torch.Tensor) -> Iterator[np.ndarray]:
    return iter(volume.detach().cpu().numpy().reshape(-1, *volume.shape[-2:]))


def _same_shape(a: torch.Tensor, b: torch.Tensor) -> None:
    if a.shape != b.shape:
        raise InputError(f"metrics: expected two of the same shape, got {tuple(a.shape)} and {tuple(b.shape)}")


def _check_pictures(image: torch.Tensor, reference: torch.Tensor, mask: torch.Tensor, data_range: float) -> None:
    _same_shape(image, reference)
    _same_shape(image, mask)
    if not mask.any():
        raise InputError("metrics: expected a mask with at least one voxel, got an empty one")
    if not data_range > 0:
        raise InputError(f"metrics: expected a positive data range, got {data_range}")
