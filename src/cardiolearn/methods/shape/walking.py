r"""A walk along one code number: what becomes of the heart, as a surface and in two cuts; and the codes of a cohort."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from cardiolearn.figures.alt_text import describe
from cardiolearn.figures.slices import overlay
from cardiolearn.figures.style import BLUE, PALETTE, structure_legend
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.structures import LV_CAVITY
from cardiolearn.measures.surfaces import label_meshes
from cardiolearn.methods.shape.codes import walk

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # standard deviations from the mean
_COARSER = 2  # times: a surface of every second voxel is drawn four times as fast


def widest(codes: Tensor, n: int = 2) -> list[int]:
    r"""The numbers of a code that vary most over hearts, of codes `(N, 64)`."""
    places: list[int] = codes.std(0).argsort(descending=True)[:n].tolist()
    return places


def hearts_along(decoder: nn.Module, codes: Tensor, number: int, steps: Sequence[float] = STEPS) -> Tensor:
    r"""The hearts `(len(steps), Z, Y, X)` that a decoder makes where one number of the mean code is moved by so many
    of its standard deviations over `codes` `(N, 64)`."""
    direction = torch.zeros_like(codes[0])
    direction[number] = codes[:, number].std()
    return walk(decoder, codes.mean(0), direction, steps)


def figures_along(hearts: Tensor, spacing: float, title: str, steps: Sequence[float] = STEPS) -> Iterator[Figure]:
    r"""A figure for each of the hearts of `hearts_along`, in voxels of `spacing` mm: all in one place and scale."""
    for labels, step in zip(hearts, steps, strict=True):
        yield draw_heart(labels, spacing, f"{title} at {step:+.0f} SD")


def draw_heart(labels: Tensor, spacing: float, title: str) -> Figure:
    r"""A heart `(Z, Y, X)` as the surface of its ventricles, and in a cut across and one along it."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(11, 3.9))
    ax = figure.add_subplot(1, 3, 1, projection="3d")
    coarse = labels[::_COARSER, ::_COARSER, ::_COARSER]
    upright = np.diag([_COARSER * spacing, -_COARSER * spacing, -_COARSER * spacing, 1.0])  # the apex below
    for key, mesh in label_meshes(Image(coarse, upright), ("lv", "myocardium", "rv")).items():
        solid = 0.25 if key == "myocardium" else 0.9
        x, y, z = mesh.vertices.T.numpy()
        ax.plot_trisurf(x, y, z, triangles=mesh.faces.numpy(), color=PALETTE[key], alpha=solid, linewidth=0.0)
    depth, height, width = (spacing * n for n in labels.shape)
    ax.set(xlim=(0, width), ylim=(-height, 0), zlim=(-depth, 0), title=title)
    ax.set_box_aspect((width, height, depth), zoom=1.25)
    ax.view_init(elev=15, azim=-75)
    ax.set_axis_off()
    size = (spacing, spacing)
    middle = torch.tensor(labels.shape) // 2
    for i, (plane, name) in enumerate(((labels[_across(labels)], "across"), (labels[:, middle[1]], "along"))):
        cut = figure.add_subplot(1, 3, 2 + i)
        overlay(cut, np.zeros(plane.shape), plane, spacing=size, window=(0.0, 1.0), alpha=0.8)
        cut.set(title=name, xlabel="mm", ylabel="")
    structure_legend(figure, np.array([1, 2, 3]))
    return describe(figure, f"A heart as a surface, cut across and cut along. {title}")


def _across(labels: Tensor) -> int:
    there = torch.nonzero((labels == LV_CAVITY).flatten(1).any(1)).flatten()
    return int(there[len(there) // 2]) if len(there) else len(labels) // 2


def histogram(codes: Tensor) -> Figure:
    r"""How the numbers of codes `(N, 64)` are spread: all together, and the two that vary most against each other."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    left.hist(codes.flatten().numpy(), bins=60, color=BLUE)
    left.set(xlabel="value of a code number", ylabel="how often", title="all 64 numbers of all hearts")
    first, second = widest(codes)
    for phase, (name, colour) in enumerate((("end-diastole", BLUE), ("end-systole", PALETTE["lv"]))):
        points = codes[phase::2]
        right.plot(points[:, first].numpy(), points[:, second].numpy(), "o", color=colour, alpha=0.6, label=name)
    right.set(xlabel=f"code number {first + 1}", ylabel=f"code number {second + 1}", title="the two that vary most")
    right.legend()
    return figure
