r"""An auto-encoder watched: coarse hearts, the last of them held out, the film's scores those of the network."""

from __future__ import annotations

import pytest
import torch
from hearts import shell_hearts

from cardiolearn.methods.shape.autoencoder import AutoEncoder
from cardiolearn.methods.shape.learning_seen import HELD_OUT, RebuiltFilm, coarser, watched_task
from cardiolearn.methods.shape.training_volumes import dice_of_structures

LABELS = shell_hearts(12, (30, 33, 36))


def test_every_third_voxel_is_taken() -> None:
    found = coarser(LABELS)
    assert found.shape == (12, 10, 11, 12)
    assert torch.equal(found[:, 2, 3, 4], LABELS[:, 7, 10, 13])


def test_the_last_hearts_are_held_out_and_scored() -> None:
    task = watched_task(LABELS)
    assert task.n == 12 - HELD_OUT and torch.equal(task.held_out[1], coarser(LABELS)[-HELD_OUT:].long())
    network = AutoEncoder((10, 11, 12))
    with RebuiltFilm(network, task, 4) as film:
        for step in range(1, 5):
            film(step, 1.0 / step)
    assert film.scores[4] == pytest.approx(dice_of_structures(network, *task.held_out, 4))
    assert film.labels[0] == "after 0 steps" and len(film.pictures) == len(film.scores)
    assert film.steps_to("lv", 1.1) == "more than 4 steps"
    found, truth, *_ = film.figure.axes
    assert found.images and truth.get_title() == "the heart that went in"
