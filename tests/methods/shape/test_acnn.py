r"""The constrained losses: by hand, by finite differences, and without a trace on the encoder."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hearts import seeded, shell_hearts
from torch import Tensor, nn

from cardiolearn.errors import InputError
from cardiolearn.learning.training import TrainingPlan, train
from cardiolearn.methods.shape.acnn import (
    CodePrior,
    code_distance,
    code_variance,
    segmentation_loss,
    super_resolution_loss,
)
from cardiolearn.methods.shape.autoencoder import Encoder
from cardiolearn.methods.shape.codes import codes_of_labels
from cardiolearn.methods.shape.frozen import Frozen, frozen
from cardiolearn.methods.shape.label_volumes import one_hot
from cardiolearn.methods.shape.segmenter import Segmenter
from cardiolearn.methods.shape.training_volumes import TrainingVolumes
from cardiolearn.methods.shape.volume_source import FixedVolumes

GRID = (16, 16, 16)
HEARTS = shell_hearts(6, GRID)


def warm_encoder(channels: int = 4, grid: tuple[int, int, int] = GRID) -> Frozen:
    r"""Frozen, its batch normalisation away from 0 and 1."""
    encoder = Encoder(channels, grid, seed=3)
    for i in range(3):
        encoder(torch.rand(4, channels, *grid, generator=seeded(i)))
    return frozen(encoder)


def test_the_distance_is_numpys_of_the_codes_and_two_for_hearts_picked_at_random() -> None:
    encoder = warm_encoder()
    masks = one_hot(HEARTS, 4)
    codes = encoder(masks).detach().double().numpy()
    variance = code_variance(torch.from_numpy(codes))
    assert variance == pytest.approx(np.var(codes, axis=0, ddof=1).mean())
    found = code_distance(encoder, masks[:3], masks[3:], variance).item()
    assert found == pytest.approx(((codes[:3] - codes[3:]) ** 2).mean() / variance, rel=1e-4)
    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    each = [code_distance(encoder, masks[i : i + 1], masks[j : j + 1], variance).item() for i, j in pairs]
    assert np.mean(each) == pytest.approx(2.0, rel=1e-4)  # exactly so for the sample's own variance
    assert code_distance(encoder, masks, masks, variance) == 0
    doubled = copy.deepcopy(encoder)
    doubled.network.connect.weight.mul_(2)  # type: ignore[union-attr, operator]
    doubled.network.connect.bias.mul_(2)  # type: ignore[union-attr, operator]
    twice = code_variance(doubled(masks))
    assert code_distance(doubled, masks[:3], masks[3:], twice).item() == pytest.approx(found, rel=1e-4)


def test_gradients_pass_the_frozen_encoder_and_are_those_of_finite_differences(double_precision: None) -> None:
    encoder = warm_encoder(2, (4, 5, 3)).double()
    wanted = one_hot(torch.randint(0, 2, (1, 4, 5, 3), generator=seeded()), 2)
    logits = torch.randn(1, 2, 4, 5, 3, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    prior = CodePrior(encoder, 0.3, 0.7)
    assert torch.autograd.gradcheck(lambda x: prior(x.softmax(1), wanted), logits)
    labels = wanted.argmax(1)
    assert torch.autograd.gradcheck(lambda x: segmentation_loss(x, labels, prior), logits)
    (gradient,) = torch.autograd.grad(prior(logits.softmax(1), wanted), logits)
    assert (gradient != 0).float().mean() > 0.5
    picture = torch.randn(1, 1, 4, 5, 3, generator=seeded(2), dtype=torch.float64, requires_grad=True)
    predictor = CodePrior(warm_encoder(1, (4, 5, 3)).double(), 0.3, 0.7)
    aim = picture.detach() + 0.3  # made here: the check moves the picture itself
    assert torch.autograd.gradcheck(lambda x: super_resolution_loss(x, aim, predictor), picture)


def test_the_segmentation_loss_is_cross_entropy_and_the_prior_on_probabilities() -> None:
    encoder = warm_encoder()
    logits = 2 * torch.randn(2, 4, *GRID, generator=seeded())
    chosen = logits.log_softmax(1).gather(1, HEARTS[:2, None].long())
    plain = segmentation_loss(logits, HEARTS[:2]).item()
    assert plain == pytest.approx(-chosen.mean().item(), rel=1e-5)
    powers = logits.exp()
    distance = code_distance(encoder, powers / powers.sum(1, keepdim=True), one_hot(HEARTS[:2], 4), 0.5).item()
    for strength in (0.0, 0.1, 3.0):
        found = segmentation_loss(logits, HEARTS[:2], CodePrior(encoder, 0.5, strength)).item()
        assert found == pytest.approx(plain + strength * distance, rel=1e-5)


def test_the_super_resolution_loss_is_smooth_l1_and_the_prior_on_pictures() -> None:
    predictor = warm_encoder(1)
    found, wanted = (3 * torch.rand(2, 1, *GRID, generator=seeded(i)) for i in (0, 1))
    error = (found - wanted).abs().numpy()
    plain = np.where(error < 1, error**2 / 2, error - 0.5).mean()
    assert super_resolution_loss(found, wanted).item() == pytest.approx(plain, rel=1e-5)
    apart = ((predictor(found) - predictor(wanted)) ** 2).mean().item() / 0.5
    with_prior = super_resolution_loss(found, wanted, CodePrior(predictor, 0.5, 0.2)).item()
    assert with_prior == pytest.approx(plain + 0.2 * apart, rel=1e-5)


def test_training_a_segmenter_leaves_the_encoder_bit_for_bit_as_it_was() -> None:
    encoder = warm_encoder()
    variance = code_variance(codes_of_labels(encoder, HEARTS))
    before = copy.deepcopy(encoder.state_dict())
    images = HEARTS[:, None].float() + 0.5 * torch.randn(6, 1, *GRID, generator=seeded())
    weights = {}
    for strength in (0.0, 5.0):
        prior = CodePrior(encoder, variance, strength)
        data = TrainingVolumes(FixedVolumes(HEARTS, images), 5, prior=prior)
        segmenter = Segmenter(filters=(4, 8))
        train(segmenter, data, data.loss, TrainingPlan(4, 0), torch.device("cpu"))
        weights[strength] = segmenter.classify.weight
    assert before.keys() == encoder.state_dict().keys()
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert all(p.grad is None for p in encoder.parameters())
    assert not torch.allclose(weights[0.0], weights[5.0])  # what the encoder says is learnt


def test_a_prior_makes_the_codes_agree() -> None:
    r"""Logits that only the prior pulls at come nearer to the heart's code, and no other heart's."""
    encoder = warm_encoder()
    variance = code_variance(codes_of_labels(encoder, HEARTS))
    wanted, other = one_hot(HEARTS[:1], 4), one_hot(HEARTS[1:2], 4)
    logits = nn.Parameter((other + 0.05).log())
    descent = torch.optim.Adam([logits], lr=0.3)
    prior = CodePrior(encoder, variance, 1.0)
    first = prior(logits.softmax(1), wanted).item()
    for _ in range(30):
        descent.zero_grad()
        prior(logits.softmax(1), wanted).backward()
        descent.step()
    assert prior(logits.softmax(1), wanted).item() < 0.2 * first
    assert prior(logits.softmax(1), wanted) < 0.3 * prior(logits.softmax(1), other)


def test_the_encoder_goes_to_the_device_of_what_it_judges() -> None:
    prior = CodePrior(warm_encoder(), 0.5, 1.0)
    logits = torch.empty(2, 4, *GRID, device="meta", requires_grad=True)
    labels = torch.empty(2, *GRID, dtype=torch.uint8, device="meta")
    segmentation_loss(logits, labels, prior).backward()
    assert logits.grad is not None and logits.grad.is_meta


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.rand(1, 64), r"at least two hearts, got \(1, 64\)"),
        (torch.rand(64), r"at least two hearts, got \(64,\)"),
        (torch.ones(4, 64), "different, finite codes, got a variance of 0.0"),
        (torch.full((4, 64), math.nan), "different, finite codes, got a variance of nan"),
    ],
)
def test_codes_without_a_variance_are_refused(codes: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        code_variance(codes)
