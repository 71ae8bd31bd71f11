r"""How far networks see, against kernels whose field is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hearts import seeded
from torch import nn

from cardiolearn.methods.shape.receptive_field import (
    described,
    effective_receptive_field,
    effective_width,
    theoretical_width,
)
from cardiolearn.methods.shape.segmenter import Segmenter


def ones(*kernels: tuple[int, ...]) -> nn.Sequential:
    layers = [nn.Conv3d(1, 1, k, padding=tuple(n // 2 for n in k), bias=False) for k in kernels]  # type: ignore[arg-type]
    for layer in layers:
        nn.init.ones_(layer.weight)
    return nn.Sequential(*layers)


def test_a_box_sees_evenly_and_its_width_is_four_of_its_deviations() -> None:
    field = effective_receptive_field(ones((1, 3, 5)), (1, 7, 9, 11), seeded(), 2)
    expected = np.zeros((7, 9, 11), np.float32)
    expected[3, 3:6, 3:8] = 1
    np.testing.assert_allclose(field, expected, atol=1e-6)
    assert theoretical_width(field) == (1, 3, 5)
    assert effective_width(field) == pytest.approx([4 * math.sqrt((k**2 - 1) / 12) for k in (1, 3, 5)], abs=1e-5)


def test_layers_on_each_other_see_their_kernels_convolved() -> None:
    field = effective_receptive_field(ones(*[(3, 1, 3)] * 4), (1, 15, 3, 15), seeded(), 1)
    line = np.ones(1)
    for _ in range(4):
        line = np.convolve(line, np.ones(3))
    np.testing.assert_allclose(field[3:12, 1, 7], line / line.max(), atol=1e-6)
    assert theoretical_width(field) == (9, 1, 9)
    assert effective_width(field)[0] == pytest.approx(4 * math.sqrt(4 * 8 / 12), abs=1e-5)


def test_channels_that_cancel_do_not_hide_what_is_seen() -> None:
    network = nn.Conv3d(1, 2, 1, bias=False)
    network.weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1, 1)
    field = effective_receptive_field(network, (1, 3, 3, 3), seeded(), 8)
    assert field[1, 1, 1] == 1 and field.sum() == 1


def test_it_follows_from_the_generator_and_asks_nothing_of_the_weights() -> None:
    network = Segmenter(upsampling=2, filters=(4, 4)).eval().requires_grad_(False)
    one, two = (effective_receptive_field(network, (1, 6, 24, 24), seeded(), 3) for _ in range(2))
    assert torch.equal(one, two) and one.shape == (6, 24, 24) and one.max() == 1


def test_a_deeper_network_sees_further_and_less_than_it_could() -> None:
    fields = [
        effective_receptive_field(Segmenter(filters=filters).eval(), (1, 32, 32, 192), seeded(), 2)
        for filters in ((4, 4), (4, 4, 4), (4, 4, 4, 4))
    ]
    reach, width = [theoretical_width(f)[2] for f in fields], [effective_width(f)[2] for f in fields]
    assert reach[0] < reach[1] < reach[2] and width[0] < width[1] < width[2]
    assert all(w < r for w, r in zip(width, reach, strict=True))


def test_pictures_in_a_plane_do_too() -> None:
    network = nn.Conv2d(2, 3, 3, padding=1)
    assert theoretical_width(effective_receptive_field(network, (2, 9, 9), seeded(), 1)) == (3, 3)


def test_widths_are_said_in_mm_beside_the_number_of_weights() -> None:
    network = nn.Conv3d(1, 2, (1, 3, 5), padding="same")
    field = effective_receptive_field(network, (1, 9, 9, 9), seeded(), 2)
    row = described({"one": network}, {"one": field}, (10.0, 2.5, 2.0)).loc["one"]
    assert row["parameters"] == 2 * 15 + 2
    assert [row[f"reach {axis} (mm)"] for axis in "zyx"] == [10, 8, 10]
    assert row["effective z (mm)"] == 0 and row["effective x (mm)"] == round(2.0 * effective_width(field)[2])
