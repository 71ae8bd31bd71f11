r"""Tracking in pictures: sections in closed form, distances as colours, grids that follow a displacement."""

from __future__ import annotations

import numpy as np
import torch

from cardiolearn.measures.surfaces import Mesh
from cardiolearn.methods.registration.shown import bent_grids, section, slice_pair, tracking_panels
from cardiolearn.methods.registration.tracking import Followed, TrueMotion
from cardiolearn.phantom.cohorts.stacks import TestStack


def sphere(radius: float, centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Mesh:
    r"""Rings and sectors; the last two vertices are its poles."""
    polar, around = np.meshgrid(np.linspace(0, np.pi, 26)[1:-1], 2 * np.pi * np.arange(48) / 48, indexing="ij")
    shell = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], -1).reshape(-1, 3)
    vertices = np.concatenate([shell, [[0, 0, 1], [0, 0, -1]]]) * radius + centre
    ring, sector = np.meshgrid(np.arange(23), np.arange(48), indexing="ij")
    first, right = (ring * 48 + sector).ravel(), (ring * 48 + (sector + 1) % 48).ravel()
    faces = np.concatenate([np.stack([first, right, first + 48], 1), np.stack([right, right + 48, first + 48], 1)])
    return Mesh(torch.from_numpy(vertices), torch.from_numpy(faces))


def test_a_sphere_is_cut_in_a_circle() -> None:
    mesh = sphere(10.0, (3.0, 1.0, -2.0))
    lines = section(mesh.vertices.numpy(), mesh.faces.numpy(), 7.0)  # 6 above the middle: a circle of radius 8
    radii = np.hypot(lines[..., 0] - 3.0, lines[..., 1] + 2.0)
    assert abs(radii - 8.0).max() < 0.1
    assert np.linalg.norm(lines[:, 0] - lines[:, 1], axis=1).sum() > 0.95 * 2 * np.pi * 8.0  # all the way round
    assert len(section(mesh.vertices.numpy(), mesh.faces.numpy(), 12.0)) == 0  # beyond it


def test_panels_show_each_method_with_its_distances() -> None:
    affine = np.diag([1.25, 1.25, 2.0, 1.0])
    centre = (50.0, 50.0, 60.0)
    true = sphere(20.0, centre)
    motion = TrueMotion(affine, {"lv_endocardium": sphere(25.0, centre)}, {"lv_endocardium": true.vertices})
    radii = {"linear": 23.0, "network": 22.0, "high_resolution": 21.0}
    found = {name: {"lv_endocardium": sphere(radius, centre).vertices} for name, radius in radii.items()}
    pictures = {name: torch.rand(2, 60, 80, 80) for name in radii}
    figure = tracking_panels(Followed(motion, pictures, found))
    panels = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    titles = [ax.get_title() for ax in panels]
    assert titles[0::3] == ["linear", "network", "thin slices"]
    assert titles[1::3] == ["mean 2.0 mm", "mean 1.0 mm", "the others are compared with this one"]
    assert titles[2::3] == ["mean 3.0 mm", "mean 2.0 mm", "mean 1.0 mm"]
    colours = panels[2].collections[0].get_array()
    assert colours is not None and np.allclose(colours, 3.0)
    assert "coloured by its distance" in figure.get_label()


def test_a_grid_follows_its_displacement() -> None:
    field = torch.zeros(2, 21, 31)
    field[0], field[1] = 4.0, -2.0  # down and to the left, in mm
    plane = torch.rand(21, 31)
    still, moved, bare = bent_grids(
        {"a": (plane, 0 * field), "b": (plane, field), "c": (plane, None)}, spacing=(2.0, 1.0), every=10.0
    ).axes
    assert len(still.lines) == len(moved.lines) == 5 + 4 and not bare.lines  # rows 0 to 20, columns 0 to 30
    for before, after in zip(still.lines, moved.lines, strict=True):
        assert np.allclose(np.asarray(after.get_xdata()) - before.get_xdata(), -2.0)
        assert np.allclose(np.asarray(after.get_ydata()) - before.get_ydata(), 4.0)
    assert still.get_xlim() == moved.get_xlim() == bare.get_xlim()


def test_the_two_slices_of_a_demonstration_are_the_same_place() -> None:
    labels = torch.zeros(2, 6, 40, 50, dtype=torch.uint8)
    labels[0, 3, 15:20, 20:30] = 1
    volume = torch.rand(2, 6, 40, 50)
    scan = TestStack(torch.zeros(2, 1, 40, 50), torch.zeros(2, 4, 6, 40, 50), volume, labels, labels > 0)
    fixed, moving = slice_pair(scan, room=5)
    assert torch.equal(fixed, volume[0, 3, 10:25, 15:35]) and torch.equal(moving, volume[1, 3, 10:25, 15:35])
