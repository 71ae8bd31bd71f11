r"""Overlap, contours and picture quality against MONAI, medpy, scikit-image and cases worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from medpy.metric import binary
from monai.losses import SSIMLoss
from monai.metrics import DiceMetric, PSNRMetric
from scipy.spatial.distance import cdist
from skimage.metrics import structural_similarity

from cardiolearn.errors import InputError
from cardiolearn.imaging.reading import read_labels
from cardiolearn.measures.metrics import (
    dice,
    hausdorff_contour_distance,
    mean_contour_distance,
    myocardium_contour_distance,
    psnr,
    ssim,
)


def disc(radius: float, centre: tuple[float, float] = (40.0, 40.0), size: int = 81) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2


def random_masks(seed: int, shape: tuple[int, ...], fill: float = 0.4) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=rng) < fill, torch.rand(shape, generator=rng) < fill


# --- Dice ---


@given(seed=st.integers(0, 1000), shape=st.sampled_from([(7,), (5, 3), (2, 5, 7), (2, 3, 1, 4)]))
@settings(max_examples=30)
def test_dice_equals_medpy_and_is_symmetric(seed: int, shape: tuple[int, ...]) -> None:
    a, b = random_masks(seed, shape)
    if a.any() or b.any():
        assert dice(a, b) == pytest.approx(binary.dc(a.numpy(), b.numpy()))
    assert dice(a, b) == dice(b, a)
    assert dice(a, a) == 1


def test_dice_of_empty_masks() -> None:
    empty, full = torch.zeros(2, 3), torch.ones(2, 3)
    assert dice(empty, empty) == 1
    assert dice(empty, full) == dice(full, empty) == 0
    with pytest.raises(InputError, match="same shape"):
        dice(empty, full.T)


def test_dice_of_each_label_equals_monai() -> None:
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randint(0, 4, (2, 3, 9, 11), generator=rng)
    one_hot = [torch.nn.functional.one_hot(m, 4).movedim(-1, 0)[None] for m in (a, b)]
    expected = DiceMetric(include_background=True, reduction="none")(*one_hot)[0]
    assert [dice(a == k, b == k) for k in range(4)] == pytest.approx(expected.tolist())
    assert dice(a == 9, b == 9) == 1.0


# --- contours ---


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.8, 1.8, 8.0), (0.7, 0.7)])
def test_concentric_discs_are_their_radii_apart(spacing: tuple[float, ...]) -> None:
    result = mean_contour_distance(disc(12), disc(20), spacing)
    assert result.mm == pytest.approx(8 * spacing[0], abs=0.2 * spacing[0])  # the raster rounds circles
    assert result[1:] == (1, 0)
    assert hausdorff_contour_distance(disc(12), disc(20), spacing).mm == pytest.approx(8 * spacing[0], abs=spacing[0])


def test_a_shifted_disc() -> None:
    # Two equal circles at distance d << r are |d cos(angle)| apart along the contour: 2d/pi on average.
    result = mean_contour_distance(disc(30), disc(30, (43.0, 40.0)), (1.0, 1.0))
    assert result.mm == pytest.approx(2 * 3 / math.pi, abs=0.25)
    assert hausdorff_contour_distance(disc(30), disc(30, (43.0, 40.0)), (1.0, 1.0)).mm == 3


def test_single_pixels_by_hand() -> None:
    a, b = torch.zeros(2, 1, 9, 9, dtype=torch.bool)
    a[0, 2, 2] = True
    b[0, 2 + 3, 2 + 4] = True
    for measure in (mean_contour_distance, hausdorff_contour_distance):
        assert measure(a, b, (1.0, 1.0)).mm == 5
        assert measure(a, b, (2.0, 1.0, 7.0)).mm == pytest.approx(math.hypot(8, 3))  # x is the last axis


def test_two_squares_by_hand() -> None:
    a, b = torch.zeros(2, 12, 12, dtype=torch.bool)
    a[2:5, 2:5] = True  # eight contour pixels round one inner pixel
    b[2:5, 4:7] = True  # the same, two to the right
    # From a: the columns x = 2, 3, 4 are 2, 1, 0 from b's column x = 4; the middle row has no pixel at x = 3.
    # (2, 2, 2, 1, 1, 0, 0, 0) / 8 = 1; by symmetry the same from b.
    assert mean_contour_distance(a, b, (1.0, 1.0)).mm == 1
    assert hausdorff_contour_distance(a, b, (1.0, 1.0)).mm == 2


def authors_distance(a: np.ndarray, b: np.ndarray, dx: float) -> tuple[float, float]:
    r"""The authors' loop, on contour pixels found the slow way."""
    means, maxima = [], []
    for one, other in zip(a, b, strict=True):
        if one.any() and other.any():
            points = []
            for mask in (one, other):
                padded = np.pad(mask, 1)
                outside = flood(padded)
                near = outside[:-2, 1:-1] | outside[2:, 1:-1] | outside[1:-1, :-2] | outside[1:-1, 2:]
                points.append(np.argwhere(mask & near))
            m = cdist(*points)
            means.append(0.5 * (m.min(0).mean() + m.min(1).mean()) * dx)
            maxima.append(max(m.min(0).max(), m.min(1).max()) * dx)
    return (float(np.mean(means)), float(np.mean(maxima))) if means else (math.nan, math.nan)


