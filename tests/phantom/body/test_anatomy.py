r"""What the heart is made of: labels follow one convention, tissues agree, the right heart hangs on the septum."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from hearts import PEOPLE, everyone, heart_of

from cardiolearn.imaging.structures import LEFT_ATRIUM, LV_CAVITY, MYOCARDIUM, RIGHT_ATRIUM, RV_CAVITY
from cardiolearn.phantom.body.anatomy import Anatomy, HeartMap
from cardiolearn.phantom.body.disease import Cohort, Group
from cardiolearn.phantom.body.heart import Heart, Material
from cardiolearn.phantom.body.landmarks import landmarks
from cardiolearn.phantom.body.tissue import Tissue

phases = pytest.mark.parametrize("a", [0.0, 0.5, 1.0])

ONLY_IN = {
    Tissue.LV_BLOOD: {LV_CAVITY},
    Tissue.MYOCARDIUM: {MYOCARDIUM},
    Tissue.RV_BLOOD: {RV_CAVITY},
    Tissue.LA_BLOOD: {LEFT_ATRIUM},
    Tissue.RA_BLOOD: {RIGHT_ATRIUM},
    Tissue.TRABECULA: {LV_CAVITY, RV_CAVITY},  # to the scanner muscle, to the annotator cavity
}


@cache
def make_anatomy(group: Group, cohort: Cohort) -> Anatomy:
    return Anatomy(heart_of(group, cohort, 1))


@cache
def look(group: Group, cohort: Cohort, a: float) -> tuple[Anatomy, torch.Tensor, Material, HeartMap]:
    r"""Random points in a box that holds the ventricles and part of the atria, and what lies there."""
    anatomy = make_anatomy(group, cohort)
    g = torch.Generator().manual_seed(7)
    low, high = torch.tensor([-100.0, -65.0, -45.0]), torch.tensor([60.0, 65.0, anatomy.heart.height + 8.0])
    points = low + (high - low) * torch.rand((40_000, 3), generator=g)
    return anatomy, points, anatomy.heart.to_material(points, a), anatomy.at(points, a)


@everyone
@phases
def test_labels_and_tissues_agree(group: Group, cohort: Cohort, a: float) -> None:
    _, _, _, here = look(group, cohort, a)
    assert here.tissue.dtype == here.label.dtype == torch.uint8
    for tissue, names in ONLY_IN.items():
        assert set(here.label[here.tissue == tissue].tolist()) == names, tissue
    unnamed = set(here.tissue[here.label == 0].tolist())
    assert not unnamed & {int(tissue) for tissue in ONLY_IN}
    assert unnamed <= {int(tissue) for tissue in Tissue}
    assert torch.isfinite(here.outside).all()


@everyone
@phases
def test_muscle_in_the_cavity_counts_as_cavity(group: Group, cohort: Cohort, a: float) -> None:
    _, _, m, here = look(group, cohort, a)
    cavity = here.label == LV_CAVITY
    assert torch.equal(cavity, (m.depth >= 0) & (m.rho_now < m.endo_now))
    share = (here.tissue[cavity] == Tissue.TRABECULA).float().mean().item()
    assert 0.02 < share < 0.45
    free = cavity & (m.rho_now < 0.15 * m.endo_now)
    assert (here.tissue[free] == Tissue.LV_BLOOD).float().mean() > 0.7  # the middle of the cavity is blood


@everyone
@phases
def test_nothing_of_the_left_ventricle_above_the_mitral_plane(group: Group, cohort: Cohort, a: float) -> None:
    anatomy, points, m, here = look(group, cohort, a)
    left = (here.label == LV_CAVITY) | (here.label == MYOCARDIUM)
    assert m.depth[left].min() >= 0
    # The plane by its own description: what the mitral ring's points span, moved with the heart.
    theta = torch.linspace(0, 2 * math.pi, 33)[:-1]
    zero = torch.zeros(32)
    ring = anatomy.heart.to_space(anatomy.heart.endo_radius(zero, theta), theta, zero, a)
    assert points[left][:, 2].min() > ring[:, 2].min() - 8.0
    assert here.label[(m.depth < -0.5)].max() <= RIGHT_ATRIUM
    assert not torch.isin(here.label[m.depth < 0], torch.tensor([LV_CAVITY, MYOCARDIUM])).any()


def insertion_angles(heart: Heart) -> tuple[float, float]:
    r"""Material angles (rad) of the anterior and the inferior insertion at mid-ventricle."""
    known = landmarks(heart, 0.0)
    points = torch.stack([known["rv_insertion_anterior"], known["rv_insertion_inferior"]])
    anterior, inferior = (heart.to_material(points, 0.0).theta % (2 * math.pi)).tolist()
    return anterior, inferior


@everyone
@phases
def test_right_heart_lies_between_its_insertions(group: Group, cohort: Cohort, a: float) -> None:
    anatomy, _, m, here = look(group, cohort, a)
    right = (here.label == RV_CAVITY) & (m.depth > 0)
    assert right.sum() > 200
    theta = m.theta[right] % (2 * math.pi)
    anterior, inferior = insertion_angles(anatomy.heart)
    below = m.depth[right] > 0.5 * anatomy.heart.length  # from mid-ventricle down the crescent only narrows
    assert theta[below].min() > anterior - 1e-3
    assert theta[below].max() < inferior + 1e-3
    assert theta.min() > anterior - 0.35
    assert theta.max() < inferior + 0.35
    assert (m.rho_now[right] >= m.epi_now[right]).all()


@everyone
@phases
def test_right_blood_touches_the_septum(group: Group, cohort: Cohort, a: float) -> None:
    r"""From the middle of the septal wall outwards comes muscle, then the RV: never fat, fluid or lung between."""
    heart = make_anatomy(group, cohort).heart
    depth, share = torch.meshgrid(
        torch.linspace(3.0, 0.55 * heart.length, 24), torch.linspace(0.25, 0.75, 25), indexing="ij"
    )
    anterior, inferior = insertion_angles(heart)
    theta = anterior + (inferior - anterior) * share
    _, epi = heart.radii_now(depth, theta, a)
    for step, label in ((-0.3, MYOCARDIUM), (0.3, RV_CAVITY)):
        epi_material = heart.epi_radius(depth, theta)
        # A step along the radius of the moment, in material terms: the wall keeps its area.
        rho = (epi_material**2 + heart.stretch(a) * ((epi + step) ** 2 - epi**2)).sqrt()
        here = make_anatomy(group, cohort).at(heart.to_space(rho, theta, depth, a), a)
        assert (here.label == label).all()


@everyone
@phases
def test_no_foreign_tissue_between_the_ventricles_in_a_picture(group: Group, cohort: Cohort, a: float) -> None:
    r"""On a short-axis picture of 0.5 mm: the gap along rays from the LV's centre to the RV holds muscle alone."""
    from scipy.ndimage import binary_dilation

    anatomy = make_anatomy(group, cohort)
    z = (1 - anatomy.heart.stretch(a)) * anatomy.heart.height + 0.35 * anatomy.heart.length
    y, x = torch.meshgrid(torch.arange(-60, 60, 0.5), torch.arange(-95, 50, 0.5), indexing="ij")
    here = anatomy.at(torch.stack((x, y, torch.full_like(x, z)), -1), a)
    right, muscle = (here.label == RV_CAVITY).numpy(), (here.label == MYOCARDIUM).numpy()
    assert right.sum() > 400
    contact = (binary_dilation(right) & muscle).sum() * 0.5  # mm of septum that touches blood
    assert contact > 25.0
    near = binary_dilation(right, iterations=2) & binary_dilation(muscle, iterations=2)
    between = torch.from_numpy(near & ~right & ~muscle)
    assert set(here.tissue[between].tolist()) <= {Tissue.RV_WALL, Tissue.EPICARDIAL_FAT}
    assert (here.tissue[between] == Tissue.EPICARDIAL_FAT).sum() <= 12  # the two grooves, a few pixels each


