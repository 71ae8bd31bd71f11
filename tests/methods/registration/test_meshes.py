r"""Meshes carried by a deformation, and the distance of surfaces: against brute force and spheres."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hearts import ball, random_field, seeded
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.measures.surfaces import Mesh
from cardiolearn.methods.registration.bsplines import FreeForm
from cardiolearn.methods.registration.meshes import carry, distances_to, mesh_distance


def test_the_distance_from_a_triangle_is_the_smallest_there_is() -> None:
    rng = np.random.default_rng(0)
    corners, points = rng.normal(size=(3, 3)), 3.0 * rng.normal(size=(40, 3))
    mesh = Mesh(torch.from_numpy(corners), torch.tensor([[0, 1, 2]]))
    found = distances_to(torch.from_numpy(points), mesh)
    for point, distance in zip(points, found, strict=True):
        best = min(
            minimize(
                lambda w, p=point: np.linalg.norm(w @ corners - p), start, bounds=[(0, 1)] * 3,
                constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0}, method="SLSQP",
            ).fun
            for start in (np.full(3, 1 / 3), *np.eye(3))
        )  # fmt: skip
        assert distance.item() == pytest.approx(best, abs=1e-4)


def test_points_lie_off_a_sphere_by_what_their_radius_differs() -> None:
    directions = torch.nn.functional.normalize(torch.randn(200, 3, generator=seeded(), dtype=torch.float64), dim=1)
    radii = 5.0 + 20.0 * torch.rand(200, generator=seeded(1), dtype=torch.float64)
    found = distances_to(radii[:, None] * directions, ball(15.0))
    torch.testing.assert_close(found, (radii - 15.0).abs(), atol=0.03, rtol=0)


def test_spheres_lie_apart_by_the_difference_of_their_radii() -> None:
    assert mesh_distance(ball(12.0), ball(15.0)) == pytest.approx(3.0, abs=0.03)
    assert mesh_distance(ball(12.0), ball(12.0)) == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(InputError, match="at least one triangle"):
        mesh_distance(ball(5.0), Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int64)))


def oblique() -> Image:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [20, -40, 70], degrees=True).as_matrix() @ np.diag([1.5, 1.2, 4.0])
    affine[:3, 3] = (30.0, -20.0, 10.0)
    return Image(torch.zeros(10, 40, 32), affine)


def test_a_mesh_is_carried_in_patient_space() -> None:
    image = oblique()
    flat = FreeForm.identity((36.0, 46.8, 46.5), 12.0)
    shift = torch.tensor([4.0, -2.4, 3.0])  # mm along z, y, x: everywhere the same
    field = FreeForm(flat.coefficients + shift[:, None, None, None], flat.knots)
    voxels = torch.tensor([[10.0, 20.0, 5.0], [22.0, 11.0, 3.0]], dtype=torch.float64)
    matrix, origin = torch.from_numpy(image.affine[:3, :3].copy()), torch.from_numpy(image.affine[:3, 3].copy())
    expected = (voxels + torch.tensor([2.0, -2.0, 1.0])) @ matrix.T + origin
    torch.testing.assert_close(carry(voxels @ matrix.T + origin, field, image), expected, atol=1e-4, rtol=0)


def test_each_vertex_moves_as_the_field_does_at_its_own_place() -> None:
    image, field = oblique(), random_field(2.0, (36.0, 46.8, 46.5))
    voxels = torch.rand(50, 3, generator=seeded(3), dtype=torch.float64) * torch.tensor([31.0, 39.0, 9.0])
    matrix, origin = torch.from_numpy(image.affine[:3, :3].copy()), torch.from_numpy(image.affine[:3, 3].copy())
    carried = carry(voxels @ matrix.T + origin, field, image)
    back = torch.linalg.solve(matrix, (carried - origin).T).T  # voxels (x, y, z)
    spacing = torch.tensor([1.5, 1.2, 4.0], dtype=torch.float64)
    for start, end in zip(voxels, back, strict=True):
        moved = field.at((start * spacing).flip(0).float()[None])[0]  # mm along (z, y, x)
        torch.testing.assert_close(((end - start) * spacing).flip(0).float(), moved, atol=1e-3, rtol=0)
