r"""A heart to turn round: its meshes reach the viewer as they are, and its slices lie where the scan has them."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch

from cardiolearn.errors import InputError
from cardiolearn.figures import widgets
from cardiolearn.figures.style import PALETTE
from cardiolearn.imaging.image import Image
from cardiolearn.measures.surfaces import Mesh, mask_mesh

AFFINE = np.array([[0.0, -2, 0, 7], [2, 0, 0, -3], [0, 0, 8, 11], [0, 0, 0, 1]])  # turned by 90 degrees in the plane


def heart() -> tuple[Image, Image]:
    z, y, x = torch.meshgrid(torch.arange(9.0), torch.arange(40.0), torch.arange(30.0), indexing="ij")
    inside = ((4 * (z - 4)) ** 2 + (y - 25) ** 2 + (x - 12) ** 2).sqrt() < 9
    return Image(x + 100 * y, AFFINE), Image(inside, AFFINE)


def read_mz3(content: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Vertices, faces and colours, as the description of the format has them."""
    magic, kind, n_faces, n_vertices, skip = struct.unpack("<HHIII", content[:16])
    assert (magic, kind, skip) == (23117, 7, 0)
    faces = np.frombuffer(content, "<i4", 3 * n_faces, 16).reshape(-1, 3)
    vertices = np.frombuffer(content, "<f4", 3 * n_vertices, 16 + faces.nbytes).reshape(-1, 3)
    colours = np.frombuffer(content, "u1", 4 * n_vertices, 16 + faces.nbytes + vertices.nbytes).reshape(-1, 4)
    assert len(content) == 16 + faces.nbytes + vertices.nbytes + colours.nbytes
    return vertices, faces, colours


def test_surfaces_keep_their_place_and_their_colour() -> None:
    scan, mask = heart()
    mesh = mask_mesh(mask)
    vertices, faces, colours = read_mz3(widgets.heart_3d(scan, {"rv": mesh}).meshes[0].data)
    np.testing.assert_allclose(vertices, mesh.vertices, rtol=1e-6)
    np.testing.assert_array_equal(faces, mesh.faces)
    assert {"#{:02X}{:02X}{:02X}".format(*rgb) for rgb in colours[:, :3]} == {PALETTE["rv"]}


def test_slices_lie_where_the_scan_has_them_and_show_its_grey() -> None:
    scan, mask = heart()
    _, *slices = widgets.heart_3d(scan, {"lv": mask_mesh(mask)}, planes=3).meshes
    assert len(slices) == 3
    heights = []
    for mesh in slices:
        vertices, faces, colours = read_mz3(mesh.data)
        voxels = (np.c_[vertices, np.ones(len(vertices))] @ np.linalg.inv(AFFINE).T)[:, :3]
        x, y, z = voxels.T.round().astype(int)
        np.testing.assert_allclose(voxels, np.stack([x, y, z], 1), atol=1e-4)
        heights.append(z[0])
        assert len(set(z)) == 1 and x.min() <= 3 and y.max() >= 34  # the heart and some room
        low, high = np.percentile(scan.data, [1, 99])
        expected = (255 * (scan.data.numpy()[z, y, x] - low) / (high - low)).clip(0, 255)
        assert np.abs(colours[:, 0] - expected).max() < 2 and (colours[:, 3] == 255).all()
        corners = vertices[faces].astype(float)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        half = len(faces) // 2
        assert (normals[:half, 2] > 0).all() != (normals[:half, 2] < 0).all()  # one side, and then the other
        np.testing.assert_allclose(normals[:half].sum(0), -normals[half:].sum(0))
        assert not set(faces[:half].ravel()) & set(faces[half:].ravel())
    assert heights == sorted(set(heights)) and heights[0] >= 2 and heights[-1] <= 6


def test_what_cannot_be_shown_is_said() -> None:
    scan, mask = heart()
    mesh = mask_mesh(mask)
    with pytest.raises(InputError, match="choose a frame"):
        widgets.heart_3d(Image(scan.data[None], AFFINE), {"lv": mesh})
    for surfaces in ({}, {"liver": mesh}):
        with pytest.raises(InputError, match="expected surfaces of lv"):
            widgets.heart_3d(scan, surfaces)
    with pytest.raises(InputError, match="no slice of the scan meets"):
        widgets.heart_3d(scan, {"lv": Mesh(mesh.vertices + 1000, mesh.faces)})
