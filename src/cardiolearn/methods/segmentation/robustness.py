r"""What methods make of scans that were tampered with or spoilt, beside what they make of the scans as they were."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.intensity import percentiles
from cardiolearn.imaging.structures import VENTRICLES
from cardiolearn.imaging.study import Study
from cardiolearn.learning.progress import tqdm
from cardiolearn.measures.agreement import compare
from cardiolearn.measures.confidence import calibration, expected_dice
from cardiolearn.measures.metrics import dice
from cardiolearn.measures.statistics import rank_correlation_shares
from cardiolearn.methods.segmentation.heart_place import ONE_SIDE
from cardiolearn.methods.segmentation.rules import find_lv_cavity
from cardiolearn.methods.segmentation.whole_scan import segment, segment_softly
from cardiolearn.phantom.scanners.artefacts import CONFLICTS, KINDS, degrade, with_contrast

FAILED = 0.8  # mean Dice of the three structures below which a segmentation is not fit for use


def with_conflicting_cues(studies: Iterable[Study], methods: Mapping[str, Callable[[Image], Image]]) -> pd.DataFrame:
    r"""Dice with the truth at end-diastole of every `method`, `plain` and in each of the cue conflicts.

    Columns `subject`, `cue`, `method`, `dice.lv`, `dice.myocardium`, `dice.rv` and their mean, `dice`.
    """
    rows: list[dict[str, Any]] = []
    for study in tqdm(list(studies), desc="changing cues", unit="subject", leave=False, file=sys.stdout):
        image, truth = study.image(phase="ED"), study.labels(phase="ED")
        scans = {"plain": (image, truth)} | {cue: change(image, truth) for cue, change in CONFLICTS.items()}
        for cue, (changed, labels) in scans.items():
            for name, method in methods.items():
                row = {k: v for k, v in compare(method(changed), labels).items() if k.startswith("dice.")}
                mean = float(np.mean(list(row.values())))
                rows.append({"subject": study.subject, "cue": cue, "method": name, **row, "dice": mean})
    return pd.DataFrame(rows)


def rules_and_network(network: nn.Module) -> dict[str, Callable[[Image], Image]]:
    r"""The methods that lesson 1 compares: rules, the network, and the network on each scan only as it is."""
    return {
        "rules": find_lv_cavity,
        "network": lambda image: segment(image, network),
        "network, one side": lambda image: segment(image, network, ONE_SIDE),
    }


def changed_slice(scan: Image, z: int, contrast: float, noise: float) -> Image:
    r"""Slice `z` of a scan `(Z, Y, X)` alone, `(1, Y, X)`, with its contrast times `contrast`, and with Gaussian noise:
    always the same grain, of a standard deviation of `noise` times the scan's brightest signal (99th percentile)."""
    one = with_contrast(scan.one_slice(z), contrast)
    grain = torch.randn(one.data.shape, generator=torch.Generator().manual_seed(0))
    return one.with_data(one.data + noise * percentiles(scan.data, 99)[0] * grain)


def cue_records(cues: pd.DataFrame) -> dict[str, pd.DataFrame]:
    r"""Tables by the prefix of their records, a row per subject: the network's mean Dice in each cue conflict, averaged
    over views of the scan (`cues`) or not (`cues.one_side`), and the LV cavity's in plain scans by rules and by the
    network (`plain.lv`).

    Args:
        cues: of :func:`with_conflicting_cues`, by `rules`, `network` and `network, one side`.
    """
    named = cues.assign(cue=cues["cue"].str.split().str[-1])
    tables = {}
    for method, prefix in (("network", "cues"), ("network, one side", "cues.one_side")):
        tables[prefix] = named[named["method"] == method].pivot(index="subject", columns="cue", values="dice")
    plain = cues[(cues["cue"] == "plain") & cues["method"].isin(("rules", "network"))]
    return tables | {"plain.lv": plain.pivot(index="subject", columns="method", values="dice.lv")}


def of_spoilt_scans(studies: Iterable[Study], network: nn.Module, seed: int) -> pd.DataFrame:
    r"""True and expected Dice at end-diastole, of the scan as it was and spoilt in each way to a random degree.

    Columns `subject`, `kind`, `level`, the means over LV, myocardium and RV `dice` and `expected`, and for the rows of
    `confidence.calibration`, of which each scan has one per bin, `bin`, `stated`, `right`, `pixels`.
    """
    parts = []
    for study in tqdm(list(studies), desc="spoiling scans", unit="subject", leave=False, file=sys.stdout):
        image, truth = study.image(phase="ED"), study.labels(phase="ED")
        generator = torch.Generator().manual_seed(
            seed * 1_000_003 + int(study.info.get("annotators_seed", 0)) % 1_000_003
        )
        for kind in ("none", *KINDS):
            level = 0.0 if kind == "none" else float(torch.rand(1, generator=generator))
            worse = image if kind == "none" else degrade(image, kind, level, generator)
            labels, soft = segment_softly(worse, network)
            true = [dice(labels.data == k, truth.data == k) for k in VENTRICLES.values()]
            guess = list(expected_dice(labels.data, soft, VENTRICLES).values())
            known = torch.where(truth.data > max(VENTRICLES.values()), 0, truth.data)
            facts = {"subject": study.subject, "kind": kind, "level": level}
            facts |= {"dice": float(np.mean(true)), "expected": float(np.mean(guess))}
            parts.append(calibration(soft, known).assign(**facts))
    if not parts:
        raise InputError("of_spoilt_scans: expected at least one study, got none")
    table = pd.concat(parts, ignore_index=True)
    return table[["subject", "kind", "level", "dice", "expected", "bin", "stated", "right", "pixels"]]


def unspoilt_shares(table: pd.DataFrame) -> pd.Series:
    r"""What each scan as it was adds to the rank correlation of expected and true Dice, by subject; their mean is
    Spearman's coefficient. Empty below five scans.

    Of spoilt scans the worst are told from the best: easy. Here nobody made any scan worse.

    Args:
        table: of :func:`of_spoilt_scans`.
    """
    scans = table[table["kind"] == "none"].drop_duplicates("subject").set_index("subject")
    if len(scans) < 5:
        return pd.Series(dtype=float)
    return pd.Series(rank_correlation_shares(scans["expected"], scans["dice"]), index=scans.index)


def flag_ranks(table: pd.DataFrame) -> pd.Series:
    r"""For each failed scan the share of the others that were expected to be better: the mean is the area under the
    ROC curve of the flag. Ties count half. Empty where none or all failed.

    Args:
        table: of :func:`of_spoilt_scans`.
    """
    table = table.drop_duplicates(["subject", "kind"])
    failed = table["dice"] < FAILED
    good = table.loc[~failed, "expected"].to_numpy()
    names = table.loc[failed, "subject"] + " " + table.loc[failed, "kind"]
    if not len(good):
        return pd.Series(dtype=float)
    shares = [((good > e).sum() + 0.5 * (good == e).sum()) / len(good) for e in table.loc[failed, "expected"]]
    return pd.Series(shares, index=pd.Index(names, name="subject"), dtype=float)


def warned_of(table: pd.DataFrame, kind: str) -> str:
    r"""In words: of how many failures among scans spoilt in this way the network expected to fail.

    Args:
        table: of :func:`of_spoilt_scans`.
    """
    scans = table[table["kind"] == kind].drop_duplicates("subject")
    failed = scans[scans["dice"] < FAILED]
    expected = int((failed["expected"] < FAILED).sum())
    return f"of {len(failed)} scans with {kind} that failed, it expected {expected} to fail"
