"""Scanning a subject: geometry that tells the truth, labels on the picture's grid, the whole ventricle in the stack."""

from __future__ import annotations

import dataclasses

import nibabel as nib
import numpy as np
import pytest
import torch

from cardiolearn.phantom.acquisition import frame_activations, grid_points, scan_short_axis, short_axis_affine
from cardiolearn.phantom.landmarks import landmarks, to_patient
from cardiolearn.phantom.mri import ANY_VENDOR, TRAINING_VENDORS, UNSEEN_VENDOR, Vendor
from cardiolearn.phantom.scene import Scene
from cardiolearn.phantom.subject import sample_subject

SHAPE = (44, 52)
VENDORS = (*TRAINING_VENDORS, UNSEEN_VENDOR, ANY_VENDOR)
#: Thick pixels: a small picture that still holds the heart, so that tests are quick.
COARSE = dataclasses.replace(UNSEEN_VENDOR, pixel=(3.2, 3.6))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(sample_subject(4, cohort="test"))


def plan(scene: Scene, vendor: Vendor, seed: int) -> tuple[np.ndarray, int, float]:
    return short_axis_affine(scene, vendor, SHAPE, torch.Generator().manual_seed(seed))


def test_grid_points_are_where_the_affine_says() -> None:
    g = np.random.default_rng(0)
    affine = np.eye(4)
    affine[:3] = g.normal(size=(3, 4)) * 3
    points = grid_points(affine, (3, 4, 5))
    assert points.shape == (3, 4, 5, 3)
    for z, y, x in ((0, 0, 0), (2, 1, 4), (1, 3, 0)):
        expected = nib.affines.apply_affine(affine, [x, y, z])
        np.testing.assert_allclose(points[z, y, x].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda v: v.name)
@pytest.mark.parametrize("seed", range(6))
def test_planned_stack_is_short_axis_and_covers_the_ventricle(scene: Scene, vendor: Vendor, seed: int) -> None:
    affine, count, thickness = plan(scene, vendor, seed)
    right, down, through = affine[:3, :3].T
    pixel, step = np.linalg.norm(right), np.linalg.norm(through)
    assert np.linalg.norm(down) == pytest.approx(pixel)
    assert vendor.pixel[0] - 1e-4 <= pixel <= vendor.pixel[1] + 1e-4
    assert vendor.thickness[0] <= thickness <= vendor.thickness[1]
    assert thickness + vendor.gap[0] - 1e-4 <= step <= thickness + vendor.gap[1] + 1e-4
    assert np.abs([right @ down, right @ through, down @ through]).max() < 1e-4 * step**2
    axis = scene.frame[:, 2].double().numpy()
    assert through @ axis / step > np.cos(0.25)  # within 15 degrees of the true axis
    where = {
        name: nib.affines.apply_affine(np.linalg.inv(affine), to_patient(scene, point).double().numpy())
        for name, point in landmarks(scene.heart, 0.0).items()
    }
    assert where["mitral_valve"][2] > 0.5  # a slice above the valve
    assert where["apex"][2] < count - 1  # a slice beyond the apex
    if vendor is not ANY_VENDOR:
        centre = np.array([(SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2])
        assert np.linalg.norm(where["lv_lateral_wall"][:2] - centre) * pixel < 100.0


@pytest.fixture(scope="module")
def still(scene: Scene) -> object:
    return scan_short_axis(scene, COARSE, (0.0, 1.0), seed=5, shape=SHAPE, breath_hold=0.0)


def test_labels_are_the_truth_at_the_voxel_centres(scene: Scene, still: object) -> None:
    scan = still
    image, labels = scan.image, scan.labels  # type: ignore[attr-defined]
    assert image.data.shape == labels.data.shape
    assert image.data.shape[0] == 2
    assert image.data.shape[2:] == SHAPE
    np.testing.assert_array_equal(image.affine, labels.affine)
    assert image.frame_duration == labels.frame_duration == pytest.approx(60 / scene.subject.heart_rate / 2)
    assert labels.data.dtype == torch.uint8
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in image.data.shape[:0:-1]), indexing="ij"), -1)
    millimetres = nib.affines.apply_affine(image.affine, indices)  # (X, Y, Z, 3)
    points = torch.from_numpy(millimetres).permute(2, 1, 0, 3).float().contiguous()
    for t, a in enumerate((0.0, 1.0)):
        assert (scene.labels_at(points, a) != labels.data[t]).float().mean() < 1e-4


def test_pictures_show_what_the_labels_say(still: object) -> None:
    image, labels = still.image.data, still.labels.data  # type: ignore[attr-defined]
    assert torch.isfinite(image).all()
    assert (image >= 0).all()
    assert torch.equal(image, image.round())
    for t in range(2):
        middle = image.shape[1] // 2
        picture, truth = image[t, middle], labels[t, middle]
        assert picture[truth == 1].median() > 1.2 * picture[truth == 2].median()
        columns = torch.arange(SHAPE[1]).expand(SHAPE)
        assert columns[truth == 3].float().mean() < columns[truth == 1].float().mean()  # RV on the left
    assert (labels[1] == 1).sum() < (labels[0] == 1).sum()


def test_the_same_seed_gives_the_same_scan(scene: Scene, still: object) -> None:
    again = scan_short_axis(scene, COARSE, (0.0, 1.0), seed=5, shape=SHAPE, breath_hold=0.0)
    assert torch.equal(again.image.data, still.image.data)  # type: ignore[attr-defined]
    other = scan_short_axis(scene, COARSE, (0.0,), seed=6, shape=SHAPE)
    assert not np.allclose(other.image.affine, again.image.affine)


def test_frames_of_a_scan_differ_in_noise_alone(scene: Scene) -> None:
    """The heart stands still: what differs has no mean, and is as strong as the noise of the scanner."""
    cine = scan_short_axis(scene, COARSE, (0.0, 0.0), seed=5, shape=SHAPE).image.data
    change = cine[1] - cine[0]
    assert change.std() > 4.0  # of 400 for blood
    assert change.mean().abs() < 0.02 * cine.mean()
    assert torch.corrcoef(torch.stack((cine[0].flatten(), cine[1].flatten())))[0, 1] > 0.9
    second = scan_short_axis(scene, COARSE, (0.0,), seed=5, shape=SHAPE, first=1).image.data
    assert torch.equal(second[0], cine[1])  # drawn alone, as a process of the cohort does


def test_breath_holds_shift_slices_in_their_plane(scene: Scene, still: object) -> None:
    moved = scan_short_axis(scene, COARSE, (0.0,), seed=5, shape=SHAPE, breath_hold=4.0)
    reference = still.labels.data[0]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(moved.image.affine, still.image.affine)  # type: ignore[attr-defined]
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in SHAPE), indexing="ij")

    def centres(labels: torch.Tensor) -> torch.Tensor:
        full = [k for k in range(labels.shape[0]) if (reference[k] == 1).sum() > 30]
        return torch.stack([torch.stack((rows[labels[k] == 1].mean(), columns[labels[k] == 1].mean())) for k in full])

    shift = (centres(moved.labels.data[0]) - centres(reference)) * moved.image.spacing[0]
    assert shift.abs().max() > 1.5  # mm
    assert shift.std(0).min() > 0.5  # each slice its own way
    assert shift.abs().max() < 4 * 4.0


def test_frames_follow_the_cycle() -> None:
    frames = frame_activations(20)
    assert len(frames) == 20
    assert frames[0] == 0.0
    assert max(range(20), key=lambda t: frames[t]) == 7  # 0.36 of the cycle
    assert frames[7] > 0.95
