r"""A cohort by its codes: diseases told apart and indices read, by T-L codes and by principal components of masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cardiolearn.measures.statistics import gain_interval
from cardiolearn.methods.shape.code_worth import Rivals, read_from, rivals, share_of_oracle, squared_errors, told_apart
from cardiolearn.methods.shape.codes import MaskComponents, codes_of_labels
from cardiolearn.phantom.body.disease import GROUPS
from cardiolearn.phantom.body.subject import Subject, sample_cohort
from cardiolearn.phantom.cohorts.volume_maps import sample_volume_maps

FEW = 20  # subjects of each group, as many in all as on the slide
GROUP_WORDS = {"NOR": "healthy", "DCM": "dilated", "HCM": "hypertrophic"}
#: Indices of a subject, with their units.
INDICES = {"lv_mass": "g", "lv_edv": "mL", "lv_esv": "mL", "lv_ef": "1", "age": "years", "systolic_pressure": "mmHg"}
_WORDS = {
    "lv_mass": "LV mass", "lv_edv": "LV end-diastolic volume", "lv_esv": "LV end-systolic volume",
    "lv_ef": "ejection fraction", "age": "age", "systolic_pressure": "systolic pressure",
}  # fmt: skip
_SHAPE = (
    "lv_edv", "lv_esv", "lv_mass", "rv_edv", "rv_esv", "lv_length", "longitudinal_shortening", "twist",
    "septal_asymmetry", "apical_thickening",
)  # fmt: skip
_FITTED = 400  # hearts at most that the components are fitted to: they need 3 MB of memory each


class CohortCodes(NamedTuple):
    r"""Subjects of the three groups, and what stands for each: `codes` and `components` `(n, 128)` of both phases, and
    the `truth` `(n, m)`, the numbers that the simulation made it from."""

    subjects: Sequence[Subject]
    codes: NDArray[np.float64]
    components: NDArray[np.float64]
    truth: NDArray[np.float64]


def fit_components(labels: Tensor) -> MaskComponents:
    r"""The principal components of the first of `labels` `(N, Z, Y, X)`, hearts of other subjects."""
    return MaskComponents.fit(labels[:_FITTED])


def of_groups(encoder: nn.Module, components: MaskComponents, folder: Path, each: int, seed: int) -> CohortCodes:
    r"""`each` subjects of every group of the test cohort, which neither encoder nor components were fitted to.

    The first `FEW` of each group come first, so that the small comparison is the beginning of the large one.
    """
    parts: list[tuple[Subject, NDArray[np.float64], NDArray[np.float64]]] = []
    for group in GROUPS:
        maps = sample_volume_maps(each, folder, cohort="test", seed=seed, group=group)
        labels = maps.label.flatten(0, 1)
        of_masks = (codes_of_labels(encoder, labels), torch.cat([components.of(part) for part in labels.split(50)]))
        codes, scores = (values.reshape(each, -1).double().numpy() for values in of_masks)
        parts += zip(sample_cohort(each, cohort="test", seed=seed, group=group), codes, scores, strict=True)
    parts.sort(key=lambda part: not _is_few(part[0]))
    people, rows, others = zip(*parts, strict=True)
    truth = [[*(getattr(s, name) for name in _SHAPE), *s.shape, *s.unseen_shape] for s in people]
    return CohortCodes(people, np.stack(rows), np.stack(others), np.asarray(truth))


def worth(cohort: CohortCodes, seed: int) -> pd.DataFrame:
    r"""A row for each subject: `right.*`, whether its group was told from codes (`tl`) and components (`pca`), and
    `few.*`, the same among the few (NaN for the others); of each index its value, and what was read from codes and by
    the oracle that sees the simulation's own numbers (`codes.*`, `oracle.*`)."""
    groups = [subject.group for subject in cohort.subjects]
    few = sum(_is_few(subject) for subject in cohort.subjects)
    rows: dict[str, Any] = {"subject": [subject.identity for subject in cohort.subjects], "group": groups}
    for name, values in (("pca", cohort.components), ("tl", cohort.codes)):
        rows[f"right.{name}"] = (told_apart(values, groups, seed) == np.asarray(groups)).astype(float)
        among = told_apart(values[:few], groups[:few], seed) == np.asarray(groups[:few])
        rows[f"few.{name}"] = np.concatenate([among, np.full(len(groups) - few, np.nan)])
    for index in INDICES:
        rows[index] = np.array([getattr(subject, index) for subject in cohort.subjects])
        rows[f"codes.{index}"] = read_from(cohort.codes, rows[index], seed)
        rows[f"oracle.{index}"] = read_from(cohort.truth, rows[index], seed)
    return pd.DataFrame(rows)


