r"""Trainings that are compared: short ones of several networks, and those of a small and a large one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from cardiolearn.learning.experiment import run_variants
from cardiolearn.learning.weights import ready
from cardiolearn.methods.superresolution.evaluation import HOLDS, NetworkVariant
from cardiolearn.methods.superresolution.networks import PAPER, SLIM, Deconvolution
from cardiolearn.methods.superresolution.training_pairs import TrainingPairs
from cardiolearn.methods.superresolution.whole_scan import restore

#: Short trainings: those that a claim compares, which asks for six seeds, and others, with two.
JUDGED = {"single": NetworkVariant(), "siamese": NetworkVariant("siamese")}
OTHERS = {name: NetworkVariant(name) for name in ("channels", "shallow", "deep")}
OTHERS |= {"healthy only": NetworkVariant(group="NOR")}
SEEDS = (6, 2)


def short_trainings(folder: Path, steps: int, seed: int, device: torch.device) -> pd.DataFrame:
    r"""`JUDGED` and `OTHERS` trained for so many `steps`: a row for each variant, training and test subject.

    What is finished is kept in `folder`, from where an interrupted call goes on.
    """
    parts = []
    for variants, seeds in zip((JUDGED, OTHERS), SEEDS, strict=True):
        path = folder / f"trainings-{len(variants)}-{steps}-{seed}.csv"
        how: dict[str, Any] = {"folder": folder, "steps": steps, "cohort_seed": seed, "device": device}
        parts.append(run_variants(path, variants, seeds=range(seeds), **how))
    return pd.concat(parts)


def lost_by_group(short: pd.DataFrame) -> dict[str, pd.Series]:
    r"""PSNR (dB) by which `"single"` leads `"healthy only"`: by group, a number for each subject, mean of trainings."""
    wide = short.pivot_table("psnr", ["group", "subject", "seed"], "variant")
    lost = (wide["single"] - wide["healthy only"]).dropna().groupby(["group", "subject"]).mean()
    return {str(group): rows.droplevel("group") for group, rows in lost.groupby("group")}


SIZES = {"slim": SLIM, "paper": PAPER}


def train_sizes(
    train: Callable[[nn.Module, TrainingPairs, str, int], Any], pairs: TrainingPairs, steps: int, *,
    seed: int, device: torch.device, known: Mapping[str, nn.Module],
) -> dict[str, dict[str, nn.Module]]:  # fmt: skip
    r"""A network of each of `SIZES`, trained at each place of `HOLDS`, by place and size.

    Args:
        train: trains a network in place on pairs, under a name, for so many steps, and gives its history.
        known: networks that were trained so already, by name.
    """
    found: dict[str, dict[str, nn.Module]] = {place: {} for place in HOLDS}
    for place, hold in HOLDS.items():
        for size, filters in SIZES.items():
            name = f"sr_{size}_{place}"
            if name in known:
                found[place][size] = known[name]
                continue
            fresh = Deconvolution(filters, seed=seed)
            course = train(fresh, replace(pairs, breath_hold=hold), name, steps)
            print(f"{name}: has its score stood still over the last third? {course.flat(0.05)}")
            found[place][size] = ready(fresh, device)
    return found


def seconds_to_restore(shape: Sequence[int] = (10, 140, 140), runs: int = 6) -> list[float]:
    r"""Seconds that a network of the paper's size takes for a stack `(Z, Y, X)` on the CPU, run by run."""
    network, stack, seconds = Deconvolution(PAPER).eval(), torch.rand(*shape), []
    for _ in range(runs):
        began = time.perf_counter()
        restore(stack, network)
        seconds.append(time.perf_counter() - began)
    return seconds
