r"""The FCN against its published size, its plain form, and itself folded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from cardiolearn.methods.segmentation.fcn import FCN, _Doubled
from cardiolearn.methods.segmentation.training_slices import TrainingSlices


def warmed_up(n_classes: int = 4) -> FCN:
    r"""A network whose batch normalisation has seen data: statistics and affine terms away from 0 and 1."""
    network = FCN(n_classes, seed=3)
    generator = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.uniform_(module.bias, -0.5, 0.5, generator=generator)
    for _ in range(4):
        network(torch.rand(2, 1, 64, 48, generator=generator))
    return network.eval()


def paper_upsample(x: Tensor, factor: int) -> Tensor:
    r"""One transposed convolution of kernel 2 * factor - 1, as the paper's code builds it (get_kernel_size)."""
    triangle = 1 - (torch.arange(2 * factor - 1) - (factor - 1)).abs().to(x) / factor
    kernel = torch.outer(triangle, triangle).expand(x.shape[1], 1, -1, -1)
    full = functional.conv_transpose2d(x, kernel, stride=factor, groups=x.shape[1])
    return full[..., factor - 1 :, factor - 1 :]


def plain_forward(network: FCN, x: Tensor) -> Tensor:
    r"""The paper's own order: project, upsample 32 channels of each level, concatenate 160, convolve."""
    features = []
    for number, (level, project) in enumerate(zip(network.levels, network.project, strict=True)):
        x = level(x)
        projected = project(x)
        features.append(projected if number == 0 else paper_upsample(projected, 2**number))
    joined = torch.cat(features, dim=1)
    assert joined.shape[1] == 160
    return network.classify(network.mix(network.join(joined)))


@pytest.mark.parametrize(("n_classes", "expected"), [(2, 1_985_426), (3, 1_985_491), (4, 1_985_556)])
def test_parameter_count_is_the_papers(n_classes: int, expected: int) -> None:
    assert sum(p.numel() for p in FCN(n_classes).parameters()) == expected


def test_sixteen_main_convolutions() -> None:
    network = FCN()
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 13 + 5 + 3
    assert [m.stride for m in convolutions].count((2, 2)) == 4


@pytest.mark.parametrize("shape", [(1, 1, 16, 16), (2, 1, 48, 80), (3, 1, 96, 64)])
def test_projecting_before_upsampling_changes_nothing(shape: tuple[int, ...]) -> None:
    network = warmed_up().double()
    x = torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        ours, plain = network(x), plain_forward(network, x)
    assert ours.shape == (shape[0], 4, *shape[2:])
    # the kernels of 1/2, 1, 1/2 and of the paper are exact in binary, so only the summation order differs
    torch.testing.assert_close(ours, plain, atol=1e-10, rtol=1e-10)
    with torch.no_grad():
        single = network.float()(x.float())
    torch.testing.assert_close(single.double(), plain, atol=1e-5, rtol=1e-5)


def test_gradients_equal_the_plain_form() -> None:
    network = warmed_up().double()
    x = torch.rand(2, 1, 32, 48, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradients = []
    for forward in (network, lambda image: plain_forward(network, image)):
        network.zero_grad()
        forward(x).square().mean().backward()
        gradients.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(list(network.parameters()))
    for ours, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-10, rtol=1e-8)


def test_upsampling_is_linear_interpolation_away_from_the_far_edge() -> None:
    x = torch.rand(1, 64, 5, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    fine = _Doubled.apply(x)
    columns = np.interp(np.arange(13) / 2, np.arange(7), x[0, 0, 2].numpy())
    np.testing.assert_allclose(fine[0, 0, 4, :13].numpy(), columns, atol=1e-12)
    np.testing.assert_allclose(fine[0, 0, 4, 13].item(), x[0, 0, 2, 6].item() / 2, atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 64, 1, 1), (3, 2, 1, 6), (1, 5, 7, 1)])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_doubling_and_its_gradient_are_those_of_the_transposed_convolution(
    shape: tuple[int, ...], order: torch.memory_format
) -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(shape, generator=generator, dtype=torch.float64).contiguous(memory_format=order)
    pull = torch.randn(*shape[:2], 2 * shape[2], 2 * shape[3], generator=generator, dtype=torch.float64)
    ours, theirs = (x.clone().requires_grad_() for _ in range(2))
    found, expected = _Doubled.apply(ours), paper_upsample(theirs, 2)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    found.backward(pull)
    expected.backward(pull)
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-12, rtol=0)
    half = _Doubled.apply(x.bfloat16())  # a quarter of four numbers of 8 bits: rounded once
    torch.testing.assert_close(half.double(), paper_upsample(x.bfloat16().double(), 2), atol=0, rtol=2**-8)


def test_fused_network_gives_the_same_answer_and_leaves_the_original_alone() -> None:
    network = warmed_up()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    x = torch.rand(2, 1, 64, 96, generator=torch.Generator().manual_seed(4))
    fused = network.fused()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
    with torch.inference_mode():
        torch.testing.assert_close(fused(x), network(x), atol=1e-4, rtol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_shift_by_the_coarsest_pixel_shifts_the_answer() -> None:
    network = warmed_up().double()
    x = torch.zeros(1, 1, 512, 16, dtype=torch.float64)
    x[:, :, 240:272] = torch.rand(32, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        still, moved = network(x), network(x.roll(16, dims=2))
    torch.testing.assert_close(moved[:, :, 220:300], still[:, :, 204:284], atol=1e-9, rtol=1e-9)


def test_weights_come_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = FCN(seed=7).state_dict()
    torch.manual_seed(2)
    second, other = FCN(seed=7).state_dict(), FCN(seed=8).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["levels.0.0.conv.weight"], other["levels.0.0.conv.weight"])


@pytest.mark.parametrize("shape", [(1, 1, 40, 32), (1, 1, 32, 33), (1, 3, 32, 32), (1, 32, 32)])
def test_wrong_input_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"divisible by 16, got \("):
        FCN()(torch.zeros(shape))


def test_network_and_loss_run_on_the_meta_device() -> None:
    with torch.device("meta"):
        network = FCN()
        images = torch.empty(2, 1, 32, 48)
        labels = torch.empty(2, 32, 48, dtype=torch.int64)
    logits = network(images)
    assert logits.device.type == "meta"
    TrainingSlices.loss(logits, labels).backward()
    assert all(p.grad is not None and p.grad.is_meta for p in network.parameters())
    assert network.eval().fused()(images).shape == (2, 4, 32, 48)
