r"""Poses of landmarks that are known, and rotations against scipy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from turned_hearts import MARKS, turned_about_z

from cardiolearn.errors import InputError
from cardiolearn.methods.forests.pose import mean_landmarks, poses, rotations

ANGLE = st.floats(-3.0, 3.0)


@given(angle=ANGLE, size=st.floats(0.3, 3.0), shift=st.tuples(*[st.floats(-50, 50)] * 3))
def test_a_turned_scaled_and_moved_heart_has_that_pose(angle: float, size: float, shift: tuple[float, ...]) -> None:
    moved = size * MARKS @ turned_about_z(angle) + shift
    np.testing.assert_allclose(poses(moved[None], MARKS), [[angle, size]], atol=1e-6)


def test_x_turns_to_y() -> None:
    x, y = np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])
    np.testing.assert_allclose(x @ turned_about_z(math.pi / 2), y, atol=1e-12)


def test_rotations_are_scipys() -> None:
    generator = np.random.default_rng(0)
    still = MARKS - MARKS.mean(0)
    moved = np.stack([still @ Rotation.random(random_state=k).as_matrix() for k in range(5)])
    moved = moved + generator.normal(0.0, 2.0, moved.shape)
    moved -= moved.mean(1, keepdims=True)
    for ours, aim in zip(rotations(still, moved), moved, strict=True):
        theirs, _ = Rotation.align_vectors(aim, still)
        np.testing.assert_allclose(ours.T, theirs.as_matrix(), atol=1e-6)


def test_a_tilted_heart_is_turned_by_the_last_of_its_euler_angles() -> None:
    turn = Rotation.from_euler("xyz", [0.2, -0.3, 0.7])
    moved = turn.apply(MARKS[:, ::-1])[:, ::-1]
    np.testing.assert_allclose(poses(moved[None], MARKS), [[0.7, 1.0]], atol=1e-9)


def test_a_mirrored_heart_is_no_rotation_and_has_a_negative_scale() -> None:
    mirrored = MARKS * [1.0, -1.0, 1.0]
    assert poses(mirrored[None], MARKS)[0, 1] == pytest.approx(-1.0)
    assert np.linalg.det(rotations(MARKS, mirrored[None]))[0] == pytest.approx(1.0)


def test_a_stretched_heart_has_the_scale_of_its_volume() -> None:
    assert poses((MARKS * [2.0, 1.0, 0.7])[None], MARKS)[0, 1] == pytest.approx(np.cbrt(1.4))


def test_the_mean_knows_no_place() -> None:
    moved = MARKS + np.array([[[3.0, 4.0, 5.0]], [[-1.0, 0.0, 9.0]]])
    np.testing.assert_allclose(mean_landmarks(moved), MARKS - MARKS.mean(0), atol=1e-12)


def test_bad_landmarks_are_named() -> None:
    with pytest.raises(InputError, match=r"landmarks: expected \(N, L, 3\) and a reference \(L, 3\), got \(6, 3\)"):
        poses(MARKS, MARKS)
    with pytest.raises(InputError, match="landmarks: expected finite numbers"):
        poses(np.full((1, 6, 3), np.nan), MARKS)
    flat = MARKS * [0.0, 1.0, 1.0]
    with pytest.raises(InputError, match="reference: expected four landmarks at least, not all in one plane"):
        poses(MARKS[None], flat)
    with pytest.raises(InputError, match="reference: expected four landmarks at least"):
        poses(MARKS[None, :3], MARKS[:3])
