r"""What all figures share: one colour for each structure, letters a back row can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cardiolearn.imaging.structures import LABELS, NAMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The colour of each structure. Ventricles from Okabe and Ito's colour-blind-safe set; the atria chosen to stay apart
#: from them for every kind of eye.
PALETTE = {"lv": "#D55E00", "myocardium": "#F0E442", "rv": "#56B4E9", "la": "#7A4DFF", "ra": "#B0705A"}
BLUE = "#0072B2"  # of what is no structure: a network's numbers
GREEN = "#009E73"  # of a second kind of what is no structure
GUESS = "#CC79A7"  # of what the learner guessed
STYLE: dict[str, Any] = {
    "figure.constrained_layout.use": True,
    "figure.dpi": 150,
    "figure.facecolor": "white",
    "font.size": 13,
    "axes.titlesize": 14,
    "axes.labelsize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 2.2,
}


def use_style() -> None:
    r"""Set the kit's style for all figures of this kernel, and show each with its alternative text."""
    import matplotlib as mpl

    from cardiolearn.figures.alt_text import use_alt_text

    use_alt_text()  # first: matplotlib's inline backend sets a style of its own when it is loaded
    parameters: Any = mpl.rcParams
    parameters.update(STYLE)


def structure_legend(figure: Figure, labels: ArrayLike) -> None:
    r"""A legend, below the figure, of the structures present in `labels`."""
    from matplotlib.patches import Patch

    present = [key for key, label in LABELS.items() if (np.asarray(labels) == label).any()]
    handles = [Patch(color=PALETTE[key], label=NAMES[key]) for key in present]
    if handles:
        figure.legend(
            handles=handles, loc="outside lower center", ncols=max(1, min(len(handles), int(figure.get_figwidth() / 2)))
        )