def compared(table: pd.DataFrame, column: str) -> Rivals:
    r"""T-L codes against components, by `column` `"few"` or `"right"` of `worth`."""
    both = table[[f"{column}.tl", f"{column}.pca"]].dropna()
    codes, components = (["right" if yes else "wrong" for yes in both[f"{column}.{name}"]] for name in ("tl", "pca"))
    return rivals(codes, components, ["right"] * len(both))


def in_words(found: Rivals, many: str) -> str:
    r"""What `compared` found, in one line.

    >>> in_words(Rivals(0.9, 0.8, 8, 2, 0.109, -0.01, 0.16, 60), "as many as on the slide")
    'as many as on the slide (60): T-L 90.0 %, PCA 80.0 %; difference 10.0 points [-1.0, 16.0], McNemar p = 0.109'
    """
    shares = f"T-L {100 * found.first:.1f} %, PCA {100 * found.second:.1f} %"
    apart = f"{100 * (found.first - found.second):.1f} points [{100 * found.low:.1f}, {100 * found.high:.1f}]"
    return f"{many} ({found.n}): {shares}; difference {apart}, McNemar p = {found.p:.3f}"


def errors(table: pd.DataFrame) -> pd.DataFrame:
    r"""By subject, of each index: the squared error of what was read from codes (`codes.*`) and by the oracle
    (`oracle.*`), and of the mean of the others (`mean.*`), all divided by the index' variance."""
    found: dict[str, Any] = {}
    for index in INDICES:
        value = table[index]
        found[f"mean.{index}"] = squared_errors((value.sum() - value) / (len(value) - 1), value)
        for who in ("codes", "oracle"):
            found[f"{who}.{index}"] = squared_errors(table[f"{who}.{index}"], value)
    return pd.DataFrame(found, index=table["subject"])


def to_record(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    r"""What `Run.record_all` is given of `worth`: who was told right, and the `errors` of the indices."""
    missed = errors(table)
    found = {f"codes.{name}": table[name] for name in ("right.tl", "right.pca")}
    found |= {f"indices.{name}": missed[name] for name in missed}
    return {name: {"values": values.to_numpy(), "subjects": list(table["subject"])} for name, values in found.items()}


def explained(missed: pd.DataFrame) -> pd.DataFrame:
    r"""R^2 of each index, from the `errors`: from `codes`, with its 95 % interval, by the `oracle`, and the `share` of
    the oracle's (NaN where that is near 0)."""
    rows = {}
    for index, unit in INDICES.items():
        ours, best = (1 - missed[f"{who}.{index}"] for who in ("codes", "oracle"))
        low, high = gain_interval(missed[f"codes.{index}"], missed[f"mean.{index}"])
        rows[_WORDS[index] if unit == "1" else f"{_WORDS[index]} ({unit})"] = {
            "R2 from codes": round(ours.mean(), 2), "95 % interval": f"{low:.2f} to {high:.2f}",
            "R2 of the oracle": round(best.mean(), 2),
            "share": round(share_of_oracle(ours.mean(), best.mean()), 2),
        }  # fmt: skip
    return pd.DataFrame(rows).T


def _is_few(subject: Subject) -> bool:
    return int(subject.identity.rsplit("-", 1)[1]) < FEW
