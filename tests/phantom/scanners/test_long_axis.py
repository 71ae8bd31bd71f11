r"""Long-axis views: planes where a technician puts them, true geometry, chambers where they belong."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from hearts import COARSE, scene_of, seeded, voxel_places
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.phantom.body.landmarks import landmarks, to_patient
from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.scanners.acquisition import Scan
from cardiolearn.phantom.scanners.long_axis import (
    LONG_AXIS_VIEWS,
    THICKNESS,
    LongAxisView,
    Plane,
    plan_long_axis,
    planning_points,
    scan_long_axis,
)

SHAPE = (61, 58)
OFF = 3.0 + 1e-3  # mm: a technician misses by 1.5 mm, twice that at most


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene_of(i, cohort) for i in range(6) for cohort in ("train", "test")]


def plan(scene: Scene, view: LongAxisView, seed: int = 0, scatter: float = 1.0) -> Plane:
    return plan_long_axis(scene, view, seeded(seed), scatter=scatter)


def distance(plane: Plane, point: Tensor) -> float:
    return float((point - plane.middle) @ plane.normal)


def areas(scene: Scene, plane: Plane, a: float = 0.0) -> Tensor:
    r"""What the plane cuts of each label 0 to 5, in cm2; 3 mm pixels, written without the code under test."""
    steps = torch.arange(-110.0, 111.0, 3.0)
    points = plane.middle + steps[:, None, None] * plane.down + steps[None, :, None] * plane.right
    return torch.bincount(scene.labels_at(points, a).flatten().long(), minlength=6) * 0.09


def test_both_planes_hold_the_long_axis(scenes: list[Scene]) -> None:
    for seed, scene in enumerate(scenes):
        apex = to_patient(scene, landmarks(scene.heart, 0.0)["apex"])
        base = to_patient(scene, landmarks(scene.heart, 0.0)["mitral_valve"])
        for view in LONG_AXIS_VIEWS:
            plane = plan(scene, view, seed)
            assert abs(distance(plane, apex)) < OFF
            assert abs(distance(plane, planning_points(scene)["mitral_valve"])) < OFF
            assert abs(distance(plane, base)) < 20.0  # the mitral valve fills but half of the ventricle's base
            exact = plan(scene, view, seed, scatter=0.0)
            assert abs(distance(exact, apex)) < 1e-3
            assert not torch.allclose(exact.normal, plane.normal, atol=1e-3)


def test_the_clicked_points_are_in_the_chambers_they_are_named_after(scenes: list[Scene]) -> None:
    for scene in scenes:
        points = planning_points(scene)
        down = scene.frame[:, 2]
        assert scene.labels_at(points["mitral_valve"][None], 0.0) == 4
        assert scene.labels_at((points["mitral_valve"] + 14.0 * down)[None], 0.0) == 1  # the ventricle below the mouth
        assert scene.labels_at(points["right_atrium"][None], 0.0) == 5
        lateral = to_patient(scene, landmarks(scene.heart, 0.0)["rv_lateral_wall"])
        assert (points["rv_free_wall"] - lateral).norm() < 45.0  # on the same wall, towards the acute margin


def test_the_four_chamber_plane_runs_between_free_wall_and_right_atrium(scenes: list[Scene]) -> None:
    for scene in scenes:
        points = planning_points(scene)
        plane = plan(scene, "la_4ch", scatter=0.0)
        wall, atrium = distance(plane, points["rv_free_wall"]), distance(plane, points["right_atrium"])
        assert wall * atrium <= 0.0  # one on either side
        assert max(abs(wall), abs(atrium)) < 25.0  # mm; the RV is some 60 mm wide there


@pytest.mark.parametrize("seed", range(5))
def test_the_views_are_60_to_75_degrees_apart(scenes: list[Scene], seed: int) -> None:
    for scatter, low, high in ((0.0, 60.0, 75.0), (1.0, 45.0, 90.0)):
        two, four = (plan(scenes[seed], view, seed, scatter).normal for view in LONG_AXIS_VIEWS)
        assert low - 1e-2 < np.degrees(np.arccos(abs(float(two @ four)))) < high + 1e-2


@pytest.mark.parametrize("a", [0.0, 1.0])
def test_four_chambers_in_one_view_and_no_right_heart_in_the_other(scenes: list[Scene], a: float) -> None:
    two = torch.stack([areas(s, plan(s, "la_2ch", i), a) for i, s in enumerate(scenes)])
    four = torch.stack([areas(s, plan(s, "la_4ch", i), a) for i, s in enumerate(scenes)])
    assert (four[:, 1:].amin(0) > torch.tensor([5.0, 5.0, 2.0, 5.0, 5.0])).all(), four
    assert (two[:, (1, 2, 4)].amin(0) > torch.tensor([5.0, 5.0, 5.0])).all(), two
    assert (two[:, 5] == 0).all()
    assert (two[:, 3] == 0).float().mean() > 0.7  # else the edge of the outflow tract
    assert two[:, 3].amax() < 3.0


def test_the_right_ventricle_ends_above_the_left_apex(scenes: list[Scene]) -> None:
    for scene in scenes[:4]:
        plane = plan(scene, "la_4ch")
        steps = torch.arange(-110.0, 111.0, 3.0)
        points = plane.middle + steps[:, None, None] * plane.down + steps[None, :, None] * plane.right
        label, depth = scene.labels_at(points, 0.0), (points - scene.origin) @ scene.frame[:, 2]
        assert depth[label == 3].amax() < depth[label == 2].amax() - 3.0
        assert depth[(label == 4) | (label == 5)].mean() < 0.0 < depth[label == 1].mean()


@pytest.fixture(scope="module", params=LONG_AXIS_VIEWS)
def still(request: pytest.FixtureRequest, scenes: list[Scene]) -> tuple[LongAxisView, Scan]:
    scan = scan_long_axis(scenes[3], COARSE, request.param, (0.0, 1.0), seed=5, shape=SHAPE, breath_hold=0.0)
    return request.param, scan


def test_the_affine_is_that_of_the_planned_plane(still: tuple[LongAxisView, Scan], scenes: list[Scene]) -> None:
    view, scan = still
    assert scan.image.data.shape == scan.labels.data.shape == (2, 1, *SHAPE)
    assert scan.labels.data.dtype == torch.uint8
    np.testing.assert_array_equal(scan.image.affine, scan.labels.affine)
    right, down, through = scan.image.affine[:3, :3].T
    assert np.linalg.norm(right) == pytest.approx(np.linalg.norm(down), rel=1e-5)
    assert 3.2 <= np.linalg.norm(right) <= 3.6
    assert np.linalg.norm(through) == pytest.approx(THICKNESS, rel=1e-5)
    assert np.abs([right @ down, right @ through, down @ through]).max() < 1e-4
    assert np.linalg.det(scan.image.affine[:3, :3]) > 0.0  # right-handed, as a DICOM slice's own normal is
    apex = to_patient(scenes[3], landmarks(scenes[3].heart, 0.0)["apex"]).double().numpy()
    column, row, slice_ = nib.affines.apply_affine(np.linalg.inv(scan.image.affine), apex)
    assert abs(slice_) * THICKNESS < OFF
    assert 0 < column < SHAPE[1] - 1
    assert 0 < row < SHAPE[0] - 1
    # As on a console: columns run to the patient's left, or backwards in a sagittal picture.
    assert right[0] < 0.0 if view == "la_4ch" else True
    normal = np.abs(through).argmax()
    assert (right[1], right[0], right[0])[normal] < 0.0
    assert (down[2], down[2], down[1])[normal] < 0.0


def test_labels_are_the_truth_at_the_voxel_centres(still: tuple[LongAxisView, Scan], scenes: list[Scene]) -> None:
    _, scan = still
    points = voxel_places(scan.image)
    for t, a in enumerate((0.0, 1.0)):
        truth = scenes[3].labels_at(points, a)
        assert (truth > 0).sum() > 200
        assert (truth != scan.labels.data[t]).float().mean() < 1e-3


def test_pictures_show_what_the_labels_say(still: tuple[LongAxisView, Scan]) -> None:
    image, labels = still[1].image.data, still[1].labels.data
    assert torch.isfinite(image).all()
    assert (image >= 0).all()
    for picture, truth in zip(image, labels, strict=True):
        wall = picture[truth == 2].median()
        assert picture[truth == 1].median() > 1.2 * wall
        assert picture[truth == 4].median() > wall  # it lies deeper, where the coil sees less


def test_the_valve_plane_moves_as_far_as_the_heart_shortens(
    still: tuple[LongAxisView, Scan], scenes: list[Scene]
) -> None:
    scene, (_, scan) = scenes[3], still
    depth = (voxel_places(scan.image) - scene.origin) @ scene.frame[:, 2]
    border = []
    for label in scan.labels.data:
        lowest_atrium, highest_ventricle = depth[label == 4].amax(), depth[label == 1].amin()
        border.append(0.5 * float(lowest_atrium + highest_ventricle))
    expected = (1.0 - scene.heart.stretch(1.0)) * scene.heart.height
    assert expected > 6.0
    assert border[1] - border[0] == pytest.approx(expected, abs=3.0)


def test_the_same_seed_gives_the_same_scan(still: tuple[LongAxisView, Scan], scenes: list[Scene]) -> None:
    view, scan = still
    torch.manual_seed(1)
    again = scan_long_axis(scenes[3], COARSE, view, (1.0,), seed=5, shape=SHAPE, breath_hold=0.0, first=1)
    assert torch.equal(again.image.data[0], scan.image.data[1])  # scanned alone, as a process of the cohort does
    np.testing.assert_array_equal(again.image.affine, scan.image.affine)
    other = scan_long_axis(scenes[3], COARSE, view, (0.0,), seed=6, shape=SHAPE)
    assert not np.allclose(other.image.affine, scan.image.affine)


@pytest.mark.parametrize("shape", [(1, 7), (33, 20)])
def test_odd_shapes(scenes: list[Scene], shape: tuple[int, int]) -> None:
    scan = scan_long_axis(scenes[0], COARSE, "la_4ch", (0.3,), seed=2**62 + 1, shape=shape)
    assert scan.image.data.shape == (1, 1, *shape)
    centre = nib.affines.apply_affine(scan.image.affine, [(shape[1] - 1) / 2, (shape[0] - 1) / 2, 0.0])
    whole = scan_long_axis(scenes[0], COARSE, "la_4ch", (0.3,), seed=2**62 + 1, shape=SHAPE)
    other = nib.affines.apply_affine(whole.image.affine, [(SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2, 0.0])
    np.testing.assert_allclose(centre, other, atol=1e-3)  # the middle of the picture stays where it was planned


def test_an_unknown_view_is_refused(scenes: list[Scene]) -> None:
    with pytest.raises(InputError, match="view: expected la_2ch or la_4ch, got 'la_3ch'"):
        plan(scenes[0], "la_3ch")  # type: ignore[arg-type]
