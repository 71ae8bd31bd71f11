r"""Scanning a subject: geometry that tells the truth, labels on the picture's grid, the whole ventricle seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from hearts import COARSE, scene_of, seeded, voxel_places
from torch import Tensor

from cardiolearn.phantom.body.landmarks import landmarks, to_patient
from cardiolearn.phantom.body.scene import Scene, TissueMap
from cardiolearn.phantom.body.tissue import Tissue
from cardiolearn.phantom.scanners import acquisition
from cardiolearn.phantom.scanners.acquisition import (
    Scan,
    SlicePlan,
    acquire,
    frame_activations,
    frame_exposures,
    grey_values,
    grid_points,
    plan_short_axis,
    scan_short_axis,
)
from cardiolearn.phantom.scanners.exposure import Exposure
from cardiolearn.phantom.scanners.mri import ANY_VENDOR, TRAINING_VENDORS, UNSEEN_VENDOR, Vendor

SHAPE = (44, 52)
VENDORS = (*TRAINING_VENDORS, UNSEEN_VENDOR, ANY_VENDOR)


@pytest.fixture
def scene() -> Scene:
    return scene_of(4, "test")


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
    plan = plan_short_axis(scene, vendor, SHAPE, seeded(seed))
    affine, thickness = plan.affine, plan.thickness
    assert plan.grid[1:] == SHAPE
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
    assert where["apex"][2] < plan.grid[0] - 1  # a slice beyond the apex
    if vendor is not ANY_VENDOR:
        centre = np.array([(SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2])
        assert np.linalg.norm(where["lv_lateral_wall"][:2] - centre) * pixel < 100.0


@pytest.fixture(scope="module")
def still() -> Scan:
    return scan_short_axis(scene_of(4, "test"), COARSE, (0.0, 1.0), seed=5, shape=SHAPE, breath_hold=0.0)


def test_labels_are_the_truth_at_the_voxel_centres(scene: Scene, still: Scan) -> None:
    image, labels = still.image, still.labels
    assert image.data.shape == labels.data.shape
    assert image.data.shape[0] == 2
    assert image.data.shape[2:] == SHAPE
    np.testing.assert_array_equal(image.affine, labels.affine)
    assert image.frame_duration == labels.frame_duration == pytest.approx(60 / scene.subject.heart_rate / 2)
    assert labels.data.dtype == torch.uint8
    for t, a in enumerate((0.0, 1.0)):
        assert (scene.labels_at(voxel_places(image), a) != labels.data[t]).float().mean() < 1e-4


def test_pictures_show_what_the_labels_say(still: Scan) -> None:
    image, labels = still.image.data, still.labels.data
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


def test_the_same_seed_gives_the_same_scan(scene: Scene, still: Scan) -> None:
    again = scan_short_axis(scene, COARSE, (0.0, 1.0), seed=5, shape=SHAPE, breath_hold=0.0)
    assert torch.equal(again.image.data, still.image.data)
    other = scan_short_axis(scene, COARSE, (0.0,), seed=6, shape=SHAPE)
    assert not np.allclose(other.image.affine, again.image.affine)


def test_frames_of_a_scan_differ_in_noise_alone(scene: Scene) -> None:
    r"""The heart stands still: what differs has no mean, and is as strong as the noise of the scanner."""
    cine = scan_short_axis(scene, COARSE, (0.0, 0.0), seed=5, shape=SHAPE).image.data
    change = cine[1] - cine[0]
    assert change.std() > 4.0  # of 400 for blood
    assert change.mean().abs() < 0.02 * cine.mean()
    assert torch.corrcoef(torch.stack((cine[0].flatten(), cine[1].flatten())))[0, 1] > 0.9
    second = scan_short_axis(scene, COARSE, (0.0,), seed=5, shape=SHAPE, first=1).image.data
    assert torch.equal(second[0], cine[1])  # scanned alone, as a process of the cohort does


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_voxel_shows_the_mean_of_what_lies_within_it(axis: int, monkeypatch: pytest.MonkeyPatch) -> None:
    r"""Blood beyond a plane across x, y or z, air before it: how much of a voxel is seen as blood, wherever the plane
    cuts it. Four samples: two pairs in the plane, three levels of the slice."""
    seen: list[Tensor] = []

    def grey(mixed: Tensor, near: Tensor, exposure: Exposure) -> Tensor:
        seen.append(mixed[..., 0])
        return seen[-1]

    monkeypatch.setattr(acquisition, "grey_values", grey)
    plan = SlicePlan(np.diag([2.0, 3.0, 10.0, 1.0]), (3, 4, 5), thickness=8.0)
    step, thick = (2.0, 3.0, 10.0)[axis], (2.0, 3.0, 8.0)[axis]
    within = [(-0.25, 0.5), (0.25, 0.5)]  # place and weight
    levels = (within, within, [(-0.33, 0.25), (0.0, 0.5), (0.33, 0.25)])
    for share in (-0.4, -0.3, -0.1, 0.1, 0.3, 0.4):  # of the voxel, from its middle
        border = 2 * step + share * thick

        def labels_at(points: Tensor, a: float, border: float = border) -> Tensor:
            return torch.where(points[..., axis] > border, int(Tissue.LV_BLOOD), int(Tissue.AIR)).to(torch.uint8)

        def over(
            points: Tensor, when: Sequence[float], labels_at: Callable[..., Tensor] = labels_at
        ) -> list[TissueMap]:
            return [TissueMap(labels_at(points, a), labels_at(points, a)) for a in when]

        subject = SimpleNamespace(heart_rate=60.0)
        stub = SimpleNamespace(over=over, labels_at=labels_at, subject=subject, device=torch.device("cpu"))
        acquire(stub, UNSEEN_VENDOR, (0.0,), plan, seeded(), breath_hold=0.0, first=0)  # type: ignore[arg-type]
        line = seen[-1].movedim(2 - axis, 0)[:, 0, 0]
        expected = sum(weight for place, weight in levels[axis] if place > share)
        assert line.tolist() == pytest.approx([0.0, 0.0, expected, 1.0, 1.0][: len(line)], abs=1e-6)


def frames_of(numbers: range) -> list[Exposure]:
    return list(frame_exposures((3, 24, 20), ANY_VENDOR, seeded(7), numbers))


def test_frames_of_a_scan_share_its_exposure_but_for_the_noise() -> None:
    frames, later = frames_of(range(3)), frames_of(range(1, 3))
    shared = [field.name for field in fields(Exposure) if field.name != "noise"]
    assert len(frames[0].gamma) == 1  # one scan
    for frame in (*frames[1:], *later):
        for name in shared:
            assert torch.equal(getattr(frame, name), getattr(frames[0], name)), name
    # The noise follows from the frame's number, whichever frames are scanned beside it.
    assert all(torch.equal(a, b) for k in (0, 1) for a, b in zip(frames[k + 1].noise, later[k].noise, strict=True))
    fields_of_noise = [white for frame in frames for white in frame.noise]
    alike = np.corrcoef(torch.stack(fields_of_noise).flatten(1)) - np.eye(6)
    assert np.abs(alike).max() < 0.15


def test_grey_values_are_whole_and_frames_without_noise_are_equal() -> None:
    mixed, near = torch.rand((3, 24, 20, 5), generator=seeded(1)), torch.zeros((3, 2, 24, 20))
    pictures = [grey_values(mixed, near, frame) for frame in frames_of(range(2))]
    assert all(torch.equal(picture, picture.round()) and picture.min() >= 0 for picture in pictures)
    assert not torch.equal(*pictures)
    silent = [Exposure(**(vars(frame) | {"noise": (torch.zeros(3, 24, 20),) * 2})) for frame in frames_of(range(2))]
    assert torch.equal(*(grey_values(mixed, near, frame) for frame in silent))


def test_breath_holds_shift_slices_in_their_plane(scene: Scene, still: Scan) -> None:
    moved = scan_short_axis(scene, COARSE, (0.0,), seed=5, shape=SHAPE, breath_hold=4.0)
    reference = still.labels.data[0]
    np.testing.assert_array_equal(moved.image.affine, still.image.affine)
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in SHAPE), indexing="ij")

    def centres(labels: Tensor) -> Tensor:
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
