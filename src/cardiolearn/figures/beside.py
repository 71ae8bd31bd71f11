r"""One patient's heart outlined by the network and by a person, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiolearn.figures.alt_text import describe
from cardiolearn.figures.slices import focus, overlay
from cardiolearn.figures.style import structure_legend
from cardiolearn.imaging.structures import LV_CAVITY
from cardiolearn.measures.clinical import volumes_ml

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cardiolearn.imaging.image import Image

PHASE_WORDS = {"ED": "end-diastole", "ES": "end-systole"}


def beside_a_person(
    images: Mapping[str, Image], network: Mapping[str, Image], person: Mapping[str, Image], *,
    who: str = "cardiologist", panels: int = 3, size: float = 2.1,
) -> Figure:  # fmt: skip
    r"""Slices of one patient from base to apex, outlined by the network (above) and by a person (below).

    Args:
        images: `(Z, Y, X)` by phase, `ED` and `ES`, on one grid.
        network: its labels by phase.
        person: those of somebody else; only slices that hold a cavity of theirs are shown, first and last among them.
        who: that person, in a word.
        panels: slices of each phase.
        size: width of a panel in inches.

    All panels have one scale. A structure that only one of the two outlined is in that row alone.
    """
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(size * panels * len(images) + 0.5, 2 * size + 1.0))
    place = np.stack([np.asarray(labels.data).max(0) for labels in person.values()]).max(0)
    said = []
    for i, (part, phase) in enumerate(zip(figure.subfigures(1, len(images), squeeze=False)[0], images, strict=True)):
        rows = {"network": network[phase], who: person[phase]}
        axes = part.subplots(2, panels, squeeze=False)
        _phase(axes, images[phase], list(rows.values()), place)
        volumes = [f"{name} {volumes_ml(labels)['lv']:.0f} mL" for name, labels in rows.items()]
        said.append(f"{PHASE_WORDS[phase]}: LV cavity {', '.join(volumes)}")
        part.suptitle(said[-1], fontsize=13)
        for ax, name in zip(axes[:, 0], rows, strict=True):
            ax.set_ylabel(name if i == 0 else "")
    every = [np.ravel(np.asarray(labels.data)) for one in (network, person) for labels in one.values()]
    structure_legend(figure, np.concatenate(every))
    what = f"Slices of one patient's heart, outlined by the network above and by the {who} below"
    return describe(figure, f"{what}. {'. '.join(said)}")


def _phase(axes: NDArray[Any], image: Image, rows: Sequence[Image], place: ArrayLike) -> None:
    r"""The slices of one phase in `axes` `(2, panels)`, with the labels of either row; `place` `(Y, X)` is shown."""
    chosen, spacing = spread_slices(rows[1], axes.shape[1]), image.spacing[:2]
    ends = {chosen[0]: " (base)", chosen[-1]: " (apex)"}
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    for above, labels in zip(axes, rows, strict=True):
        for ax, z in zip(above, chosen, strict=False):
            overlay(ax, image.data[z], labels.data[z], spacing=spacing, alpha=0.15)
            focus(ax, place, spacing=spacing, margin=20.0)
            ax.set(xlabel="", ylabel="", title=f"slice {z}{ends.get(z, '')}" if labels is rows[0] else "")


def spread_slices(labels: Image, panels: int) -> list[int]:
    r"""Slices of `labels` `(Z, Y, X)` that show LV cavity, evenly spread from base to apex, both ends among them.

    The base is the end whose slice holds more cavity.
    """
    area = (np.asarray(labels.data) == LV_CAVITY).sum((1, 2))
    shown = np.flatnonzero(area)
    if not len(shown):
        return [len(area) // 2]
    ordered = shown if area[shown[0]] >= area[shown[-1]] else shown[::-1]
    return [int(z) for z in dict.fromkeys(ordered[np.linspace(0, len(ordered) - 1, panels).round().astype(int)])]