@phases
def test_atria_and_vessels_are_there(a: float) -> None:
    _, _, m, here = look("NOR", "train", a)
    assert {LEFT_ATRIUM, RIGHT_ATRIUM} <= set(here.label.tolist())
    assert {Tissue.ARTERY, Tissue.EPICARDIAL_FAT, Tissue.ATRIAL_WALL} <= set(here.tissue.tolist())
    assert m.depth[here.label == LEFT_ATRIUM].max() < 0


def test_the_right_heart_ends_at_the_pulmonary_valve() -> None:
    _, _, m, here = look("NOR", "train", 0.0)
    heart = make_anatomy("NOR", "train").heart
    assert m.depth[here.label == RV_CAVITY].min() > -heart.right.outflow_length


@pytest.mark.parametrize("group", ["NOR", "DCM", "HCM"])
def test_the_tricuspid_valve_is_open_in_diastole(group: Group) -> None:
    anatomy = make_anatomy(group, "train")
    heart, (centre, _) = anatomy.heart, anatomy.above.right_atrium(0.0)
    theta, depth = torch.tensor([math.radians(212.0)]), torch.tensor([8.0])
    epi = heart.radii_now(depth, theta, 0.0)[1]
    middle = heart.to_space(epi + 0.5 * heart.right.beyond(depth, theta, 0.0), theta, depth, 0.0)
    way = torch.linspace(0.0, 1.0, 60)[:, None]
    here = anatomy.at((1 - way) * middle + way * torch.tensor(centre), 0.0)
    assert set(here.tissue.tolist()) <= {Tissue.RV_BLOOD, Tissue.TRABECULA, Tissue.RA_BLOOD}
    assert here.label[0] == RV_CAVITY and here.label[-1] == RIGHT_ATRIUM
    assert len(here.label.unique_consecutive()) == 2  # one border


def test_atria_fill_while_the_ventricles_empty_away_from_the_valves() -> None:
    grid = torch.arange(-80.0, 41.0, 4.0)
    points = torch.cartesian_prod(grid, grid, torch.arange(-90.0, 41.0, 4.0))
    anatomy = make_anatomy("NOR", "train")
    volumes, heights = [], []
    for a in (0.0, 1.0):
        label, base = anatomy.at(points, a).label, (1.0 - anatomy.heart.stretch(a)) * anatomy.heart.height
        volumes.append([(label == k).sum() for k in (LEFT_ATRIUM, RIGHT_ATRIUM)])
        heights.append((base - points[label == LEFT_ATRIUM][:, 2].mean()).item())  # mm above the mitral plane
    (la, ra), (la_full, ra_full) = volumes
    assert 0.35 < la / la_full < 0.8 and 0.35 < ra / ra_full < 0.7
    assert heights[1] / heights[0] == pytest.approx(1.10 / 0.86, rel=0.05)  # its size: it hangs on the plane


def test_a_smaller_cavity_is_crowded_by_the_same_muscle() -> None:
    kept = []
    for group, cohort in PEOPLE:
        muscle = [
            ((here.label == LV_CAVITY) & (here.tissue == Tissue.TRABECULA)).sum().item()
            for here in (look(group, cohort, a)[3] for a in (0.0, 1.0))
        ]
        kept.append(muscle[1] / muscle[0])
    assert 0.62 < sum(kept) / len(kept) < 1.05
