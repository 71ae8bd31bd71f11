r"""On a graphics card: pictures, a training and a segmentation, held against the CPU where both compute the same."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hearts import disc_maps, seeded, spheres
from torch import Tensor

from cardiolearn.errors import Unfinished
from cardiolearn.learning import training
from cardiolearn.learning.checkpoint import History, Keep
from cardiolearn.learning.training import TrainingPlan, train
from cardiolearn.learning.weights import ready
from cardiolearn.methods.segmentation.fcn import FCN
from cardiolearn.methods.segmentation.training_slices import TrainingSlices, found_labels
from cardiolearn.methods.superresolution.networks import NETWORKS
from cardiolearn.methods.superresolution.training_pairs import TrainingPairs
from cardiolearn.phantom.cohorts.ultrasound_volumes import render_ultrasound, sample_beams
from cardiolearn.phantom.cohorts.volume_maps import sample_volume
from cardiolearn.phantom.cohorts.volume_rendering import render_stacks

pytestmark = pytest.mark.cuda
CARD, CPU = torch.device("cuda", 0), torch.device("cpu")


@pytest.fixture(scope="module")
def slices() -> TrainingSlices:
    return TrainingSlices(disc_maps(12), 8, size=64, pixel=3.0, batch=8)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    r"""The card computes with 24 bits, as the CPU does."""
    monkeypatch.setattr(training, "trains_in_half", lambda device: False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


def fit(network: FCN, slices: TrainingSlices, device: torch.device, steps: int = 3) -> History:
    r"""Train on pictures made on the CPU, the same for every device."""

    def batches(step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return slices(step, seeded(step))

    return train(network, batches, slices.loss, TrainingPlan(steps, seed=0), device, validate=slices.held_out_score)


def test_pictures_are_made_there_and_repeat_with_the_seed(slices: TrainingSlices) -> None:
    fresh = (replace(slices) for _ in range(3))  # none has pictures left
    first, again, other = (
        s(0, torch.Generator(CARD).manual_seed(seed)) for s, seed in zip(fresh, (1, 1, 2), strict=True)
    )
    images, labels = first
    assert images.device == labels.device == CARD and images.shape == (8, 1, 64, 64)
    assert images.min() >= 0 and images.max() <= 1 and labels.unique().tolist() == [0, 1, 2, 3]
    assert torch.equal(images, again[0]) and torch.equal(labels, again[1]) and not torch.equal(images, other[0])


def test_batches_that_were_pictured_together_differ(slices: TrainingSlices) -> None:
    fresh, generator = replace(slices), torch.Generator(CARD).manual_seed(0)
    images = [fresh(step, generator)[0] for step in range(9)]
    assert all(len(batch) == 8 for batch in images)
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(images, 2))


def test_pairs_of_stack_and_volume_are_made_there() -> None:
    pairs = TrainingPairs(spheres(2), 2, views=True, size=24)
    inputs, target = pairs(0, torch.Generator(CARD).manual_seed(0))
    assert inputs.device == target.device == CARD and bool(inputs.isfinite().all())
    network = NETWORKS["siamese"](0).to(CARD)
    pairs.loss(network(inputs), target).backward()


def test_three_steps_are_those_of_the_cpu(slices: TrainingSlices, exact: None) -> None:
    here, there = FCN(), FCN()
    expected, found = fit(here, slices, CPU), fit(there, slices, CARD)
    assert found.loss == pytest.approx(expected.loss, rel=1e-3)
    assert {p.device for p in there.parameters()} == {CARD}
    assert found.validation[3] == pytest.approx(expected.validation[3], abs=0.02)


def test_a_training_goes_on_there_where_it_paused(slices: TrainingSlices, tmp_path: Path) -> None:
    plan, kept = TrainingPlan(3, seed=0, schedule="cosine", average=True), tmp_path / "state.safetensors"

    def pictured_here(step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return slices(step, seeded(step))  # a card would go on with other pictures

    network = FCN()
    for _ in range(2):
        with pytest.raises(Unfinished):
            train(network, pictured_here, slices.loss, plan, CARD, keep=Keep(kept, seconds=0.0))
    history = train(network, pictured_here, slices.loss, plan, CARD, keep=Keep(kept, seconds=0.0))
    whole = train(FCN(), pictured_here, slices.loss, plan, CARD)
    assert history.loss == pytest.approx(whole.loss, rel=0.02)  # sums on a card come in any order


def test_labels_are_those_of_the_cpu(slices: TrainingSlices) -> None:
    network = FCN()
    fit(network, slices, CPU, steps=20)
    images, _ = slices._held_out
    here, there = (found_labels(ready(network, device), images) for device in (CPU, CARD))
    assert (here == there).float().mean() > 0.999 and len(here.unique()) > 1


def test_whole_hearts_and_their_ultrasound_are_scanned_there() -> None:
    maps, beams = sample_volume(0, device=CARD), sample_beams(0, device=CARD)
    generator, picks = torch.Generator(CARD).manual_seed(0), torch.arange(2, device=CARD)
    found, (picture, label) = render_stacks(maps, picks, generator), render_ultrasound(beams, picks, generator)
    for tensor in (found.stack, found.thin, picture):
        assert tensor.device == CARD and bool(tensor.isfinite().all()) and tensor.std() > 0.0
    assert found.label.unique().tolist() == [0, 1, 2, 3] and label.unique().tolist() == [0, 1, 2]
    here = sample_volume(0).label
    assert (maps.label.cpu() == here).float().mean() > 0.999
