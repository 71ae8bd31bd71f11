r"""Misalignments have the size that was asked for, errors are distances, and a capture range is where success ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hearts import seeded
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cardiolearn.errors import InputError
from cardiolearn.methods.registration.misalignment import (
    capture_range,
    sample_misalignment,
    target_registration_error,
)

EYE = torch.eye(4, dtype=torch.float64)


def wall(seed: int, n: int = 40) -> torch.Tensor:
    return torch.rand((n, 3), generator=seeded(seed), dtype=torch.float64) * torch.tensor([60.0, 80.0, 50.0]) + 300.0


def test_the_error_is_the_mean_distance_of_the_points() -> None:
    points, turn = wall(0), Rotation.from_euler("xyz", [10, -5, 30], degrees=True)
    true, found = EYE.clone(), EYE.clone()
    true[:3, 3] = torch.tensor([1.0, -2.0, 3.0])
    found[:3, :3] = torch.from_numpy(turn.as_matrix())
    expected = np.linalg.norm(turn.apply(points.numpy()) - points.numpy() - np.array([1.0, -2.0, 3.0]), axis=1).mean()
    assert target_registration_error(found, true, points) == pytest.approx(expected)
    assert target_registration_error(found, true, points.float()) == pytest.approx(expected, rel=1e-5)
    assert target_registration_error(true, EYE, points) == pytest.approx(14**0.5)
    assert target_registration_error(found, found, points) == 0.0


@given(st.integers(0, 1000), st.floats(0.0, 30.0))
def test_a_misalignment_is_rigid_and_of_the_size_asked_for(seed: int, size: float) -> None:
    points = wall(seed)
    motion = sample_misalignment(points, size, seeded(seed))
    assert target_registration_error(motion, EYE, points) == pytest.approx(size, abs=1e-6)
    torch.testing.assert_close(motion[:3, :3] @ motion[:3, :3].T, EYE[:3, :3])
    assert torch.linalg.det(motion[:3, :3]).item() == pytest.approx(1.0)
    assert motion[3].tolist() == [0, 0, 0, 1]


def test_turn_and_shift_have_equal_parts() -> None:
    points = wall(1)
    motion, middle = sample_misalignment(points, 12.0, seeded(4)), points.mean(0)
    shift = (motion[:3, :3] @ middle + motion[:3, 3] - middle).norm().item()
    vector = Rotation.from_matrix(motion[:3, :3].numpy()).as_rotvec()
    away = np.linalg.norm(np.cross(vector, (points - middle).numpy()), axis=1)  # angle times distance from the axis
    assert away.mean() == pytest.approx(shift)


def test_axes_and_directions_are_spread_over_all_sides_and_come_from_the_seed() -> None:
    points, generator = wall(2), seeded(0)
    motions = torch.stack([sample_misalignment(points, 10.0, generator) for _ in range(300)])
    middle = points.mean(0)
    shifts = (motions[:, :3, :3] @ middle + motions[:, :3, 3] - middle).numpy()
    axes = Rotation.from_matrix(motions[:, :3, :3].numpy()).as_rotvec()
    for directions in (shifts, axes):
        unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        assert np.abs(unit.mean(0)).max() < 0.15  # standard deviation of the mean: 0.033
        np.testing.assert_allclose(unit.T @ unit / len(unit), np.eye(3) / 3, atol=0.1)
    torch.testing.assert_close(sample_misalignment(points, 10.0, seeded(0)), motions[0], rtol=0, atol=0)


def test_the_capture_range_ends_where_success_becomes_rare() -> None:
    starts = np.repeat([20.0, 5.0, 10.0, 15.0], 10)
    errors = np.full(40, 0.5)
    assert capture_range(starts, errors, 2.0) == 20.0
    errors[starts == 10.0] = [0.5] * 9 + [8.0]
    assert capture_range(starts, errors, 2.0) == 20.0
    assert capture_range(starts, errors, 2.0, share=0.95) == 5.0  # what succeeds farther off does not count
    errors[starts == 15.0] = [0.5] * 8 + [np.inf, np.nan]
    assert capture_range(starts, errors, 2.0) == 10.0
    assert capture_range(starts, errors, 0.5) == 0.0  # below, not at, the tolerance
    assert capture_range([0.0, 0.0], [9.0, 9.0], 2.0) == 0.0


@given(st.lists(st.tuples(st.sampled_from([2.0, 4.0, 8.0, 16.0]), st.floats(0, 10)), min_size=1), st.floats(0, 1))
def test_a_wider_tolerance_or_a_smaller_share_never_narrows_the_range(
    runs: list[tuple[float, float]], share: float
) -> None:
    starts, errors = zip(*runs, strict=True)
    narrow = capture_range(starts, errors, 2.0, share)
    assert capture_range(starts, errors, 3.0, share) >= narrow
    assert capture_range(starts, errors, 2.0, 0.5 * share) >= narrow


def test_bad_input_is_refused() -> None:
    points = wall(3)
    for bad in (points[:0], points[:, :2], points[0]):
        with pytest.raises(InputError, match=r"points: expected \(n, 3\), at least one, got"):
            sample_misalignment(bad, 1.0, seeded())
        with pytest.raises(InputError, match=r"points: expected \(n, 3\), at least one, got"):
            target_registration_error(EYE, EYE, bad)
    with pytest.raises(InputError, match="points: expected some that are apart"):
        sample_misalignment(points[:1].expand(5, 3), 1.0, seeded())
    for size in (-1.0, 500.0, float("nan")):
        with pytest.raises(InputError, match=r"size: expected 0 to \d+\.\d mm, got"):
            sample_misalignment(points, size, seeded())
    with pytest.raises(InputError, match="errors: expected one for each"):
        capture_range([1.0, 2.0], [0.1], 2.0)
    with pytest.raises(InputError, match="errors: expected one for each"):
        capture_range([], [], 2.0)
    with pytest.raises(InputError, match="share: expected a number from 0 to 1, got 90"):
        capture_range([1.0], [0.1], 2.0, share=90)
