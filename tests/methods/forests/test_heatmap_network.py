r"""The network that finds landmarks: places of its maps, its loss, and that it learns."""

from __future__ import annotations

import pytest
import torch
from turned_hearts import SPACING, turned_hearts

from cardiolearn.errors import InputError
from cardiolearn.learning.training import TrainingPlan, train
from cardiolearn.methods.forests.heatmap_network import HeatmapNetwork, TrainingLandmarks, landmarks_of


@pytest.mark.parametrize("size", [(8, 8, 8), (7, 13, 10), (1, 3, 5)])
def test_maps_have_half_of_any_size(size: tuple[int, int, int]) -> None:
    network = HeatmapNetwork(4, filters=(4, 6, 8)).eval()
    assert network(torch.zeros(2, 1, *size)).shape == (2, 4, *((n + 1) // 2 for n in size))


def test_a_landmark_is_the_mean_of_its_map() -> None:
    maps = torch.full((1, 2, 4, 5, 6), -1e4)
    maps[0, 0, 1, 2, 5] = 0.0
    maps[0, 1, 3, 0, 1] = maps[0, 1, 1, 2, 1] = 7.0
    torch.testing.assert_close(landmarks_of(maps), torch.tensor([[[2.0, 4.0, 10.0], [4.0, 2.0, 2.0]]]))


def test_the_loss_is_the_mean_distance_in_mm() -> None:
    maps = torch.full((1, 2, 4, 5, 6), -1e4)
    maps[0, :, 0, 0, 0] = 0.0
    data = TrainingLandmarks(torch.zeros(1, 8, 9, 12), torch.zeros(1, 2, 3), 1, (3.0, 2.0, 1.0))
    away = torch.tensor([[[1.0, 2.0, 0.0], [0.0, 0.0, -7.0]]])
    assert data.loss(maps, away).item() == pytest.approx(6.0)
    assert data.distances(maps, away).tolist() == [[5.0, 7.0]]


def test_landmarks_of_hearts_are_learnt() -> None:
    hearts = turned_hearts(range(10))
    data = TrainingLandmarks(hearts.pictures, hearts.landmarks, 8, SPACING, batch=4)
    network = HeatmapNetwork(filters=(8, 12, 16))
    train(network, data, data.loss, TrainingPlan(60, seed=0, learning_rate=0.01), torch.device("cpu"))
    with torch.no_grad():
        off = data.distances(network(hearts.pictures[8:, None]), hearts.landmarks[8:].float()).mean().item()
        assert data.held_out_score(network) == pytest.approx(-off, rel=1e-4)
    unmoved = ((hearts.landmarks[8:] - hearts.landmarks[:8].mean(0)) * torch.tensor(SPACING)).norm(dim=-1).mean()
    assert off < 0.8 * unmoved


def test_batches_are_of_hearts_to_learn_from() -> None:
    pictures = torch.arange(5.0)[:, None, None, None].expand(5, 2, 2, 2)
    data = TrainingLandmarks(pictures, torch.arange(5.0)[:, None, None].expand(5, 1, 3), 3, SPACING, batch=40)
    seen, marks = data(0, torch.Generator().manual_seed(0))
    assert set(seen.flatten().tolist()) == {0.0, 1.0, 2.0} and (seen[:, 0, 0, 0, 0] == marks[:, 0, 0]).all()


def test_pictures_have_one_channel() -> None:
    with pytest.raises(InputError, match=r"pictures: expected \(N, 1, Z, Y, X\), got \(1, 8, 8, 8\)"):
        HeatmapNetwork()(torch.zeros(1, 8, 8, 8))
