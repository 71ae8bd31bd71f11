r"""Votes for landmarks against scipy's interpolation and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from cardiolearn.errors import InputError
from cardiolearn.methods.forests.channels import smooth
from cardiolearn.methods.forests.hough_votes import HoughVotes, peaks, trilinear

SHAPE = torch.Size((7, 9, 11))


@given(st.lists(st.tuples(*[st.floats(-3.0, 12.0, width=32)] * 3), min_size=1, max_size=8))
def test_shares_are_those_that_scipy_interpolates_with(points: list[tuple[float, ...]]) -> None:
    picture = torch.rand(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    at, share = trilinear(torch.tensor(points, dtype=torch.float64), SHAPE)
    expected = map_coordinates(picture.numpy(), np.array(points).T, order=1, mode="grid-constant")
    np.testing.assert_allclose((picture.flatten()[at] * share).sum(1).numpy(), expected, atol=1e-9)


def test_each_place_votes_where_its_leaf_expects_the_landmarks_as_much_as_it_is_an_edge() -> None:
    edges = torch.zeros(16, 20, 24)
    edges[4, 6, 8], edges[2, 2, 2] = 0.5, 0.25
    offsets = torch.tensor([[[1.0, 2.0, 3.0], [0.0, 0.0, 4.0]], [[5.0, 5.0, 5.0], [2.0, 0.5, 0.0]]])
    votes = HoughVotes(edges, offsets, torch.tensor([[True, True], [False, True]]))
    places = torch.tensor([[2, 3, 4], [1, 1, 1], [0, 0, 0]])
    votes.cast(places, torch.tensor([0, 1, 0]))
    count = votes.count.reshape(2, *edges.shape)
    expected = torch.zeros_like(count)
    expected[0, 5, 8, 11] = expected[1, 4, 6, 12] = 0.5
    expected[1, 4, 2, 2] = expected[1, 4, 3, 2] = 0.125
    torch.testing.assert_close(count, expected)
    votes.cast(places, torch.tensor([0, 1, 0]))
    torch.testing.assert_close(votes.count.reshape(count.shape), 2 * expected)
    torch.testing.assert_close(votes.maps(), torch.stack([smooth(2 * one, 2) for one in expected]))


def test_votes_for_places_outside_are_lost() -> None:
    votes = HoughVotes(torch.ones(8, 8, 8), torch.tensor([[[0.0, 0.0, -1.25]]]), torch.tensor([[True]]))
    votes.cast(torch.tensor([[0, 0, 0], [3, 3, 0], [3, 3, 3]]), torch.tensor([0, 0, 0]))
    assert votes.count.sum().item() == pytest.approx(1.0)
    assert votes.count.reshape(8, 8, 8)[6, 6, 4:6].tolist() == [0.25, 0.75]


def test_the_peak_is_the_voxel_with_the_most_votes() -> None:
    maps = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(1))
    for found, one in zip(peaks(maps), maps, strict=True):
        assert one[tuple(found.long())] == one.max()


def test_no_votes_and_flat_maps_are_refused() -> None:
    maps = torch.zeros(3, *SHAPE)
    maps[1, 0, 0, 0] = 1.0
    with pytest.raises(InputError, match=r"picture: expected votes for each of 3 landmarks, got none for \[0, 2\]"):
        peaks(maps)
    with pytest.raises(InputError, match=r"edges: expected a map \(Z, Y, X\), got shape \(8, 8\)"):
        HoughVotes(torch.ones(8, 8), torch.zeros(1, 1, 3), torch.ones(1, 1, dtype=torch.bool))
