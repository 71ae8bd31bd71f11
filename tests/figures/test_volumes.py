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


def test_maps_share_one_scale_whose_middle_is_zero() -> None:
    planes = {"above": np.full((4, 5), 3.0), "below": np.full((4, 5), -9.0)}
    figure = volumes.signed_maps(planes, limit=6.0, label="gain (%)", spacing=(1.0, 2.0), down="z")
    images = [ax.images[0] for ax in figure.axes[:2]]
    assert [image.get_clim() for image in images] == [(-6.0, 6.0)] * 2
    red, _, blue, _ = images[0].to_rgba(np.array([3.0]))[0]
    assert blue > red + 0.2  # above 0 is blue
    assert images[0].to_rgba(np.array([0.0]))[0][:3].min() > 0.95  # and nothing is white
    assert figure.axes[-1].get_ylabel() == "gain (%)" and figure.axes[0].get_ylabel() == "z (mm)"


def test_every_subject_has_a_row_in_its_own_grey_scale() -> None:
    rows = {name: {"linear": np.full((6, 5), 2.0), "truth": top * np.arange(30.0).reshape(6, 5)}
            for name, top in (("worst", 1.0), ("best", 10.0))}  # fmt: skip
    compared = {name: np.zeros((6, 5)) for name in rows}
    figure = volumes.subject_rows(rows, compared, title="nearer", label="%", spacing=(1.0, 2.0), down="z", limit=3.0)
    panels = [ax for ax in figure.axes if ax.images][:6]
    clims = [panel.images[0].get_clim() for panel in panels]
    assert clims[0] == clims[1] == tuple(np.percentile(rows["worst"]["truth"], (1, 99)))
    assert clims[3] == clims[4] == tuple(np.percentile(rows["best"]["truth"], (1, 99)))
    assert clims[2] == clims[5] == (-3.0, 3.0)
    assert [panel.get_title() for panel in panels] == ["linear", "truth", "nearer", "", "", ""]
    assert [panel.get_ylabel() for panel in panels[::3]] == ["worst\nz (mm)", "best\nz (mm)"]


def test_two_pictures_of_a_swipe_have_one_size_and_scale() -> None:
    one, other = (
        volumes.picture(np.full((6, 5), value), window=(0.0, 9.0), spacing=(1.0, 2.0), down="z") for value in (1.0, 7.0)
    )
    assert (one.get_size_inches() == other.get_size_inches()).all()
    assert one.axes[0].images[0].get_clim() == other.axes[0].images[0].get_clim() == (0.0, 9.0)


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
