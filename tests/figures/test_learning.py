r"""Learning seen: pictures at the right steps, a running mean that is numpy's, recorded trainings as pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from cardiolearn.figures.learning import LearningFilm, draw_history, looks, running_mean, snapshot_figures
from cardiolearn.learning.checkpoint import History
from cardiolearn.learning.snapshots import Snapshots


def test_the_running_mean_is_numpys() -> None:
    values = np.random.default_rng(0).normal(size=50)
    expected = [values[max(0, i - 6) : i + 1].mean() for i in range(50)]
    np.testing.assert_allclose(running_mean(values, 7), expected, atol=1e-12)
    assert running_mean([]).shape == (0,)


def test_looks_are_close_together_at_first_and_end_with_the_last_step() -> None:
    steps = looks(160)
    assert steps[0] == 0 and steps[-1] == 160
    assert np.all(np.diff(steps, 2) >= -1) and np.diff(steps)[0] < np.diff(steps)[-1]


def test_a_training_is_watched() -> None:
    picture, truth = np.zeros((16, 16)), np.zeros((16, 16))
    truth[4:8, 4:8] = 1
    found: Iterator[float] = iter(np.linspace(0, 1, 100))

    def find() -> np.ndarray:
        labels = np.zeros((16, 16))
        labels[4:8, 4:8] = 3 if next(found) < 0.05 else 1
        return labels

    with LearningFilm(picture, truth, find, lambda: {"lv": 0.5, "rv": 0.1}, 30) as film:
        film(0)
        for step in range(1, 31):
            film(step, 1 / step)
    assert film.losses == pytest.approx([1 / step for step in range(1, 31)])
    assert list(film.scores) == looks(30)
    assert film.labels[0] == "after 0 steps" and film.labels[-1] == "after 30 steps"
    sizes = {Image.open(io.BytesIO(png)).size for png in film.pictures}
    assert len(film.pictures) == len(looks(30)) and len(sizes) == 1
    assert film.pictures[0] != film.pictures[-1]


def test_recorded_snapshots_are_one_picture_a_step() -> None:
    labels = {0: np.ones((8, 8), np.uint8), 5000: np.full((8, 8), 2, np.uint8), 20: np.zeros((8, 8), np.uint8)}
    figures, words = snapshot_figures(Snapshots(np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8), labels))
    assert words == ["after 0 steps", "after 20 steps", "after 5,000 steps"]
    assert [figure.axes[0].get_title() for figure in figures] == words


def test_a_recorded_training_shows_its_loss_and_its_score() -> None:
    history = History([1, 2, 3], [3.0, 2.0, 1.0], {2: 0.4, 3: 0.8})
    left, right = draw_history(history.to_dict()).axes
    np.testing.assert_allclose(left.lines[1].get_ydata(), [3.0, 2.5, 2.0])
    np.testing.assert_allclose(right.lines[0].get_xydata(), [[2, 0.4], [3, 0.8]])
