r"""How unlike two images are, against scipy's windows and scipy's entropy; least where they are alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hearts import seeded, texture
from scipy.ndimage import uniform_filter
from scipy.stats import entropy
from torch import Tensor

from cardiolearn.methods.registration import similarity
from cardiolearn.methods.registration.bsplines import grid_places

UNLIKENESS = (similarity.mean_squares, similarity.local_correlation, similarity.mutual_information)


def pair(*shape: int) -> tuple[Tensor, Tensor]:
    g = seeded()
    return torch.rand(shape, generator=g), torch.rand(shape, generator=g)


def test_mean_squares_are_relative_to_the_variance_of_the_fixed_image() -> None:
    a, b = pair(12, 13, 14)
    expected = float(np.mean((a.numpy() - b.numpy()) ** 2) / np.var(a.numpy()))
    assert similarity.mean_squares(a, b).item() == pytest.approx(expected, rel=1e-5)
    assert similarity.mean_squares(7.0 * a + 3.0, 7.0 * b + 3.0).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("shape", [(12, 13, 14), (20, 17), (3, 15, 2)])
def test_local_correlation_is_that_of_scipys_windows_cut_at_the_border(shape: tuple[int, ...]) -> None:
    a, b = pair(*shape)

    def mean(values: Tensor) -> np.ndarray:
        inside = uniform_filter(np.ones(shape), 5, mode="constant")
        return uniform_filter(values.double().numpy(), 5, mode="constant") / inside

    cross = mean(a * b) - mean(a) * mean(b)
    squared = cross**2 / ((mean(a * a) - mean(a) ** 2) * (mean(b * b) - mean(b) ** 2))
    assert 1.0 - similarity.local_correlation(a, b).item() == pytest.approx(squared.mean(), abs=1e-3)


def test_mutual_information_is_that_of_numpys_histogram() -> None:
    g = seeded()
    f, w = (torch.randint(0, 32, (12, 13, 14), generator=g) for _ in range(2))  # values in the middle of their bins
    joint = np.histogram2d(f.flatten(), w.flatten(), bins=np.arange(33) - 0.5)[0]
    expected = (entropy(joint.sum(1)) + entropy(joint.sum(0))) / entropy(joint.ravel())
    assert 2.0 - similarity.mutual_information(f.float(), w.float()).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("unlike", UNLIKENESS)
def test_the_farther_an_image_is_shifted_the_more_unlike_it_is(unlike: similarity.Unlikeness) -> None:
    places = grid_places((14, 16, 18), (2.0, 2.0, 2.0))
    values = [unlike(texture(places), texture(places + mm)).item() for mm in (0.0, 0.5, 1.0, 2.0)]
    assert values == sorted(values) and values[1] > values[0] + 1e-3
    if unlike is not similarity.mutual_information:
        assert values[0] == pytest.approx(0.0, abs=5e-3)


@pytest.mark.parametrize("unlike", UNLIKENESS)
def test_the_gradient_is_that_of_small_differences(unlike: similarity.Unlikeness) -> None:
    a, b = (image.double() for image in pair(6, 7, 8))
    b[0, 0, 0], b[0, 0, 1] = -0.1, 1.1  # the extremes, which the histogram holds fixed
    warped = b.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(unlike(a, warped), warped)
    for place in ((2, 3, 4), (5, 0, 7), (1, 6, 2)):
        step = torch.zeros_like(b)
        step[place] = 1e-6
        slope = (unlike(a, b + step) - unlike(a, b - step)).item() / 2e-6
        assert gradient[place].item() == pytest.approx(slope, rel=1e-3, abs=1e-8)
