r"""The ventricles' chart: its inverse, incompressible muscle, the subject's volumes, and how the wall moves."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hearts import cartesian, everyone, heart_of, material_points, people
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from cardiolearn.imaging.structures import MYOCARDIAL_DENSITY
from cardiolearn.phantom.body.anatomy import Anatomy
from cardiolearn.phantom.body.disease import Cohort, Group
from cardiolearn.phantom.body.heart import Heart, Material
from cardiolearn.phantom.body.landmarks import Surface, landmarks, ventricle_mesh
from cardiolearn.phantom.body.subject import SHAPE_MODES, sample_cohort, sample_subject

activations = st.floats(0.0, 1.0)


@settings(max_examples=40)
@given(people, activations, st.integers(0, 2**31))
def test_the_chart_and_its_inverse_agree(person: tuple[Group, Cohort, int], a: float, seed: int) -> None:
    heart = heart_of(*person)
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


def test_material_holds_the_radii_of_the_moment() -> None:
    heart = heart_of("DCM", "train")
    rho, theta, depth = material_points(heart, 5)
    now = heart.to_material(heart.to_space(rho, theta, depth, 0.0), 0.0)
    assert isinstance(now, Material)
    torch.testing.assert_close(now.rho_now, now.rho, atol=1e-6, rtol=0)  # at end-diastole nothing has moved yet


def jacobian(heart: Heart, points: Tensor, a: float, step: float = 1e-4) -> Tensor:
    r"""Deformation gradient `(N, 3, 3)` of the motion from end-diastole to `a`, by central differences."""
    columns = []
    for axis in range(3):
        ends = []
        for sign in (1.0, -1.0):
            m = heart.to_material(points + sign * step * torch.eye(3, dtype=torch.float64)[axis], 0.0)
            ends.append(heart.to_space(m.rho, m.theta, m.depth, a))
        columns.append((ends[0] - ends[1]) / (2 * step))
    return torch.stack(columns, -1)


@settings(max_examples=25)
@given(people, activations, st.integers(0, 2**31))
@example(("NOR", "train", 0), 1.0, 204)  # a point 0.0001 mm from the cavity
def test_the_wall_is_incompressible(person: tuple[Group, Cohort, int], a: float, seed: int) -> None:
    heart = heart_of(*person)
    rho, theta, depth = material_points(heart, seed, wall_only=True)
    inside = rho > heart.endo_radius(depth, theta) + 0.01  # mm: differences across the cavity's border say nothing
    determinant = torch.linalg.det(jacobian(heart, heart.to_space(rho[inside], theta[inside], depth[inside], 0.0), a))
    assert len(determinant) > 190
    torch.testing.assert_close(determinant, torch.ones_like(determinant), atol=1e-5, rtol=0)


@everyone
def test_the_cavity_shrinks_by_the_determinant(group: Group, cohort: Cohort) -> None:
    heart = heart_of(group, cohort)
    rho, theta, depth = material_points(heart, 0, 4000)
    inside = (rho < 0.999 * heart.endo_radius(depth, theta)) & (depth < heart.length)
    points = heart.to_space(rho[inside], theta[inside], depth[inside], 0.0)
    determinant = torch.linalg.det(jacobian(heart, points, 1.0))
    expected = heart.cavity_factor(depth[inside], 1.0) * heart.stretch(1.0)
    torch.testing.assert_close(determinant, expected, atol=1e-5, rtol=0)


@everyone
def test_muscle_thickens_and_the_base_descends(group: Group, cohort: Cohort) -> None:
    heart = heart_of(group, cohort)
    theta = torch.linspace(0, 6.2, 32)
    middle = torch.full((32,), 0.5 * heart.length)
    (endo0, epi0), (endo1, epi1) = (heart.radii_now(middle, theta, a) for a in (0.0, 1.0))
    assert ((epi1 - endo1) > (epi0 - endo0)).all()
    assert (endo1 < endo0).all()
    points = {a: landmarks(heart, a) for a in (0.0, 1.0)}
    descent = points[1.0]["mitral_valve"] - points[0.0]["mitral_valve"]
    assert descent[2].item() == pytest.approx(heart.subject.longitudinal_shortening * heart.height, rel=1e-3)
    assert torch.allclose(points[0.0]["apex"], points[1.0]["apex"], atol=1e-3)  # held by the pericardium


@everyone
def test_the_apex_turns_against_the_base_by_the_subjects_twist(group: Group, cohort: Cohort) -> None:
    r"""Counterclockwise as seen from the apex, where the heart frame's `z` points to the viewer: healthy and sick."""
    subject = dataclasses.replace(
        sample_subject(0, cohort=cohort, group=group), shape=(0.0,) * SHAPE_MODES, unseen_shape=(0.0,) * 8
    )
    heart = Heart(subject)  # round and straight: what turns is the twist alone
    theta = torch.linspace(0.0, 2 * math.pi, 9, dtype=torch.float64)[:-1]
    turned = []
    for depth in (0.0, 0.98 * heart.length):
        at = torch.full_like(theta, depth)
        start, end = (heart.to_space(heart.endo_radius(at, theta), theta, at, a)[..., :2] for a in (0.0, 1.0))
        cross, along = start[:, 0] * end[:, 1] - start[:, 1] * end[:, 0], (start * end).sum(1)
        turned.append(torch.rad2deg(torch.atan2(cross, along)))
    expected = torch.full_like(theta, 0.98 * subject.twist)
    torch.testing.assert_close(turned[1] - turned[0], expected, atol=1e-3, rtol=1e-4)
    assert subject.twist > 0.0


