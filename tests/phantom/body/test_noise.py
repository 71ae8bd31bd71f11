r"""Random fields that can be read anywhere: scipy's look-up, unit variance, a period, a length scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hearts import seeded
from scipy.ndimage import map_coordinates

from cardiolearn.phantom.body.noise import Noise


def test_between_its_nodes_the_field_is_scipys_trilinear_one() -> None:
    noise, scale, size = Noise(3), 4.0, 48
    nodes = torch.arange(size) * scale
    cube = noise.at(torch.stack(torch.meshgrid(nodes, nodes, nodes, indexing="ij"), -1), scale)
    points = size * scale * torch.rand((500, 3), generator=seeded())
    expected = map_coordinates(cube.numpy(), points.numpy().T / scale, order=1, mode="grid-wrap")
    np.testing.assert_allclose(noise.at(points, scale), expected, atol=2e-3)
    assert cube.std().item() == pytest.approx(1.0, abs=1e-3)
    assert cube.mean().abs() < 1e-3


def test_the_field_repeats_and_scales() -> None:
    noise, points = Noise(5), 100.0 * torch.rand((300, 3), generator=seeded(), dtype=torch.float64).float()
    period = 48 * 7.0 * torch.tensor([1.0, -2.0, 3.0])
    torch.testing.assert_close(noise.at(points + period, 7.0), noise.at(points, 7.0), atol=2e-2, rtol=0)
    torch.testing.assert_close(noise.at(2.0 * points, 14.0), noise.at(points, 7.0), atol=1e-4, rtol=0)
    near = points + torch.tensor([0.7, 0.0, 0.0])  # a tenth of the scale
    assert np.corrcoef(noise.at(points, 7.0), noise.at(near, 7.0))[0, 1] > 0.95


def test_seeds_and_offsets_give_fields_that_do_not_look_alike() -> None:
    points = 400.0 * torch.rand((4000, 3), generator=seeded())
    before = points.clone()
    fields = [Noise(1).at(points, 9.0), Noise(2).at(points, 9.0), Noise(1).at(points, 9.0, 5.0)]
    assert torch.equal(points, before)
    alike = np.corrcoef(torch.stack(fields)) - np.eye(3)
    assert np.abs(alike).max() < 0.15
    assert torch.equal(Noise(1).at(points, 9.0), fields[0])
