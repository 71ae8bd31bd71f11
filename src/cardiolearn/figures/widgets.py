r"""Everything in a lesson that is moved, clicked or answered, under one name; and sliders over plain functions.

The pattern of every lesson: a plain function draws one figure and is called once in its own cell (that figure is what
print and CI see); the next cell hands the *same* function to a widget. Pictures that can be drawn beforehand go into
`film` or `swipe`, which ask nothing of the kernel; `explorer` is for what is computed at once (0.3 s). An exception in
its callback is kept in the notebook's widget state, where `cardiolearn run` finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cardiolearn.errors import InputError
from cardiolearn.figures.heart_view import heart_3d
from cardiolearn.figures.player import Player, film, swipe
from cardiolearn.figures.predict import predict
from cardiolearn.figures.quiz import quiz
from cardiolearn.imaging.reading import nifti_bytes
from cardiolearn.imaging.structures import LABELS, NAMES

if TYPE_CHECKING:
    import ipywidgets
    from matplotlib.figure import Figure

    from cardiolearn.imaging.image import Image

__all__ = ["explorer", "film", "heart_3d", "predict", "quiz", "swipe", "volume_viewer"]


def explorer(draw: Callable[..., object], **choices: Sequence[Any]) -> ipywidgets.VBox:
    r"""One slider for each keyword of `draw`, over the values it may take; the first value is the start.

    A change draws once, when the slider is let go.

    Raises:
        InputError: A keyword without values.
    """
    import ipywidgets

    for name, values in choices.items():
        if len(values) == 0:
            raise InputError(f"explorer: no values for {name}")
    sliders = {
        name: ipywidgets.SelectionSlider(
            options=list(values), description=name.replace("_", " "), continuous_update=False, style=_WIDE
        )
        for name, values in choices.items()
    }
    return ipywidgets.VBox([*sliders.values(), ipywidgets.interactive_output(draw, sliders)])


_WIDE = {"description_width": "initial"}


def volume_viewer(image: Image, labels: Image | None = None, *, height: int = 400) -> Any:
    r"""A volume (Z, Y, X) with its labels in three planes and 3D (ipyniivue); slices with a slider where that fails.

    Raises:
        InputError: A cine; choose a frame first.
    """
    if image.data.ndim != 3 or (labels is not None and labels.data.ndim != 3):
        raise InputError(f"volume_viewer: expected (Z, Y, X), found {tuple(image.data.shape)}; choose a frame first")
    try:
        from ipyniivue import NiiVue
    except ImportError:
        return _slices(image, labels)
    viewer = NiiVue(height=height, loading_text="")  # see heart_view
    volumes: list[dict[str, Any]] = [{"data": nifti_bytes(image), "name": "image.nii", "colormap": "gray"}]
    if labels is not None:
        volumes.append(
            {"data": nifti_bytes(labels), "name": "labels.nii", "opacity": 0.4, "colormap_label": _label_colours()}
        )
    viewer.load_volumes(volumes)
    return viewer


def _slices(image: Image, labels: Image | None) -> Player:
    r"""The fallback: one slice after another, labels on top when they share the grid."""
    import matplotlib.pyplot as plt

    from cardiolearn.figures.slices import overlay

    def draw(z: int) -> Figure:
        figure, ax = plt.subplots(figsize=(5, 5))
        overlay(ax, image.data[z], None if labels is None else labels.data[z], spacing=image.spacing[:2])
        return figure

    slices = range(image.data.shape[0])
    return film((draw(z) for z in slices), [f"slice {z}" for z in slices], alt="The volume, slice by slice")


def _label_colours() -> Any:
    r"""The kit's palette as a lookup table for labels 0 (clear) to 5."""
    from ipyniivue import LUT
    from matplotlib.colors import to_rgba

    from cardiolearn.figures.style import PALETTE

    colours = [(0.0, 0.0, 0.0, 0.0), *(to_rgba(PALETTE[key]) for key in LABELS)]
    flat = [round(255 * part) for colour in colours for part in colour]
    return LUT(lut=flat, min=0, max=len(LABELS), labels=["background", *NAMES.values()])
