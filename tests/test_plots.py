r"""Figures: units on axes, labels where they belong, and colours that five kinds of eyes tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from cardiolearn import plots
from cardiolearn.errors import InputError
from cardiolearn.image import Image

# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protan": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deutan": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritan": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}


@pytest.fixture(autouse=True)
def canvas() -> Iterator[None]:
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    with mpl.rc_context():
        yield
    plt.close("all")


def seen(colour: str, matrix: np.ndarray) -> np.ndarray:
    r"""CIELAB of a colour as an eye with a deficiency sees it."""
    rgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    other = np.clip(matrix @ linear, 0, 1)
    back = np.where(other <= 0.0031308, 12.92 * other, 1.055 * other ** (1 / 2.4) - 0.055)
    return rgb2lab(back[None, None])[0, 0]


@pytest.mark.parametrize("eye", DEFICIENCIES)
def test_structures_are_told_apart(eye: str) -> None:
    colours = {name: seen(colour, DEFICIENCIES[eye]) for name, colour in plots.PALETTE.items()}
    for one, two in combinations(colours, 2):
        assert np.linalg.norm(colours[one] - colours[two]) > 30, (one, two)


def test_the_palette_follows_the_label_convention() -> None:
    from cardiolearn.study import LABELS

    assert {name: plots.STRUCTURES.index(name) + 1 for name in plots.PALETTE} == {
        name: label for name, label in LABELS.items() if label
    }


def image() -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.zeros(20, 30, dtype=torch.uint8)
    labels[5:15, 8:18], labels[8:12, 11:15] = 2, 1
    return torch.rand(20, 30), labels


def test_overlay_is_in_millimetres_and_in_place() -> None:
    import matplotlib.pyplot as plt

    ax = plt.figure().subplots()
    pixels, labels = image()
    plots.overlay(ax, pixels, labels, spacing=(1.5, 2.0))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (mm)", "y (mm)")
    grey, tint = ax.get_images()
    assert list(grey.get_extent()) == [-0.75, 44.25, 39.0, -1.0]
    colours = tint.get_array()
    assert np.allclose(colours[9, 12, :3], mpl.colors.to_rgb(plots.PALETTE["lv_cavity"]))
    assert np.allclose(colours[6, 9, :3], mpl.colors.to_rgb(plots.PALETTE["myocardium"]))
    assert colours[0, 0, 3] == 0
    outline = ax.collections[0].get_paths()[0].vertices  # of the myocardium
    assert outline[:, 0].min() == pytest.approx(7.5 * 1.5) and outline[:, 1].max() == pytest.approx(14.5 * 2.0)
    plots.overlay(plt.figure().subplots(), np.zeros((4, 4)), np.full((4, 4), 3))  # flat image, one label everywhere


def test_contact_sheet_has_a_panel_each_and_a_legend() -> None:
    pixels, labels = image()
    figure = plots.contact_sheet([pixels] * 5, [labels] * 5, [f"subject {i}" for i in range(5)])
    assert [ax.get_title() for ax in figure.axes] == [*(f"subject {i}" for i in range(5)), "", "", ""]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["LV cavity", "LV myocardium"]
    assert len(plots.contact_sheet([pixels]).axes) == 1


def test_outline_runs_along_the_border_of_each_label() -> None:
    import matplotlib.pyplot as plt

    ax = plt.figure().subplots()
    _, labels = image()
    plots.outline(ax, labels, "red", spacing=(1.5, 2.0), name="observer O1")
    assert len(ax.collections) == 2  # one for each label
    wall = ax.collections[1].get_paths()[0].vertices
    assert wall[:, 0].min() == pytest.approx(7.5 * 1.5) and wall[:, 1].max() == pytest.approx(14.5 * 2.0)
    assert ax.get_legend_handles_labels()[1] == ["observer O1"]


def test_focus_shows_the_heart_and_its_margin() -> None:
    import matplotlib.pyplot as plt

    ax = plt.figure().subplots()
    pixels, labels = image()
    plots.overlay(ax, pixels, labels, spacing=(1.5, 2.0))
    plots.focus(ax, labels, spacing=(1.5, 2.0), margin=3.0)
    assert ax.get_xlim() == pytest.approx((8 * 1.5 - 3.0, 17 * 1.5 + 3.0))
    assert ax.get_ylim() == pytest.approx((14 * 2.0 + 3.0, 5 * 2.0 - 3.0))  # downwards
    before = ax.get_xlim()
    plots.focus(ax, np.zeros((20, 30)), spacing=(1.5, 2.0))
    assert ax.get_xlim() == before


def test_the_middle_slice_is_that_of_the_cavity() -> None:
    labels = np.zeros((9, 20, 30), dtype=np.uint8)
    assert plots.middle_slice(Image(torch.from_numpy(labels), np.eye(4))) == 4
    labels[5:8, 3:6, 3:6] = 1
    assert plots.middle_slice(Image(torch.from_numpy(labels), np.eye(4))) == 6


def test_automatic_above_manual_and_observers() -> None:
    pixels, labels = image()
    affine = np.diag([1.5, 2.0, 8.0, 1.0])
    scan = Image(torch.from_numpy(np.stack([pixels] * 3)).float(), affine)
    drawn = scan.with_data(torch.from_numpy(np.stack([labels] * 3)).to(torch.uint8))
    columns = {"sa ED": scan, "sa ES": scan}
    figure = plots.automatic_above_manual(columns, dict.fromkeys(columns, drawn), dict.fromkeys(columns, drawn))
    shown = [(ax.get_title(), ax.get_ylabel()) for ax in figure.axes]
    assert shown == [("sa ED", "automatic"), ("sa ES", ""), ("", "manual"), ("", "")]
    truth = plots.automatic_above_manual(columns, dict.fromkeys(columns, drawn), columns, below="truth")
    assert truth.axes[2].get_ylabel() == "truth"
    other = drawn.with_data(drawn.data.clone())
    other.data[2] = 0
    middle, divided = plots.observers(scan, {"O1": drawn, "O2": other}).axes
    assert [t.get_text() for t in middle.get_legend().get_texts()] == ["observer O1", "observer O2"]
    assert (middle.get_title(), divided.get_title()) == ("slice 1, in the middle", "slice 2, where they differ most")


def test_structures_are_named_where_they_are() -> None:
    _, labels = image()
    scan = Image(torch.rand(5, 20, 30), np.diag([1.5, 2.0, 8.0, 1.0]))
    drawn = scan.with_data(torch.stack([torch.zeros(20, 30), *[labels] * 3, torch.zeros(20, 30)]).to(torch.uint8))
    sheet = plots.stack(scan, drawn, panels=8)
    assert [ax.get_title() for ax in sheet.axes[:5]] == [f"slice {z}" for z in range(5)]
    assert [[t.get_text() for t in ax.texts] for ax in sheet.axes[:5]] == [[], [], ["LV", "wall"], [], []]
    for note, k in zip(sheet.axes[2].texts, (1, 2), strict=True):
        x, y = note.xy
        assert labels[int(y), int(x)] == k
    assert not any(ax.texts for ax in plots.stack(scan).axes)


def test_a_beat_marks_its_frame() -> None:
    pixels, labels = image()
    cine = Image(torch.from_numpy(np.stack([[pixels]] * 4)).float(), np.diag([1.5, 2.0, 8.0, 1.0]), 0.05)
    drawn = cine.with_data(torch.from_numpy(np.stack([[labels]] * 4)).to(torch.uint8))
    _, curve = plots.beat(cine, drawn, [100.0, 60.0, 40.0, 80.0], 2).axes
    assert list(curve.lines[0].get_ydata()) == [100.0, 60.0, 40.0, 80.0, 100.0]  # and over again
    assert curve.lines[1].get_xdata() == pytest.approx([0.1]) and curve.lines[1].get_ydata() == pytest.approx([40.0])
    assert curve.get_xlabel() == "time (s)"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ax: plots.overlay(ax, np.zeros((2, 3, 4))), "expected"),
        (lambda ax: plots.overlay(ax, np.zeros((2, 3)), np.zeros((3, 2))), "do not lie"),
        (lambda ax: plots.overlay(ax, np.zeros((2, 3)), np.full((2, 3), 6)), "label 6"),
        (lambda ax: plots.contact_sheet([]), "at least one"),
        (lambda ax: plots.contact_sheet([np.zeros((2, 2))], titles=["a", "b"]), "2 titles for 1 images"),
        (lambda ax: plots.focus(ax, np.zeros((2, 2, 2)), spacing=(1.0, 1.0)), "mask: expected"),
    ],
)
def test_bad_input_is_named(call: object, message: str) -> None:
    import matplotlib.pyplot as plt

    assert callable(call)
    with pytest.raises(InputError, match=message):
        call(plt.figure().subplots())


def test_the_style_is_readable_from_the_back_row() -> None:
    plots.use_style()
    assert mpl.rcParams["font.size"] >= 12 and mpl.rcParams["figure.facecolor"] == "white"
