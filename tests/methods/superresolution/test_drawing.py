r"""The drawings of the networks show the layers that the networks have."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from cardiolearn.methods.superresolution import drawing
from cardiolearn.methods.superresolution.networks import NETWORKS

ENDS = {name: np.zeros((6, 5)) for name in ("stack", "linear", "residual", "output", "2-chamber", "4-chamber")}


def _numbers(figure: Figure) -> list[str]:
    return sorted(text.get_text() for text in figure.axes[0].texts if text.get_text().isdigit())


@pytest.mark.parametrize(("draw", "name"), [("draw_network", "deconvolution"), ("draw_siamese", "siamese")])
def test_every_layer_with_its_filters_is_drawn(draw: str, name: str) -> None:
    layers = [p for key, p in NETWORKS[name](0).named_parameters() if p.ndim == 5 and not key.startswith("last")]
    expected = [str(layer.shape[1] if layer.shape[2] == 11 else layer.shape[0]) for layer in layers]
    figure = getattr(drawing, draw)(ENDS, 9)
    extra = ["24"] if name == "siamese" else []  # the sum of the branches
    assert _numbers(figure) == sorted(expected + extra)
    titles = [text.get_text() for text in figure.axes[0].texts]
    assert titles.count("45 slices") == 2 and "output: 45 slices" in titles and "residual" in titles
    assert len(figure.axes[0].images) == (6 if name == "siamese" else 4)
