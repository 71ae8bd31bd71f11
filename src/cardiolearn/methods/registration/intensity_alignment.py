r"""Rigid alignment by intensities: turn and shift one image until it is least unlike the other, from coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.methods.registration.block_matching import begun, check_pair, coarser, world
from cardiolearn.methods.registration.sampling import Sampler
from cardiolearn.methods.registration.similarity import Unlikeness, mutual_information

_LEAST_SHARE = 0.1  # of the voxels that count, which the moving image has to show
_STILL = 1e-7  # change of the unlikeness, and of the motion in voxels, at which a level ends
_LEAST = 4  # voxels along an axis of the coarsest images


@dataclass(frozen=True)
class AlignmentSettings:
    r"""How to align.

    Args:
        unlike: what is made small, of `similarity`.
        levels: of images; each coarser one has voxels twice as large.
        finest: the last level's voxels are `2**finest` times as large as those of the images.
        iterations: at each level, at most.
    """

    unlike: Unlikeness = mutual_information
    levels: int = 3
    finest: int = 0
    iterations: int = 15


def align_intensities(
    fixed: Image, moving: Image, settings: AlignmentSettings, start: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    r"""The rigid alignment `(4, 4)` (float64) of two images of one frame, begun at `start` (by default: the worlds are
    one), which may be any alignment: what is found is a rotation and a shift before it. It maps places (x, y, z, 1) in
    mm of the fixed image's world to those of the moving one's.

    Voxels of both images should be of one size. Those of the fixed image that the moving one does not show are
    left out.

    Args:
        mask: `(Z, Y, X)`, bool: the voxels of the fixed image that count; by default all of them.

    Source: Studholme et al., Pattern Recognition 1999, for the rigid alignment from coarse to fine (deviation: the
    optimiser is L-BFGS).

    Raises:
        InputError: an image of more than one frame, with too few voxels or with values that are not finite, another
            mask, or images that come to overlap in less than a tenth of what counts.
    """
    check_pair(fixed, moving, _LEAST * 2 ** (settings.finest + settings.levels - 1), mask)
    if not (fixed.data.isfinite().all() and moving.data.isfinite().all()):
        raise InputError("images: expected finite intensities, got NaN or infinite ones")
    known = fixed.data.float() if mask is None else torch.where(mask, fixed.data.float(), torch.nan)
    fixed, moving = fixed.with_data(known), moving.with_data(moving.data.float())
    found = begun(start)
    for level in reversed(range(settings.finest, settings.finest + settings.levels)):
        found = _descend(found, coarser(fixed, level), coarser(moving, level), settings)
    return found


def rigid(motion: Tensor, middle: Tensor, radius: float) -> Tensor:
    r"""The alignment `(4, 4)` that turns about `middle` `(3,)` and then shifts, both in mm: `motion` `(6,)` is the axis
    times the angle as an arc of `radius`, and the shift. Differentiable in `motion`."""
    x, y, z = (motion[:3] / radius).unbind()
    zero = torch.zeros_like(x)
    turn = torch.linalg.matrix_exp(torch.stack((zero, -z, y, z, zero, -x, -y, x, zero)).reshape(3, 3))
    column = motion[3:] + middle - turn @ middle
    return torch.cat((torch.cat((turn, column[:, None]), 1), turn.new_tensor([[0.0, 0, 0, 1]])))


def _descend(start: Tensor, fixed: Image, moving: Image, settings: AlignmentSettings) -> Tensor:
    known = ~fixed.data.isnan()
    if not known.any():
        raise InputError("mask: expected voxels that count, got none")
    still, seen = fixed.data.nan_to_num(), _Moved(fixed, moving, start)
    middle, radius = _extent(known, world(fixed))
    voxels = torch.zeros(6, dtype=torch.float64, device="cpu", requires_grad=True)  # the motion, in this level's voxels
    optimiser = torch.optim.LBFGS(
        [voxels], max_iter=settings.iterations, tolerance_change=_STILL, line_search_fn="strong_wolfe"
    )

    def motion() -> Tensor:
        return rigid(voxels * min(fixed.spacing), middle, radius)

    def unlike() -> float:
        optimiser.zero_grad()
        warped, shown = seen(motion())
        both = known & shown
        loss = settings.unlike(still, warped, both if _enough(both, known) else known)
        torch.autograd.backward(loss)
        return loss.item()

    optimiser.step(unlike)
    found = motion().detach()
    if not _enough(known & seen(found)[1], known):
        raise InputError("images: expected some that overlap, got less than a tenth of what counts")
    return start @ found


class _Moved:
    # The moving image as the fixed one's voxels see it, and where it shows anything.

    def __init__(self, fixed: Image, moving: Image, start: Tensor) -> None:
        device, self.sampler = fixed.data.device, Sampler(moving.data)
        self.last = torch.tensor(moving.data.shape, device=device).reshape(3, 1, 1, 1) - 1
        axes = [torch.arange(size, device=device, dtype=torch.float32) for size in fixed.data.shape]
        self.voxels = torch.stack(torch.meshgrid(*axes, indexing="ij"))  # (z, y, x)
        self.world, self.to_voxels = world(fixed), torch.linalg.inv(world(moving)) @ start

    def __call__(self, motion: Tensor) -> tuple[Tensor, Tensor]:
        matrix = (self.to_voxels @ motion @ self.world)[:3].flip(0).to(self.voxels)  # rows (z, y, x)
        turned = torch.einsum("ij,jzyx->izyx", matrix[:, :3].flip(1), self.voxels)
        places = turned + matrix[:, 3].reshape(3, 1, 1, 1)
        return self.sampler(places), ((places >= 0) & (places <= self.last)).all(0)


def _enough(shown: Tensor, known: Tensor) -> bool:
    return bool(shown.sum() >= _LEAST_SHARE * known.sum())


def _extent(known: Tensor, affine: Tensor) -> tuple[Tensor, float]:
    # The middle in mm `(3,)` of the voxels that count, and how far they are from it (root of the mean square).
    places = known.nonzero().flip(1).double().cpu() @ affine[:3, :3].T + affine[:3, 3]
    middle = places.mean(0)
    return middle, max((places - middle).square().sum(1).mean().sqrt().item(), 1.0)
