r"""The method in lesson 2's cells is the library's: equal in double precision, gradients too."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from cells import method_cell
from torch import Tensor, nn

from cardiolearn.learning.training import TrainingPlan, train
from cardiolearn.methods.superresolution.networks import NETWORKS, PAPER, Deconvolution, interpolate
from cardiolearn.methods.superresolution.training_pairs import TrainingPairs
from cardiolearn.phantom.scanners.thick_slices import clinical_stack

pytestmark = pytest.mark.usefixtures("double_precision")
NOTEBOOK = Path(__file__).resolve().parents[3] / "notebooks" / "02_super_resolution.ipynb"
CLOSE = {"rtol": 1e-6, "atol": 1e-9}


def lesson(name: str) -> SimpleNamespace:
    return method_cell(NOTEBOOK, name)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def twin(cell: nn.Module, library: nn.Module, names: dict[str, str]) -> None:
    r"""Give the cell's network random weights and the library's the same; `names` are the library's by the cell's."""
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=seeded(parameter.numel())))
    state = {new: cell.state_dict()[old] for old, new in names.items()}
    assert set(state) == set(library.state_dict()) and len(state) == len(cell.state_dict())
    library.load_state_dict(state)


def assert_alike(cell: nn.Module, library: nn.Module, names: dict[str, str], inputs: Tensor) -> None:
    library.double()
    twin(cell, library, names)
    outputs = [network(inputs) for network in (cell, library)]
    torch.testing.assert_close(outputs[0], outputs[1], **CLOSE)
    for output in outputs:
        output.square().mean().backward()
    theirs = dict(library.named_parameters())
    for name, parameter in cell.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0
        torch.testing.assert_close(parameter.grad, theirs[names[name]].grad, **CLOSE)


def renamed(cell: nn.Module, pairs: dict[str, str]) -> dict[str, str]:
    r"""The library's name of each weight, by the cell's: the first of `pairs` that begins it is exchanged."""
    begins = ((name, next(old for old in pairs if name.startswith(old))) for name in cell.state_dict())
    return {name: pairs[old] + name.removeprefix(old) for name, old in begins}


@pytest.mark.parametrize(("thickness", "factor"), [(10.0, 5), (8.0, 4), (2.0, 1)])
def test_the_acquisition_is_the_librarys(thickness: float, factor: int) -> None:
    volume = (100 * torch.rand(20, 14, 12, generator=seeded())).requires_grad_()
    stack = lesson("acquire").acquire(volume, seeded(1), thickness=thickness, shift=2.0, noise=0.1)
    expected = clinical_stack(
        volume, (1.25, 1.25, 2.0), seeded(1), thickness=thickness, factor=factor, breath_hold=2.0, noise=0.1
    )
    assert stack.shape == (20 // factor, 14, 12)
    torch.testing.assert_close(stack, expected, **CLOSE)
    slopes = [torch.autograd.grad(found.square().sum(), volume)[0] for found in (stack, expected)]
    torch.testing.assert_close(slopes[0], slopes[1], **CLOSE)


def test_the_network_is_the_librarys_and_begins_as_linear_interpolation() -> None:
    cell, inputs = lesson("DeconvolutionNetwork").DeconvolutionNetwork(), torch.randn(2, 1, 4, 9, 8, generator=seeded())
    torch.testing.assert_close(cell(inputs), interpolate(inputs), **CLOSE)
    names = renamed(cell, {"thick": "branches.0", "upsample": "upsample", "thin": "body", "last": "last"})
    assert_alike(cell, NETWORKS["deconvolution"](0), names, inputs)


def test_the_notebook_may_hand_weights_over_in_their_order() -> None:
    cell, library = lesson("DeconvolutionNetwork").DeconvolutionNetwork(), NETWORKS["deconvolution"](3).double()
    cell.load_state_dict(dict(zip(cell.state_dict(), library.state_dict().values(), strict=True)))
    inputs = torch.randn(1, 1, 3, 7, 7, generator=seeded())
    torch.testing.assert_close(cell(inputs), library(inputs), **CLOSE)


def test_the_siamese_network_is_the_librarys() -> None:
    cell, inputs = lesson("SiameseNetwork").SiameseNetwork(), torch.randn(1, 21, 3, 7, 6, generator=seeded())
    names = renamed(cell, {"branches": "branches", "upsample": "upsample", "thin": "body", "last": "last"})
    assert_alike(cell, NETWORKS["siamese"](0), names, inputs)


def test_smooth_l1_is_the_one_that_is_learnt_by() -> None:
    found, wanted = 1.5 * torch.randn(2, 50, generator=seeded())
    found.requires_grad_()
    losses = lesson("smooth_l1").smooth_l1(found, wanted), TrainingPairs.loss(found, wanted)
    torch.testing.assert_close(*losses, **CLOSE)
    slopes = [torch.autograd.grad(loss, found)[0] for loss in losses]
    torch.testing.assert_close(slopes[0], slopes[1], **CLOSE)


def test_five_steps_of_training_are_the_librarys() -> None:
    cell, library = lesson("DeconvolutionNetwork").DeconvolutionNetwork(), NETWORKS["deconvolution"](0).double()
    names = renamed(cell, {"thick": "branches.0", "upsample": "upsample", "thin": "body", "last": "last"})
    twin(cell, library, names)

    def batches(step: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        mine = seeded(step)  # the same pairs for both
        stack = torch.randn(2, 1, 2, 6, 6, generator=mine)
        return stack, torch.randn(2, 1, 10, 6, 6, generator=mine)

    losses: list[float] = []
    lesson("train").train(cell, batches, steps=5, rate=1e-3, on_step=lambda step, loss: losses.append(loss))
    history = train(library, batches, TrainingPairs.loss, TrainingPlan(5, seed=0), torch.device("cpu"))
    assert losses == pytest.approx(history.loss, rel=1e-6)
    assert losses[-1] != pytest.approx(losses[0], rel=1e-3)
    for name, weight in cell.state_dict().items():
        off = (weight - library.state_dict()[names[name]]).abs().max()
        assert off <= 1e-6 * weight.abs().max()  # Adam makes full steps of rounding where a gradient is nearly 0


def test_the_papers_size_is_another_size_of_the_same() -> None:
    cell = lesson("DeconvolutionNetwork").DeconvolutionNetwork(before=64, after=32)
    larger = Deconvolution(PAPER)
    shapes = {tuple(weight.shape) for weight in larger.state_dict().values()}
    assert tuple(cell.thick[2].weight.shape) in shapes and tuple(cell.upsample.weight.shape) in shapes
