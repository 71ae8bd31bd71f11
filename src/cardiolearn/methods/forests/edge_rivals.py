r"""What edge forests are compared with: the gradient's size, Canny's edges, and a forest that judges each voxel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from cardiolearn.methods.forests.boundary_scores import thinned
from cardiolearn.methods.forests.channels import SHRINK, channels
from cardiolearn.methods.forests.edges import EdgeSettings
from cardiolearn.methods.forests.forest import Forest
from cardiolearn.methods.forests.objectives import Classes
from cardiolearn.methods.forests.questions import Answers, Questions
from cardiolearn.methods.forests.training_patches import Samples
from cardiolearn.methods.forests.tree import Tree, grow

_SMOOTH = 1.0  # voxels, standard deviation: before slopes are taken
_WEAK = 0.4  # of the strong threshold: where Canny's edges may go on
_STEPS = 32  # strong thresholds that are tried


def gradient_magnitude(picture: Tensor) -> Tensor:
    r"""The size of the gradient of a smoothed picture `([Z,] Y, X)`, as a share of its largest value."""
    size = ndimage.gaussian_gradient_magnitude(picture.cpu().double().numpy(), _SMOOTH, mode="nearest")
    return torch.from_numpy(size / max(size.max(), 1e-9)).to(picture.device, torch.float32)


def canny(picture: Tensor) -> Tensor:
    r"""Canny's edges of a picture `([Z,] Y, X)`: each voxel has the highest threshold at which it still is an edge.

    At a threshold, edges are the ridges of the gradient that hang together, above 0.4 times the threshold, with a voxel
    above it.

    Source: Canny, PAMI 1986, in two or three dimensions (deviation: all thresholds are tried, so that edges have a
    strength).
    """
    ridges = thinned(gradient_magnitude(picture)).cpu().numpy()
    around = ndimage.generate_binary_structure(ridges.ndim, ridges.ndim)
    strength = np.zeros_like(ridges)
    for threshold in (np.arange(_STEPS) + 1.0) / _STEPS:
        pieces, count = ndimage.label(ridges > _WEAK * threshold, around)
        strongest = np.zeros(count + 1)
        np.maximum.at(strongest, pieces.ravel(), ridges.ravel())
        strongest[0] = 0.0
        strength[strongest[pieces] >= threshold] = threshold
    return torch.from_numpy(strength).to(picture.device)


class VoxelForest:
    r"""A forest that tells of each place by itself whether a border runs through it: a plain classification of voxels.

    It learns from the same pictures, places, questions and depth as an edge forest, but of a label patch it knows only
    whether its middle holds a border.
    """

    def __init__(self, trees: Sequence[tuple[Tree, Questions, NDArray[np.float32]]], settings: EdgeSettings) -> None:
        self.forest = Forest.of(
            [tree for tree, _, _ in trees], [asked for _, asked, _ in trees], settings.patch // SHRINK
        )
        self.chance = np.concatenate([chance for _, _, chance in trees])

    def edge_map(self, picture: Tensor) -> Tensor:
        r"""The mean chance of a border over the trees at each voxel of a picture `([Z,] Y, X)`, on its device; between
        the places that are judged, every second voxel along each axis, it is linear."""
        answers = Answers(channels(picture), self.forest.width)
        places = torch.cartesian_prod(*(torch.arange(size, device=picture.device) for size in answers.shape))
        chance, mean = torch.from_numpy(self.chance).to(picture.device), torch.zeros(len(places), device=picture.device)
        for number in range(len(self.forest.roots)):
            mean += chance[self.forest.leaves(answers, places, places.new_full((len(places),), number))]
        coarse = (mean / len(self.forest.roots)).reshape(1, 1, *answers.shape)
        fine = F.interpolate(coarse, scale_factor=SHRINK, mode="trilinear" if picture.ndim == 3 else "bilinear")[0, 0]
        return fine[tuple(slice(0, size) for size in picture.shape)]


def grow_voxel_tree(samples: Samples, settings: EdgeSettings, seed: int) -> tuple[Tree, Questions, NDArray[np.float32]]:
    r"""A tree that tells places with a border from others, its questions, and the share of places with one at each leaf
    in the order of its nodes."""
    border = samples.middle_borders()
    tree = grow(
        samples.features, {"border": Classes(border, 2)}, {"border": 1.0}, settings.growth, np.random.default_rng(seed)
    )
    number = np.cumsum(tree.feature < 0) - 1
    ends = number[tree.leaf_of(samples.features)]
    many = np.bincount(ends, minlength=number[-1] + 1)
    return tree, samples.questions, (np.bincount(ends, weights=border, minlength=len(many)) / many).astype(np.float32)