def test_the_septum_of_a_hypertrophic_heart_is_thicker_by_its_asymmetry() -> None:
    subject = dataclasses.replace(
        sample_subject(0, cohort="train", group="HCM"),
        shape=(0.0,) * SHAPE_MODES,
        septal_asymmetry=0.7,
        apical_thickening=0.0,
    )
    heart = Heart(subject)
    theta = torch.tensor([math.pi, 0.0, 0.5 * math.pi])  # septum, lateral and anterior wall
    level = torch.full_like(theta, 0.2 * heart.height)  # where it is widest
    wall = heart.epi_radius(level, theta) - heart.endo_radius(level, theta)
    assert (wall[0] / wall[1]).item() == pytest.approx(1.7, rel=5e-3)
    assert wall[1] < wall[2] < wall[0]


def test_solved_volumes_are_the_subjects() -> None:
    for cohort in ("train", "test"):
        for subject in sample_cohort(6, cohort=cohort):
            heart = Heart(subject)
            solved = (heart.lv_volume(0.0), heart.lv_volume(1.0), heart.rv_volume(0.0), heart.rv_volume(1.0))
            wanted = (subject.lv_edv, subject.lv_esv, subject.rv_edv, subject.rv_esv)
            assert solved == pytest.approx(wanted, rel=1e-3), subject.identity
            assert heart.wall_volume() * MYOCARDIAL_DENSITY == pytest.approx(subject.lv_mass, rel=1e-3)


def test_unseen_shape_changes_the_heart() -> None:
    subject = sample_subject(0, cohort="test", group="NOR")
    plain = Heart(dataclasses.replace(subject, unseen_shape=(0.0,) * 8))
    mesh, without = (ventricle_mesh(h, "lv_endocardium", 0.0)[0] for h in (Heart(subject), plain))
    assert (mesh - without).norm(dim=-1).max() > 1.0


def voxel_volumes(heart: Heart, surface: Surface, a: float, step: float = 1.0) -> Tensor:
    r"""mL of each label 0-5 in a box round `surface`, counted on a grid of `step` mm."""
    vertices, _ = ventricle_mesh(heart, surface, a)
    low, high = vertices.amin(0) - 2.0, vertices.amax(0) + 2.0
    axes = [torch.arange(x + 0.37 * step, y, step) for x, y in zip(low.tolist(), high.tolist(), strict=True)]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    anatomy = Anatomy(heart)
    count = sum(torch.bincount(anatomy.at(part, a).label.long(), minlength=6) for part in grid.split(40_000))
    return torch.as_tensor(count) * step**3 * 1e-3


@pytest.mark.slow
@everyone
def test_counted_voxels_agree_with_the_analytic_volumes(group: Group, cohort: Cohort) -> None:
    heart = heart_of(group, cohort)
    diastole, systole = (voxel_volumes(heart, "lv_epicardium", a) for a in (0.0, 1.0))
    assert diastole[1].item() == pytest.approx(heart.subject.lv_edv, rel=0.02)
    assert systole[1].item() == pytest.approx(heart.subject.lv_esv, rel=0.02)
    assert diastole[2].item() == pytest.approx(heart.wall_volume(), rel=0.02)
    assert systole[2].item() == pytest.approx(diastole[2].item(), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("cohort", ["train", "test"])
def test_counted_right_heart_agrees_with_the_analytic_volume(cohort: Cohort) -> None:
    heart = heart_of("NOR", cohort)
    for a, volume in ((0.0, heart.subject.rv_edv), (1.0, heart.subject.rv_esv)):
        assert voxel_volumes(heart, "rv_endocardium", a, 1.5)[3].item() == pytest.approx(volume, rel=0.02)


def test_an_apical_heart_is_thickest_near_its_apex() -> None:
    plain, apical = (
        Heart(
            dataclasses.replace(
                sample_subject(0, cohort="train", group="HCM"),
                shape=(0.0,) * SHAPE_MODES, septal_asymmetry=0.0, apical_thickening=more,
            )
        )
        for more in (0.0, 1.0)
    )  # fmt: skip
    walls = []
    for heart in (plain, apical):
        depth = heart.length * torch.tensor([0.2, 0.75])
        walls.append(heart.epi_radius(depth, depth * 0) - heart.endo_radius(depth, depth * 0))
    assert walls[0][1] < 1.2 * walls[0][0]
    assert walls[1][1] > 1.5 * walls[1][0]
    assert apical.wall_volume() == pytest.approx(plain.wall_volume(), rel=1e-3)  # the subject's mass all the same
