r"""The drawing of a network: stacks of feature maps as boxes, what leads from one to the next as arrows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cardiolearn.errors import InputError
from cardiolearn.figures.style import BLUE, GREEN, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (BLUE, PALETTE["lv"], GREEN, PALETTE["la"], "black")  # of the kinds of arrows, in their order
INCHES = (1.55, 1.3)  # of one column and one row
_LARGEST = 0.68  # of a row's height: the largest box


@dataclass(frozen=True)
class Block:
    r"""A stack of feature maps that stands at `column` and `row` (from the upper left; fractions are allowed).

    Args:
        channels: how many maps there are; the box is the wider the more.
        size: pixels a side of each; the box is the higher the more.
        title: what stands above it; by default its size.
        picture: `(Y, X)` or `(Y, X, 3)`, shown instead of an empty box.
    """

    column: float
    row: float
    channels: int
    size: int
    title: str | None = None
    picture: NDArray[Any] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Arrow:
    r"""What is done between two blocks, by their names; `kind` is one of those that `draw` is told the words of."""

    start: str
    end: str
    kind: str


def draw(blocks: Mapping[str, Block], arrows: Sequence[Arrow], kinds: Mapping[str, str]) -> Figure:
    r"""The network in one figure.

    Args:
        blocks: by name.
        arrows: from block to block.
        kinds: what each kind of arrow means, in words, for the legend; five kinds at most.

    Raises:
        InputError: an arrow from or to a block, or of a kind, that there is none of; more than five kinds.
    """
    import matplotlib.pyplot as plt

    if len(kinds) > len(COLOURS):
        raise InputError(f"architecture: expected at most {len(COLOURS)} kinds of arrows, got {len(kinds)}")
    for arrow in arrows:
        for name, known in ((arrow.start, blocks), (arrow.end, blocks), (arrow.kind, kinds)):
            if name not in known:
                raise InputError(f"architecture: {arrow}: expected one of {', '.join(known)}, got {name!r}")
    columns, rows = (1 + max(getattr(block, name) for block in blocks.values()) for name in ("column", "row"))
    figure, ax = plt.subplots(figsize=(INCHES[0] * columns, INCHES[1] * rows + 0.27 * len(kinds)))
    boxes = {name: _box(block, max(b.size for b in blocks.values())) for name, block in blocks.items()}
    for name, block in blocks.items():
        _draw_block(ax, block, boxes[name])
    colours = dict(zip(kinds, COLOURS, strict=False))
    for arrow in arrows:
        _draw_arrow(ax, boxes[arrow.start], boxes[arrow.end], colours[arrow.kind])
    for kind, words in kinds.items():
        ax.plot([], [], color=colours[kind], label=words)
    ax.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.62), aspect=INCHES[1] / INCHES[0])
    ax.set_axis_off()
    figure.legend(loc="outside lower center", ncols=1)
    return figure


def _box(block: Block, largest: int) -> tuple[float, float, float, float]:
    r"""Left, right, top and bottom of a block in columns and rows; roots, so that small ones are still seen."""
    height = _LARGEST * np.sqrt(block.size / largest)
    square = height * INCHES[1] / INCHES[0]
    width = square if block.picture is not None else 0.07 + 0.022 * np.sqrt(block.channels)
    return block.column - width / 2, block.column + width / 2, block.row - height / 2, block.row + height / 2


def _draw_block(ax: Axes, block: Block, box: tuple[float, float, float, float]) -> None:
    from matplotlib.patches import Rectangle

    left, right, top, bottom = box
    if block.picture is None:
        ax.add_patch(Rectangle((left, top), right - left, bottom - top, facecolor="0.85", edgecolor="0.3"))
    else:
        ax.imshow(block.picture, cmap="gray", extent=(left, right, bottom, top), aspect="auto", interpolation="nearest")
    title = f"{block.size} x {block.size}" if block.title is None else block.title
    ax.text(block.column, top - 0.03, title, ha="center", va="bottom", fontsize=11)
    if block.picture is None:
        narrow = (right - left) * INCHES[0] < 0.36 and block.channels > 9
        turned = 90 if narrow else 0  # from below to above
        where: dict[str, Any] = {"ha": "center", "va": "center", "rotation": turned}
        ax.text(block.column, block.row, str(block.channels), fontsize=12, weight="bold", **where)


def _draw_arrow(ax: Axes, start: tuple[float, ...], end: tuple[float, ...], colour: str) -> None:
    r"""From side to side where the blocks stand beside each other, else from below to above."""
    middle = [(box[2] + box[3]) / 2 for box in (start, end)]
    if end[0] > start[1]:
        a, b = (start[1] + 0.02, middle[0]), (end[0] - 0.02, middle[1])
    else:
        a, b = ((start[0] + start[1]) / 2, start[3] + 0.02), ((end[0] + end[1]) / 2, end[2] - 0.2)
    ax.annotate(
        "", b, a, arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 2.0, "shrinkA": 0, "shrinkB": 0}
    )
