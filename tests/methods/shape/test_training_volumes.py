r"""What segmenters and auto-encoders learn from: the first hearts alone; the others score them."""

from __future__ import annotations

import pytest
import torch
from hearts import ReadsGrey, numbers_among, seeded, shell_hearts
from sklearn.metrics import f1_score
from torch import Tensor, nn

from cardiolearn.errors import InputError
from cardiolearn.learning.training import TrainingPlan, train
from cardiolearn.methods.shape.label_volumes import one_hot
from cardiolearn.methods.shape.segmenter import Segmenter
from cardiolearn.methods.shape.soft_masks import soften
from cardiolearn.methods.shape.training_volumes import TrainingMasks, TrainingVolumes, dice_of_structures, found_volumes
from cardiolearn.methods.shape.volume_source import FixedVolumes

GRID = (16, 16, 16)
HEARTS = shell_hearts(9, GRID)
IMAGES = torch.tensor([0.0, 1.0, 0.6, 0.3])[HEARTS.long()][:, None] + 0.08 * torch.randn(
    9, 1, *GRID, generator=seeded()
)


class Grey(ReadsGrey):
    r"""`ReadsGrey` of volumes."""

    def forward(self, x: Tensor) -> Tensor:
        return -self.sharp * (x - self.levels[None, :, None, None, None]) ** 2


def test_the_first_hearts_are_learnt_from_evenly_and_the_others_held_out() -> None:
    data = TrainingVolumes(FixedVolumes(HEARTS, IMAGES), 6, batch=40)
    images, labels = data(0, seeded())
    assert images.shape == (40, 1, *GRID) and labels.shape == (40, *GRID)
    which = numbers_among(labels, HEARTS)
    assert set(which) == set(range(6))
    assert torch.equal(images, IMAGES[which])
    assert torch.equal(images, data(7, seeded())[0]) and not torch.equal(images, data(0, seeded(1))[0])
    assert torch.equal(data.held_out[0], IMAGES[6:]) and torch.equal(data.held_out[1], HEARTS[6:])


def test_a_source_gets_the_generator_and_is_asked_once_for_what_is_held_out() -> None:
    asked: list[tuple[list[int], float]] = []

    class Source(FixedVolumes):
        def __call__(self, picks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            asked.append((picks.tolist(), torch.rand(1, generator=generator).item()))
            return super().__call__(picks, generator)

    data = TrainingVolumes(Source(HEARTS, IMAGES), 7)
    for _ in range(3):
        data.held_out_score(Grey())
    data(0, seeded(5))
    fresh = seeded(5)
    picks = torch.randint(0, 7, (2,), generator=fresh).tolist()
    assert asked == [
        ([7, 8], torch.rand(1, generator=seeded(99)).item()),
        (picks, torch.rand(1, generator=fresh).item()),
    ]


def test_the_held_out_score_is_scikit_learns_macro_f1_of_the_structures() -> None:
    data = TrainingVolumes(FixedVolumes(HEARTS, IMAGES), 4)
    images, labels = data.held_out
    found = Grey()(images).argmax(1)
    expected = f1_score(labels.flatten(), found.flatten(), labels=[1, 2, 3], average="macro")
    assert data.held_out_score(Grey()) == pytest.approx(expected, abs=1e-6) and 0.2 < expected < 1.0
    each = f1_score(labels.flatten(), found.flatten(), labels=[1, 2, 3], average=None)
    assert list(dice_of_structures(Grey(), images, labels, 4).values()) == pytest.approx(each.tolist(), abs=1e-6)
    two = dice_of_structures(Grey(), images, labels, 3)
    assert list(two) == ["lv", "myocardium"]


def test_found_volumes_are_the_likeliest_labels_of_any_number() -> None:
    images = torch.rand(7, 1, 3, 4, 5, generator=seeded())
    levels = torch.tensor([0.0, 1.0, 0.6, 0.3])
    found = found_volumes(Grey(), images)
    assert found.dtype == torch.uint8
    assert torch.equal(found.long(), (images - levels[None, :, None, None, None]).abs().argmin(1))


def test_masks_are_soft_to_learn_from_and_hard_to_test() -> None:
    data = TrainingMasks(FixedVolumes(HEARTS), 6, batch=3)
    inputs, labels = data(0, seeded(2))
    fresh = seeded(2)
    picks = torch.randint(0, 6, (3,), generator=fresh)
    assert torch.equal(labels, HEARTS[picks]) and torch.equal(inputs, soften(HEARTS[picks], 4, fresh))
    assert torch.equal(data.held_out[0], one_hot(HEARTS[6:], 4))
    clean = TrainingMasks(FixedVolumes(HEARTS), 6, batch=3, faulty=False)
    assert torch.equal(clean(0, seeded(2))[0], one_hot(labels, 4))  # the same hearts

    class Copies(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, masks: Tensor) -> Tensor:
            return self.weight * masks

    assert data.held_out_score(Copies()) == 1.0
    assert data.loss(100 * one_hot(labels, 4), labels).item() == pytest.approx(0.0, abs=1e-6)


def test_labels_that_are_none_stop_a_training_before_its_first_step() -> None:
    plan = TrainingPlan(3, 0)
    wrong = {"whole numbers": HEARTS.float(), "no voxel of 3": HEARTS.clamp(max=2), "labels 0 to 3": HEARTS + 9}
    for message, labels in wrong.items():
        data = TrainingVolumes(FixedVolumes(labels, IMAGES), 6)
        with pytest.raises(InputError, match=message):
            train(Segmenter(filters=(4,)), data, data.loss, plan, torch.device("cpu"))
    everything = TrainingVolumes(FixedVolumes(HEARTS, IMAGES), 9)
    with pytest.raises(InputError, match="at least one heart to test on"):
        everything.held_out_score(Grey())


def test_a_segmenter_learns_from_thick_slices() -> None:
    thick = IMAGES.unflatten(2, (4, 4)).mean(3)
    data = TrainingVolumes(FixedVolumes(HEARTS, thick), 6, batch=3)
    network = Segmenter(upsampling=4, filters=(8, 12))
    before = data.held_out_score(network.eval())
    train(network, data, data.loss, TrainingPlan(200, 0, learning_rate=1e-2, schedule="cosine"), torch.device("cpu"))
    assert data.held_out_score(network) > max(0.5, before + 0.2)


def test_a_network_that_still_learns_is_refused() -> None:
    network = Segmenter(4, upsampling=1)
    with pytest.raises(ValueError, match="found_volumes: expected a network in evaluation mode"):
        found_volumes(network, torch.zeros(1, 1, 16, 16, 16))
    assert found_volumes(network.eval(), torch.zeros(1, 1, 16, 16, 16)).shape == (1, 16, 16, 16)
