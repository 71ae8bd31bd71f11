r"""The drawing of a network: every block and every arrow is there, none goes nowhere, and sizes are in proportion."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from cardiolearn.errors import InputError
from cardiolearn.figures.architecture import Arrow, Block, draw
from cardiolearn.methods.segmentation.drawing import draw_fcn
from cardiolearn.methods.segmentation.fcn import FCN

BLOCKS = {"in": Block(0, 0, 1, 64), "deep": Block(1, 1, 16, 16, "deep one")}


def test_blocks_carry_their_channels_and_titles_and_are_drawn_in_proportion() -> None:
    figure = draw(BLOCKS, [Arrow("in", "deep", "go")], {"go": "a convolution"})
    (ax,) = figure.axes
    assert {text.get_text() for text in ax.texts} >= {"64 x 64", "deep one", "1", "16"}
    large, small = (patch for patch in ax.patches if isinstance(patch, Rectangle))
    assert large.get_height() == pytest.approx(2 * small.get_height())  # the root of 64 over 16
    assert large.get_width() < small.get_width()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a convolution"]


@pytest.mark.parametrize("arrow", [Arrow("in", "nowhere", "go"), Arrow("in", "deep", "fly")])
def test_an_arrow_to_nowhere_is_refused(arrow: Arrow) -> None:
    with pytest.raises(InputError, match=r"expected one of (in, deep, got 'nowhere'|go, got 'fly')"):
        draw(BLOCKS, [arrow], {"go": "a convolution"})


def test_more_kinds_than_colours_are_refused() -> None:
    with pytest.raises(InputError, match="at most 5 kinds of arrows, got 6"):
        draw(BLOCKS, [], dict.fromkeys("abcdef", "words"))


def test_the_fcn_is_drawn_with_the_channels_it_has() -> None:
    network = FCN(4)
    figure = draw_fcn(np.zeros((128, 128)), np.zeros((128, 128, 3)))
    numbers = [text.get_text() for text in figure.axes[0].texts if text.get_text().isdigit()]
    convolutions = [level[-1].conv.out_channels for level in network.levels]
    joined, first, second = network.join.conv.in_channels, network.join.conv.out_channels, network.mix.conv.out_channels
    expected = [*convolutions, *(project.conv.out_channels for project in network.project), joined, first, second]
    assert sorted(map(int, numbers)) == sorted(expected)
