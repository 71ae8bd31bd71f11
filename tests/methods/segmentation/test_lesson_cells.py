r"""The method as lesson 1 writes it in its cells, held against the library and against torch and MONAI, in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from cells import method_cell
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional

from cardiolearn.learning import training
from cardiolearn.learning.training import TrainingPlan
from cardiolearn.learning.weights import initialise
from cardiolearn.methods.segmentation.fcn import FCN
from cardiolearn.methods.segmentation.training_slices import TrainingSlices

LESSON = Path(__file__).resolve().parents[3] / "notebooks" / "01_ml_in_mia.ipynb"
CLOSE: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-12}


def pictures(n: int = 3, size: tuple[int, int] = (48, 64), classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    r"""Random slices `(N, 1, Y, X)` and labels `(N, Y, X)`."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 1, *size, generator=generator, dtype=torch.float64)
    return images, torch.randint(0, classes, (n, *size), generator=generator)


def two_networks(classes: int = 4) -> tuple[nn.Module, nn.Module]:
    r"""The lesson's network and the library's, with the same weights; batch normalisation far from where it begins."""
    ours, theirs = method_cell(LESSON, "PaperFCN").PaperFCN(classes).double(), FCN(classes, seed=3).double()
    generator = torch.Generator().manual_seed(5)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight.data, module.running_var):
                values.uniform_(0.5, 1.5, generator=generator)
            for values in (module.bias.data, module.running_mean):
                values.uniform_(-0.5, 0.5, generator=generator)
    copied = zip(ours.state_dict(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict(dict(copied))  # the layers come in the same order, under other names
    return ours, theirs


@pytest.mark.parametrize("learning", [True, False])
@pytest.mark.parametrize("classes", [4, 6])
def test_the_network_gives_the_librarys_scores_and_gradients(classes: int, learning: bool) -> None:
    images, labels = pictures(classes=classes)
    found = []
    for network in two_networks(classes):
        scores = network.train(learning)(images)
        functional.cross_entropy(scores, labels).backward()
        found.append((scores, [p.grad for p in network.parameters()], [b.double() for b in network.buffers()]))
    (ours, our_gradients, our_buffers), (theirs, their_gradients, their_buffers) = found
    assert ours.shape == (3, classes, 48, 64)
    torch.testing.assert_close(ours, theirs, **CLOSE)
    largest = max(float(g.abs().max()) for g in their_gradients)
    for a, b in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6 * largest)
    for a, b in zip(our_buffers, their_buffers, strict=True):
        torch.testing.assert_close(a, b, **CLOSE)


def test_its_features_are_five_levels_of_the_size_of_the_slice() -> None:
    ours, _ = two_networks()
    assert [tuple(maps.shape) for maps in ours.eval().features(pictures()[0])] == [(3, 32, 48, 64)] * 5


@pytest.mark.parametrize("factor", [1, 2, 4, 8, 16])
def test_upsampling_interpolates_linearly_between_coarse_pixels(factor: int) -> None:
    upsample = method_cell(LESSON, "upsample").upsample
    coarse = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    size = [factor * (n - 1) + 1 for n in (4, 5)]  # between the first coarse pixel and the last
    inside = functional.interpolate(coarse, size, mode="bilinear", align_corners=True)
    fine = upsample(coarse, factor)
    assert fine.shape == (2, 3, 4 * factor, 5 * factor)
    torch.testing.assert_close(fine[..., : size[0], : size[1]], inside, **CLOSE)


def scores_and_labels() -> tuple[Tensor, Tensor]:
    _, labels = pictures(n=2, size=(9, 7))
    return (6 * torch.rand(2, 4, 9, 7, dtype=torch.float64) - 3).requires_grad_(), labels


def gradient_of(loss: Any, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    value = loss(scores, labels)
    return value, torch.autograd.grad(value, scores)[0]


def test_the_cross_entropy_is_the_librarys() -> None:
    scores, labels = scores_and_labels()
    ours = method_cell(LESSON, "cross_entropy").cross_entropy
    torch.testing.assert_close(
        gradient_of(ours, scores, labels), gradient_of(TrainingSlices.loss, scores, labels), **CLOSE
    )
    huge = torch.tensor([[1000.0, -1000.0]], dtype=torch.float64)[..., None, None]
    assert torch.isfinite(ours(huge, torch.ones(1, 1, 1, dtype=torch.int64)))


def test_the_dice_loss_is_monais() -> None:
    scores, labels = scores_and_labels()
    ours = method_cell(LESSON, "dice_loss").dice_loss
    how = {"include_background": False, "to_onehot_y": True, "softmax": True, "batch": True}
    monai = DiceLoss(**how, smooth_nr=1.0, smooth_dr=1.0)
    theirs = gradient_of(lambda found, truth: monai(found, truth[:, None]), scores, labels)
    torch.testing.assert_close(gradient_of(ours, scores, labels), theirs, **CLOSE)
    nothing = torch.zeros(1, 5, 5, dtype=torch.int64)
    certain = torch.tensor([50.0, 0, 0, 0]).double()[None, :, None, None].expand(1, 4, 5, 5)
    assert ours(certain, nothing) < 1e-9  # a structure that is nowhere, and found nowhere


class Batch:
    r"""The same batches for both loops, whatever generator they come with."""

    def __call__(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return pictures(n=3, size=(48, 48), seed=step)


def test_five_steps_of_the_loop_are_the_librarys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "trains_in_half", lambda device: False)
    cells = method_cell(LESSON, "train")
    ours, theirs = two_networks()
    for network in (ours, theirs):
        initialise(network, 1)
    losses: list[float] = []
    cells.train(ours, Batch(), cells.cross_entropy, 5, 0, lambda step, loss: losses.append(loss))
    plan = TrainingPlan(steps=5, seed=0, learning_rate=2e-3)
    history = training.train(theirs, Batch(), TrainingSlices.loss, plan, torch.device("cpu"))
    assert losses == pytest.approx(history.loss, rel=1e-6)
    assert losses[-1] < losses[0] and not ours.training
    for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(a.double(), b.double(), rtol=1e-6, atol=1e-9)


def test_the_loop_trains_what_it_is_given_and_from_the_seed_alone() -> None:
    cells = method_cell(LESSON, "train")
    ends = []
    for seed in (0, 0, 1):
        layer = nn.Conv2d(1, 2, 1)
        initialise(layer, 0)

        def noise(step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            images = torch.rand(4, 1, 8, 8, generator=generator)
            return images, (images[:, 0] > 0.5).long()

        cells.train(layer, noise, cells.cross_entropy, 40, seed, rate=0.1)
        ends.append(layer.weight.detach().clone())
    assert torch.equal(ends[0], ends[1]) and not torch.equal(ends[0], ends[2])
    assert ends[0][1] > ends[0][0]  # bright pixels are the second class
