r"""What figures share: colours that four kinds of eyes tell apart, a legend of what is there, and readable letters."""

from __future__ import annotations

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
from skimage.color import rgb2lab

from cardiolearn.figures.style import BLUE, PALETTE, STYLE, structure_legend, use_style
from cardiolearn.imaging.structures import LABELS

# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protan": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deutan": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritan": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}


def seen(colour: str, matrix: np.ndarray) -> np.ndarray:
    r"""CIELAB of a colour as an eye with a deficiency sees it."""
    rgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    other = np.clip(matrix @ linear, 0, 1)
    back = np.where(other <= 0.0031308, 12.92 * other, 1.055 * other ** (1 / 2.4) - 0.055)
    return rgb2lab(back[None, None])[0, 0]


@pytest.mark.parametrize("eye", DEFICIENCIES)
def test_structures_are_told_apart(eye: str) -> None:
    colours = {name: seen(colour, DEFICIENCIES[eye]) for name, colour in PALETTE.items()}
    for one, two in combinations(colours, 2):
        assert np.linalg.norm(colours[one] - colours[two]) > 30, (one, two)


def test_every_structure_has_a_colour_and_ventricles_have_okabe_and_itos() -> None:
    assert list(PALETTE) == list(LABELS)
    published = {
        "vermillion": (213, 94, 0),
        "yellow": (240, 228, 66),
        "sky blue": (86, 180, 233),
        "blue": (0, 114, 178),
    }
    chosen = {
        "vermillion": PALETTE["lv"], "yellow": PALETTE["myocardium"], "sky blue": PALETTE["rv"], "blue": BLUE,
    }  # fmt: skip
    for name, colour in chosen.items():
        assert tuple(round(255 * part) for part in mpl.colors.to_rgb(colour)) == published[name]
    assert BLUE not in PALETTE.values()


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([0, 5, 1], {"lv": "LV cavity", "ra": "right atrium"}),
        ([4, 3, 2], {"myocardium": "LV myocardium", "rv": "RV cavity", "la": "left atrium"}),
    ],
)
def test_a_legend_names_what_is_there_in_its_colour(labels: list[int], names: dict[str, str]) -> None:
    import matplotlib.pyplot as plt

    figure = plt.figure()
    structure_legend(figure, labels)
    (legend,) = figure.legends
    shown = {
        text.get_text(): patch.get_facecolor()
        for text, patch in zip(legend.get_texts(), legend.get_patches(), strict=True)
    }
    assert shown == {name: mpl.colors.to_rgba(PALETTE[key]) for key, name in names.items()}


def test_nothing_outlined_needs_no_legend() -> None:
    import matplotlib.pyplot as plt

    figure = plt.figure()
    structure_legend(figure, np.zeros((3, 4)))
    assert not figure.legends


def test_the_style_is_readable_from_the_back_row() -> None:
    use_style()
    assert mpl.rcParams["font.size"] >= 12 and mpl.rcParams["figure.facecolor"] == "white"
    assert all(mpl.rcParams[name] == value for name, value in STYLE.items())
