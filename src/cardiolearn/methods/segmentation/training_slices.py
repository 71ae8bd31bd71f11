r"""What the FCN learns from: slice maps pictured anew for every batch, and slices held out to score it with."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cardiolearn.imaging.slices import PIXEL
from cardiolearn.imaging.structures import LABELS
from cardiolearn.measures.metrics import dice
from cardiolearn.phantom.cohorts.rendering import render_batch
from cardiolearn.phantom.cohorts.slice_maps import SliceMaps, sample_long_axis_slices, sample_slice_maps
from cardiolearn.phantom.scanners.mri import ANY_VENDOR, Vendor

Batch = tuple[torch.Tensor, torch.Tensor]  # images and labels
_BATCHES_AHEAD = 8  # that a graphics card pictures in one go


@dataclass(frozen=True)
class TrainingSlices:
    r"""What a network learns from: the first `n` slices of `maps`, ever anew pictured by `vendor`; the others test it.

    A batch holds `batch` pictures of `size` x `size` pixels of `pixel` mm, with labels below `n_classes`; `upright` as
    in `render_batch`.

    `maps` may be anywhere: a copy goes to the device of the generator that asks for a batch first, and stays there. The
    pictures that test are made on the CPU, so they are the same for a training on any device. On the CPU a batch
    follows from the generator alone. Elsewhere eight batches are pictured at a time, because starting the work takes
    longer there than doing it, so a training that was interrupted goes on with other pictures.
    """

    maps: SliceMaps = field(repr=False)
    n: int
    vendor: Vendor = ANY_VENDOR
    size: int = 128
    pixel: float = PIXEL
    batch: int = 32
    n_classes: int = 4
    upright: bool = False
    _there: dict[torch.device, SliceMaps] = field(default_factory=dict, init=False, repr=False, compare=False)
    _ahead: list[Batch] = field(default_factory=list, init=False, repr=False, compare=False)

    def __call__(self, step: int, generator: torch.Generator) -> Batch:
        r"""Images `(batch, 1, size, size)` and labels of slices picked at random; what `training.train` asks for."""
        if generator.device.type == "cpu":
            return self._batches(1, generator)[0]
        if not self._ahead:
            self._ahead.extend(self._batches(_BATCHES_AHEAD, generator))
        return self._ahead.pop()

    def _batches(self, number: int, generator: torch.Generator) -> list[Batch]:
        picks = torch.randint(0, self.n, (number * self.batch,), generator=generator, device=generator.device)
        images, labels = self._pictures(picks, generator)
        return list(zip(images.split(self.batch), labels.split(self.batch), strict=True))

    @staticmethod
    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        r"""Mean cross-entropy of the pixels."""
        return nn.functional.cross_entropy(logits, labels)

    def held_out_score(self, network: nn.Module) -> float:
        r"""Mean Dice of the structures over the slices that are not learnt from, each pictured once."""
        scores = self.held_out_dice(network)
        return sum(scores.values()) / len(scores)

    def held_out_dice(self, network: nn.Module) -> dict[str, float]:
        r"""Dice of each structure, by its key, over the slices that are not learnt from, each pictured once."""
        images, labels = self._held_out
        found = found_labels(network, images)
        return {key: dice(found == k, labels == k) for key, k in LABELS.items() if k < self.n_classes}

    @property
    def example(self) -> Batch:
        r"""The held-out picture `(1, size, size)`, with its labels, that shows most of the structure it shows least of:
        what learning is to be watched on."""
        images, labels = self._held_out
        sizes = torch.stack([(labels == k).flatten(1).sum(1) for k in range(1, self.n_classes)])
        best = int(sizes.amin(0).argmax())
        return images[best], labels[best]

    @cached_property
    def _held_out(self) -> Batch:
        return self._pictures(torch.arange(self.n, len(self.maps)), torch.Generator().manual_seed(99))

    def _pictures(self, picks: torch.Tensor, generator: torch.Generator) -> Batch:
        options: dict[str, Any] = {"size": self.size, "pixel": self.pixel, "n_classes": self.n_classes}
        maps = self._on(generator.device)
        return render_batch(maps, picks, generator, vendor=self.vendor, upright=self.upright, **options)

    def _on(self, device: torch.device) -> SliceMaps:
        if device not in self._there:
            self._there[device] = SliceMaps(self.maps.tissue.to(device), self.maps.label.to(device))
        return self._there[device]


def short_axis(subjects: int, folder: Path, seed: int) -> TrainingSlices:
    r"""Slices of the training cohort, kept in `folder`; those of the last 14 subjects are held out."""
    maps = sample_slice_maps(subjects, folder / "slices", seed=seed)
    return TrainingSlices(maps, len(maps) - 98)


def long_axis(subjects: int, folder: Path, seed: int) -> TrainingSlices:
    r"""Both long-axis views, with atria; those of the last 20 subjects are held out."""
    maps = sample_slice_maps(subjects, folder / "long_axis", seed=seed, sample=sample_long_axis_slices)
    return TrainingSlices(maps, len(maps) - 80, n_classes=6)


@torch.no_grad()
def found_labels(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    r"""The likeliest label `(N, Y, X)` of each pixel of pictures `(N, 1, Y, X)`, on the CPU."""
    device = next(network.parameters()).device
    return torch.cat([network(part.to(device)).argmax(1).cpu() for part in images.split(16)])
