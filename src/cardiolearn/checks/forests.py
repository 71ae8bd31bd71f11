r"""Exercises on lesson 5: what a split gains, label patches as answers, a vote for a landmark, a step of alignment."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cardiolearn.checks.exercise import Exercise
from cardiolearn.methods.forests.objectives import entropy


def _classes_and_sides(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    r"""Classes `(n,)` of 0 and 1, and who goes left `(n,)`; one side may be empty."""
    n = int(torch.randint(2, 40, (), generator=generator))
    chance, side = torch.rand(2, generator=generator)
    classes = (torch.rand(n, generator=generator) < chance).long()
    left = torch.rand(n, generator=generator) < side.clamp(0.1, 0.9)
    return classes, left if int(torch.randint(5, (), generator=generator)) else torch.zeros(n, dtype=torch.bool)


def gain_reference(classes: Tensor, left: Tensor) -> float:
    r"""By how much the mean entropy (nats) of the samples falls when they are told apart."""
    counts = [np.bincount(part.numpy(), minlength=2).astype(float) for part in (classes, classes[left], classes[~left])]
    before, one, other = (float(entropy(count[None])[0]) for count in counts)
    return (before - one - other) / len(classes)


information_gain = Exercise(
    name="information_gain",
    inputs=_classes_and_sides,
    reference=gain_reference,
    describe=lambda classes, left: (
        f"{len(classes)} samples, {int(classes.sum())} of class 1, {int(left.sum())} on the left"
    ),
    steps=(
        "The entropy of a group is -p log p - (1 - p) log (1 - p); p is its share of class 1, classes.float().mean().",
        "0 log 0 counts as 0: torch.special.entr(p) is -p log p, and knows that.",
        "An empty side has no share and no entropy. It counts as 0.",
        "Gain: the entropy of all, minus that of each side times the share of the samples that go there.",
    ),
    answer="""def my_information_gain(classes, left):
    def entropy(part):
        p = part.double().mean() if len(part) else torch.tensor(0.0)
        return torch.special.entr(p) + torch.special.entr(1 - p)

    share = left.double().mean()
    return entropy(classes) - share * entropy(classes[left]) - (1 - share) * entropy(classes[~left])""",
)


def _patches_and_pairs(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    r"""Label patches `(n, voxels)`, and the two voxels of each pair, `(pairs,)` each."""
    n, voxels, pairs = (int(torch.randint(2, high, (), generator=generator)) for high in (6, 20, 9))
    patches = torch.randint(0, 3, (n, voxels), generator=generator)
    first, second = torch.randint(0, voxels, (2, pairs), generator=generator)
    return patches, first, second


same_label = Exercise(
    name="same_label",
    inputs=_patches_and_pairs,
    reference=lambda patches, first, second: (patches[:, first] == patches[:, second]).float(),
    describe=lambda patches, first, second: (
        f"{len(patches)} patches of {patches.shape[1]} voxels and {len(first)} pairs"
    ),
    steps=(
        "patches[:, first] holds, for each patch, the label of the first voxel of each pair: shape (n, pairs).",
        "Compare it with the labels of the second voxels. 1 stands for equal, 0 for unequal.",
        "What counts is whether both are equal, and not which labels they have.",
    ),
    answer="""def my_same_label(patches, first, second):
    return (patches[:, first] == patches[:, second]).float()""",
)


def _places_and_votes(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, tuple[int, int]]:
    r"""Places and offsets `(n, 2)` in whole pixels, weights `(n,)`, and the map's size; some votes fall outside."""
    n, rows, columns = (
        int(torch.randint(low, high, (), generator=generator)) for low, high in ((1, 12), (3, 9), (3, 9))
    )
    size = torch.tensor([rows, columns])
    places = (torch.rand((n, 2), generator=generator) * size).long()
    offsets = torch.randint(-4, 5, (n, 2), generator=generator)
    return places, offsets, torch.rand(n, generator=generator), (rows, columns)


def votes_reference(places: Tensor, offsets: Tensor, weights: Tensor, size: tuple[int, int]) -> Tensor:
    r"""The sum of the weights that are cast at each pixel; a vote outside of the map is lost."""
    votes, at = torch.zeros(size), places + offsets
    inside = ((at >= 0) & (at < torch.tensor(size))).all(1)
    return votes.index_put_(tuple(at[inside].T), weights[inside], accumulate=True)


hough_vote = Exercise(
    name="hough_vote",
    inputs=_places_and_votes,
    reference=votes_reference,
    describe=lambda places, offsets, weights, size: f"{len(places)} places and a map of {size[0]} x {size[1]} pixels",
    steps=(
        "A place votes at its own position plus its offset: places + offsets.",
        "Leave out the votes that fall outside of the map, on any of its four sides.",
        "Several places may vote for one pixel, so their weights must be added: votes[rows, columns] += weights counts "
        "only one of them. votes.index_put_((rows, columns), weights, accumulate=True) adds them all up.",
    ),
    answer="""def my_hough_vote(places, offsets, weights, size):
    votes, at = torch.zeros(size), places + offsets
    inside = ((at >= 0) & (at < torch.tensor(size))).all(1)
    rows, columns = at[inside].T
    return votes.index_put_((rows, columns), weights[inside], accumulate=True)""",
)


def _blocks_and_matches(generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
    r"""Middles of blocks and where each was found, `(n, 3)` mm, some of them wrong; and the share that is kept."""
    n = int(torch.randint(12, 30, (), generator=generator))
    places = 20 * torch.randn((n, 3), generator=generator, dtype=torch.float64)
    shift = 5 * torch.randn(3, generator=generator, dtype=torch.float64)
    found = places + shift + torch.randn((n, 3), generator=generator, dtype=torch.float64)
    found[: n // 5] += 40 * torch.randn((n // 5, 3), generator=generator, dtype=torch.float64)
    return places, found, float(0.5 + 0.3 * torch.rand((), generator=generator))


def trimmed_reference(places: Tensor, found: Tensor, kept: float) -> Tensor:
    r"""The shift `(3,)` after one step of trimmed least squares, begun with that of all blocks."""
    off = (found - places - (found - places).mean(0)).norm(dim=1)
    best = off.argsort()[: round(kept * len(places))]
    return (found - places)[best].mean(0)


trimmed_step = Exercise(
    name="trimmed_step",
    inputs=_blocks_and_matches,
    reference=trimmed_reference,
    describe=lambda places, found, kept: f"{len(places)} blocks, of which a share of {kept:.2f} is kept",
    steps=(
        "The shift of least squares is the mean of found - places, over all blocks.",
        "How far each block is off: the length of (found - places) minus this shift.",
        "Keep those that are off least: off.argsort() gives their numbers in order; round(kept * n) of them.",
        "Return the mean of found - places over these blocks only.",
    ),
    answer="""def my_trimmed_step(places, found, kept):
    moved = found - places
    off = (moved - moved.mean(0)).norm(dim=1)
    best = off.argsort()[: round(kept * len(moved))]
    return moved[best].mean(0)""",
)
