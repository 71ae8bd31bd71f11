r"""Label patches as two classes: components against scikit-learn's, and what no border tells apart."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from cardiolearn.methods.forests import structured_labels as labels


@pytest.mark.parametrize("shape", [(30, 80), (200, 40), (4, 60)])
def test_components_are_those_of_scikit_learn_up_to_their_sign(shape: tuple[int, int]) -> None:
    asked = (np.random.default_rng(1).random(shape) < np.linspace(0.1, 0.9, shape[1])).astype(np.float64)
    ours = labels.components(asked, np.random.default_rng(0))
    few = min(labels.DIMENSIONS, *shape)
    theirs = PCA(few, svd_solver="full").fit_transform(asked)
    told = min(few, shape[0] - 1)  # centred points have one dimension less than there are points
    np.testing.assert_allclose(np.abs(ours[:, :told]), np.abs(theirs[:, :told]), atol=1e-6)


def test_one_step_of_two_means_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(3)
    points = np.concatenate([generator.normal(0, 1, (50, 2)), generator.normal(3, 1, (50, 2))])
    side = points[:, 0] > 1.0
    means = np.stack([points[~side].mean(0), points[side].mean(0)])
    theirs = KMeans(2, init=means, n_init=1, max_iter=1, algorithm="lloyd").fit(points)
    assert (labels.nearest_of_two(points, side) == theirs.predict(points)).mean() > 0.9
    by_hand = [int(np.argmin([np.linalg.norm(p - m) for m in means])) for p in points]
    assert labels.nearest_of_two(points, side).tolist() == by_hand


def test_pairs_are_of_two_voxels() -> None:
    different = np.arange(6, dtype=np.uint8)[None].repeat(3, 0)  # no two voxels have the same label
    assert not labels.same_label(different, 500, np.random.default_rng(0)).any()


def test_equal_patches_are_one_class() -> None:
    patches = np.ones((9, 27), np.uint8)
    assert set(labels.two_classes(patches, 50, np.random.default_rng(0))) == {0}


def test_one_patch_is_one_class() -> None:
    assert labels.two_classes(np.arange(27, dtype=np.uint8)[None], 50, np.random.default_rng(0)).tolist() == [0]


def test_the_medoid_is_a_patch_like_most() -> None:
    patches = np.zeros((10, 4, 4), np.uint8)
    patches[:8, :2] = 1
    patches[8:, :, :2] = 1
    assert labels.medoid(patches.reshape(10, -1), 100, np.random.default_rng(0)) < 8