def flood(padded: np.ndarray) -> np.ndarray:
    r"""The background connected to the corner, through edges."""
    outside = np.zeros_like(padded)
    outside[0, 0] = True
    while True:
        grown = outside.copy()
        grown[1:] |= outside[:-1]
        grown[:-1] |= outside[1:]
        grown[:, 1:] |= outside[:, :-1]
        grown[:, :-1] |= outside[:, 1:]
        grown &= ~padded
        if (grown == outside).all():
            return outside
        outside = grown


@given(
    seed=st.integers(0, 1000),
    fill=st.sampled_from([0.02, 0.3, 0.6, 0.9]),
    shape=st.sampled_from([(3, 9, 7), (1, 5, 14)]),
)
@settings(max_examples=40)
def test_contour_distances_follow_the_authors_loop(seed: int, fill: float, shape: tuple[int, ...]) -> None:
    a, b = random_masks(seed, shape, fill)
    mean, hausdorff = authors_distance(a.numpy(), b.numpy(), 1.8)
    assert mean_contour_distance(a, b, (1.8, 1.8, 10)).mm == pytest.approx(mean, nan_ok=True)
    assert hausdorff_contour_distance(a, b, (1.8, 1.8, 10)).mm == pytest.approx(hausdorff, nan_ok=True)
    assert mean_contour_distance(b, a, (1.8, 1.8)).mm == pytest.approx(mean, nan_ok=True)
    assert mean_contour_distance(a, a, (1.8, 1.8)).mm == pytest.approx(0 if a.any() else math.nan, nan_ok=True)


def test_slices_with_one_contour_are_dropped_and_counted() -> None:
    a, b = torch.stack([disc(9)] * 5), torch.stack([disc(12)] * 5)
    a[0] = b[1] = b[2] = False
    a[3] = b[3] = False  # in neither: nothing to drop
    result = mean_contour_distance(a, b, (1.0, 1.0))
    assert result[1:] == (1, 3)
    assert result.mm == mean_contour_distance(a[4], b[4], (1.0, 1.0)).mm
    none = mean_contour_distance(a[:3], b[:3], (1.0, 1.0))
    assert math.isnan(none.mm)
    assert none[1:] == (0, 3)


def test_the_ring_has_two_borders() -> None:
    ring, thicker = disc(20) & ~disc(12), disc(23) & ~disc(11)
    result = myocardium_contour_distance(ring, thicker, (1.5, 1.5, 8.0))
    assert result.epicardium == mean_contour_distance(disc(20), disc(23), (1.5, 1.5))
    assert result.endocardium == mean_contour_distance(disc(12), disc(11), (1.5, 1.5))
    assert mean_contour_distance(ring, thicker, (1.5, 1.5)) == result.epicardium  # the authors' number
    open_ring = ring.clone()
    open_ring[40:] = False
    broken = myocardium_contour_distance(open_ring[None], thicker[None], (1.5, 1.5))
    assert broken.endocardium[1:] == (0, 1)
    assert broken.epicardium[1:] == (1, 0)


def test_contours_refuse() -> None:
    for a, spacing in [(torch.ones(2, 2, 2, 2), (1, 1)), (torch.ones(2, 2), (1, 0)), (torch.ones(2, 2), (1,))]:
        with pytest.raises(InputError, match="contours: expected"):
            mean_contour_distance(a, a, spacing)


