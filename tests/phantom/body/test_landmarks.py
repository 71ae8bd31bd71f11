r"""Landmarks, meshes and displacements: where the labels say, with the volumes of the closed form, moving as muscle."""

from __future__ import annotations

import pytest
import torch
from hearts import cartesian, everyone, heart_of, material_points, people, scene_of
from hypothesis import given, settings
from hypothesis import strategies as st

from cardiolearn.errors import InputError
from cardiolearn.measures.surfaces import mesh_volume_ml
from cardiolearn.phantom.body.anatomy import Anatomy
from cardiolearn.phantom.body.disease import Cohort, Group
from cardiolearn.phantom.body.landmarks import Surface, displacement, landmarks, to_patient, ventricle_mesh

SURFACES: tuple[Surface, ...] = ("lv_endocardium", "lv_epicardium", "rv_endocardium")
activations = st.floats(0.0, 1.0)


@settings(max_examples=25)
@given(people, activations, activations, st.integers(0, 2**31))
def test_displacement_leads_to_where_the_same_muscle_is_found(
    person: tuple[Group, Cohort, int], a0: float, a1: float, seed: int
) -> None:
    heart = heart_of(*person)
    start = heart.to_space(*material_points(heart, seed, wall_only=True), a0)
    m = heart.to_material(start, a0)
    found = heart.to_material(start + displacement(heart, m, a0, a1), a1)
    torch.testing.assert_close(
        cartesian(found.rho, found.theta, found.depth), cartesian(m.rho, m.theta, m.depth), atol=1e-6, rtol=0
    )


@everyone
def test_displacement_is_the_integral_of_the_velocity(group: Group, cohort: Cohort) -> None:
    heart = heart_of(group, cohort)
    rho, theta, depth = material_points(heart, 1, wall_only=True)
    m = heart.to_material(heart.to_space(rho, theta, depth, 0.2), 0.2)
    times, step = torch.linspace(0.2, 0.9, 65).tolist(), 1e-5
    ahead, behind = (torch.stack([heart.to_space(rho, theta, depth, a + h) for a in times]) for h in (step, -step))
    moved = torch.trapezoid((ahead - behind) / (2 * step), dx=0.7 / 64, dim=0)
    assert moved.norm(dim=-1).max() > 3.0
    torch.testing.assert_close(displacement(heart, m, 0.2, 0.9), moved, atol=2e-3, rtol=0)


@everyone
@pytest.mark.parametrize("a", [0.0, 0.6, 1.0])
def test_closed_meshes_hold_the_analytic_volume(group: Group, cohort: Cohort, a: float) -> None:
    heart = heart_of(group, cohort)
    held = [mesh_volume_ml(*ventricle_mesh(heart, surface, a, 96, 128)) for surface in SURFACES]
    inside = heart.lv_volume(a)
    assert held == pytest.approx([inside, inside + heart.wall_volume(), heart.rv_volume(a)], rel=0.005)
    coarse = [mesh_volume_ml(*ventricle_mesh(heart, surface, a, 24, 48)) for surface in SURFACES]
    assert coarse == pytest.approx(held, rel=0.03)


@pytest.mark.parametrize("surface", ["lv_endocardium", "lv_epicardium"])
def test_mesh_vertices_move_with_the_muscle(surface: Surface) -> None:
    heart = heart_of("HCM", "test")
    start, triangles = ventricle_mesh(heart, surface, 0.0)
    end, same = ventricle_mesh(heart, surface, 1.0)
    assert torch.equal(triangles, same)
    # The vertex on the mitral plane's rim belongs to the wall; one step deeper avoids the plane itself.
    rings = slice(96, 48 * 96)
    moved = displacement(heart, heart.to_material(start[rings].double(), 0.0), 0.0, 1.0)
    torch.testing.assert_close((end - start)[rings].double(), moved, atol=5e-3, rtol=0)


def test_right_mesh_lies_between_septum_and_free_wall() -> None:
    heart = heart_of("NOR", "train")
    for a in (0.0, 1.0):
        vertices, _ = ventricle_mesh(heart, "rv_endocardium", a, 40, 64)
        m = heart.to_material(vertices[: 40 * 64].double(), a)
        septum = heart.right.septal_radius(m.depth, m.epi_now)
        free = septum + heart.right.beyond(m.depth, m.theta, a)
        off = torch.minimum((m.rho_now - septum).abs(), (m.rho_now - free).abs()).reshape(40, 64)
        assert off[:, 1:32].max() < 0.05  # free wall
        assert (m.rho_now - septum).reshape(40, 64)[:, 33:].abs().max() < 0.05


@pytest.mark.parametrize(
    ("surface", "n_depth", "n_around"),
    [("lv_endocardium", 1, 8), ("lv_endocardium", 8, 7), ("rv_endocardium", 8, 2), ("aorta", 8, 8)],
)
def test_impossible_meshes_are_refused(surface: Surface, n_depth: int, n_around: int) -> None:
    with pytest.raises(InputError, match="expected"):
        ventricle_mesh(heart_of("NOR", "train"), surface, 0.0, n_depth, n_around)


@everyone
@pytest.mark.parametrize("a", [0.0, 1.0])
def test_landmarks_lie_where_the_labels_say(group: Group, cohort: Cohort, a: float) -> None:
    heart = heart_of(group, cohort)
    anatomy, points = Anatomy(heart), landmarks(heart, a)
    assert len(points) == 6
    assert all(point.shape == (3,) for point in points.values())

    def labels_round(name: str, radius: float = 1.0) -> set[int]:
        g = torch.Generator().manual_seed(0)
        around = points[name] + radius * torch.randn((300, 3), generator=g).clamp(-1.2, 1.2)
        return set(anatomy.at(around, a).label.tolist())

    assert labels_round("lv_lateral_wall", 0.2) == {2}
    assert labels_round("apex") == {0, 2}
    assert {1} < labels_round("mitral_valve", 3.0) <= {0, 1, 4}  # cavity below, atrium or aortic root above, no muscle
    assert labels_round("rv_insertion_anterior") == {0, 2, 3}
    assert labels_round("rv_insertion_inferior") == {0, 2, 3}
    assert labels_round("rv_lateral_wall") == {0, 3}
    assert points["rv_insertion_anterior"][1] > points["rv_insertion_inferior"][1]
    assert points["rv_lateral_wall"][0] < points["mitral_valve"][0] < points["lv_lateral_wall"][0]


def test_to_patient_is_where_the_scene_finds_the_same_label() -> None:
    scene = scene_of(0, "train")
    rho, theta, depth = (x.float() for x in material_points(scene.heart, 3))
    points = scene.heart.to_space(rho, theta, depth, 0.5)
    assert torch.equal(scene.labels_at(to_patient(scene, points), 0.5) > 0, torch.ones(200, dtype=torch.bool))
    apex = landmarks(scene.heart, 0.0)["apex"]
    back = (to_patient(scene, apex) - scene.origin) @ scene.frame
    torch.testing.assert_close(back, apex, atol=1e-4, rtol=0)
