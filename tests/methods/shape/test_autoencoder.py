r"""The auto-encoder: its shapes on any grid, its size, that it learns, and that it needs nothing but the code."""

from __future__ import annotations

import pytest
import torch
from hearts import seeded, shell_hearts
from torch import nn
from torch.nn import functional as F

from cardiolearn.learning.training import TrainingPlan, train
from cardiolearn.learning.weights import MAX_BYTES
from cardiolearn.methods.shape.autoencoder import CODE, AutoEncoder, Decoder, Encoder
from cardiolearn.methods.shape.training_volumes import TrainingMasks
from cardiolearn.methods.shape.volume_source import FixedVolumes

GRID = (16, 16, 16)


@pytest.mark.parametrize("grid", [GRID, (20, 24, 28), (17, 15, 9), (3, 33, 5)])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_any_grid_comes_back(grid: tuple[int, int, int], n_classes: int) -> None:
    network = AutoEncoder(grid, n_classes).eval()
    masks = torch.rand(2, n_classes, *grid, generator=seeded())
    assert network.encoder(masks).shape == (2, CODE)
    assert network(masks).shape == masks.shape


@pytest.mark.parametrize("grid", [(64, 56, 72), (64, 56, 56)])
def test_its_weights_fit_into_a_file(grid: tuple[int, int, int]) -> None:
    state = AutoEncoder(grid).state_dict().values()
    assert 2 * sum(value.numel() for value in state) < 0.6 * MAX_BYTES


def test_each_level_halves_the_grid_and_has_its_filters() -> None:
    network = AutoEncoder((32, 48, 40))
    strided = [m for m in network.encoder.modules() if isinstance(m, nn.Conv3d)]
    assert [(m.in_channels, m.out_channels, m.stride) for m in strided] == [
        (4, 16, (2, 2, 2)), (16, 32, (2, 2, 2)), (32, 64, (2, 2, 2)), (64, 64, (2, 2, 2)),
    ]  # fmt: skip
    mirrored = [m for m in network.decoder.modules() if isinstance(m, nn.ConvTranspose3d)]
    assert [(m.in_channels, m.out_channels) for m in mirrored] == [(64, 64), (64, 32), (32, 16), (16, 4)]
    assert network.encoder.connect.in_features == 64 * 2 * 3 * 3 == network.decoder.connect[0].out_features


def test_all_that_passes_is_the_code() -> None:
    network = AutoEncoder(GRID).eval()
    masks = torch.rand(2, 4, *GRID, generator=seeded())
    torch.testing.assert_close(network.decoder(network.encoder(masks)), network(masks))
    alike = network(masks[:1].expand(2, -1, -1, -1, -1))
    torch.testing.assert_close(alike[0], alike[1])


def test_another_shape_is_refused() -> None:
    network = AutoEncoder(GRID)
    for shape in [(1, 4, 16, 16, 15), (1, 3, 16, 16, 16), (4, 16, 16, 16)]:
        with pytest.raises(ValueError, match=r"Encoder: expected \(N, 4, 16, 16, 16\), got"):
            network(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"Decoder: expected codes \(N, 64\), got \(1, 63\)"):
        network.decoder(torch.zeros(1, 63))


def test_every_weight_learns_and_no_tensor_stays_behind() -> None:
    network = AutoEncoder(GRID)
    network(torch.rand(2, 4, *GRID, generator=seeded())).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters() if p.ndim > 1)
    away = AutoEncoder(GRID).to("meta")
    labels = torch.empty(2, *GRID, dtype=torch.uint8, device="meta")
    TrainingMasks.loss(away(torch.empty(2, 4, *GRID, device="meta")), labels).backward()
    assert all(p.grad is not None and p.grad.is_meta for p in away.parameters())


def test_the_same_seed_gives_the_same_weights() -> None:
    one, two, other = AutoEncoder(GRID), AutoEncoder(GRID), AutoEncoder(GRID, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.encoder.connect.weight, other.encoder.connect.weight)
    pairs = zip(Encoder(4, GRID).parameters(), Encoder(4, GRID, seed=1).parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(Decoder(4, GRID).classify.weight, Decoder(4, GRID, seed=1).classify.weight)


@pytest.mark.slow
def test_it_learns_hearts_that_differ() -> None:
    labels = shell_hearts(40, GRID)
    data = TrainingMasks(FixedVolumes(labels), 32, batch=8)
    network = AutoEncoder(GRID)
    before = data.held_out_score(network.eval())
    train(network, data, data.loss, TrainingPlan(150, 0, learning_rate=2e-3, schedule="cosine"), torch.device("cpu"))
    assert data.held_out_score(network) > 0.75 > before + 0.3
    with torch.no_grad():
        loss = F.cross_entropy(network(data.held_out[0]), data.held_out[1].long())
        other = F.cross_entropy(network(data.held_out[0].flip(0)), data.held_out[1].long())
    assert loss < 0.75 * other  # each heart gets its own shape