# --- pictures ---


def pictures(seed: int, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    reference = torch.rand(shape, generator=rng).cumsum(-1) / shape[-1]
    return reference + 0.05 * torch.randn(shape, generator=rng), reference


def test_psnr() -> None:
    image, reference = pictures(0, (3, 13, 17))
    everywhere = torch.ones(3, 13, 17)
    expected = PSNRMetric(max_val=2.0)(image[None, None], reference[None, None])
    assert psnr(image, reference, everywhere, 2.0) == pytest.approx(float(expected), rel=1e-5)
    assert psnr(reference + 0.1, reference, everywhere, 1.0) == pytest.approx(20, abs=1e-4)
    assert psnr(reference, reference, everywhere, 1.0) == math.inf
    mask = torch.zeros(3, 13, 17)
    mask[1] = 1
    elsewhere = image.clone()
    elsewhere[0] = 99
    assert psnr(elsewhere, reference, mask, 1.0) == psnr(image, reference, mask, 1.0)


def test_ssim_equals_monai_inside() -> None:
    image, reference = pictures(1, (2, 31, 27))
    # MONAI averages over windows that fit into the picture: the mask of their centres.
    mask = torch.zeros(2, 31, 27)
    mask[:, 5:-5, 5:-5] = 1
    expected = 1 - SSIMLoss(spatial_dims=2, win_size=11, data_range=1.5)(image[:, None], reference[:, None])
    assert ssim(image, reference, mask, 1.5) == pytest.approx(float(expected), abs=2e-4)


@settings(max_examples=40)
@given(corner=st.tuples(st.integers(0, 29), st.integers(0, 23)), size=st.integers(1, 12))
def test_ssim_of_a_small_place_is_that_of_the_whole_picture_there(corner: tuple[int, int], size: int) -> None:
    g = torch.Generator().manual_seed(sum(corner))
    image, reference = torch.rand(2, 30, 24, generator=g)
    mask = torch.zeros(30, 24, dtype=torch.bool)
    mask[corner[0] : corner[0] + size, corner[1] : corner[1] + size] = True
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
    pair = (x.double().numpy() for x in (image, reference))
    _, everywhere = structural_similarity(*pair, data_range=1.0, **options)
    assert ssim(image, reference, mask, 1.0) == pytest.approx(everywhere[mask.numpy()].mean(), abs=1e-9)


def test_ssim_by_hand() -> None:
    flat = torch.full((15, 15), 0.5)
    everywhere = torch.ones(15, 15)
    # Of two constants only the luminance term is left: (2 xy + C1) / (x^2 + y^2 + C1), C1 = 0.01^2.
    assert ssim(flat, flat + 0.25, everywhere, 1.0) == pytest.approx((2 * 0.375 + 1e-4) / (0.25 + 0.5625 + 1e-4))
    image, reference = pictures(2, (3, 15, 15))
    assert ssim(reference, reference, torch.ones(3, 15, 15), 1.0) == pytest.approx(1)
    mask = torch.zeros(3, 15, 15)
    mask[2] = 1
    assert ssim(image, reference, mask, 1.0) == pytest.approx(ssim(image[2], reference[2], everywhere, 1.0))


def test_pictures_refuse() -> None:
    a = torch.ones(12, 12)
    for measure in (psnr, ssim):
        with pytest.raises(InputError, match="at least one voxel"):
            measure(a, a, a * 0, 1.0)
        with pytest.raises(InputError, match="data range"):
            measure(a, a, a, 0.0)
        with pytest.raises(InputError, match="same shape"):
            measure(a, a, a[:5], 1.0)
    with pytest.raises(InputError, match="11 x 11"):
        ssim(a[:5], a[:5], a[:5], 1.0)


# --- real scans ---


def test_one_voxel_of_erosion_is_one_voxel_of_distance(real_scans: Path) -> None:
    labels = read_labels(real_scans / "imperial_autofd" / "A" / "seg_sa_ED.nii.gz", allowed=(0, 1, 2, 4))
    cavity = labels.data == 1
    smaller = -torch.nn.functional.max_pool2d(-cavity.float(), 3, 1, 1) > 0
    result = mean_contour_distance(cavity, smaller, labels.spacing)
    assert result.mm == pytest.approx(1.23, abs=0.25)
    assert result.n_slices + result.n_dropped == int(cavity.any(-1).any(-1).sum())
