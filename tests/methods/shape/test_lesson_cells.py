r"""The method in lesson 3's cells is the library's: equal in double precision, gradients too."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from cells import method_cell
from hearts import seeded, shell_hearts
from torch import Tensor, nn
from torch.nn import functional as F

from cardiolearn.learning import training
from cardiolearn.learning.training import TrainingPlan, train
from cardiolearn.methods.shape.acnn import CodePrior, code_distance, segmentation_loss
from cardiolearn.methods.shape.autoencoder import AutoEncoder
from cardiolearn.methods.shape.frozen import frozen
from cardiolearn.methods.shape.label_volumes import one_hot
from cardiolearn.methods.shape.segmenter import Segmenter

pytestmark = pytest.mark.usefixtures("double_precision")
NOTEBOOK = Path(__file__).resolve().parents[3] / "notebooks" / "03_acnn.ipynb"
CLOSE = {"rtol": 1e-6, "atol": 1e-9}
GRID = (9, 12, 14)


@pytest.fixture(autouse=True)
def in_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    r"""Some processors train in bfloat16, which a test to a millionth cannot."""
    monkeypatch.setattr(training, "trains_in_half", lambda device: False)


@cache
def lesson(name: str) -> SimpleNamespace:
    return method_cell(NOTEBOOK, name)


def pair(grid: tuple[int, int, int] = GRID) -> tuple[nn.Module, nn.Module]:
    r"""The cell's auto-encoder and the library's, with the same random weights in the order of their layers."""
    cell, library = lesson("AutoEncoder").AutoEncoder(grid), AutoEncoder(grid, seed=3).double()
    cell.load_state_dict(dict(zip(cell.state_dict(), library.state_dict().values(), strict=True)))
    return cell.double(), library


@pytest.mark.parametrize("grid", [GRID, (16, 17, 18)])
def test_the_auto_encoder_is_the_librarys(grid: tuple[int, int, int]) -> None:
    cell, library = pair(grid)
    masks = torch.rand((2, 4, *grid), generator=seeded())
    torch.testing.assert_close(cell.encoder(masks), library.encoder(masks), **CLOSE)
    outputs = [network(masks) for network in (cell, library)]
    assert outputs[0].shape == (2, 4, *grid)
    torch.testing.assert_close(outputs[0], outputs[1], **CLOSE)
    for output in outputs:
        output.square().mean().backward()
    for (name, ours), theirs in zip(cell.named_parameters(), library.parameters(), strict=True):
        assert ours.grad is not None, name
        torch.testing.assert_close(ours.grad, theirs.grad, **CLOSE)


def test_the_losses_are_the_librarys_and_so_are_their_gradients() -> None:
    cell, library = pair()
    scores = torch.randn((2, 4, *GRID), generator=seeded()).requires_grad_()
    labels = shell_hearts(2, GRID)
    judge, variance = frozen(library.encoder), 1.7
    pieces = lesson("acnn_loss")
    ours = pieces.code_loss(cell.encoder.eval(), scores.softmax(1), one_hot(labels, 4), variance)
    torch.testing.assert_close(ours, code_distance(judge, scores.softmax(1), one_hot(labels, 4), variance), **CLOSE)
    torch.testing.assert_close(pieces.cross_entropy(scores, labels.long()), F.cross_entropy(scores, labels.long()))
    losses = (
        pieces.acnn_loss(scores, labels.long(), cell.encoder, variance, 0.3),
        segmentation_loss(scores, labels, CodePrior(judge, variance, 0.3)),
    )
    torch.testing.assert_close(*losses, **CLOSE)
    slopes = [torch.autograd.grad(loss, scores)[0] for loss in losses]
    torch.testing.assert_close(slopes[0], slopes[1], **CLOSE)
    plain = torch.autograd.grad(F.cross_entropy(scores, labels.long()), scores)[0]
    assert (slopes[0] - plain).abs().max() > 1e-6  # the prior's gradient reaches the scores


def test_five_steps_of_the_auto_encoders_training_are_the_librarys() -> None:
    cell, library = pair()

    def batches(step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        labels = shell_hearts(3, GRID).roll(step, 0)[:2].long()
        return one_hot(labels, 4) + 0.1 * torch.rand((2, 4, *GRID), generator=seeded(step)), labels

    assert_alike(cell, library, batches, F.cross_entropy, F.cross_entropy, decay=0.0)


def test_five_constrained_steps_are_the_librarys() -> None:
    judged, library_judge = pair()
    judge, prior = judged.encoder.eval().requires_grad_(False), CodePrior(frozen(library_judge.encoder), 0.8, 0.5)
    before = {name: value.clone() for name, value in judge.state_dict().items()}
    networks = [Segmenter(upsampling=3, filters=(4, 4), seed=1).double() for _ in range(2)]

    def batches(step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return torch.rand((2, 1, 3, 12, 14), generator=seeded(step)), shell_hearts(2, GRID).long()

    def constrained(scores: Tensor, labels: Tensor) -> Tensor:
        loss: Tensor = lesson("acnn_loss").acnn_loss(scores, labels, judge, 0.8, 0.5)
        return loss

    def library_loss(scores: Tensor, labels: Tensor) -> Tensor:
        return segmentation_loss(scores, labels, prior)

    assert_alike(*networks, batches, constrained, library_loss, decay=1e-3)
    assert all(torch.equal(value, before[name]) for name, value in judge.state_dict().items())


def assert_alike(cell: nn.Module, library: nn.Module, batches, loss, library_loss, *, decay: float) -> None:  # type: ignore[no-untyped-def]  # fmt: skip
    losses: list[float] = []
    lesson("train").train(cell, batches, loss, 5, 0, lambda step, value: losses.append(value), rate=1e-3, decay=decay)
    history = train(library, batches, library_loss, TrainingPlan(5, seed=0, weight_decay=decay), torch.device("cpu"))
    assert losses == pytest.approx(history.loss, rel=1e-6)
    assert losses[-1] != pytest.approx(losses[0], rel=1e-3)
    for (name, ours), theirs in zip(cell.state_dict().items(), library.state_dict().values(), strict=True):
        off = (ours.double() - theirs.double()).abs().max()
        assert off <= 1e-6 * max(ours.double().abs().max(), 1e-3), name
