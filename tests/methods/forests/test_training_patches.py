r"""What trees are shown: borders, places near them and away from them, label patches, answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hearts import seeded
from scipy import ndimage
from skimage.segmentation import find_boundaries

from cardiolearn.methods.forests.channels import SHRINK, channels
from cardiolearn.methods.forests.questions import Answers
from cardiolearn.methods.forests.training_patches import (
    Labelled,
    PatchSettings,
    borders,
    label_patches,
    sample,
    sample_places,
)

SHAPES = [(21, 18), (14, 17, 12)]
shapes = pytest.mark.parametrize("shape", SHAPES)


def blobs(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    r"""Labels 0 to 2 in smooth pieces."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.0)
    return torch.from_numpy(np.digitize(field, np.quantile(field, [0.6, 0.85])).astype(np.uint8))


@shapes
def test_borders_are_scikit_images_on_either_side(shape: tuple[int, ...]) -> None:
    labels = blobs(shape)
    expected = find_boundaries(labels.numpy(), connectivity=1, mode="thick")
    assert expected.any() and (borders(labels).numpy() == expected).all()
    assert not borders(torch.ones(shape)).any()


@shapes
def test_a_mirrored_border_is_the_border_mirrored(shape: tuple[int, ...]) -> None:
    labels = blobs(shape, 1)
    for axis in range(len(shape)):
        assert torch.equal(borders(labels.flip(axis)), borders(labels).flip(axis))


@shapes
def test_patches_are_cut_around_their_places_and_positive_ones_hold_a_border(shape: tuple[int, ...]) -> None:
    labels, width = blobs(shape, 2), 4
    places, positive = sample_places(labels, 12, width, seeded())
    assert positive.sum() == 12 and len(places) <= 24
    patches = label_patches(labels, places, width)
    padded = np.pad(labels.numpy(), width)
    for place, patch, holds in zip(places.numpy(), patches, positive, strict=True):
        first = SHRINK * place + width - width // 2
        assert (patch == padded[tuple(slice(f, f + width) for f in first)]).all()
        if not holds:
            assert (patch[tuple(slice(0, width) for _ in shape)] == patch.flat[0]).all()


@shapes
def test_a_tree_is_shown_answers_and_patches_of_the_same_places(shape: tuple[int, ...]) -> None:
    labels = torch.stack([blobs(shape, seed) for seed in range(3)])
    scans = Labelled(labels.float() / 2.0, labels)
    settings = PatchSettings(patch=8, label=4, each=10, scans=2, share=0.1)
    samples = sample(scans, settings, np.random.default_rng(0))
    asked, count = samples.features.shape
    assert count == len(samples.patches) <= 40 and asked == len(samples.questions.channel)
    again = sample(scans, settings, np.random.default_rng(0))
    assert (again.features == samples.features).all() and (again.patches == samples.patches).all()
    # One scan alone, all of its places: the answers are those that its channels give.
    alone = sample(Labelled(scans.pictures[:1], labels[:1]), settings, np.random.default_rng(1))
    generator = np.random.default_rng(1)
    every = len(generator.permutation(settings_count(settings, len(shape))))
    assert every > asked
    places, _ = sample_places(labels[0], 10, 4, seeded(int(generator.integers(2**62))))
    expected = Answers(channels(scans.pictures[0]), 4).to(alone.questions, places).numpy()
    np.testing.assert_array_equal(alone.features, expected)


def settings_count(settings: PatchSettings, axes: int) -> int:
    from cardiolearn.methods.forests.questions import every_question

    return len(every_question(settings.patch // SHRINK, axes).channel)


@shapes
def test_the_middle_of_a_patch_holds_a_border_where_the_picture_does(shape: tuple[int, ...]) -> None:
    labels = blobs(shape, 4)
    settings = PatchSettings(patch=8, label=6, each=400, scans=1, share=0.02)
    samples = sample(Labelled(labels[None].float(), labels[None]), settings, np.random.default_rng(2))
    generator = np.random.default_rng(2)
    generator.permutation(settings_count(settings, len(shape)))
    places, _ = sample_places(labels, 400, 6, seeded(int(generator.integers(2**62))))
    there = borders(labels)
    inside = ((places > 1) & (SHRINK * places + 3 < torch.tensor(shape))).all(1)
    found = samples.middle_borders()
    for place, holds in zip(places[inside], found[inside.numpy()], strict=True):
        own = there[tuple(slice(SHRINK * int(p), SHRINK * int(p) + SHRINK) for p in place)]
        assert bool(own.any()) == bool(holds)
    assert 0.05 < found.mean() < 0.95
