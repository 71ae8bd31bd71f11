r"""Cuts and error maps: one scale for all, millimetres, numbers that are those of the pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cardiolearn.errors import InputError
from cardiolearn.figures import volumes
from cardiolearn.measures.surfaces import Mesh


def test_planes_share_a_grey_scale_and_lie_in_mm() -> None:
    planes = {"one": np.arange(60.0).reshape(6, 10), "two": np.full((30, 10), 7.0)}
    figure = volumes.side_by_side(planes, spacing=(1.5, 2.0))
    images = [ax.images[0] for ax in figure.axes]
    assert [image.get_clim() for image in images] == [tuple(np.percentile(planes["one"], (1, 99)))] * 2
    assert tuple(images[0].get_extent()) == (-0.75, 14.25, 11.0, -1.0)
    assert [ax.get_title() for ax in figure.axes] == ["one", "two"] and figure.axes[0].get_ylabel() == "y (mm)"
    assert volumes.side_by_side(planes, spacing=(1.0, 1.0), down="z").axes[0].get_ylabel() == "z (mm)"
    with pytest.raises(InputError, match="at least one plane"):
        volumes.side_by_side({}, spacing=(1.0, 1.0))


def test_errors_are_percent_of_the_range() -> None:
    truth = np.zeros((4, 5))
    figure = volumes.error_maps({"off": truth - 30.0, "right": truth}, truth, span=200.0, spacing=(1.0, 1.0))
    assert (figure.axes[0].images[0].get_array() == 15.0).all() and (figure.axes[1].images[0].get_array() == 0).all()
    assert figure.axes[-1].get_ylabel() == "error (% of the range)"


def test_surfaces_are_drawn_to_scale() -> None:
    corners = torch.tensor([[0.0, 0, 0], [30, 0, 0], [0, 20, 0], [0, 0, 60]], dtype=torch.float64)
    mesh = Mesh(corners, torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]))
    both, small = {"lv_endocardium": mesh, "lv_epicardium": mesh}, {"lv_endocardium": Mesh(0.5 * corners, mesh.faces)}
    (ax,) = volumes.surfaces(both, {"lv_endocardium": mesh}, within=both, title="now").axes
    assert len(ax.collections) == 3 and ax.get_title() == "now"
    inner, outer, true = (np.asarray(surface.get_facecolor()) for surface in ax.collections)
    assert (inner[0, 0] > inner[0, 1] * 1.5) and inner[0, 3] > 0.5  # vermillion, and opaque
    assert outer[0, :3] != pytest.approx(inner[0, :3]) and outer[0, 3] < 0.5  # to look through
    assert not true[:, 3].any()  # lines only
    along = (corners[3] - corners[2])[:2].numpy()  # from base to apex as seen from above
    azimuth = np.radians(ax.azim)
    assert np.dot(along, (np.cos(azimuth), np.sin(azimuth))) == pytest.approx(0, abs=1e-9)  # seen from the side
    aspect = np.asarray(ax._box_aspect)
    assert aspect / aspect[0] == pytest.approx([1, 26 / 36, 66 / 36])  # with 3 mm of room on either side
    assert ax.get_zlim() == (-3.0, 63.0)
    (later,) = volumes.surfaces(small, small, within=both).axes
    assert later.get_zlim() == (-3.0, 63.0)  # the heart shrinks, its picture does not
