r"""What the predictor learns from: the codes of masks, alone and together with the auto-encoder."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hearts import numbers_among, seeded, shell_hearts
from sklearn.metrics import r2_score
from torch import Tensor, nn
from torch.nn import functional as F

from cardiolearn.learning.training import TrainingPlan, train
from cardiolearn.methods.shape.acnn import code_variance
from cardiolearn.methods.shape.autoencoder import Encoder
from cardiolearn.methods.shape.codes import codes_of_labels
from cardiolearn.methods.shape.frozen import frozen
from cardiolearn.methods.shape.label_volumes import one_hot
from cardiolearn.methods.shape.tl_network import TLNetwork, reader
from cardiolearn.methods.shape.training_codes import TrainingPredictor, TrainingTL
from cardiolearn.methods.shape.training_volumes import dice_of_structures
from cardiolearn.methods.shape.volume_source import FixedVolumes

GRID = (16, 16, 16)
HEARTS = shell_hearts(20, GRID)
IMAGES = torch.tensor([0.0, 1.0, 0.6, 0.3])[HEARTS.long()][:, None] + 0.05 * torch.randn(
    20, 1, *GRID, generator=seeded()
)
CPU = torch.device("cpu")


class Knows(nn.Module):
    r"""Reads the codes of `HEARTS` in their pictures, with errors of size `wrong`."""

    def __init__(self, codes: Tensor, wrong: float) -> None:
        super().__init__()
        self.codes, self.wrong = nn.Parameter(codes), wrong

    def forward(self, images: Tensor) -> Tensor:
        which = numbers_among(images, IMAGES)
        return self.codes[which] + self.wrong * torch.randn(len(which), 64, generator=seeded(which[0]))


def predictor_data() -> tuple[TrainingPredictor, Tensor]:
    encoder = frozen(Encoder(4, GRID))
    codes = codes_of_labels(encoder, HEARTS)
    source = FixedVolumes(HEARTS, IMAGES)
    return TrainingPredictor(source, 12, batch=3, encoder=encoder, variance=code_variance(codes[12:])), codes


def test_a_predictor_is_judged_by_the_distance_of_codes() -> None:
    data, codes = predictor_data()
    images, labels = data(0, seeded())
    assert images.shape == (3, 1, *GRID)
    guess = torch.randn(3, 64, generator=seeded(1))
    aim = data.encoder(one_hot(labels, 4)).numpy()
    expected = ((guess.numpy() - aim) ** 2).mean() / data.variance
    assert data.loss(guess, labels).item() == pytest.approx(expected, rel=1e-4)
    guess.requires_grad_()
    data.loss(guess, labels).backward()
    assert guess.grad is not None and all(p.grad is None for p in data.encoder.parameters())
    assert data.held_out_score(Knows(codes, 0.0)) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("wrong", [0.01, 0.05])
def test_its_held_out_score_is_the_share_of_the_codes_variance(wrong: float) -> None:
    data, codes = predictor_data()
    network = Knows(codes, wrong)
    found = torch.cat([network(part) for part in IMAGES[12:].split(3)]).detach()
    r2 = r2_score(codes[12:], found, multioutput="variance_weighted")
    # scikit-learn divides by the number of hearts, the variance over hearts by one less
    assert 1 - data.held_out_score(network) == pytest.approx((1 - r2) * 7 / 8, rel=1e-3)


def test_the_joint_loss_is_cross_entropy_and_the_distance_over_the_batchs_own_variance() -> None:
    data = TrainingTL(FixedVolumes(HEARTS, IMAGES), 12, batch=5, strength=0.4)
    inputs, labels = data(0, seeded())
    assert inputs.shape == (5, 5, *GRID)
    assert torch.equal(inputs[:, 4:], IMAGES[numbers_among(labels, HEARTS)])
    torch.testing.assert_close(inputs[:, :4].sum(1), torch.ones(5, *GRID))
    network = TLNetwork(GRID)
    logits, mask_code, image_code = (
        network.autoencoder(inputs[:, :4]), network.autoencoder.encoder(inputs[:, :4]), network.predictor(inputs[:, 4:])
    )  # fmt: skip
    f, p = mask_code.detach().double().numpy(), image_code.detach().double().numpy()
    expected = F.cross_entropy(logits, labels.long()).item() + 0.4 * ((f - p) ** 2).mean() / np.var(f, 0, ddof=1).mean()
    assert data.loss(network(inputs), labels).item() == pytest.approx(expected, rel=1e-4)


def test_codes_scaled_down_gain_nothing() -> None:
    data = TrainingTL(FixedVolumes(HEARTS, IMAGES), 12, strength=1.0)
    labels, logits = HEARTS[:4], torch.randn(4, 4 * 16**3, generator=seeded())
    codes = torch.randn(4, 128, generator=seeded(1))
    losses = [data.loss(torch.cat((logits, scale * codes), 1), labels).item() for scale in (1.0, 0.01)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_both_stages_learn_to_read_shapes_in_pictures() -> None:
    r"""And the first leaves the auto-encoder as it was, while the second teaches both."""
    network = TLNetwork(GRID)
    source = FixedVolumes(HEARTS, IMAGES)
    encoder = frozen(network.autoencoder.encoder)
    variance = code_variance(codes_of_labels(encoder, HEARTS))
    alone = TrainingPredictor(source, 12, batch=6, encoder=encoder, variance=variance)
    before, first = copy.deepcopy(network.autoencoder.state_dict()), alone.held_out_score(network.predictor.eval())
    train(network.predictor, alone, alone.loss, TrainingPlan(40, 0, learning_rate=2e-3), CPU)
    assert alone.held_out_score(network.predictor) > first
    assert all(torch.equal(value, before[name]) for name, value in network.autoencoder.state_dict().items())
    joint = TrainingTL(source, 12, batch=6, strength=0.1)
    first = joint.held_out_score(network.eval())
    train(network, joint, joint.loss, TrainingPlan(40, 0, learning_rate=2e-3), CPU)
    assert joint.held_out_score(network) > first + 0.1
    seen = dice_of_structures(reader(network), IMAGES[12:], HEARTS[12:], 4)
    assert joint.held_out_score(network) == pytest.approx(np.mean(list(seen.values())))
    assert not torch.equal(network.autoencoder.state_dict()["encoder.connect.weight"], before["encoder.connect.weight"])
