r"""Features of a heart's shape against scipy, scikit-image and counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from skimage.feature import hog
from skimage.measure import block_reduce

from cardiolearn.errors import InputError
from cardiolearn.methods.forests import shape_features as shape

SPACING = (2.0, 1.0, 1.5)
MARKS = torch.tensor([[5.0, 9, 9], [30, 20, 20], [18, 10, 44], [20, 40, 30], [12, 33, 12], [22, 25, 51]])


def edges(*size: int) -> torch.Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(0))


def parts(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    r"""Distances, ratios, histograms `(8, 128)`, means `(8, 16, 16)`."""
    distances, ratios, histograms, means = np.split(features, [15, 120, 120 + 8 * 128])
    return distances, ratios, histograms.reshape(8, -1), means.reshape(8, 16, 16)


def test_there_are_as_many_as_said() -> None:
    assert len(shape.shape_features(MARKS, edges(40, 50, 60), SPACING)) == shape.feature_count(6)


def test_distances_and_ratios_are_those_of_all_pairs() -> None:
    distances, ratios, _, _ = parts(shape.shape_features(MARKS, edges(40, 50, 60), SPACING))
    apart = pdist(MARKS.numpy() * SPACING)
    np.testing.assert_allclose(distances, apart, rtol=1e-5)
    expected = [apart[i] / apart[j] for i in range(15) for j in range(i + 1, 15)]
    np.testing.assert_allclose(ratios, expected, rtol=1e-5)


def test_the_window_is_cut_about_the_landmarks_middle_and_shrunk() -> None:
    whole = edges(60, 80, 90)
    z, y, x = MARKS.mean(0).round().long().tolist()
    _, _, histograms, means = parts(shape.shape_features(MARKS, whole, SPACING))
    padded = np.pad(whole.numpy(), 24)[z + 12 : z + 36, y : y + 48, x : x + 48]
    np.testing.assert_allclose(means, block_reduce(padded, (3, 3, 3), np.mean), atol=1e-6)
    expected = [hog(plane.astype(np.float64), 8, (4, 4), (1, 1)) for plane in means]
    np.testing.assert_allclose(histograms, expected, atol=1e-5)


def test_outside_of_the_map_are_no_edges() -> None:
    around = shape.window_about(torch.ones(20, 30, 30), (0, 29, 15))
    assert around.shape == (8, 16, 16)
    assert (around[:4] == 0.0).all() and (around[4:, :8, 4:12] == 1.0).all() and (around[:, 9:] == 0.0).all()
    np.testing.assert_array_equal(shape.window_about(torch.ones(20, 30, 30), (-9, 90, 15)), around)


def test_landmarks_at_one_place_give_finite_ratios() -> None:
    found = shape.shape_features(torch.full((6, 3), 10.0), torch.zeros(20, 20, 20), SPACING)
    assert np.isfinite(found).all() and not found[:15].any()


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match=r"landmarks: expected \(L, 3\) and an edge map \(Z, Y, X\), got \(6, 3\) and"):
        shape.shape_features(MARKS, edges(20, 20), SPACING)
    with pytest.raises(InputError, match="landmarks: expected finite numbers"):
        shape.shape_features(MARKS * float("nan"), edges(20, 20, 20), SPACING)
