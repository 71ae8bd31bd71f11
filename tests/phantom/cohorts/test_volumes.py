r"""Thin-slice cohorts: scanned once, the same every time, planes through the heart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hearts import here, seeded

from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.body.subject import sample_subject
from cardiolearn.phantom.cohorts import cache, volumes
from cardiolearn.phantom.cohorts.volumes import Volumes, quiet, scan_volume, scan_volumes
from cardiolearn.phantom.scanners.crossing_views import long_axis_picture
from cardiolearn.phantom.scanners.long_axis import LONG_AXIS_VIEWS, plan_long_axis
from cardiolearn.phantom.scanners.mri import UNSEEN_VENDOR
from cardiolearn.phantom.scanners.thin_slices import SPACING, high_resolution_affine

SMALL = (15, 28, 28)


def test_a_cohort_is_scanned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def quick(index: int, *rest: object) -> Volumes:
        asked.append((index, *rest))
        image = torch.full((1, 2, 5, 4, 3), index, dtype=torch.int16)
        return Volumes(image, torch.zeros_like(image), torch.zeros(1, 2, 3, 3))

    monkeypatch.setattr(volumes, "scan_volume", quick)
    monkeypatch.setattr(cache, "in_processes", here)
    assert scan_volumes(2, tmp_path).image[:, 0, 0, 0, 0].tolist() == [0, 1]
    found = scan_volumes(3, tmp_path)
    assert [index for index, *_ in asked] == [0, 1, 2] and len(found) == 3
    scan_volumes(1, tmp_path, group="NOR")  # another cohort, another file
    scan_volumes(1, tmp_path, cohort="test", seed=4)
    assert asked[3:] == [(0, "train", 0, "NOR"), (0, "test", 4, None)]


def test_a_subject_is_the_same_every_time_and_its_planes_cut_the_heart() -> None:
    one, two = scan_volume(1, "test", 0, "DCM", SMALL), scan_volume(1, "test", 0, "DCM", SMALL)
    assert torch.equal(one.image, two.image) and one.image.shape == (1, 2, *SMALL)
    assert (one.label[0, 1] == 1).sum() < 0.9 * (one.label[0, 0] == 1).sum()  # end-diastole, then end-systole
    for where in one.crossings(0):
        seen = long_axis_picture(one.image[0, 0].float(), SPACING, where, seeded())
        inside = one.label[0, 0][seen[1] > 0]
        assert {1, 2} <= set(inside.unique().tolist())  # cavity and wall
    assert not torch.equal(one.image, scan_volume(2, "test", 0, "DCM", SMALL).image)


def test_planes_are_those_of_the_long_axis_views_in_the_volumes_own_frame() -> None:
    r"""The two-chamber plane first. Their points are mm from the middle of the first voxel, along (z, y, x)."""
    subject = sample_subject(3, cohort="test")
    scene = Scene(subject)
    scanned = scan_volume(3, "test", shape=SMALL)
    affine = high_resolution_affine(scene, SMALL)
    for where, view in zip(scanned.crossings(0), LONG_AXIS_VIEWS, strict=True):
        plane = plan_long_axis(scene, view, seeded((subject.seed * 7 + 6) % 2**62))
        columns = affine[:3, :3] / np.array(SPACING)  # unit directions of x, y, z
        point = affine[:3, 3] + columns @ where.point.double().numpy()[::-1]
        np.testing.assert_allclose(point, plane.middle, atol=1e-3)
        np.testing.assert_allclose(columns @ where.right.double().numpy()[::-1], plane.right, atol=1e-5)
        np.testing.assert_allclose(columns @ where.down.double().numpy()[::-1], plane.down, atol=1e-5)


def test_thin_slices_are_scanned_quietly() -> None:
    before = vars(UNSEEN_VENDOR)
    still = vars(quiet(UNSEEN_VENDOR))
    assert {name for name in before if before[name] != still[name]} == {"noise"}
    assert still["noise"][1] < before["noise"][0]
