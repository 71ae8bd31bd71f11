r"""Where volumes lie: what is seen in one modality is at the same place of the patient in another."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from hearts import here, scene_of, seeded

from cardiolearn.phantom.cohorts import cache
from cardiolearn.phantom.cohorts.poses import LANDMARKS, Poses, find_poses, sample_poses
from cardiolearn.phantom.cohorts.ultrasound_volumes import render_ultrasound, sample_beams
from cardiolearn.phantom.cohorts.volume_maps import FINE_SHAPE, FINE_SPACING, planned_grid, sample_volume


@functools.cache
def poses() -> Poses:
    return find_poses(3, "test")


def middle(mask: torch.Tensor, affine: np.ndarray) -> np.ndarray:
    place = mask.nonzero().double().mean(0).flip(0).numpy()
    return np.asarray(affine[:3, :3] @ place + affine[:3, 3])


def test_the_affine_says_where_the_grid_was_planned() -> None:
    points, affine = (
        planned_grid(scene_of(3, "test"), FINE_SHAPE, FINE_SPACING),
        poses().heart_affine(0, FINE_SHAPE, 2.0),
    )
    for voxel in ((0, 0, 0), (79, 69, 89), (10, 60, 30)):
        place = affine @ np.array([*voxel[::-1], 1.0])
        np.testing.assert_allclose(place[:3], points[voxel].numpy(), atol=1e-2)  # mm


def test_hearts_are_at_one_place_in_both_kinds_of_volume() -> None:
    box = (64, 60, 62)
    _, label = render_ultrasound(sample_beams(3, "test"), torch.tensor([0, 1]), seeded(), shape=box, spacing=2.4)
    maps = sample_volume(3, "test", fine=True)
    for moment in (0, 1):
        for structure in (1, 2):
            one = middle(maps.label[0, moment] == structure, poses().heart_affine(0, FINE_SHAPE, FINE_SPACING))
            other = middle(label[moment] == structure, poses().box_affine(0, box, 2.4))
            assert np.linalg.norm(one - other) < 0.6  # mm


def test_landmarks_lie_where_their_names_say() -> None:
    affine = np.linalg.inv(poses().heart_affine(0, FINE_SHAPE, FINE_SPACING))
    label = sample_volume(3, "test", fine=True).label[0]
    for moment in (0, 1):
        known = poses().landmarks[0, moment].numpy() @ affine[:3, :3].T + affine[:3, 3]
        at = {name: tuple(place.round().astype(int)[::-1]) for name, place in zip(LANDMARKS, known, strict=True)}
        assert label[moment][at["lv_lateral_wall"]] == 2
        cavity = (label[moment] == 1).nonzero()
        assert at["mitral_valve"][0] <= cavity[:, 0].min() + 1 and at["apex"][0] > cavity[:, 0].max()
        right = (label[moment] == 3).nonzero()[:, 2].float().mean()
        assert at["rv_lateral_wall"][2] < right < at["lv_lateral_wall"][2]
        assert at["rv_insertion_anterior"][1] < at["rv_insertion_inferior"][1]


def test_frames_are_rigid() -> None:
    for frame in (poses().hearts[0], poses().probes[0]):
        torch.testing.assert_close(frame[:3, :3].T @ frame[:3, :3], torch.eye(3).double(), atol=1e-4, rtol=0)


def test_a_cohort_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "in_processes", here)
    found = sample_poses(2, tmp_path, cohort="test")
    assert found.landmarks.shape == (2, 2, len(LANDMARKS), 3)
    assert [file.name for file in tmp_path.iterdir()] == ["test-0-00000-00002.safetensors"]
    torch.testing.assert_close(find_poses(1, "test").landmarks[0], found.landmarks[1])
