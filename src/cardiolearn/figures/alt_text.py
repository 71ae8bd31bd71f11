r"""What a figure shows, in words, for those who cannot see it: kept beside the picture wherever a notebook shows one.

JupyterLab gives a picture of type `image/png` no alternative text, and an `<img>` in HTML the one it has. So a figure
is shown as both: the first for the report, the second for the notebook.
"""

from __future__ import annotations

import base64
import struct
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCREEN_DPI = 100  # a figure is drawn finer than it is shown, so that it stays sharp when it is enlarged
_COLOUR_BAR = "<colorbar>"


def describe(figure: Figure, alt: str) -> Figure:
    r"""Give a figure its own alternative text, where its titles and axes do not say enough."""
    figure.set_label(alt)
    return figure


def alt_of(figure: Figure) -> str:
    r"""A figure's own alternative text, else what its titles, axes and legends say; empty where they say nothing."""
    own = str(figure.get_label())
    if own:
        return own
    heading = figure.get_suptitle()
    panels = dict.fromkeys(_words(ax) for ax in figure.axes if ax.get_label() != _COLOUR_BAR)
    said = [part for part in (heading, *panels, _legends(figure)) if part]
    return ". ".join(said)


def _words(ax: Axes) -> str:
    r"""What one panel says of itself."""
    title, across, upwards = ax.get_title(), ax.get_xlabel(), ax.get_ylabel()
    if not (title or across or upwards) or not ax.axison:
        return title
    kind = "Picture" if ax.images else "Chart"
    axes = f"{upwards} over {across}" if upwards and across and not ax.images else ""
    legend = ax.get_legend()
    lines = ", ".join(text.get_text() for text in legend.get_texts()) if legend else ""
    return ": ".join(part for part in (kind, ", ".join(part for part in (title, axes, lines) if part)) if part)


def _legends(figure: Figure) -> str:
    return ", ".join(text.get_text() for legend in figure.legends for text in legend.get_texts())


def bundle(figure: Figure) -> tuple[dict[str, str], dict[str, Any]] | None:
    r"""A figure as a notebook's output, see `bundle_of_png`; `None` where nothing is drawn."""
    from IPython.core.pylabtools import print_figure

    png = print_figure(figure)
    return None if png is None else bundle_of_png(png, alt_of(figure), figure.dpi)


def bundle_of_png(png: bytes, alt: str, dpi: float) -> tuple[dict[str, str], dict[str, Any]]:
    r"""A PNG file that was drawn at `dpi` as a notebook's output, and the output's metadata.

    The output is the picture, and in HTML the picture with its alternative text; the metadata hold that text too, where
    the report looks for it.
    """
    data = base64.b64encode(png).decode()
    width = round(struct.unpack(">I", png[16:20])[0] * SCREEN_DPI / dpi)
    html = (
        f'<img class="cardiolearn-figure" alt="{escape(alt, quote=True)}" width="{width}" '
        f'style="max-width: 100%; height: auto" src="data:image/png;base64,{data}">'
    )
    return {"image/png": data, "text/html": html, "text/plain": alt}, {"image/png": {"alt": alt}}


def use_alt_text() -> None:
    r"""Show all figures of this kernel with their alternative text; outside a notebook, nothing."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return
    import matplotlib_inline.backend_inline  # noqa: F401  (it registers its own way of showing figures, once)
    from matplotlib.figure import Figure

    formatter = shell.display_formatter
    formatter.formatters["image/png"].pop(Figure, None)
    formatter.mimebundle_formatter.for_type(Figure, bundle)
