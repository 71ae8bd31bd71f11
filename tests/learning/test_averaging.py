r"""The mean of weights against a plain mean; statistics of batch normalisation against numpy."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from cardiolearn.learning.averaging import WeightAverage, measure_statistics


def test_the_mean_is_numpys_and_buffers_are_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).to(memory_format=torch.channels_last)
    generator, average, seen = torch.Generator().manual_seed(0), WeightAverage(), list[np.ndarray]()
    for _ in range(7):
        for parameter in network.parameters():
            nn.init.normal_(parameter, generator=generator)
        average.add(network)
        seen.append(np.concatenate([p.detach().numpy().ravel() for p in network.parameters()]))
    last = seen[-1].copy()
    network[1].running_mean.fill_(5.0)
    average.put_into(network)
    found = np.concatenate([p.detach().numpy().ravel() for p in network.parameters()])
    np.testing.assert_allclose(found, np.mean(seen, axis=0), atol=1e-6)
    assert np.abs(found - last).max() > 0.1 and average.n == 7
    assert (network[1].running_mean == 5.0).all()


def test_statistics_are_the_means_of_those_of_the_batches() -> None:
    network = nn.Sequential(nn.BatchNorm2d(2, momentum=0.3), nn.BatchNorm2d(2)).eval()
    network[0].running_mean.fill_(9.0)
    generator = torch.Generator().manual_seed(0)
    batches = [3 + 2 * torch.randn(4, 2, 5, 6, generator=generator) * (k + 1) for k in range(6)]
    measure_statistics(network, batches)
    means = np.mean([batch.mean((0, 2, 3)).numpy() for batch in batches], axis=0)
    variances = np.mean([batch.numpy().var((0, 2, 3), ddof=1) for batch in batches], axis=0)
    np.testing.assert_allclose(network[0].running_mean, means, rtol=1e-5)
    np.testing.assert_allclose(network[0].running_var, variances, rtol=1e-5)
    np.testing.assert_allclose(network[1].running_mean, 0.0, atol=1e-5)
    assert [layer.momentum for layer in network] == [0.3, 0.1] and network.training


def test_without_batch_normalisation_nothing_is_computed() -> None:
    def none() -> object:
        raise AssertionError

    measure_statistics(nn.Linear(1, 1), (none() for _ in range(3)))  # type: ignore[misc]


def test_an_average_stays_on_the_networks_device() -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    average = WeightAverage()
    for _ in range(2):
        average.add(network)
    average.put_into(network)
    assert all(value.is_meta for value in (*average.mean.values(), *network.parameters()))
