r"""Label fusion: the atlases that were carried to a target vote for the label of each of its voxels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.methods.registration.atlases import Atlas, Propagated, PropagationSettings, check_edges, propagated

#: Weights of n atlases that sum to one over them, `(n, 1, 1, 1)` or `(n, Z, Y, X)`, from the target's edge map
#: `(Z, Y, X)` and theirs on its grid `(n, Z, Y, X)`.
Weighting = Callable[[Tensor, Tensor], Tensor]

GAIN = 4.0  # power of the likeness that weighs; 0 makes all votes equal
_RADIUS = 4  # voxels of the window of `local_weights`
_ALIKE = 1e-3  # mean square, relative to the target's variance, below which two edge maps count as one
_EQUAL = 1e-5  # difference of votes that is none


def equal_weights(target: Tensor, edges: Tensor) -> Tensor:
    r"""One vote for each atlas `(n, 1, 1, 1)`: majority voting."""
    return edges.new_full((len(edges), 1, 1, 1), 1.0 / len(edges))


def global_weights(target: Tensor, edges: Tensor, gain: float = GAIN) -> Tensor:
    r"""One weight for each atlas `(n, 1, 1, 1)`: the mean squared difference of its edge map to the target's, to the
    power `-gain`.

    Source: Artaechevarria et al., IEEE TMI 2009 (deviation: the gain is **our choice**).
    """
    return _powers(_squares(target, edges).mean((1, 2, 3), keepdim=True), gain)


def local_weights(target: Tensor, edges: Tensor, gain: float = GAIN) -> Tensor:
    r"""A weight for each atlas and voxel `(n, Z, Y, X)`: as `global_weights`, of the mean over a cube of 9 voxels about
    it.

    Source: Artaechevarria et al., IEEE TMI 2009 (deviation: the gain and the window are **our choice**).
    """
    means = _squares(target, edges)
    for axis in (1, 2, 3):  # a cube's mean is one along each axis in turn
        lines = means.movedim(axis, -1)
        reach = min(_RADIUS, lines.shape[-1] - 1)
        mean = F.avg_pool1d(lines.flatten(0, 2)[:, None], 2 * reach + 1, 1, reach, count_include_pad=False)
        means = mean.reshape(lines.shape).movedim(-1, axis)
    return _powers(means, gain)


def _squares(target: Tensor, edges: Tensor) -> Tensor:
    return (target - edges).square() / target.var(correction=0).clamp_min(1e-10)


def _powers(unlike: Tensor, gain: float) -> Tensor:
    return torch.softmax(-gain * unlike.clamp_min(_ALIKE).log(), 0)


def fused(target: Image, carried: Sequence[Propagated], weighting: Weighting) -> Image:
    r"""The labels (uint8) with the most votes on the target's grid; of equal votes the lowest label wins.

    A vote is the share of a label in the voxel of an atlas that was carried there, times the atlas's weight.

    Args:
        target: edge map `(Z, Y, X)` in [0, 1].
        carried: what `propagated` gives of each atlas, on the target's grid.
        weighting: one of those here.

    Raises:
        InputError: no atlas, or grids or numbers of classes that differ.
    """
    check_edges("target", target)
    if not carried:
        raise InputError("label fusion: expected at least one atlas, got none")
    shape, classes = tuple(target.data.shape), len(carried[0].labels)
    for one in carried:
        if one.labels.shape != (classes, *shape) or one.edges.shape != shape:
            found = f"{tuple(one.labels.shape)}, {tuple(one.edges.shape)}"
            raise InputError(f"label fusion: expected labels {(classes, *shape)} and edges {shape}, got {found}")
    weights = weighting(target.data.float(), torch.stack([one.edges for one in carried]))
    votes = torch.stack([weight * one.labels for weight, one in zip(weights, carried, strict=True)]).sum(0)
    behind = _EQUAL * torch.arange(classes, device=votes.device)
    return target.with_data((votes - behind[:, None, None, None]).argmax(0).to(torch.uint8))


def fusions(
    target: Image, atlases: Sequence[Atlas], weightings: Mapping[str, Weighting], settings: PropagationSettings
) -> dict[str, Image]:
    r"""The target's labels by the name of each weighting, from atlases that are carried to it once.

    A task for `learning.device.in_processes`: a partial of it with a target of its own.

    Raises:
        InputError: as `propagated` and `fused`.
    """
    carried = [propagated(target, atlas, settings) for atlas in atlases]
    return {name: fused(target, carried, weighting) for name, weighting in weightings.items()}
