r"""The 3D scan behind a stack: its place, its labels, its sharpness, one scan in all frames."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hearts import material_points, scene_of, voxel_places
from scipy.ndimage import map_coordinates

from cardiolearn.imaging.image import Image
from cardiolearn.phantom.body.landmarks import landmarks, to_patient
from cardiolearn.phantom.body.scene import Scene, TissueMap
from cardiolearn.phantom.body.subject import sample_subject
from cardiolearn.phantom.body.tissue import Tissue
from cardiolearn.phantom.cohorts.volumes import quiet
from cardiolearn.phantom.scanners import thin_slices
from cardiolearn.phantom.scanners.acquisition import Scan
from cardiolearn.phantom.scanners.exposure import Exposure
from cardiolearn.phantom.scanners.mri import TRAINING_VENDORS
from cardiolearn.phantom.scanners.thin_slices import SHAPE, SPACING, high_resolution_affine, scan_high_resolution

SMALL = (30, 56, 56)


@pytest.fixture(scope="module")
def scan() -> Scan:
    return scan_high_resolution(scene_of(0, "train"), TRAINING_VENDORS[0], (0.0, 1.0), seed=1, shape=SMALL)


@pytest.mark.parametrize("index", range(4))
def test_the_grid_holds_both_ventricles_and_its_slices_cross_the_long_axis(index: int) -> None:
    scene = scene_of(index, "test")
    affine = high_resolution_affine(scene)
    grid = Image(torch.zeros(SHAPE), affine)
    assert grid.spacing == pytest.approx(SPACING, rel=1e-5)
    np.testing.assert_allclose(affine[:3, 2] / SPACING[2], scene.frame[:, 2], atol=1e-6)  # base to apex
    assert np.linalg.det(affine[:3, :3]) < 0.0  # as a short-axis stack: right, down, towards the apex
    for a in (0.0, 1.0):
        for name, point in landmarks(scene.heart, a).items():
            place = np.linalg.solve(affine, [*to_patient(scene, point).double(), 1.0])[:3]
            assert (place > 1).all() and (place < np.array(SHAPE[::-1]) - 2).all(), name


def test_thin_slices_show_the_heart_and_repeat(scan: Scan) -> None:
    again = scan_high_resolution(scene_of(0, "train"), TRAINING_VENDORS[0], (0.0, 1.0), seed=1, shape=SMALL)
    assert scan.image.data.shape == (2, *SMALL) and torch.equal(scan.image.data, again.image.data)
    assert scan.image.spacing == pytest.approx(SPACING)
    labels = scan.labels.data
    assert {1, 2, 3} <= set(labels.unique().tolist())
    assert (labels[0] == 1).sum() > 1.3 * (labels[1] == 1).sum()  # it empties
    assert (scan.image.data[0][labels[0] == 1].median() > 1.2 * scan.image.data[0][labels[0] == 2].median()).item()


def test_labels_are_the_truth_at_the_voxel_centres(scan: Scan) -> None:
    for t, a in enumerate((0.0, 1.0)):
        truth = scene_of(0, "train").labels_at(voxel_places(scan.image), a)
        assert (truth != scan.labels.data[t]).float().mean() < 1e-4


def test_frames_of_one_moment_differ_in_noise_alone() -> None:
    loud, silent = TRAINING_VENDORS[0], type(TRAINING_VENDORS[0])(**(vars(TRAINING_VENDORS[0]) | {"noise": (0.0, 0.0)}))
    pictures = {
        vendor.noise: scan_high_resolution(scene_of(0, "train"), vendor, (0.4, 0.4), seed=2, shape=(8, 40, 40))
        for vendor in (loud, silent)
    }
    one, two = pictures[silent.noise].image.data
    assert torch.equal(one, two)
    one, two = pictures[loud.noise].image.data
    assert not torch.equal(one, two)
    assert (one - two).mean().abs() < 0.02 * one.mean()


def test_the_texture_moves_with_the_muscle(monkeypatch: pytest.MonkeyPatch) -> None:
    r"""Its pattern at a point of the wall at end-diastole is that at the same point's place at end-systole."""
    patterns: list[np.ndarray] = []

    def seen(mixed: torch.Tensor, near: torch.Tensor, exposure: Exposure) -> torch.Tensor:
        patterns.append(exposure.pattern.numpy())
        return mixed[..., 0]

    monkeypatch.setattr(thin_slices, "grey_values", seen)
    scene = scene_of(0, "train")
    scan = scan_high_resolution(scene, TRAINING_VENDORS[0], (0.0, 1.0), seed=1, shape=(44, 84, 84))
    points = material_points(scene.heart, 0, 3000, wall_only=True)
    middle = (points[2] > 10.0) & (points[2] < 0.7 * scene.heart.length)
    rho, theta, depth = (x[middle].float() for x in points)

    def voxels(a: float) -> np.ndarray:
        places = to_patient(scene, scene.heart.to_space(rho, theta, depth, a)).double().numpy()
        return np.linalg.solve(scan.image.affine, np.c_[places, np.ones(len(places))].T)[2::-1]

    rest, moved, left = (map_coordinates(patterns[t], voxels(a), order=1) for t, a in ((0, 0.0), (1, 1.0), (1, 0.0)))
    assert np.corrcoef(rest, moved)[0, 1] > 0.9
    assert np.corrcoef(rest, left)[0, 1] < 0.7  # where the muscle was there is other muscle now


