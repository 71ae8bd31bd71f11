r"""The drawings of the networks: the deconvolution network, and the one with a branch for each view (siamese)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from cardiolearn.figures.alt_text import describe
from cardiolearn.figures.architecture import Arrow, Block, draw
from cardiolearn.methods.superresolution.networks import FACTOR, SLIM

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = {
    "convolve": "3x3x3 convolution and ReLU (the last one without ReLU)",
    "upsample": "deconvolution 11x1x1 with steps of 5 through the plane, and ReLU",
    "interpolate": "linear interpolation through the plane",
    "add": "addition",
}
_SIDES = (20, 34)  # heights of the boxes of thick and of thin slices: a drawing, not to scale


def draw_network(cuts: Mapping[str, NDArray[Any]], slices: int = 12) -> Figure:
    r"""The deconvolution network with real pictures at its ends.

    Args:
        cuts: `(Z, X)` by name: `"stack"`, what goes in, `"linear"`, `"residual"`, what the network adds, `"output"`.
        slices: thick ones of the stack.
    """
    blocks, arrows = _trunk(cuts, slices, network=0, below=1)
    blocks["stack"] = Block(0, 0.5, 1, _SIDES[1], f"stack: {slices} slices", cuts["stack"])
    blocks |= {f"thick {i}": Block(1.1 + 0.75 * i, 0, n, _SIDES[0], f"{slices} slices") for i, n in enumerate(SLIM[0])}
    path = ["stack", *(f"thick {i}" for i in range(len(SLIM[0])))]
    arrows += [Arrow(a, b, "convolve") for a, b in pairwise(path)]
    arrows += [Arrow(path[-1], "fine 0", "upsample"), Arrow("stack", "linear", "interpolate")]
    alt = "The stack passes convolutions and a deconvolution to the residual, which is added to linear interpolation"
    return describe(draw(blocks, arrows, KINDS), alt)


def draw_siamese(cuts: Mapping[str, NDArray[Any]], slices: int = 12) -> Figure:
    r"""The network of three views: each has first layers of its own, what they find is added before the deconvolution.

    Args:
        cuts: as for `draw_network`, and `"2-chamber"` and `"4-chamber"`, the long-axis pictures `(Z, X)`.
        slices: thick ones of the stack.
    """
    blocks, arrows = _trunk(cuts, slices, network=1, below=3.0)
    for row, (name, title) in enumerate(
        {"4-chamber": "4-chamber picture", "2-chamber": "2-chamber picture", "stack": f"stack: {slices} slices"}.items()
    ):
        place = row + 0.4 if name == "stack" else row  # so that its way to linear interpolation crosses nothing
        blocks[name] = Block(0, place, 1, _SIDES[1], title, cuts[name])
        blocks |= {
            f"{name} {i}": Block(1.0 + 0.5 * i, row, n, _SIDES[0], f"{slices} slices" if i == 0 else "")
            for i, n in enumerate(SLIM[0])
        }
        path = [name, *(f"{name} {i}" for i in range(len(SLIM[0])))]
        arrows += [Arrow(a, b, "convolve") for a, b in pairwise(path)]
        arrows.append(Arrow(path[-1], "sum", "add"))
    blocks["sum"] = Block(2.3, 1, SLIM[0][-1], _SIDES[0], "sum")
    arrows += [Arrow("sum", "fine 0", "upsample"), Arrow("stack", "linear", "interpolate")]
    alt = "Three inputs with first layers of their own, whose results are added before the deconvolution"
    return describe(draw(blocks, arrows, KINDS), alt)


def _trunk(
    cuts: Mapping[str, NDArray[Any]], slices: int, *, network: float, below: float
) -> tuple[dict[str, Block], list[Arrow]]:
    # From the deconvolution on: thin slices, the residual, and its addition to linear interpolation.
    thin = FACTOR * slices
    filters = (SLIM[0][-1], *SLIM[1])
    blocks = {
        f"fine {i}": Block(3.0 + 0.75 * i, network, n, _SIDES[1], f"{thin} slices") for i, n in enumerate(filters)
    }
    last = f"fine {len(filters) - 1}"
    blocks["residual"] = Block(4.85, network, 1, _SIDES[1], "residual", cuts["residual"])
    blocks["linear"] = Block(4.85, below, 1, _SIDES[1], "linear interpolation", cuts["linear"])
    blocks["output"] = Block(6.2, (network + below) / 2, 1, _SIDES[1], f"output: {thin} slices", cuts["output"])
    path = [f"fine {i}" for i in range(len(filters))]
    arrows = [Arrow(a, b, "convolve") for a, b in pairwise(path)]
    arrows += [
        Arrow(last, "residual", "convolve"),
        Arrow("residual", "output", "add"),
        Arrow("linear", "output", "add"),
    ]
    return blocks, arrows
