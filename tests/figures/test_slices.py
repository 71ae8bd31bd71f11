r"""Slices of scans: units on axes, and every label in its place, its colour and its words."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
import torch

from cardiolearn.errors import InputError
from cardiolearn.figures import slices
from cardiolearn.figures.style import PALETTE
from cardiolearn.imaging.image import Image


def image() -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.zeros(20, 30, dtype=torch.uint8)
    labels[5:15, 8:18], labels[8:12, 11:15] = 2, 1
    return torch.rand(20, 30), labels


def test_overlay_is_in_millimetres_and_in_place() -> None:
    import matplotlib.pyplot as plt

    ax = plt.figure().subplots()
    pixels, labels = image()
    slices.overlay(ax, pixels, labels, spacing=(1.5, 2.0))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (mm)", "y (mm)")
    grey, tint = ax.get_images()
    assert list(grey.get_extent()) == [-0.75, 44.25, 39.0, -1.0]
    colours = tint.get_array()
    assert np.allclose(colours[9, 12, :3], mpl.colors.to_rgb(PALETTE["lv"]))
    assert np.allclose(colours[6, 9, :3], mpl.colors.to_rgb(PALETTE["myocardium"]))
    assert colours[0, 0, 3] == 0
    outline = ax.collections[0].get_paths()[0].vertices  # of the myocardium
    assert outline[:, 0].min() == pytest.approx(7.5 * 1.5) and outline[:, 1].max() == pytest.approx(14.5 * 2.0)
    slices.overlay(plt.figure().subplots(), np.zeros((4, 4)), np.full((4, 4), 3))  # flat image, one label everywhere


COLOURS = {1: "#D55E00", 2: "#F0E442", 3: "#56B4E9", 4: "#7A4DFF", 5: "#B0705A"}  # what a reader learns once


@pytest.mark.parametrize("label", COLOURS)
def test_each_label_is_tinted_and_outlined_in_its_colour_where_it_lies(label: int) -> None:
    import matplotlib.pyplot as plt

    ax = plt.figure().subplots()
    labels = np.zeros((9, 12), dtype=np.uint8)
    labels[2:5, 6:10] = label
    slices.overlay(ax, np.zeros((9, 12)), labels, alpha=0.3)
    tint = ax.get_images()[1].get_array()
    assert tint is not None
    where = tint[..., 3] > 0
    assert np.array_equal(where, labels > 0)
    expected = np.array([*(int(COLOURS[label][i : i + 2], 16) / 255 for i in (1, 3, 5)), 0.3])
    np.testing.assert_allclose(tint[where], np.tile(expected, (12, 1)))
    (border,) = ax.collections
    np.testing.assert_allclose(border.get_edgecolor()[0, :3], expected[:3])
    x, y = border.get_paths()[0].vertices.T
    assert (x.min(), x.max(), y.min(), y.max()) == (5.5, 9.5, 1.5, 4.5)  # half-way between pixels


def test_a_grey_scale_ends_at_percentiles_unless_a_window_is_given() -> None:
    import matplotlib.pyplot as plt

    pixels = np.random.default_rng(0).gamma(2.0, 100.0, (20, 30))
    slices.overlay(ax := plt.figure().subplots(), pixels)
    assert ax.get_images()[0].get_clim() == pytest.approx(tuple(np.percentile(pixels, (1, 99))))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (pixel)", "y (pixel)")
    slices.overlay(ax := plt.figure().subplots(), pixels, window=(10.0, 50.0))
    assert ax.get_images()[0].get_clim() == (10.0, 50.0)


def test_contact_sheet_has_a_panel_each_and_a_legend() -> None:
    pixels, labels = image()
    figure = slices.contact_sheet([pixels] * 5, [labels] * 5, [f"subject {i}" for i in range(5)])
    assert [ax.get_title() for ax in figure.axes] == [*(f"subject {i}" for i in range(5)), "", "", ""]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["LV cavity", "LV myocardium"]
    assert len(slices.contact_sheet([pixels]).axes) == 1


def test_outline_runs_along_the_border_of_each_label() -> None:
    import matplotlib.pyplot as plt

    ax = plt.figure().subplots()
    _, labels = image()
    slices.outline(ax, labels, "red", spacing=(1.5, 2.0), name="observer O1")
    assert len(ax.collections) == 2  # one for each label
    wall = ax.collections[1].get_paths()[0].vertices
    assert wall[:, 0].min() == pytest.approx(7.5 * 1.5) and wall[:, 1].max() == pytest.approx(14.5 * 2.0)
    assert ax.get_legend_handles_labels()[1] == ["observer O1"]


def test_focus_shows_the_heart_and_its_margin() -> None:
    import matplotlib.pyplot as plt

    ax = plt.figure().subplots()
    pixels, labels = image()
    slices.overlay(ax, pixels, labels, spacing=(1.5, 2.0))
    slices.focus(ax, labels, spacing=(1.5, 2.0), margin=3.0)
    assert ax.get_xlim() == pytest.approx((8 * 1.5 - 3.0, 17 * 1.5 + 3.0))
    assert ax.get_ylim() == pytest.approx((14 * 2.0 + 3.0, 5 * 2.0 - 3.0))  # downwards
    before = ax.get_xlim()
    slices.focus(ax, np.zeros((20, 30)), spacing=(1.5, 2.0))
    assert ax.get_xlim() == before


def test_the_middle_slice_is_that_of_the_cavity() -> None:
    labels = np.zeros((9, 20, 30), dtype=np.uint8)
    assert slices.middle_slice(Image(torch.from_numpy(labels), np.eye(4))) == 4
    labels[5:8, 3:6, 3:6] = 1
    assert slices.middle_slice(Image(torch.from_numpy(labels), np.eye(4))) == 6


def test_automatic_above_manual_and_observers() -> None:
    pixels, labels = image()
    affine = np.diag([1.5, 2.0, 8.0, 1.0])
    scan = Image(torch.from_numpy(np.stack([pixels] * 3)).float(), affine)
    outlined = scan.with_data(torch.from_numpy(np.stack([labels] * 3)).to(torch.uint8))
    columns = {"sa ED": scan, "sa ES": scan}
    figure = slices.automatic_above_manual(columns, dict.fromkeys(columns, outlined), dict.fromkeys(columns, outlined))
    shown = [(ax.get_title(), ax.get_ylabel()) for ax in figure.axes]
    assert shown == [("sa ED", "automatic"), ("sa ES", ""), ("", "manual"), ("", "")]
    truth = slices.automatic_above_manual(columns, dict.fromkeys(columns, outlined), columns, below="truth")
    assert truth.axes[2].get_ylabel() == "truth"
    other = outlined.with_data(outlined.data.clone())
    other.data[2] = 0
    figure = slices.observers(scan, {"O1": outlined, "O2": other})
    middle, divided = figure.axes
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["observer O1", "observer O2"]
    assert (middle.get_title(), divided.get_title()) == ("slice 1, in the middle", "slice 2, where they differ most")
    many = slices.observers(scan, {f"O{i}": outlined for i in range(7)})  # more than there are colours
    assert len(many.legends[0].get_texts()) == 7


def test_structures_are_named_where_they_are() -> None:
    _, labels = image()
    scan = Image(torch.rand(5, 20, 30), np.diag([1.5, 2.0, 8.0, 1.0]))
    outlined = scan.with_data(torch.stack([torch.zeros(20, 30), *[labels] * 3, torch.zeros(20, 30)]).to(torch.uint8))
    sheet = slices.slice_sheet(scan, outlined, panels=8)
    assert [ax.get_title() for ax in sheet.axes[:5]] == [f"slice {z}" for z in range(5)]
    assert [[t.get_text() for t in ax.texts] for ax in sheet.axes[:5]] == [[], [], ["LV", "wall"], [], []]
    for note, k in zip(sheet.axes[2].texts, (1, 2), strict=True):
        x, y = note.xy
        assert labels[int(y), int(x)] == k
    assert not any(ax.texts for ax in slices.slice_sheet(scan).axes)


def test_names_lie_in_millimetres_where_the_picture_does() -> None:
    import matplotlib.pyplot as plt

    pixels, labels = image()
    slices.overlay(ax := plt.figure().subplots(), pixels, spacing=(1.5, 2.0))
    slices.name_structures(ax, labels, spacing=(1.5, 2.0))
    cavity, wall = ax.texts
    assert (cavity.get_text(), wall.get_text()) == ("LV", "wall")
    x, y = cavity.xy
    assert 11 * 1.5 < x < 14 * 1.5 and 8 * 2.0 < y < 11 * 2.0  # one of the four pixels in the middle, not at the edge
    assert labels[round(wall.xy[1] / 2.0), round(wall.xy[0] / 1.5)] == 2


def test_one_slice_shows_how_much_contrast_there_is() -> None:
    r"""Black is no signal and white the brightest: grey values that were only drawn together look drawn together."""
    grey = torch.linspace(0.0, 100.0, 400).reshape(1, 20, 20)
    labels = torch.zeros((1, 20, 20), dtype=torch.uint8)
    labels[0, 5:15, 5:15] = 1
    shown = []
    for values in (grey, 50.0 + 0.2 * (grey - 50.0)):
        ax = slices.one_slice(Image(values, np.eye(4)), Image(labels, np.eye(4)), Image(labels, np.eye(4))).axes[0]
        shown.append(ax.images[0].norm(np.asarray([10.0, 50.0, 90.0]) if values is grey else [42.0, 50.0, 58.0]))
        assert ax.get_title() == "LV cavity 1.0 cm²"
    assert np.ptp(shown[0]) > 0.75 > 0.35 > np.ptp(shown[1])


def test_a_beat_marks_its_frame() -> None:
    pixels, labels = image()
    cine = Image(torch.from_numpy(np.stack([[pixels]] * 4)).float(), np.diag([1.5, 2.0, 8.0, 1.0]), 0.05)
    outlined = cine.with_data(torch.from_numpy(np.stack([[labels]] * 4)).to(torch.uint8))
    _, curve = slices.beat(cine, outlined, [100.0, 60.0, 40.0, 80.0], 2).axes
    assert list(curve.lines[0].get_ydata()) == [100.0, 60.0, 40.0, 80.0, 100.0]  # and over again
    assert curve.lines[1].get_xdata() == pytest.approx([0.1]) and curve.lines[1].get_ydata() == pytest.approx([40.0])
    assert curve.get_xlabel() == "time (s)"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ax: slices.overlay(ax, np.zeros((2, 3, 4))), "expected"),
        (lambda ax: slices.overlay(ax, np.zeros((2, 3)), np.zeros((3, 2))), "do not lie"),
        (lambda ax: slices.overlay(ax, np.zeros((2, 3)), np.full((2, 3), 6)), "label 6"),
        (lambda ax: slices.contact_sheet([]), "at least one"),
        (lambda ax: slices.contact_sheet([np.zeros((2, 2))], titles=["a", "b"]), "2 titles for 1 images"),
        (lambda ax: slices.focus(ax, np.zeros((2, 2, 2)), spacing=(1.0, 1.0)), "mask: expected"),
    ],
)
def test_bad_input_is_named(call: object, message: str) -> None:
    import matplotlib.pyplot as plt

    assert callable(call)
    with pytest.raises(InputError, match=message):
        call(plt.figure().subplots())
