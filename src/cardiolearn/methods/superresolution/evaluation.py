r"""What restored slices are worth: how near they come, what is measured on them, what training changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from cardiolearn.imaging.image import Image
from cardiolearn.imaging.intensity import SPAN, unit_variance
from cardiolearn.imaging.structures import PHASES
from cardiolearn.imaging.study import Study
from cardiolearn.learning.progress import tqdm
from cardiolearn.learning.training import TrainingPlan, train
from cardiolearn.measures.metrics import psnr, ssim
from cardiolearn.measures.tables import bias, indices
from cardiolearn.methods.superresolution.networks import NETWORKS, takes_views
from cardiolearn.methods.superresolution.training_pairs import TrainingPairs
from cardiolearn.methods.superresolution.whole_scan import (
    Method,
    between,
    leave_out,
    super_resolve,
    thin_phases,
    upsample,
)
from cardiolearn.phantom.body.disease import Group
from cardiolearn.phantom.body.subject import sample_subject
from cardiolearn.phantom.cohorts.stacks import TestStack, around
from cardiolearn.phantom.cohorts.volumes import Volumes, scan_volumes
from cardiolearn.phantom.scanners.thick_slices import BREATH_HOLD
from cardiolearn.phantom.scanners.thin_slices import SPACING

HOLDS = {"in_place": 0.0, "shifted": BREATH_HOLD}  # mm by which slices are off, standard deviation
GAINS = {"psnr_linear": "dB", "psnr_spline": "dB", "ssim_linear": "1", "ssim_spline": "1"}
_FEWEST = 5  # slices of a scan of which every second can be left out
_PATCH = 32  # pixels of the patches of short trainings


def scores(scan: TestStack, methods: Mapping[str, Method]) -> list[dict[str, Any]]:
    r"""PSNR (dB) and SSIM of each `method` at both phases, within the mask; the data range is that from the 1st to the
    99th percentile of the thin slices."""
    rows = []
    for name, method in methods.items():
        for phase, found, volume, mask in zip(PHASES, thin_phases(scan, method), scan.volume, scan.mask, strict=True):
            span = SPAN * unit_variance(volume)[1]
            values = {"psnr": psnr(found, volume, mask, span), "ssim": ssim(found, volume, mask, span)}
            rows.append({"method": name, "phase": phase, **values})
    return rows


def score_all(
    volumes: Volumes, methods: Mapping[str, Method], seed: int, breath_hold: float = BREATH_HOLD
) -> pd.DataFrame:
    r"""`scores` of every subject: `subject`, `method`, `phase`, `psnr`, `ssim`; `breath_hold` as for `TestStack`."""
    rows: list[dict[str, Any]] = []
    for i in tqdm(range(len(volumes)), desc="restoring", unit="subject"):
        rows += [{"subject": f"{i:05d}", **row} for row in scores(TestStack.of(volumes, i, seed, breath_hold), methods)]
    return pd.DataFrame(rows)


def gains(volumes: Volumes, networks: Mapping[str, Mapping[str, nn.Module]], seed: int) -> pd.DataFrame:
    r"""What networks gain over interpolation, by `place`, `network` and `subject`, means of both phases.

    Columns of `GAINS`. `networks` has those to be tested at each place of `HOLDS`, by name.
    """
    rivals: dict[str, Method] = {"linear": "linear", "spline": "spline"}
    parts = []
    for place, those in networks.items():
        scored = score_all(volumes, rivals | dict(those), seed, HOLDS[place])
        means = scored.pivot_table(["psnr", "ssim"], "subject", "method")
        for name in those:
            over = {f"{m}_{rival}": means[m][name] - means[m][rival] for m in ("psnr", "ssim") for rival in rivals}
            parts.append(pd.DataFrame(over).reset_index().assign(place=place, network=name))
    return pd.concat(parts, ignore_index=True)


def measure_all(
    volumes: Volumes, methods: Mapping[str, Method], outline: Callable[[Image], Image], seed: int
) -> pd.DataFrame:
    r"""How far what is measured on restored pictures lies from the truth, by `subject` and `method`.

    Columns of `tables.BIAS_UNITS`: volumes and mass in percent, the ejection fraction in points. `"high_resolution"` is
    measured on the thin slices themselves.

    Args:
        outline: labels of thin slices at both phases `(2, Z, Y, X)`, a film of two frames.
    """
    affine = np.diag([*SPACING, 1.0])
    truth: dict[tuple[str, str], Image] = {}
    found: dict[str, dict[tuple[str, str], Image]] = {name: {} for name in (*methods, "high_resolution")}
    for i in tqdm(range(len(volumes)), desc="measuring", unit="subject"):
        scan = TestStack.of(volumes, i, seed)
        pictures = {name: thin_phases(scan, method) for name, method in methods.items()} | {
            "high_resolution": scan.volume
        }
        for name, both in pictures.items():
            labels = outline(Image(both, affine))
            found[name] |= {(f"{i:05d}", phase): labels.frame(p) for p, phase in enumerate(PHASES)}
        truth |= {(f"{i:05d}", phase): Image(scan.labels[p], affine) for p, phase in enumerate(PHASES)}
    real = indices(truth)
    parts = [bias(indices(labels), real).reset_index().assign(method=name) for name, labels in found.items()]
    return pd.concat(parts, ignore_index=True)


def score_left_out(
    studies: Iterable[Study], methods: Mapping[str, Method], outline: Callable[[Image], Image]
) -> pd.DataFrame:
    r"""A number on any scan: every second slice is taken away, and found again between the others.

    Columns `subject`, `method`, `psnr` (dB) and `ssim`, at end-diastole, in and around the heart that `outline` finds
    in the slices taken away (in all of the picture where it finds none). Scans of fewer than five slices are passed
    over.
    """
    rows: list[dict[str, Any]] = []
    for study in studies:
        scan = study.image() if study.has() else study.image(phase=None).frame(0)
        if len(scan.data) < _FEWEST:
            continue
        kept, gone = leave_out(scan)
        heart = outline(scan).data[1 : 2 * len(gone) : 2] > 0
        mask = around(heart[None])[0] if heart.any() else torch.ones_like(heart)
        span = SPAN * unit_variance(scan.data)[1]
        for name, method in methods.items():
            thin = upsample(kept.data, method) if isinstance(method, str) else super_resolve(kept, method).data
            found = between(thin)
            values = {"psnr": psnr(found, gone, mask, span), "ssim": ssim(found, gone, mask, span)}
            rows.append({"subject": study.subject, "method": name, **values})
    return pd.DataFrame(rows, columns=["subject", "method", "psnr", "ssim"])


@dataclass(frozen=True)
class NetworkVariant:
    r"""A network of `NETWORKS` and what it learns from: `subjects` of the training cohort, of one `group` or of all.

    It is tested on `tests` unseen subjects of all groups.
    """

    network: str = "deconvolution"
    subjects: int = 32
    tests: int = 16
    group: Group | None = None

    def prepare(self, folder: Path, cohort_seed: int, seeds: Sequence[int]) -> tuple[Volumes, Volumes]:
        r"""The thin slices to learn from and those to test on, the same for all seeds."""
        learnt = scan_volumes(self.subjects, folder / "volumes", seed=cohort_seed, group=self.group)
        return learnt, scan_volumes(self.tests, folder / "volumes", cohort="test", seed=cohort_seed)

    def learn(
        self, folder: Path, cohort_seed: int, *, steps: int, seed: int, device: torch.device
    ) -> list[dict[str, Any]]:
        r"""A row for each test subject: its `group`, PSNR (dB) and SSIM, means over both phases."""
        learnt, tests = self.prepare(folder, cohort_seed, [seed])
        network = NETWORKS[self.network](seed)
        pairs = TrainingPairs(learnt, len(learnt), views=takes_views(network), size=_PATCH)
        plan = TrainingPlan(steps, seed, learning_rate=2e-3, schedule="cosine")
        train(network, pairs, pairs.loss, plan, device)
        table = score_all(tests, {self.network: network}, cohort_seed)
        means = table.groupby("subject")[["psnr", "ssim"]].mean().round(5)
        groups = [sample_subject(i, cohort="test", seed=cohort_seed).group for i in range(len(tests))]
        return [
            {"subject": subject, "group": group, **row}
            for group, (subject, row) in zip(groups, means.to_dict("index").items(), strict=True)
        ]
