r"""Learning seen: pictures at the right steps, a running mean that is numpy's, recorded trainings as pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import f1_score
from torch import nn

from cardiolearn.figures.learning import (
    LearningFilm,
    draw_history,
    feature_maps,
    looks,
    running_mean,
    snapshot_figures,
    snapshots_film,
)
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


class Threshold(nn.Module):
    r"""Finds the LV cavity in bright pixels, more of them with every call to `train`."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training and not torch.is_grad_enabled()
        return torch.cat((torch.zeros_like(x), x - self.level), 1)


class Gradient:
    r"""A picture that grows brighter from left to right; its right half is the LV cavity."""

    def __init__(self) -> None:
        x = torch.linspace(0, 1, 16).expand(1, 16, 16)
        self.example = (x, (x[0] > 0.5).long())

    def held_out_dice(self, network: Threshold) -> dict[str, float]:
        found = self.example[0][0] > network.level
        return {"lv": float(f1_score(self.example[1].ravel(), found.ravel(), zero_division=1.0))}


def test_a_training_is_watched() -> None:
    network, data = Threshold(), Gradient()
    with LearningFilm(network, data, 30) as film:
        for step in range(1, 31):
            network.train()
            network.level.data -= 0.5 / 30
            film(step, 1 / step)
    assert film.losses == pytest.approx([1 / step for step in range(1, 31)])
    assert list(film.scores) == looks(30)
    assert film.scores[0]["lv"] == 0.0 and film.scores[30]["lv"] > 0.9
    assert film.labels[0] == "after 0 steps" and film.labels[-1] == "after 30 steps"
    sizes = {Image.open(io.BytesIO(png)).size for png in film.pictures}
    assert len(film.pictures) == len(looks(30)) and len(sizes) == 1
    assert film.pictures[0] != film.pictures[-1]
    first = next(step for step in looks(30) if film.scores[step]["lv"] >= 0.5)
    assert film.steps_to("lv", 0.5) == f"{first} steps" and film.steps_to("lv", 1.1) == "more than 30 steps"


def test_a_training_that_is_watched_is_one_output_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen:
        def update(self, data: dict[str, str], *, metadata: dict[str, dict[str, str]], raw: bool) -> None:
            shown.append((data, metadata))

    shown: list[tuple[dict[str, str], dict[str, dict[str, str]]]] = []
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: Screen())
    with LearningFilm(Threshold(), Gradient(), 1) as film:
        film(1, 1.0)
    assert len(shown) == 2
    for data, metadata in shown:
        assert metadata["image/png"]["alt"] == film.caption  # without it `harness.outputs` refuses the notebook
        assert f'alt="{film.caption}"' in data["text/html"] and data["image/png"] in data["text/html"]


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


def test_of_each_level_the_maps_that_vary_most_are_shown() -> None:
    still, moving = np.full((4, 4), 3.0), np.eye(4)
    figure = feature_maps(
        np.zeros((4, 4)), [np.stack([still, moving]), np.stack([2 * moving, moving])], ["one", "two"], panels=1
    )
    axes = np.array(figure.axes).reshape(2, 2)
    np.testing.assert_array_equal(axes[0, 1].images[0].get_array(), moving)
    np.testing.assert_array_equal(axes[1, 1].images[0].get_array(), 2 * moving)
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["one", "two"]


def test_snapshots_that_are_not_there_yet_are_said_to_be_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert snapshots_film(tmp_path / "none.npz") is None
    assert capsys.readouterr().out.startswith("Not recorded yet")
    path = tmp_path / "some.npz"
    Snapshots(np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8), {0: np.ones((8, 8), np.uint8)}).write(path)
    film = snapshots_film(path)
    assert film is not None and "after 0 steps" in film.html
