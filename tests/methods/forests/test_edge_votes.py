r"""Votes for borders against adding them up patch by patch; patches that are fitted to a picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hearts import disc, pictured, seeded
from scipy import ndimage

from cardiolearn.methods.forests.channels import SHRINK
from cardiolearn.methods.forests.edge_votes import Votes, sharpened
from cardiolearn.methods.forests.training_patches import borders

shapes = pytest.mark.parametrize("axes", [2, 3])


def patches_of(count: int, width: int, axes: int, labels: int = 3) -> torch.Tensor:
    r"""Patches with smooth pieces of labels, the first of one label only."""
    noise = np.random.default_rng(axes).normal(size=(count, *(width,) * axes))
    field = np.stack([ndimage.gaussian_filter(one, 1.5) for one in noise])
    found = np.digitize(field, np.quantile(field, np.arange(1, labels) / labels))
    found[0] = 1
    return torch.from_numpy(found.astype(np.uint8))


def fitted_by_hand(patch: np.ndarray, grey: np.ndarray) -> np.ndarray:
    near = ndimage.binary_dilation(borders(torch.from_numpy(patch)).numpy(), np.ones((3,) * patch.ndim))
    names = np.unique(patch)
    means = np.array([grey[patch == name].mean() for name in names])
    nearest = names[np.abs(grey[..., None] - means).argmin(-1)]
    return np.where(near, nearest, patch)


@shapes
def test_voxels_near_a_border_join_the_label_with_the_nearest_mean(axes: int) -> None:
    patches = patches_of(7, 8, axes)
    grey = torch.rand(patches.shape, generator=seeded())
    found = sharpened(patches, grey)
    for patch, values, ours in zip(patches.numpy(), grey.numpy(), found.numpy(), strict=True):
        np.testing.assert_array_equal(ours, fitted_by_hand(patch, values))
    assert torch.equal(found[0], patches[0])  # no border, nothing to move


def test_a_border_two_pixels_off_is_moved_to_where_the_picture_shows_it() -> None:
    remembered, true = disc((12, 12), 3.0), disc((12, 12), 4.6)
    fitted = sharpened(remembered[None], 0.2 + 0.6 * true[None].float())[0]
    assert (fitted == true).all() and not (remembered == true).all()


@shapes
def test_votes_are_the_borders_of_all_fitted_patches(axes: int) -> None:
    shape = (11, 14, 9)[:axes]
    picture, patches = torch.rand(shape, generator=seeded(1)), patches_of(5, 6, axes)
    places = torch.cartesian_prod(*(torch.arange((size + 1) // SHRINK) for size in shape))
    leaves = torch.randint(5, (len(places),), generator=seeded(2))
    votes = Votes(picture, patches.numpy())
    votes.cast(places, leaves)
    room, grey = 6, picture.numpy()
    expected, padded = np.zeros([size + 2 * room for size in shape]), np.pad(grey, room)
    for place, leaf in zip(places.numpy() * SHRINK + room - 3, leaves, strict=True):
        part = tuple(slice(first, first + 6) for first in place)
        fitted = fitted_by_hand(patches[leaf].numpy(), padded[part])
        expected[part] += borders(torch.from_numpy(fitted)).numpy()
    inside = expected[tuple(slice(room, room + size) for size in shape)] / 3.0**axes
    np.testing.assert_allclose(votes.shares().numpy(), inside, atol=1e-6)


def test_the_share_is_one_where_every_patch_sees_the_border() -> None:
    labels = disc((40, 40), 30.0, 20.0)  # a straight border, nearly
    picture = pictured(labels, 0, noise=0.0)
    places = torch.cartesian_prod(torch.arange(20), torch.arange(20))
    patches = np.stack([np.pad(labels.numpy(), 4)[2 * y : 2 * y + 8, 2 * x : 2 * x + 8] for y, x in places.tolist()])
    votes = Votes(picture, patches)
    votes.cast(places, torch.arange(400))
    votes.cast(places, torch.arange(400))
    shares = votes.shares()
    middle = (slice(8, 32), slice(8, 32))
    border = borders(labels)[middle]
    assert shares[middle][border].min() > 0.7 and shares[middle][~border].max() < 0.3


@shapes
def test_leaves_without_borders_do_not_vote(axes: int) -> None:
    picture = torch.rand((8, 9, 7)[:axes], generator=seeded(3))
    places = torch.cartesian_prod(*(torch.arange((size + 1) // SHRINK) for size in picture.shape))
    votes = Votes(picture, np.ones((1, *(6,) * axes), np.uint8))
    votes.cast(places, torch.zeros(len(places), dtype=torch.long))
    assert votes.shares().shape == picture.shape and not votes.shares().any()
