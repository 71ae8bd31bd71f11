"""The ventricles' chart: inverse, incompressible, of the right volumes; landmarks, meshes and motion made from it."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cardiolearn.errors import InputError
from cardiolearn.phantom.anatomy import Anatomy
from cardiolearn.phantom.curves import activation
from cardiolearn.phantom.heart import WALL_DENSITY, Heart, Material
from cardiolearn.phantom.landmarks import displacement, landmarks, to_patient, ventricle_mesh
from cardiolearn.phantom.scene import Scene
from cardiolearn.phantom.subject import GROUPS, Cohort, Group, sample_cohort, sample_subject
from cardiolearn.surfaces import mesh_volume_ml

SUBJECTS: list[tuple[Group, Cohort]] = [(group, cohort) for group in GROUPS for cohort in ("train", "test")]
SURFACES = ("lv_endocardium", "lv_epicardium", "rv_endocardium")
everyone = pytest.mark.parametrize(("group", "cohort"), SUBJECTS)
activations = st.floats(0.0, 1.0)


@cache
def make_heart(group: Group, cohort: Cohort, index: int = 0) -> Heart:
    return Heart(sample_subject(index, cohort=cohort, group=group))


#: Arguments of `make_heart`, not hearts: hypothesis must not be kept waiting while it draws.
people = st.tuples(st.sampled_from(GROUPS), st.sampled_from(["train", "test"]), st.integers(0, 2))


def material_points(heart: Heart, seed: int, n: int = 200, *, wall_only: bool = False) -> tuple[torch.Tensor, ...]:
    """Radius, angle and depth (float64) of points in wall and cavity, from the mitral plane to the tip of the apex."""
    g = torch.Generator().manual_seed(seed)
    share, turn, level = torch.rand((3, n), generator=g, dtype=torch.float64)
    depth, theta = 0.001 + (heart.height - 0.002) * level, 2 * math.pi * turn
    inner = heart.endo_radius(depth, theta) if wall_only else torch.zeros_like(depth)
    return inner + share * (heart.epi_radius(depth, theta) - inner), theta, depth


def cartesian(rho: torch.Tensor, theta: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
    return torch.stack((rho * torch.cos(theta), rho * torch.sin(theta), depth), -1)


@settings(max_examples=40, deadline=None)
@given(people, activations, st.integers(0, 2**31))
def test_the_chart_and_its_inverse_agree(person: tuple[Group, Cohort, int], a: float, seed: int) -> None:
    heart = make_heart(*person)
    coordinates = material_points(heart, seed)
    back = heart.to_material(heart.to_space(*coordinates, a), a)
    torch.testing.assert_close(cartesian(back.rho, back.theta, back.depth), cartesian(*coordinates), atol=1e-6, rtol=0)
    # Outside the muscle too, above the mitral plane too: the RV and the atria are placed by the same chart.
    g = torch.Generator().manual_seed(seed)
    points = torch.rand((200, 3), generator=g, dtype=torch.float64) * 120 - torch.tensor([60.0, 60.0, 30.0])
    points = points[points[:, 2] < heart.height - 2]
    m = heart.to_material(points, a)
    real = (m.rho > 0) | (m.rho_now < m.endo_now)  # what no muscle ever was is clamped to the axis
    torch.testing.assert_close(heart.to_space(m.rho, m.theta, m.depth, a)[real], points[real], atol=1e-6, rtol=0)
    assert real.float().mean() > 0.9


def jacobian(heart: Heart, points: torch.Tensor, a: float, step: float = 1e-4) -> torch.Tensor:
    """Deformation gradient `(N, 3, 3)` of the motion from end-diastole to `a`, by central differences."""
    columns = []
    for axis in range(3):
        ends = []
        for sign in (1.0, -1.0):
            m = heart.to_material(points + sign * step * torch.eye(3, dtype=torch.float64)[axis], 0.0)
            ends.append(heart.to_space(m.rho, m.theta, m.depth, a))
        columns.append((ends[0] - ends[1]) / (2 * step))
    return torch.stack(columns, -1)


@settings(max_examples=25, deadline=None)
@given(people, activations, st.integers(0, 2**31))
def test_the_wall_is_incompressible(person: tuple[Group, Cohort, int], a: float, seed: int) -> None:
    heart = make_heart(*person)
    inside = material_points(heart, seed, wall_only=True)
    determinant = torch.linalg.det(jacobian(heart, heart.to_space(*inside, 0.0), a))
    torch.testing.assert_close(determinant, torch.ones_like(determinant), atol=1e-5, rtol=0)


@everyone
def test_the_cavity_shrinks_by_the_determinant(group: Group, cohort: Cohort) -> None:
    heart = make_heart(group, cohort)
    rho, theta, depth = material_points(heart, 0, 4000)
    inside = (rho < 0.999 * heart.endo_radius(depth, theta)) & (depth < heart.length)
    points = heart.to_space(rho[inside], theta[inside], depth[inside], 0.0)
    determinant = torch.linalg.det(jacobian(heart, points, 1.0))
    expected = heart.cavity_factor(depth[inside], 1.0) * heart.stretch(1.0)
    torch.testing.assert_close(determinant, expected, atol=1e-5, rtol=0)


@settings(max_examples=25, deadline=None)
@given(people, activations, activations, st.integers(0, 2**31))
def test_displacement_leads_to_where_the_same_muscle_is_found(
    person: tuple[Group, Cohort, int], a0: float, a1: float, seed: int
) -> None:
    heart = make_heart(*person)
    start = heart.to_space(*material_points(heart, seed, wall_only=True), a0)
    m = heart.to_material(start, a0)
    found = heart.to_material(start + displacement(heart, m, a0, a1), a1)
    torch.testing.assert_close(
        cartesian(found.rho, found.theta, found.depth), cartesian(m.rho, m.theta, m.depth), atol=1e-6, rtol=0
    )


@everyone
def test_displacement_is_the_integral_of_the_velocity(group: Group, cohort: Cohort) -> None:
    heart = make_heart(group, cohort)
    rho, theta, depth = material_points(heart, 1, wall_only=True)
    m = heart.to_material(heart.to_space(rho, theta, depth, 0.2), 0.2)
    times, step = torch.linspace(0.2, 0.9, 65).tolist(), 1e-5
    ahead, behind = (torch.stack([heart.to_space(rho, theta, depth, a + h) for a in times]) for h in (step, -step))
    moved = torch.trapezoid((ahead - behind) / (2 * step), dx=0.7 / 64, dim=0)
    assert moved.norm(dim=-1).max() > 3.0
    torch.testing.assert_close(displacement(heart, m, 0.2, 0.9), moved, atol=2e-3, rtol=0)


@everyone
def test_muscle_thickens_and_the_base_descends(group: Group, cohort: Cohort) -> None:
    heart = make_heart(group, cohort)
    theta = torch.linspace(0, 6.2, 32)
    middle = torch.full((32,), 0.5 * heart.length)
    (endo0, epi0), (endo1, epi1) = (heart.radii_now(middle, theta, a) for a in (0.0, 1.0))
    assert ((epi1 - endo1) > (epi0 - endo0)).all()
    assert (endo1 < endo0).all()
    points = {a: landmarks(heart, a) for a in (0.0, 1.0)}
    descent = points[1.0]["mitral_valve"] - points[0.0]["mitral_valve"]
    assert descent[2].item() == pytest.approx(heart.subject.longitudinal_shortening * heart.height, rel=1e-3)
    assert torch.allclose(points[0.0]["apex"], points[1.0]["apex"], atol=1e-3)  # held by the pericardium


def test_solved_volumes_are_the_subjects() -> None:
    for cohort in ("train", "test"):
        for subject in sample_cohort(6, cohort=cohort):
            heart = Heart(subject)
            solved = (heart.lv_volume(0.0), heart.lv_volume(1.0), heart.rv_volume(0.0), heart.rv_volume(1.0))
            wanted = (subject.lv_edv, subject.lv_esv, subject.rv_edv, subject.rv_esv)
            assert solved == pytest.approx(wanted, rel=1e-3), subject.identity
            assert heart.wall_volume() * WALL_DENSITY == pytest.approx(subject.lv_mass, rel=1e-3)


def test_only_the_test_cohort_has_the_unseen_shape() -> None:
    assert all(not any(subject.unseen_shape) for subject in sample_cohort(50, cohort="train"))
    assert all(all(subject.unseen_shape) for subject in sample_cohort(50, cohort="test"))


def test_unseen_shape_changes_the_heart() -> None:
    import dataclasses

    subject = sample_subject(0, cohort="test", group="NOR")
    plain = Heart(dataclasses.replace(subject, unseen_shape=(0.0,) * 8))
    mesh, without = (ventricle_mesh(h, "lv_endocardium", 0.0)[0] for h in (Heart(subject), plain))
    assert (mesh - without).norm(dim=-1).max() > 1.0


def voxel_volumes(heart: Heart, surface: str, a: float, step: float = 1.0) -> torch.Tensor:
    """mL of each label 0-5 in a box round `surface`, counted on a grid of `step` mm."""
    vertices, _ = ventricle_mesh(heart, surface, a)  # type: ignore[arg-type]
    low, high = vertices.amin(0) - 2.0, vertices.amax(0) + 2.0
    axes = [torch.arange(x + 0.37 * step, y, step) for x, y in zip(low.tolist(), high.tolist(), strict=True)]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    anatomy = Anatomy(heart)
    count = sum(torch.bincount(anatomy.at(part, a).label.long(), minlength=6) for part in grid.split(40_000))
    return torch.as_tensor(count) * step**3 * 1e-3


@pytest.mark.slow
@everyone
def test_counted_voxels_agree_with_the_analytic_volumes(group: Group, cohort: Cohort) -> None:
    heart = make_heart(group, cohort)
    diastole, systole = (voxel_volumes(heart, "lv_epicardium", a) for a in (0.0, 1.0))
    assert diastole[1].item() == pytest.approx(heart.subject.lv_edv, rel=0.02)
    assert systole[1].item() == pytest.approx(heart.subject.lv_esv, rel=0.02)
    assert diastole[2].item() == pytest.approx(heart.wall_volume(), rel=0.02)
    assert systole[2].item() == pytest.approx(diastole[2].item(), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("cohort", ["train", "test"])
def test_counted_right_heart_agrees_with_the_analytic_volume(cohort: Cohort) -> None:
    heart = make_heart("NOR", cohort)
    for a, volume in ((0.0, heart.subject.rv_edv), (1.0, heart.subject.rv_esv)):
        assert voxel_volumes(heart, "rv_endocardium", a, 1.5)[3].item() == pytest.approx(volume, rel=0.02)


@everyone
@pytest.mark.parametrize("a", [0.0, 0.6, 1.0])
def test_closed_meshes_hold_the_analytic_volume(group: Group, cohort: Cohort, a: float) -> None:
    heart = make_heart(group, cohort)
    held = [mesh_volume_ml(*ventricle_mesh(heart, surface, a, 96, 128)) for surface in SURFACES]
    inside = heart.lv_volume(a)
    assert held == pytest.approx([inside, inside + heart.wall_volume(), heart.rv_volume(a)], rel=0.005)
    coarse = [mesh_volume_ml(*ventricle_mesh(heart, surface, a, 24, 48)) for surface in SURFACES]
    assert coarse == pytest.approx(held, rel=0.03)


@pytest.mark.parametrize("surface", ["lv_endocardium", "lv_epicardium"])
def test_mesh_vertices_move_with_the_muscle(surface: str) -> None:
    heart = make_heart("HCM", "test")
    start, triangles = ventricle_mesh(heart, surface, 0.0)  # type: ignore[arg-type]
    end, same = ventricle_mesh(heart, surface, 1.0)  # type: ignore[arg-type]
    assert torch.equal(triangles, same)
    # The vertex on the mitral plane's rim belongs to the wall; one step deeper avoids the plane itself.
    rings = slice(96, 48 * 96)
    moved = displacement(heart, heart.to_material(start[rings].double(), 0.0), 0.0, 1.0)
    torch.testing.assert_close((end - start)[rings].double(), moved, atol=5e-3, rtol=0)


def test_right_mesh_lies_between_septum_and_free_wall() -> None:
    heart = make_heart("NOR", "train")
    for a in (0.0, 1.0):
        vertices, _ = ventricle_mesh(heart, "rv_endocardium", a, 40, 64)
        m = heart.to_material(vertices[: 40 * 64].double(), a)
        septum = heart.base_radius(m.depth, m.epi_now)
        free = heart.rv_outer(m.depth, m.theta, septum, a)
        off = torch.minimum((m.rho_now - septum).abs(), (m.rho_now - free).abs()).reshape(40, 64)
        assert off[:, 1:32].max() < 0.05  # free wall
        assert (m.rho_now - septum).reshape(40, 64)[:, 33:].abs().max() < 0.05


@pytest.mark.parametrize(
    ("surface", "n_depth", "n_around"),
    [("lv_endocardium", 1, 8), ("lv_endocardium", 8, 7), ("rv_endocardium", 8, 2), ("aorta", 8, 8)],
)
def test_impossible_meshes_are_refused(surface: str, n_depth: int, n_around: int) -> None:
    with pytest.raises(InputError, match="expected"):
        ventricle_mesh(make_heart("NOR", "train"), surface, 0.0, n_depth, n_around)  # type: ignore[arg-type]


@everyone
@pytest.mark.parametrize("a", [0.0, 1.0])
def test_landmarks_lie_where_the_labels_say(group: Group, cohort: Cohort, a: float) -> None:
    heart = make_heart(group, cohort)
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
    scene = Scene(sample_subject(0, cohort="train", group="NOR"))
    local = material_points(scene.heart, 3)
    points = scene.heart.to_space(*(x.float() for x in local), 0.5)
    assert torch.equal(scene.labels_at(to_patient(scene, points), 0.5) > 0, torch.ones(200, dtype=torch.bool))
    apex = landmarks(scene.heart, 0.0)["apex"]
    back = (to_patient(scene, apex) - scene.origin) @ scene.frame
    torch.testing.assert_close(back, apex, atol=1e-4, rtol=0)


def test_activation_is_one_smooth_cycle() -> None:
    assert activation(0.0) == pytest.approx(0.0, abs=1e-12)
    assert activation(0.36) == pytest.approx(1.0)
    assert activation(0.30, systole=0.30) == pytest.approx(1.0)
    values = torch.tensor([activation(i / 2000) for i in range(2001)])
    assert values.min() >= 0.0
    assert values.max() <= 1.0 + 1e-6
    assert values.diff().abs().max() < 0.01  # continuous, through the seam too: 2000 steps of 0.0005
    rise = values[: int(0.36 * 2000)]
    assert (rise.diff() >= 0).all()


@given(st.floats(-3, 3), st.floats(0.25, 0.45))
def test_activation_repeats_every_cycle(phase: float, systole: float) -> None:
    assert activation(phase, systole) == pytest.approx(activation(phase + 1.0, systole), abs=1e-6)
    assert 0.0 <= activation(phase, systole) <= 1.0 + 1e-9


def test_material_holds_the_radii_of_the_moment() -> None:
    heart = make_heart("DCM", "train")
    rho, theta, depth = material_points(heart, 5)
    now = heart.to_material(heart.to_space(rho, theta, depth, 0.0), 0.0)
    assert isinstance(now, Material)
    torch.testing.assert_close(now.rho_now, now.rho, atol=1e-6, rtol=0)  # at end-diastole nothing has moved yet
