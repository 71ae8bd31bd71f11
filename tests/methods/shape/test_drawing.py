r"""The drawings show the layers and the codes that the networks have."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from cardiolearn.methods.shape import drawing
from cardiolearn.methods.shape.autoencoder import AutoEncoder

PICTURES = {name: np.zeros((6, 5)) for name in ("soft", "mask", "stack", "found", "thin")}


def numbers(figure: Figure) -> list[int]:
    found = sorted(int(text.get_text()) for text in figure.axes[0].texts if text.get_text().isdigit())
    plt.close(figure)
    return found


def test_every_level_of_the_auto_encoder_is_drawn() -> None:
    network = AutoEncoder((16, 16, 16))
    down = [p.shape[0] for name, p in network.encoder.named_parameters() if p.ndim == 5]
    up = [p.shape[1] for name, p in network.decoder.levels.named_parameters() if p.ndim == 5]
    code = network.encoder.connect.out_features
    assert numbers(drawing.draw_autoencoder(PICTURES)) == sorted([*down, code, down[-1], *up])


@pytest.mark.parametrize(("draw", "pictures"), [("tl", 3), ("segmentation", 3), ("super_resolution", 3)])
def test_two_codes_are_compared(draw: str, pictures: int) -> None:
    figure = getattr(drawing, f"draw_{draw}")(PICTURES)
    assert len(figure.axes[0].images) == pictures and figure.get_label()
    assert numbers(figure).count(64) == 2
