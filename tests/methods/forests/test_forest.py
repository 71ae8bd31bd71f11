r"""Questions and forests on pictures against look-ups by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cardiolearn.errors import InputError
from cardiolearn.methods.forests.channels import CHANNELS, channels
from cardiolearn.methods.forests.forest import Forest
from cardiolearn.methods.forests.objectives import Classes
from cardiolearn.methods.forests.questions import CELLS, Answers, Questions, every_question
from cardiolearn.methods.forests.tree import Growth, grow

WIDTH = 4


def by_hand(picture: torch.Tensor, questions: Questions, places: torch.Tensor) -> torch.Tensor:
    r"""The answers, value by value; outside the channels the nearest voxel counts."""
    every = torch.cat(tuple(channels(picture)))
    last = torch.tensor(every.shape[1:]) - 1

    def value(channel: int, place: torch.Tensor) -> float:
        inside = torch.minimum(place.clamp_min(0), last)
        return every[(channel, *inside.tolist())].item()

    rows = []
    for channel, first, second, single in zip(*questions, strict=True):
        row = []
        for place in places:
            one, other = (value(channel, place + torch.from_numpy(offset)) for offset in (first, second))
            row.append(one if single else one - other)
        rows.append(row)
    return torch.tensor(rows)


@pytest.mark.parametrize("shape", [(14, 17), (9, 12, 10)])
def test_answers_are_values_and_differences_around_a_place(shape: tuple[int, ...]) -> None:
    picture, axes = torch.rand(shape), len(shape)
    questions = every_question(WIDTH, axes)
    some = questions.some(np.linspace(0, len(questions.channel) - 1, 60).astype(int))
    places = torch.stack([torch.randint((size + 1) // 2, (8,)) for size in shape], 1)
    found = Answers(channels(picture), WIDTH).to(some, places)
    torch.testing.assert_close(found, by_hand(picture, some, places), atol=1e-6, rtol=1e-5)
    assert set(some.single) == {0, 1}


@pytest.mark.parametrize("axes", [2, 3])
def test_questions_count_as_in_the_papers(axes: int) -> None:
    cells = CELLS**axes
    questions = every_question(12, axes)
    assert len(questions.channel) == CHANNELS * (12**axes + cells * (cells - 1) // 2)
    assert questions.first.min() == -6 and questions.first.max() == 5
    pairs = np.concatenate([questions.first, questions.second, questions.channel[:, None]], 1)[questions.single == 0]
    assert (
        len(np.unique(pairs, axis=0)) == len(pairs)
        and (questions.first != questions.second).any(1)[questions.single == 0].all()
    )


def test_a_forest_ends_where_its_trees_end() -> None:
    picture = torch.rand(16, 18)
    answers, generator = Answers(channels(picture), WIDTH), np.random.default_rng(0)
    places = torch.cartesian_prod(torch.arange(8), torch.arange(9))
    every, trees, asked = every_question(WIDTH, 2), [], []
    for _ in range(3):
        asked.append(every.some(generator.permutation(len(every.channel))[:50]))
        features = answers.to(asked[-1], places).numpy()
        labels = generator.integers(2, size=len(places))
        trees.append(grow(features, {"c": Classes(labels, 2)}, {"c": 1.0}, Growth(smallest=2), generator))
    forest = Forest.of(trees, asked, WIDTH)
    begun = 0
    for number, (tree, questions) in enumerate(zip(trees, asked, strict=True)):
        ends = tree.leaf_of(answers.to(questions, places).numpy())
        order = np.cumsum(tree.feature < 0) - 1
        found = forest.leaves(answers, places, torch.full((len(places),), number))
        assert (found.numpy() == begun + order[ends]).all() and len(tree.feature) > 5
        begun += (tree.feature < 0).sum()
    assert forest.leaf.max() == begun - 1


def test_a_forest_of_slices_refuses_a_volume() -> None:
    tree = grow(np.random.default_rng(0).random((5, 20), np.float32), {"c": Classes(np.arange(20) % 2, 2)}, {"c": 1.0},
                Growth(smallest=2), np.random.default_rng(0))  # fmt: skip
    forest = Forest.of([tree], [every_question(WIDTH, 2).some(np.arange(5))], WIDTH)
    answers = Answers(channels(torch.rand(8, 8, 8)), WIDTH)
    with pytest.raises(InputError, match="picture: expected 2 axes, as the forest learnt from, got 3"):
        forest.leaves(answers, torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, dtype=torch.long))
