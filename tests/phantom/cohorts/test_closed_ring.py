r"""Rings that are closed: a disc cut by a line becomes the disc again, what is whole stays as it is."""

from __future__ import annotations

import numpy as np
import pytest

from cardiolearn.phantom.cohorts.closed_ring import close_rings

SPACING = (1.5, 1.5, 10.0)


def ring(
    share: float, pixel: tuple[float, float] = (1.5, 1.5)
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    r"""Cavity and heart of one slice, radii 24 and 33 mm, of which `share` of the width is seen; and the whole ones."""
    x, y = (np.arange(-45.0, 45.1, p) for p in pixel)
    r, left = np.hypot(x[None], y[:, None]), np.broadcast_to(x[None], (len(y), len(x)))
    seen = left < -33.0 + share * 66.0
    cavity, heart = r < 24.0, r < 33.0
    return (cavity & seen)[None], (heart & seen)[None], cavity[None], heart[None]


def nothing(like: np.ndarray) -> np.ndarray:
    return np.zeros_like(like)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("share", [0.45, 0.5, 0.7, 0.85])
@pytest.mark.parametrize("pixel", [(1.5, 1.5), (1.2, 1.9)])
def test_a_cut_disc_is_closed_to_the_disc(share: float, pixel: tuple[float, float]) -> None:
    cavity, heart, whole, _ = ring(share, pixel)
    closed, around, seen = close_rings(cavity, heart, nothing(cavity), (*pixel, 10.0))
    assert overlap(closed, whole) > 0.97
    assert overlap(cavity, whole) < 0.95 or share > 0.8
    assert seen[0] == pytest.approx(heart.sum() / around.sum())
    assert seen[0] == pytest.approx(share, abs=0.13)
    assert (around & ~closed)[0].any(0)[closed[0].any(0).nonzero()[0][-1] + 1]  # a wall beyond the cavity's far end


def test_where_the_ring_is_closed_the_wall_is_thin() -> None:
    cavity, heart, _, whole = ring(0.5)
    closed, around, _ = close_rings(cavity, heart, nothing(cavity), SPACING)
    row = closed.shape[1] // 2
    thickness = np.diff(np.flatnonzero(np.diff((around & ~closed)[0, row].astype(int))))[[0, -1]] * 1.5
    assert thickness[0] == pytest.approx(9.0, abs=1.6)
    assert thickness[1] == pytest.approx(0.6 * 9.0, abs=1.6)
    assert around.sum() < whole.sum()


def test_whole_rings_and_small_gaps_stay_as_they_are() -> None:
    _, _, cavity, heart = ring(1.0)
    heart[0, :, :20] |= cavity[0, :, :20]
    gap = heart.copy()
    gap[0, 30, 40:] &= cavity[0, 30, 40:]  # one pixel without wall
    for around in (heart, gap):
        closed, outer, seen = close_rings(cavity, around, nothing(cavity), SPACING)
        assert (closed == cavity).all() and (outer == around).all() and seen[0] == 1.0


def test_nothing_is_added_to_the_right_ventricle() -> None:
    cavity, heart, whole, _ = ring(0.6)
    taken = nothing(cavity)
    taken[0, :, -25:] = True
    taken &= ~heart
    closed, around, _ = close_rings(cavity, heart, taken, SPACING)
    assert not (around & taken).any()
    assert overlap(closed, whole & ~taken) > 0.97


def test_too_little_to_tell_is_no_ring() -> None:
    cavity, heart, _, _ = ring(0.5)
    cavity[:], heart[:] = False, False
    cavity[0, 20:40, 20:40] = True  # a square of cavity without any wall
    closed, around, seen = close_rings(cavity, cavity.copy(), nothing(cavity), SPACING)
    assert seen[0] == 0.0 and not closed.any() and not around.any()
    empty = close_rings(nothing(cavity), nothing(cavity), nothing(cavity), SPACING)
    assert not empty[0].any() and empty[2][0] == 1.0
