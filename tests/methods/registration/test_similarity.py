r"""How unlike two images are, against scipy's windows and scipy's entropy; least where they are alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hearts import seeded, texture
from scipy.ndimage import binary_erosion, uniform_filter
from scipy.stats import entropy
from torch import Tensor

from cardiolearn.methods.registration import similarity
from cardiolearn.methods.registration.bsplines import grid_places

UNLIKENESS = (
    similarity.mean_squares, similarity.local_correlation, similarity.mutual_information, similarity.self_similarity,
)  # fmt: skip


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


@pytest.mark.parametrize("shape", [(7, 6, 9), (11, 8), (1, 6, 7)])
def test_descriptors_are_those_made_by_hand(shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=seeded(), dtype=torch.float64)
    values, found = np.pad(image.numpy(), 1, mode="edge"), similarity.self_similarity_descriptors(image).numpy()
    assert found.shape == (2 * len(shape), *shape)
    inner = tuple(slice(1, -1) for _ in shape)
    neighbours = [np.roll(values, step, axis)[inner] for axis in range(len(shape)) for step in (1, -1)]
    squares = [(values[inner] - neighbour) ** 2 for neighbour in neighbours]
    distances = np.empty(found.shape)
    for place in np.ndindex(shape):  # the mean over the patch, cut at the border
        patch = tuple(slice(max(0, i - 1), i + 2) for i in place)
        distances[(slice(None), *place)] = [one[patch].mean() for one in squares]
    similar = np.exp(-distances / distances.mean(0))
    np.testing.assert_allclose(found, similar / similar.max(0), rtol=1e-6)


def test_descriptors_know_neither_scale_nor_offset_nor_sign_of_brightness() -> None:
    image, _ = pair(9, 10, 11)
    found = similarity.self_similarity_descriptors(image)
    for other in (300.0 * image - 1000.0, 1.0 - image):
        torch.testing.assert_close(similarity.self_similarity_descriptors(other), found, atol=1e-3, rtol=0)
    assert similarity.self_similarity(image, -5.0 * image).item() < 1e-6
    assert similarity.self_similarity(image, image.flip(0)).item() > 0.01


def test_a_flat_image_has_descriptors_and_slopes() -> None:
    flat = torch.full((5, 6, 7), 3.0, requires_grad=True)
    assert (similarity.self_similarity_descriptors(flat) == 1.0).all()
    (gradient,) = torch.autograd.grad(similarity.self_similarity(pair(5, 6, 7)[0], flat), flat)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("unlike", UNLIKENESS)
@pytest.mark.parametrize("shape", [(12, 13, 14), (20, 17)])
def test_what_lies_outside_of_the_mask_does_not_count(unlike: similarity.Unlikeness, shape: tuple[int, ...]) -> None:
    a, b = pair(*shape)
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[2:11, 3:12] = True
    known = unlike(a, b, mask).item()
    elsewhere = b + torch.where(mask, 0.0, 5.0 * torch.rand(shape, generator=seeded(1)))
    assert unlike(a, elsewhere, mask).item() == pytest.approx(known, rel=1e-5)
    assert unlike(a, elsewhere).item() != pytest.approx(known, abs=1e-3)
    assert unlike(a, b, torch.ones_like(mask)).item() == pytest.approx(unlike(a, b).item(), rel=1e-6)


def test_values_in_a_mask_are_compared_as_if_there_were_no_others() -> None:
    a, b = pair(12, 13, 14)
    mask = a + b > 0.8
    for unlike in (similarity.mean_squares, similarity.mutual_information):
        assert unlike(a, b, mask).item() == pytest.approx(unlike(a[mask], b[mask]).item(), rel=1e-6)


def test_windows_in_a_mask_are_those_that_it_holds_whole() -> None:
    a, b = pair(12, 13, 14)
    mask = torch.zeros(a.shape, dtype=torch.bool)
    mask[:9, 2:, 1:12] = True  # up to three of the image's borders, where windows are cut
    whole = binary_erosion(mask.numpy(), np.ones((5, 5, 5)), border_value=1)
    one, other = (similarity.self_similarity_descriptors(image) for image in (a, b))
    expected = ((one - other) ** 2).mean(0).numpy()[whole].mean()
    assert similarity.self_similarity(a, b, mask).item() == pytest.approx(expected, rel=1e-5)
