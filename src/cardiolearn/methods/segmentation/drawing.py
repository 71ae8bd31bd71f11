r"""The drawing of the FCN, as Fig. 1 of its paper and the lecture's slide *CNN Segmentation Model* show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from cardiolearn.figures.architecture import Arrow, Block, draw
from cardiolearn.methods.segmentation.fcn import CONVOLUTIONS, FILTERS, HEAD_CHANNELS, LEVEL_CHANNELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = {
    "level": "3x3 convolutions; on the way to a coarser level the first of them has stride 2",
    "up": "1x1 convolution to 32 channels, then a fixed upsampling to the size of the slice",
    "join": "concatenation (the skip join): the channels of all levels, one behind the other",
    "head": "1x1 convolution",
}


def draw_fcn(picture: NDArray[Any], classes: NDArray[Any], *, n_classes: int = 4) -> Figure:
    r"""The network with its input, a `picture` `(Y, X)`, and its output, `classes` `(Y, X, 3)` as colours.

    Sizes are those of a slice as large as the picture, which is square.
    """
    size, levels = len(picture), range(len(FILTERS))
    blocks = {"input": Block(0, 0, 1, size, "one slice", picture)}
    arrows = [Arrow("input", "level 0", "level")]
    for i, filters, count in zip(levels, FILTERS, CONVOLUTIONS, strict=True):
        here = size // 2**i
        blocks[f"level {i}"] = Block(1.1, i, filters, here, f"{here} x {here}, {count} conv.")
        blocks[f"up {i}"] = Block(2.5, i, LEVEL_CHANNELS, size)
        arrows += [Arrow(f"level {i}", f"up {i}", "up"), Arrow(f"up {i}", "joined", "join")]
        if i:
            arrows.append(Arrow(f"level {i - 1}", f"level {i}", "level"))
    middle = levels[-1] / 2
    for column, (name, channels) in enumerate(
        {"joined": LEVEL_CHANNELS * len(levels), "first": HEAD_CHANNELS, "second": HEAD_CHANNELS}.items()
    ):
        blocks[name] = Block(3.7 + 0.8 * column, middle, channels, size)
    blocks["output"] = Block(6.3, middle, n_classes, size, f"{n_classes} scores a pixel", classes)
    arrows += [Arrow("joined", "first", "head"), Arrow("first", "second", "head"), Arrow("second", "output", "head")]
    return draw(blocks, arrows, KINDS)
