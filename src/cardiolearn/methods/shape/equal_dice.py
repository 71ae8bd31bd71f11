r"""Two wrong masks of one heart that a loss by voxels cannot tell apart: a moved border, and crumbs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cardiolearn.figures.alt_text import describe
from cardiolearn.figures.slices import overlay
from cardiolearn.figures.style import structure_legend
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.structures import LV_CAVITY, MYOCARDIUM, VENTRICLES
from cardiolearn.measures.metrics import dice
from cardiolearn.measures.plausibility import faults
from cardiolearn.methods.shape.label_volumes import one_hot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SURE = 0.9  # the probability that a network with such a mask gives to the label it chose
_REACH = 6  # voxels around the heart within which there are crumbs
_RADIUS = 2.6  # voxels, of a crumb
_SEED = 5
_SHAPES = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))  # of the axes of a box


@dataclass(frozen=True, eq=False)
class TwoMasks:
    r"""The true `labels` `(Z, Y, X)` of a heart on a grid of `spacing` mm, and the ways to spoil them."""

    labels: Tensor
    spacing: float

    def moved(self, mm: float) -> Tensor:
        r"""The border between the LV's cavity and its wall moved outwards by `mm`: the wall is thinner, and whole."""
        wall = (self.labels == MYOCARDIUM) & (self._to_cavity <= mm)
        return self.labels.masked_fill(wall, LV_CAVITY)

    def crumbled(self, crumbs: int) -> Tensor:
        r"""So many balls of wrong voxels, in and around the ventricles: what is background there is cavity of the LV
        now, and what is heart is background."""
        spoilt = torch.zeros_like(self.labels, dtype=torch.bool)
        for centre in self._places[:crumbs]:
            low = [max(0, c - 3) for c in centre]
            box = tuple(slice(first, c + 4) for first, c in zip(low, centre, strict=True))
            axes = [torch.arange(*part.indices(n)) for part, n in zip(box, self.labels.shape, strict=True)]
            away = sum((axis - c).reshape(shape) ** 2 for axis, c, shape in zip(axes, centre, _SHAPES, strict=True))
            spoilt[box] |= torch.as_tensor(away) <= _RADIUS**2
        wrong = torch.where(self.labels == 0, LV_CAVITY, 0).to(self.labels.dtype)
        return torch.where(spoilt, wrong, self.labels)

    def draw(self, border_mm: float, crumbs: int) -> Figure:
        r"""Both masks in the slice through the middle of the heart, and along it, under what losses say of them."""
        import matplotlib.pyplot as plt

        masks = {"border moved": self.moved(border_mm), "crumbs": self.crumbled(crumbs)}
        figure, axes = plt.subplots(2, 2, figsize=(9, 7.5))
        z, y = self._middle
        for column, (name, mask) in zip(axes.T, masks.items(), strict=True):
            for ax, plane in zip(column, (mask[z], mask[:, y]), strict=True):
                overlay(ax, np.zeros(plane.shape), plane, spacing=(self.spacing,) * 2, window=(0.0, 1.0), alpha=0.8)
                ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
            column[0].set_title(f"{name}\n{self.said(mask)}", fontsize=12)
        axes[0, 0].set_ylabel("across the heart")
        axes[1, 0].set_ylabel("along the heart")
        structure_legend(figure, self.labels)
        told = "; ".join(f"{name}: {self.said(mask)}" for name, mask in masks.items())
        return describe(figure, f"Two wrong masks of one heart. {told}".replace("\n", ", "))

    def said(self, mask: Tensor) -> str:
        r"""Dice and cross-entropy with the truth, and how many faults no heart has."""
        wrong = len(faults(Image(mask, np.diag([self.spacing] * 3 + [1.0]))))
        seen = "no fault found" if not wrong else f"{wrong} fault{'s' if wrong > 1 else ''} that no heart has"
        return f"Dice {self.dice(mask):.3f}, cross-entropy {self.cross_entropy(mask):.3f}\n{seen}"

    def dice(self, mask: Tensor) -> float:
        r"""The mean Dice of the three structures."""
        return sum(dice(mask == k, self.labels == k) for k in VENTRICLES.values()) / len(VENTRICLES)

    def cross_entropy(self, mask: Tensor) -> float:
        r"""Of a network that gives each voxel the mask's label with the probability `SURE`."""
        scores = self.soft(mask).log()
        return float(F.cross_entropy(scores, self.labels[None].long()))

    @staticmethod
    def soft(mask: Tensor) -> Tensor:
        r"""The probabilities `(1, 4, Z, Y, X)` of such a network."""
        classes = len(VENTRICLES) + 1
        rest = (1 - SURE) / (classes - 1)
        return rest + (SURE - rest) * one_hot(mask[None], classes)

    @cached_property
    def _to_cavity(self) -> Tensor:
        from scipy.ndimage import distance_transform_edt

        outside = (self.labels != LV_CAVITY).numpy()
        return torch.from_numpy(distance_transform_edt(outside, sampling=self.spacing))

    @cached_property
    def _middle(self) -> tuple[int, int]:
        places = torch.nonzero(self.labels == LV_CAVITY).float().mean(0)
        return int(places[0]), int(places[1])

    @cached_property
    def _places(self) -> list[list[int]]:
        # Within `_REACH` voxels of the heart, in a random order that is always the same.
        heart = (self.labels > 0)[None, None].float()
        near = torch.nonzero(F.max_pool3d(heart, 2 * _REACH + 1, 1, _REACH)[0, 0])
        order = torch.randperm(len(near), generator=torch.Generator().manual_seed(_SEED))
        places: list[list[int]] = near[order].tolist()
        return places
