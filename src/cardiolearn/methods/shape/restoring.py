r"""ACNN-SR: thin slices made of a stack by a network that is also judged by the heart its picture shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cardiolearn.figures.picture_rows import Panel
from cardiolearn.measures.metrics import psnr, ssim
from cardiolearn.methods.shape.acnn import CodePrior, super_resolution_loss
from cardiolearn.methods.shape.phantom_hearts import StackHearts, cases
from cardiolearn.methods.shape.pictures import LongCut
from cardiolearn.methods.shape.segmenter import Segmenter
from cardiolearn.methods.shape.volume_source import Batch
from cardiolearn.phantom.cohorts.stacks import around
from cardiolearn.phantom.cohorts.volume_rendering import FACTOR, RenderedStacks

FILTERS = (16, 32, 64)
UNITS = {"psnr": "dB", "ssim": "1"}
MARGIN = 4  # pixels around the heart in which pictures are compared: 10 mm
_AT_ONCE = 4  # stacks


class Restorer(nn.Module):
    r"""Stacks `(N, 1, Z, Y, X)` to thin slices `(N, 1, 4 Z, Y, X)`: linear interpolation, and what a `Segmenter` of one
    output adds to it. With random weights it adds nothing.

    Args:
        seed: the integer the weights are drawn from.

    Source: Oktay et al., IEEE TMI 2018, ACNN-SR; layers, filters and the residual are **our choice**.
    """

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self.residual = Segmenter(1, upsampling=FACTOR, filters=FILTERS, seed=seed)
        nn.init.zeros_(self.residual.classify.weight)

    def forward(self, stack: Tensor) -> Tensor:
        added: Tensor = self.residual(stack)
        return interpolated(stack) + added


def interpolated(stack: Tensor) -> Tensor:
    r"""Stacks `(N, 1, Z, Y, X)` as thin slices `(N, 1, 4 Z, Y, X)`, linear between the middles of thick ones."""
    return F.interpolate(stack, scale_factor=(FACTOR, 1, 1), mode="trilinear", align_corners=False)


@dataclass(frozen=True)
class TrainingRestoring:
    r"""What a restorer learns from: `batch` stacks of the first `n` of `hearts` and their thin slices; the rest are
    held out. With a `prior`, that of a T-L network's predictor, by ACNN-SR's loss."""

    hearts: StackHearts = field(repr=False)
    n: int
    batch: int = 2
    prior: CodePrior | None = None

    def __call__(self, step: int, generator: torch.Generator) -> Batch:
        r"""Stacks `(batch, 1, Z, Y, X)` and thin slices `(batch, 1, 4 Z, Y, X)`."""
        picks = torch.randint(0, self.n, (self.batch,), generator=generator, device=generator.device)
        scans = self.hearts.rendered(picks, generator)
        return scans.stack, scans.thin

    def loss(self, found: Tensor, wanted: Tensor) -> Tensor:
        r"""See :func:`~cardiolearn.methods.shape.acnn.super_resolution_loss`."""
        return super_resolution_loss(found, wanted, self.prior)

    @cached_property
    def held_out(self) -> RenderedStacks:
        r"""The hearts that are not learnt from, each scanned once, on the CPU."""
        picks = torch.arange(self.n, len(self.hearts), device="cpu")
        return self.hearts.rendered(picks, torch.Generator("cpu").manual_seed(99))

    def held_out_score(self, network: nn.Module) -> float:
        r"""Mean PSNR (dB) over the hearts that are not learnt from, around the heart."""
        rows = scores({"network": network}, self.held_out)
        return float(rows["psnr"].mean())


@torch.no_grad()
def restored(network: nn.Module | None, stacks: Tensor) -> Tensor:
    r"""Thin slices `(N, 4 Z, Y, X)`, on the CPU, of stacks `(N, 1, Z, Y, X)`; without a network interpolated ones."""
    if network is None:
        return interpolated(stacks)[:, 0].cpu()
    device = next(network.parameters()).device
    return torch.cat([network(part.to(device))[:, 0].cpu() for part in stacks.split(_AT_ONCE)])


def scores(methods: Mapping[str, nn.Module | None], scans: RenderedStacks) -> pd.DataFrame:
    r"""PSNR (dB) and SSIM of each heart and method, in the heart and `MARGIN` pixels around it: `subject`, `phase`,
    `method`, `psnr`, `ssim`. The data range is 1, from the black to the white of the stack's grey scale."""
    masks = around(scans.label.cpu() > 0, MARGIN)
    rows: list[dict[str, Any]] = []
    for name, network in methods.items():
        found = restored(network, scans.stack)
        for case, ours, theirs, mask in zip(cases(len(found)), found, scans.thin[:, 0].cpu(), masks, strict=True):
            said = dict(zip(("subject", "phase"), case, strict=True)) | {"method": name}
            rows.append(said | {"psnr": psnr(ours, theirs, mask, 1.0), "ssim": ssim(ours, theirs, mask, 1.0)})
    return pd.DataFrame(rows)


def with_motion_alone(hearts: StackHearts) -> StackHearts:
    r"""The same hearts, scanned with shifted slices, but with all slices there and of full contrast."""
    return replace(hearts, degradation=replace(hearts.degradation, missing=0.0, low_contrast=0.0))


def panels(methods: Mapping[str, nn.Module | None], scans: RenderedStacks) -> dict[str, dict[str, Panel]]:
    r"""The first of some hearts, cut along its length: the thick slices, what each method makes of them, thin ones."""
    height = scans.label.shape[1]
    cut = LongCut.through(scans.label[0].cpu())
    line = {"thick slices": Panel(cut(scans.stack[0, 0].cpu(), height))}
    for name, network in methods.items():
        line[name] = Panel(cut(restored(network, scans.stack[:1])[0], height).clamp(0.0, 1.0))
    return {"one heart": line | {"thin slices": Panel(cut(scans.thin[0, 0].cpu(), height))}}


def to_record(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    r"""What `Run.record_all` is given of the `scores` of both restorers with motion augmentation: a row for the one
    training of each, a number for each subject."""
    records = {}
    for name in ("plain", "constrained"):
        means = table[table["method"] == f"{name}, motion"].groupby("subject")[list(UNITS)].mean()
        about = {"subjects": [str(subject) for subject in means.index], "seeds": [0]}
        for metric, unit in UNITS.items():
            records[f"acnn.sr.{metric}.{name}"] = about | {"values": means[metric].to_numpy()[None], "unit": unit}
    return records
