r"""The rivals of edge forests against scipy, scikit-image and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hearts import disc, pictured
from scipy import ndimage
from skimage.feature import canny as flat_canny

from cardiolearn.methods.forests.edge_rivals import VoxelForest, canny, gradient_magnitude, grow_voxel_tree
from cardiolearn.methods.forests.edges import EdgeSettings
from cardiolearn.methods.forests.training_patches import Labelled, borders, sample
from cardiolearn.methods.forests.tree import Growth

SETTINGS = EdgeSettings(patch=8, label=4, each=150, scans=4, share=0.2, growth=Growth(depth=8, smallest=3))


@pytest.mark.parametrize("size", [(24, 31), (16, 18, 21)])
def test_the_gradient_is_scipys_and_at_most_one(size: tuple[int, ...]) -> None:
    picture = pictured(disc(size, 6.0), 0)
    expected = ndimage.gaussian_gradient_magnitude(picture.double().numpy(), 1.0, mode="nearest")
    found = gradient_magnitude(picture)
    np.testing.assert_allclose(found.numpy(), expected / expected.max(), atol=1e-5)
    assert not gradient_magnitude(torch.zeros(size)).any()


def test_cannys_edges_are_where_scikit_image_finds_them() -> None:
    picture = pictured(disc((40, 44), 12.0), 1, noise=0.03)
    strength = canny(picture)
    assert strength.max() == 1.0 and (strength > 0).float().mean() < 0.3
    ours = strength > 0.5
    theirs = torch.from_numpy(flat_canny(picture.double().numpy(), 1.0, low_threshold=0.25, high_threshold=0.6))
    near = [torch.from_numpy(ndimage.binary_dilation(edges.numpy(), iterations=2)) for edges in (ours, theirs)]
    assert (near[1][ours]).float().mean() > 0.95 and (near[0][theirs]).float().mean() > 0.95


def test_a_weak_edge_lives_on_only_beside_a_strong_one() -> None:
    picture = torch.zeros(30, 60)
    picture[15:, :30] = torch.linspace(1.0, 0.45, 30)  # one step that grows weaker
    picture[15:, 40:] = 0.5  # another, apart, that is weak everywhere
    strength = canny(picture)
    row = strength[13:17].amax(0)
    assert (row[3:24] > 0.9).all() and (row[44:56] < 0.6).all() and (row[44:56] > 0.3).all()


def test_a_voxel_forest_finds_the_border_of_a_disc_and_gives_chances() -> None:
    labels = torch.stack([disc((32, 35), radius, shift) for radius, shift in ((8, 0), (9, 2), (7, -2), (10, 1))])
    scans = Labelled(torch.stack([pictured(one, seed) for seed, one in enumerate(labels)]), labels)
    trees = [grow_voxel_tree(sample(scans, SETTINGS, np.random.default_rng(seed)), SETTINGS, seed) for seed in range(4)]
    for tree, _, chance in trees:
        assert len(chance) == (tree.feature < 0).sum() and chance.min() >= 0.0 and chance.max() <= 1.0
    forest = VoxelForest(trees, SETTINGS)
    unseen = disc((31, 34), 8.5, 1.0)
    found = forest.edge_map(pictured(unseen, 9))
    assert found.shape == unseen.shape and found.min() >= 0.0 and found.max() <= 1.0
    border = borders(unseen)
    assert found[border].mean() > 2.5 * found[~border].mean()


def test_chances_are_the_shares_of_samples_at_each_leaf() -> None:
    labels = disc((32, 35), 8.0)[None]
    samples = sample(Labelled(pictured(labels[0], 0)[None], labels), SETTINGS, np.random.default_rng(0))
    tree, _, chance = grow_voxel_tree(samples, SETTINGS, 3)
    ends, border = tree.leaf_of(samples.features), samples.middle_borders()
    leaves = np.flatnonzero(tree.feature < 0)
    assert border.any() and len(leaves) > 3
    for leaf, share in zip(leaves, chance, strict=True):
        assert share == pytest.approx(border[ends == leaf].mean(), abs=1e-6)
