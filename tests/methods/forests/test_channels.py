r"""Channels against scipy, and pictures that are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from cardiolearn.errors import InputError
from cardiolearn.methods.forests import channels as seen

SHAPES = [(17, 12), (9, 10, 13)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", [1, 4])
def test_smoothing_is_scipys_with_the_edge_repeated(shape: tuple[int, ...], radius: int) -> None:
    picture = torch.rand(shape)
    weights = np.array([radius + 1 - abs(k) for k in range(-radius, radius + 1)], float)
    expected = picture.numpy()
    for axis in range(len(shape)):
        expected = ndimage.correlate1d(expected, weights / weights.sum(), axis, mode="nearest")
    np.testing.assert_allclose(seen.smooth(picture, radius).numpy(), expected, atol=1e-5)


def test_halving_takes_means_and_keeps_an_odd_end() -> None:
    assert seen.halved(torch.tensor([[0.0, 2.0, 5.0], [4.0, 6.0, 7.0]])).tolist() == [[3.0, 6.0]]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradients_size_is_that_of_numpy_divided_by_its_surroundings(shape: tuple[int, ...]) -> None:
    picture = torch.rand(shape)
    size = torch.from_numpy(np.sqrt(sum(g**2 for g in np.gradient(picture.numpy()))))
    expected = size / (seen.smooth(size, 4) + 0.05)
    torch.testing.assert_close(seen.gradient_size(picture), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_channels_have_half_of_the_size_and_twice_the_smoothing_where_compared(shape: tuple[int, ...]) -> None:
    looked_at, compared = seen.channels(torch.rand(shape))
    half = tuple((size + 1) // 2 for size in shape)
    assert looked_at.shape == compared.shape == (seen.CHANNELS, *half)
    assert (compared.flatten(1).std(1) < looked_at.flatten(1).std(1)).all()


@pytest.mark.parametrize("picture", [torch.zeros(8), torch.zeros(3, 8), torch.zeros(1, 8, 8, 8)])
def test_only_slices_and_volumes_have_channels(picture: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"picture: expected \(\[Z,\] Y, X\) of 4 voxels at least, got shape"):
        seen.channels(picture)


def test_pictures_are_finite() -> None:
    with pytest.raises(InputError, match="picture: expected finite numbers"):
        seen.channels(torch.full((8, 8), float("nan")))
