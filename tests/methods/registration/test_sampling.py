r"""An image between its voxels: values and slopes as those of torch's `grid_sample`."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hearts import seeded
from torch import Tensor

from cardiolearn.methods.registration import sampling
from cardiolearn.methods.registration.sampling import Sampler


def grid_sampled(image: Tensor, places: Tensor) -> Tensor:
    sizes = torch.tensor(image.shape).reshape(-1, *[1] * (places.ndim - 1))
    grid = ((2.0 * places + 1.0) / sizes - 1.0).flip(0).movedim(0, -1)[None]
    return F.grid_sample(image[None, None], grid, padding_mode="border", align_corners=False)[0, 0]


@pytest.mark.parametrize(("grid", "shape"), [((5, 6, 7), (4, 3, 9)), ((2, 9), (8, 9)), ((3, 2, 2), (1, 1, 50))])
@pytest.mark.parametrize("piece", [sampling._PIECE, 7])
def test_values_and_slopes_are_torchs(
    grid: tuple[int, ...], shape: tuple[int, ...], piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    r"""Within the image and beyond every border of it, at once and in pieces."""
    monkeypatch.setattr(sampling, "_PIECE", piece)
    g = seeded()
    image, weight = torch.rand(grid, generator=g).double(), torch.rand(shape, generator=g).double()
    places = 1.4 * torch.rand((len(grid), *shape), generator=g).double() - 0.2
    places *= torch.tensor(grid).reshape(-1, *[1] * len(shape)) - 1.0
    found, expected = places.clone().requires_grad_(), places.clone().requires_grad_()
    ours, theirs = Sampler(image)(found), grid_sampled(image, expected)
    torch.testing.assert_close(ours, theirs)
    for values in (ours, theirs):
        torch.autograd.backward((weight * values).sum())
    torch.testing.assert_close(found.grad, expected.grad)
    assert found.grad is not None and (found.grad == 0.0).any() and (found.grad != 0.0).any()


def test_at_voxels_the_image_is_what_it_is() -> None:
    image = torch.rand((4, 5, 3), generator=seeded())
    places = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in image.shape), indexing="ij"))
    assert torch.equal(Sampler(image)(places), image)
