r"""Simulated hearts as networks learn from them: a `VolumeSource` of spoilt stacks, of thin slices, and of echoes.

Heart `2 i` is subject `i` at end-diastole, heart `2 i + 1` the same subject at end-systole.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from cardiolearn.imaging.structures import PHASES
from cardiolearn.methods.shape.volume_source import Batch
from cardiolearn.phantom.cohorts.ultrasound_volumes import UltrasoundVolumes, render_ultrasound
from cardiolearn.phantom.cohorts.volume_maps import VolumeMaps
from cardiolearn.phantom.cohorts.volume_rendering import TRAINING, Degradation, RenderedStacks, render_stacks
from cardiolearn.phantom.scanners.mri import ANY_VENDOR, Vendor
from cardiolearn.phantom.scanners.sector import scan_convert
from cardiolearn.phantom.scanners.ultrasound import ANY_ECHOGRAPH, Echograph

ECHO_GRID = (64, 56, 56)  # voxels of an ultrasound volume, (Z, Y, X): depth first
ECHO_SPACING = 2.4  # mm
_AT_ONCE = 8  # hearts that are pictured in one go


@dataclass(frozen=True, eq=False)
class StackHearts:
    r"""Whole hearts, scanned anew each time: pictures are clinical stacks, or with `thin` the thin slices.

    The maps are copied to each device that a generator asks from.
    """

    maps: VolumeMaps = field(repr=False)
    degradation: Degradation = TRAINING
    vendor: Vendor = ANY_VENDOR
    thin: bool = False
    _copies: dict[torch.device, VolumeMaps] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(PHASES) * len(self.maps)

    @property
    def labels(self) -> Tensor:
        r"""The truth `(len(self), Z, Y, X)`, uint8."""
        return self.maps.label.flatten(0, 1)

    def rendered(self, picks: Tensor, generator: torch.Generator) -> RenderedStacks:
        r"""Stacks, thin slices and labels of the hearts `picks`, on the generator's device."""
        there = generator.device
        if there not in self._copies:
            self._copies[there] = VolumeMaps(self.maps.tissue.to(there), self.maps.label.to(there))
        maps, here = self._copies[there], picks.to(there)
        return render_stacks(maps, here, generator, degradation=self.degradation, vendor=self.vendor)

    def __call__(self, picks: Tensor, generator: torch.Generator) -> Batch:
        scans = self.rendered(picks, generator)
        return (scans.thin if self.thin else scans.stack), scans.label

    def each_once(self, seed: int) -> RenderedStacks:
        r"""All hearts, each scanned once by random numbers of its own: the same whatever else is tested."""
        scans = [self.rendered(torch.tensor([i]), _of_heart(seed, i)) for i in range(len(self))]
        return RenderedStacks(*(torch.cat([getattr(s, name) for s in scans]) for name in ("stack", "thin", "label")))


@dataclass(frozen=True, eq=False)
class EchoHearts:
    r"""Hearts under a probe, scanned anew each time by another `echograph`: pictures and labels `ECHO_GRID`."""

    volumes: UltrasoundVolumes = field(repr=False)
    echograph: Echograph = ANY_ECHOGRAPH
    _copies: dict[torch.device, UltrasoundVolumes] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(PHASES) * len(self.volumes)

    @property
    def labels(self) -> Tensor:
        r"""The truth `(len(self), Z, Y, X)`, uint8, without a picture: it is the same in every scan."""
        parts = [_echo_labels(codes) for codes in self.volumes.codes.flatten(0, 1).split(_AT_ONCE)]
        return torch.cat(parts)

    def __call__(self, picks: Tensor, generator: torch.Generator) -> Batch:
        there = generator.device
        if there not in self._copies:
            self._copies[there] = UltrasoundVolumes(self.volumes.codes.to(there))
        return render_ultrasound(
            self._copies[there], picks.to(there), generator,
            echograph=self.echograph, shape=ECHO_GRID, spacing=ECHO_SPACING,
        )  # fmt: skip


Hearts = StackHearts | EchoHearts


def scan_of(hearts: Hearts, number: int, seed: int) -> Batch:
    r"""Picture `(1, 1, Z', Y', X')` and labels `(1, Z, Y, X)` of one heart, by random numbers of its own, on the CPU:
    the same whatever else is scanned."""
    return hearts(torch.tensor([number]), _of_heart(seed, number))


def each_once(hearts: Hearts, seed: int) -> Batch:
    r"""Pictures and labels of all hearts, each scanned once, as `scan_of`."""
    scans = [scan_of(hearts, i, seed) for i in range(len(hearts))]
    images, labels = (torch.cat(parts) for parts in zip(*scans, strict=True))
    return images, labels


def cases(n: int) -> list[tuple[str, str]]:
    r"""Subject and phase of each of `n` hearts.

    >>> cases(3)
    [('00000', 'ED'), ('00000', 'ES'), ('00001', 'ED')]
    """
    return [(f"{i // len(PHASES):05d}", PHASES[i % len(PHASES)]) for i in range(n)]


def _of_heart(seed: int, number: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed * 1_000_003 + number)


def _echo_labels(codes: Tensor) -> Tensor:
    silent = torch.zeros(codes.shape, device=codes.device)
    return scan_convert(silent, codes, silent.new_zeros(len(codes)), ECHO_GRID, ECHO_SPACING)[1]