def test_a_border_across_the_slices_is_seen_through_their_point_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    r"""Blood beyond a plane across the long axis: two samples to a slice, a Gaussian of 1.2 slices' full width."""
    seen: list[torch.Tensor] = []

    def grey(mixed: torch.Tensor, near: torch.Tensor, exposure: Exposure) -> torch.Tensor:
        seen.append(mixed[..., 0])
        return seen[-1]

    monkeypatch.setattr(thin_slices, "grey_values", grey)
    scene, shape = Scene(sample_subject(0, cohort="train")), (12, 4, 4)
    affine = high_resolution_affine(scene, shape)
    axis, start = torch.from_numpy(affine[:3, 2] / SPACING[2]).float(), torch.from_numpy(affine[:3, 3]).float()
    places = (np.arange(24) - 0.5) / 2.0  # slices: where the samples lie
    weights = np.exp(-4.0 * math.log(2.0) * ((places - np.arange(12)[:, None]) / 1.2) ** 2)
    for border in (5.1, 5.4, 5.9, 6.2):

        def over(points: torch.Tensor, activations: Sequence[float], border: float = border) -> list[TissueMap]:
            blood = (points - start) @ axis > border * SPACING[2]
            tissue = torch.where(blood, int(Tissue.LV_BLOOD), int(Tissue.AIR)).to(torch.uint8)
            return [TissueMap(tissue, tissue) for _ in activations]

        monkeypatch.setattr(scene, "over", over)
        scan_high_resolution(scene, TRAINING_VENDORS[0], (0.0,), seed=1, shape=shape)
        expected = weights @ (places > border) / weights.sum(1)
        np.testing.assert_allclose(seen[-1][:, 1, 2], expected, atol=1e-5)


def test_thin_slices_are_as_sharp_through_the_plane_as_their_point_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    images = {}
    for width in (0.6, 1.2, 2.4):
        monkeypatch.setattr(thin_slices, "_PROFILE", width)
        vendor = quiet(TRAINING_VENDORS[0])
        found = scan_high_resolution(scene_of(0, "train"), vendor, (0.0,), seed=1, shape=(24, 48, 48))
        images[width] = found.image.data[0].float()
    jumps = [images[width].diff(dim=0).diff(dim=0).square().mean() for width in images]
    assert jumps[0] > 1.2 * jumps[1] > 1.44 * jumps[2]
    across = [images[width].diff(dim=1).square().mean() for width in images]
    assert across[2] > 0.6 * across[0]  # within the plane it stays
