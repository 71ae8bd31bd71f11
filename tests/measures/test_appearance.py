r"""Grain, contrast and sharpness of pictures whose noise, contrast and blur are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.measures.appearance import appearance, edge_width, fine_noise


def heart(shape: tuple[int, int] = (90, 110), pixel: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    r"""A slice: LV of 100 in a wall of 30, an RV of 90 beside it, in a dark chest; and its labels."""
    y, x = np.indices(shape) * pixel
    away = np.hypot(y - 45, x - 65)
    beside = np.hypot(y - 45, x - 22)
    labels = np.select([away < 22, away < 32, beside < 14], [1, 2, 3], 0)
    return np.array([10.0, 100.0, 30.0, 90.0])[labels], labels


def noisy(sd: float, blur: float = 0.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    image, labels = heart()
    random = np.random.default_rng(seed)
    image = gaussian_filter(image, blur) if blur else image
    return torch.from_numpy(image + sd * random.standard_normal(image.shape))[None], torch.from_numpy(labels)[None]


@pytest.mark.parametrize("sd", [0.5, 2.0, 6.0])
def test_grain_of_white_noise_is_its_standard_deviation(sd: float) -> None:
    found = appearance(*noisy(sd), (1.0, 1.0))
    assert found.grain == pytest.approx(sd / 100, rel=0.12)
    assert found.coarse_grain == pytest.approx(sd / 100, rel=0.15)
    assert found.contrast == pytest.approx(70 / sd, rel=0.12)


def test_correlated_noise_looks_less_grainy_than_it_is_but_for_distant_pixels() -> None:
    random = np.random.default_rng(3)
    field = gaussian_filter(random.standard_normal((120, 120)), 1.2)
    field /= field.std()
    mask = np.ones_like(field, dtype=bool)
    assert fine_noise(field, mask) < 0.35
    assert fine_noise(field, mask) < 0.6 * fine_noise(field, mask, 2)


def test_slopes_and_papillary_muscles_are_no_noise() -> None:
    y, x = np.indices((60, 60))
    plane = 100 + 0.7 * x - 0.3 * y
    mask = np.ones_like(plane, dtype=bool)
    assert fine_noise(plane, mask) == pytest.approx(0.0, abs=1e-9)
    dotted = plane + np.random.default_rng(0).standard_normal(plane.shape)
    dotted[10:16, 30:36] = 10.0
    assert fine_noise(dotted, mask) == pytest.approx(1.0, rel=0.12)


@pytest.mark.parametrize("sigma", [0.8, 1.2, 1.8])
@pytest.mark.parametrize("pixel", [(1.0, 1.0), (0.5, 0.5), (1.0, 0.5)])
def test_width_of_a_blurred_step_is_that_from_10_to_90_percent(sigma: float, pixel: tuple[float, float]) -> None:
    y, x = np.indices((int(90 / pixel[1]), int(90 / pixel[0]))).astype(float)
    mask = np.hypot((y * pixel[1] - 45), (x * pixel[0] - 45)) < 25
    soft = gaussian_filter(20 + 80.0 * mask, (sigma / pixel[1], sigma / pixel[0]))
    pixelation = 0.3 if pixel == (1.0, 1.0) else 0.15  # a mask's steps blur too
    found = edge_width(soft, mask, 80.0, pixel)
    assert found == pytest.approx(2 * 1.2816 * sigma, abs=pixelation)


def test_sharpness_does_not_depend_on_where_the_outline_was_drawn() -> None:
    image, labels = heart()
    soft = gaussian_filter(image, 1.2)
    drawn_small = np.hypot(*(np.indices(labels.shape) - np.array([45, 65])[:, None, None])) < 20
    both = [edge_width(soft, mask, 70.0, (1.0, 1.0)) for mask in (labels == 1, drawn_small)]
    assert both[0] == pytest.approx(both[1], rel=0.08)


def test_the_picture_is_told_from_its_grey_scale_and_the_right_ventricle_apart() -> None:
    image, labels = noisy(1.0, blur=1.0)
    found, doubled = appearance(image, labels, (1.4, 1.4)), appearance(7 * image, labels, (1.4, 1.4))
    assert found == pytest.approx(doubled)
    assert found.muscle == pytest.approx(0.3, abs=0.03)
    assert found.lv_width == pytest.approx(1.4 * 2.56, rel=0.15)
    assert found.rv_width < found.lv_width  # beside the dark chest it falls deeper than into muscle


def test_empty_slices_say_nothing() -> None:
    image, labels = noisy(1.0)
    one = appearance(image, labels, (1.0, 1.0))
    padded = appearance(*(torch.cat((torch.zeros_like(t), t)) for t in (image, labels)), (1.0, 1.0))
    assert padded == one
    assert all(math.isnan(value) for value in appearance(image, torch.zeros_like(labels), (1.0, 1.0)))


def test_what_is_no_scan_is_refused() -> None:
    image, labels = noisy(1.0)
    for bad in ((image[0], labels[0], (1.0, 1.0)), (image, labels[:, 1:], (1.0, 1.0)), (image, labels, (1.0, -1.0))):
        with pytest.raises(InputError, match="appearance: expected"):
            appearance(*bad)
