r"""Learning to restore thin slices from clinical stacks, and how near each method comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from cardiolearn.image import Image
from cardiolearn.metrics import psnr, ssim
from cardiolearn.networks.superresolution import SLIM, Deconvolution, Interpolated
from cardiolearn.phantom.crossing import look
from cardiolearn.phantom.high_resolution import SPACING
from cardiolearn.phantom.stacks import clinical_stack
from cardiolearn.phantom.subject import Group, sample_subject
from cardiolearn.phantom.volumes import Volumes, draw_volumes
from cardiolearn.study import PHASES
from cardiolearn.tables import bias, indices
from cardiolearn.thin_slices import SPAN, network_input, restore, scaling, upsample
from cardiolearn.training import train

THICKNESS = (8.0, 10.0)  # mm, of the slices that are learnt from; tests have the latter
_NOISE = (0.01, 0.03)  # of the stacks that are learnt from, as a share of the brightest signal
_MARGIN = 8  # thin-slice pixels around the heart where pictures are compared: 10 mm
_VIEW_CHANNELS = (10, 10)  # signal and presence in five thin slices, of either long-axis view

Method = str | nn.Module


@dataclass(frozen=True)
class Pairs:
    r"""What a network learns from: stacks made anew of the first `n` subjects of `volumes`, and their thin slices.

    A batch holds `batch` patches of `size` x `size` pixels of all slices; with `views` the long-axis pictures come as
    further channels.
    """

    volumes: Volumes = field(repr=False)
    n: int
    views: bool = False
    size: int = 40
    batch: int = 2

    def __call__(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        r"""Inputs `(batch, C, Z, size, size)` and thin slices `(batch, 1, 5 Z, size, size)`; what `training.train`
        asks for."""
        pairs = [self._pair(generator) for _ in range(self.batch)]
        return torch.cat([inputs for inputs, _ in pairs]), torch.cat([target for _, target in pairs])

    def _pair(self, g: torch.Generator) -> tuple[Tensor, Tensor]:
        subject, phase = (int(torch.randint(n, (1,), generator=g)) for n in (self.n, len(PHASES)))
        volume = self.volumes.image[subject, phase].float()
        thickness, noise = (low + (high - low) * torch.rand(1, generator=g).item() for low, high in (THICKNESS, _NOISE))
        stack = clinical_stack(volume, SPACING, g, thickness=thickness, noise=noise)
        views = seen_along(self.volumes, subject, phase, g)[None] if self.views else None
        low, width = scaling(stack)
        inputs, target = network_input(stack[None], views, low, width), (volume[None, None] - low) / width
        corner = [int(torch.randint(n - self.size + 1, (1,), generator=g)) for n in volume.shape[1:]]
        y, x = (slice(c, c + self.size) for c in corner)
        flips = [axis for axis in (-2, -1) if torch.rand(1, generator=g).item() < 0.5]
        return inputs[..., y, x].flip(flips), target[..., y, x].flip(flips)

    @staticmethod
    def loss(found: Tensor, wanted: Tensor) -> Tensor:
        r"""Mean of `0.5 e^2` where an error is below 1, else of `|e| - 0.5`.

        Source: the smooth-L1 norm of the slides (deviation: the mean over voxels).
        """
        return nn.functional.smooth_l1_loss(found, wanted)

    def held_out_score(self, network: nn.Module) -> float:
        r"""Mean PSNR in dB of the subjects that are not learnt from, at end-diastole."""
        values = []
        for stack, views, volume, mask in self._held_out:
            found = restore(stack, network, views if self.views else None)
            values.append(psnr(found, volume, mask, SPAN * scaling(volume)[1]))
        return sum(values) / len(values)

    @cached_property
    def _held_out(self) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        subjects = range(self.n, len(self.volumes))
        tests = [TestScan.of(self.volumes, subject, seed=99) for subject in subjects]
        return [(t.stack[0], t.views[0], t.volume[0], t.mask[0]) for t in tests]


def seen_along(volumes: Volumes, subject: int, phase: int, generator: torch.Generator) -> Tensor:
    r"""The subject's long-axis pictures on the thin slices' grid: signal and presence of each view, `(4, Z, Y, X)`."""
    volume = volumes.image[subject, phase].float()
    return torch.cat([look(volume, SPACING, where, generator) for where in volumes.crossings(subject)])


@dataclass(frozen=True)
class TestScan:
    r"""A subject of a test cohort: its clinical `stack` `(2, Z, Y, X)` at end-diastole and -systole, its long-axis
    `views` `(2, 4, 5 Z, Y, X)`, the thin-slice `volume`, true `labels`, and `mask` `(2, 5 Z, Y, X)` around the heart.
    """

    __test__ = False  # no test of pytest

    stack: Tensor
    views: Tensor
    volume: Tensor
    labels: Tensor
    mask: Tensor

    @classmethod
    def of(cls, volumes: Volumes, subject: int, seed: int) -> TestScan:
        r"""Reproducible from the arguments; every method is given the same pictures."""
        g = torch.Generator().manual_seed(seed * 1_000_003 + subject)
        volume, labels = volumes.image[subject].float(), volumes.label[subject]
        stack = clinical_stack(volume, SPACING, g)
        views = torch.stack([seen_along(volumes, subject, phase, g) for phase in range(len(PHASES))])
        return cls(stack, views, volume, labels, around(labels > 0))

    def restored(self, method: Method) -> Tensor:
        r"""Thin slices `(2, 5 Z, Y, X)` by an order of `upsample`, or a network; it gets the views if it takes them."""
        if isinstance(method, str):
            return torch.stack([upsample(stack, method) for stack in self.stack])  # type: ignore[arg-type]
        wants_views = sum(getattr(method, "inputs", [1])) > 1
        views = self.views if wants_views else [None, None]
        return torch.stack([restore(s, method, v) for s, v in zip(self.stack, views, strict=True)])


def around(mask: Tensor, margin: int = _MARGIN) -> Tensor:
    r"""A mask `(T, Z, Y, X)` grown by `margin` pixels within each slice: the heart and its border."""
    return nn.functional.max_pool2d(mask.float(), 2 * margin + 1, 1, margin) > 0


def scores(scan: TestScan, methods: Mapping[str, Method]) -> list[dict[str, Any]]:
    r"""PSNR (dB) and SSIM of each method (`who`) at both phases, within the mask; the data range is that from the 1st
    to the 99th percentile of the thin slices."""
    rows = []
    for who, method in methods.items():
        for phase, found, volume, mask in zip(PHASES, scan.restored(method), scan.volume, scan.mask, strict=True):
            span = SPAN * scaling(volume)[1]
            values = {"psnr": psnr(found, volume, mask, span), "ssim": ssim(found, volume, mask, span)}
            rows.append({"who": who, "phase": phase, **values})
    return rows


def score_all(volumes: Volumes, methods: Mapping[str, Method], seed: int) -> pd.DataFrame:
    r"""`scores` of every subject: columns `subject`, `who`, `phase`, `psnr`, `ssim`."""
    rows: list[dict[str, Any]] = []
    for i in tqdm(range(len(volumes)), desc="restoring", unit="subject"):
        rows += [{"subject": f"{i:05d}", **row} for row in scores(TestScan.of(volumes, i, seed), methods)]
    return pd.DataFrame(rows)


def measure_all(
    volumes: Volumes, methods: Mapping[str, Method], outline: Callable[[Image], Image], seed: int
) -> pd.DataFrame:
    r"""How far what is measured on restored pictures lies from the truth, by subject and method (`who`).

    Columns of `tables.BIAS_UNITS`: volumes and mass in percent, the ejection fraction in points. `"high_resolution"` is
    measured on the thin slices themselves.

    Args:
        outline: labels of a volume of thin slices.
    """
    affine = np.diag([*SPACING, 1.0])
    truth: dict[tuple[str, str], Image] = {}
    found: dict[str, dict[tuple[str, str], Image]] = {who: {} for who in (*methods, "high_resolution")}
    for i in tqdm(range(len(volumes)), desc="measuring", unit="subject"):
        scan = TestScan.of(volumes, i, seed)
        pictures = {who: scan.restored(method) for who, method in methods.items()} | {"high_resolution": scan.volume}
        for p, phase in enumerate(PHASES):
            truth[f"{i:05d}", phase] = Image(scan.labels[p], affine)
            for who, both in pictures.items():
                found[who][f"{i:05d}", phase] = outline(Image(both[p], affine))
    real = indices(truth)
    parts = [bias(indices(labels), real).reset_index().assign(who=who) for who, labels in found.items()]
    return pd.concat(parts, ignore_index=True)


#: Networks that are compared, all with filters that two CPU cores can train.
NETWORKS = {
    "shallow": lambda seed: Interpolated(SLIM[0] + SLIM[1][:1], seed=seed),
    "deep": lambda seed: Interpolated(SLIM[0] + SLIM[1], seed=seed),
    "deconvolution": lambda seed: Deconvolution(SLIM, seed=seed),
    "channels": lambda seed: Deconvolution(SLIM, _VIEW_CHANNELS, seed=seed),
    "siamese": lambda seed: Deconvolution(SLIM, _VIEW_CHANNELS, views="siamese", seed=seed),
}


@dataclass(frozen=True)
class Variant:
    r"""A network of `NETWORKS` and what it learns from: `subjects` of the training cohort, of one `group` or of all.

    It is tested on `tests` unseen subjects of all groups.
    """

    network: str = "deconvolution"
    subjects: int = 64
    tests: int = 24
    group: Group | None = None

    def draw(self, folder: Path, cohort_seed: int) -> tuple[Volumes, Volumes]:
        r"""The thin slices to learn from and those to test on."""
        learnt = draw_volumes(self.subjects, folder / "volumes", seed=cohort_seed, group=self.group)
        return learnt, draw_volumes(self.tests, folder / "volumes", cohort="test", seed=cohort_seed)

    def learn(
        self, folder: Path, cohort_seed: int, *, steps: int, seed: int, device: torch.device
    ) -> list[dict[str, Any]]:
        r"""A row for each test subject: its `group`, PSNR (dB) and SSIM, means over both phases."""
        learnt, tests = self.draw(folder, cohort_seed)
        network = NETWORKS[self.network](seed)
        pairs = Pairs(learnt, len(learnt), views=sum(getattr(network, "inputs", [1])) > 1)
        train(network, pairs, pairs.loss, steps=steps, seed=seed, device=device, learning_rate=2e-3, schedule="cosine")
        table = score_all(tests, {self.network: network}, cohort_seed)
        means = table.groupby("subject")[["psnr", "ssim"]].mean().round(5)
        groups = [sample_subject(i, cohort="test", seed=cohort_seed).group for i in range(len(tests))]
        return [
            {"subject": subject, "group": group, **row}
            for group, (subject, row) in zip(groups, means.to_dict("index").items(), strict=True)
        ]
