r"""A patient outlined by the network and by a person: which slices, in which rows, with which volumes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cardiolearn.figures.alt_text import alt_of
from cardiolearn.figures.beside import beside_a_person, spread_slices
from cardiolearn.imaging.image import Image

AFFINE = np.diag([2.0, 2.0, 10.0, 1.0])
SIDES = (0, 3, 5, 6, 7, 8, 0)  # of the square cavity of each slice, apex first, in pixels


def labelled(wall: int = 2, rv: bool = False, shrink: int = 0) -> Image:
    data = torch.zeros((len(SIDES), 40, 50), dtype=torch.uint8)
    for z, side in enumerate(SIDES):
        side = max(side - shrink, 0)
        if side:
            data[z, 15 - wall : 15 + side + wall, 15 - wall : 15 + side + wall] = 2 if wall else 0
            data[z, 15 : 15 + side, 15 : 15 + side] = 1
            data[z, 15 : 15 + side, 5:10] = 3 if rv else 0
    return Image(data, AFFINE)


def scan(seed: int) -> Image:
    return Image(torch.rand((len(SIDES), 40, 50), generator=torch.Generator().manual_seed(seed)), AFFINE)


def test_slices_go_from_base_to_apex_whichever_way_they_are_numbered() -> None:
    labels = labelled()
    assert spread_slices(labels, 3) == [5, 3, 1]
    assert spread_slices(labels, 5) == [5, 4, 3, 2, 1]
    assert spread_slices(labels, 9) == [5, 4, 3, 2, 1]
    assert spread_slices(labels.with_data(labels.data.flip(0)), 3) == [1, 3, 5]
    assert spread_slices(labels.with_data(0 * labels.data), 3) == [3]


def test_both_outlines_lie_on_the_same_pictures_with_their_volumes() -> None:
    images = {"ED": scan(0), "ES": scan(1)}
    network = {"ED": labelled(rv=True, shrink=1), "ES": labelled(rv=True, shrink=2)}
    person = {"ED": labelled(), "ES": labelled(wall=0, shrink=1)}
    figure = beside_a_person(images, network, person)
    ml = {p: [int((one[p].data == 1).sum()) * 0.04 for one in (network, person)] for p in images}
    said = [part.get_suptitle() for part in figure.subfigs]
    assert said == [
        f"end-diastole: LV cavity network {ml['ED'][0]:.0f} mL, cardiologist {ml['ED'][1]:.0f} mL",
        f"end-systole: LV cavity network {ml['ES'][0]:.0f} mL, cardiologist {ml['ES'][1]:.0f} mL",
    ]
    assert all(words in alt_of(figure) for words in (*said, "network above", "cardiologist below"))
    for part, phase, chosen in zip(figure.subfigs, images, ([5, 3, 1], [5, 3, 1]), strict=True):
        upper, lower = part.axes[:3], part.axes[3:]
        assert [ax.get_title() for ax in upper] == ["slice 5 (base)", "slice 3", "slice 1 (apex)"]
        for row, labels in ((upper, network[phase]), (lower, person[phase])):
            for ax, z in zip(row, chosen, strict=True):
                grey, tint = ax.get_images()
                np.testing.assert_allclose(grey.get_array(), images[phase].data[z])
                np.testing.assert_array_equal(np.asarray(tint.get_array())[..., 3] > 0, labels.data[z] > 0)
        assert len({ax.get_xlim() + ax.get_ylim() for ax in part.axes}) == 1
    assert len({part.axes[0].get_xlim() for part in figure.subfigs}) == 1  # one scale: contraction is seen
    assert [ax.get_ylabel() for ax in figure.subfigs[0].axes[::3]] == ["network", "cardiologist"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["LV cavity", "LV myocardium", "RV cavity"]


@pytest.mark.parametrize("panels", [1, 7])
def test_any_number_of_panels_is_drawn(panels: int) -> None:
    figure = beside_a_person({"ED": scan(0)}, {"ED": labelled()}, {"ED": labelled()}, panels=panels)
    assert sum(bool(ax.get_images()) for ax in figure.subfigs[0].axes) == 2 * min(panels, 5)
