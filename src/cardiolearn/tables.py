r"""Tables with one row per scan: a method, the annotators and the truth, compared two by two.

Segmentations go by (subject, phase), as `segmentation.segment_all` returns them; drawings by (subject, phase) and
annotator. Every table has the columns `subject` and `phase`, so that all of them can be paired.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from cardiolearn.evaluation import compare, compare_chambers, compare_pairs
from cardiolearn.image import Image
from cardiolearn.phantom.cohort import drawings
from cardiolearn.phantom.observers import Observer, observe
from cardiolearn.phantom.subject import sample_cohort
from cardiolearn.study import PHASES, Study, clinical_indices

Found = Mapping[tuple[str, str], Image]
Drawn = Mapping[tuple[str, str], Mapping[str, Image]]
INDICES = ("lv_edv", "lv_esv", "lv_ef", "lv_mass", "rv_edv", "rv_esv", "rv_ef")
_STRUCTURES = {"lv": "LV cavity", "myocardium": "LV myocardium", "rv": "RV cavity"}
_MEASURES = {"dice": "Dice", "mcd": "MCD (mm)", "dropped": "slices dropped"}
#: Units of what `bias` compares.
BIAS_UNITS = {"lv_edv": "%", "lv_esv": "%", "lv_mass": "%", "lv_ef": "points"}


def draw_all(studies: Iterable[Study]) -> dict[tuple[str, str], dict[str, Image]]:
    r"""What the annotators drew of each short-axis scan; scans without labels are passed over."""
    pairs = [(study, phase) for phase in PHASES for study in studies]
    every = {(study.subject, phase): drawings(study, phase) for study, phase in pairs if study.has("sa", phase)}
    return {key: drawn for key, drawn in every.items() if drawn}


def true_labels(studies: Iterable[Study], view: str = "sa") -> dict[tuple[str, str], Image]:
    r"""The labels kept with the studies: a phantom's are the truth, a patient's were drawn by somebody."""
    pairs = [(study, phase) for phase in PHASES for study in studies]
    return {(s.subject, p): s.labels(view, p) for s, p in pairs if s.has(view, p, label=True)}


def versus_annotators(found: Found, drawn: Drawn) -> pd.DataFrame:
    r"""`evaluation.compare` of each segmentation with each annotator's drawing of the scan."""
    return _table(
        {"subject": s, "phase": p, "annotator": name, **compare(found[s, p], labels)}
        for (s, p), people in drawn.items()
        if (s, p) in found
        for name, labels in people.items()
    )


def between_annotators(drawn: Drawn) -> pd.DataFrame:
    r"""`evaluation.compare` of every two annotators of a scan, as `pair`."""
    return _table(
        {"subject": s, "phase": p, **row} for (s, p), people in drawn.items() for row in compare_pairs(people)
    )


def versus_truth(truth: Found, segmentations: Mapping[str, Found]) -> pd.DataFrame:
    r"""`evaluation.compare` of segmentations of the same scans, by name (`who`), with the truth."""
    return _table(
        {"subject": s, "phase": p, "who": who, **compare(found[s, p], labels)}
        for who, found in segmentations.items()
        for (s, p), labels in truth.items()
        if (s, p) in found
    )


def chambers(found: Found, truth: Found, view: str) -> pd.DataFrame:
    r"""`evaluation.compare_chambers` of long-axis segmentations of a `view` with the truth."""
    return _table(
        {"subject": s, "phase": p, **compare_chambers(found[s, p], labels, view)}
        for (s, p), labels in truth.items()
        if (s, p) in found
    )


def of_subject(found: Mapping[str, Found], subject: str) -> dict[str, Image]:
    r"""Of segmentations by view those of one subject, by "view phase"."""
    keys = [(view, phase) for view in found for phase in PHASES if (subject, phase) in found[view]]
    return {f"{view} {phase}": found[view][subject, phase] for view, phase in keys}


def majority(people: Sequence[Image]) -> Image:
    r"""What most annotators drew: the commonest label of each voxel, the lowest of equally common ones."""
    votes = torch.stack([torch.stack([one.data == k for one in people]).sum(0) for k in range(6)])
    return people[0].with_data(votes.argmax(0).to(torch.uint8))


def majority_of(truth: Found, annotators: Sequence[Observer], seed: int) -> dict[tuple[str, str], Image]:
    r"""What most of `annotators` would draw of each scan whose true labels are given."""
    drawn = {
        key: [labels.with_data(observe(labels.data, labels.spacing, one, seed)) for one in annotators]
        for key, labels in truth.items()
    }
    return {key: majority(people) for key, people in drawn.items()}


def indices(found: Found) -> pd.DataFrame:
    r"""`study.clinical_indices` of every subject with both phases, one row each, by subject."""
    subjects = [s for s, p in found if p == "ED" and (s, "ES") in found]
    rows = [{"subject": s, **clinical_indices(found[s, "ED"], found[s, "ES"])} for s in subjects]
    return _table(rows).set_index("subject") if rows else pd.DataFrame(columns=list(INDICES))


def annotators_indices(drawn: Drawn) -> pd.DataFrame:
    r"""The annotators' mean of each index, by subject."""
    names = sorted({name for people in drawn.values() for name in people})
    each = [indices(_of(drawn, name)) for name in names]
    return pd.concat(each).groupby(level=0, sort=False).mean() if each else pd.DataFrame(columns=list(INDICES))


def bias(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    r"""How far `ours` lies from `theirs` (both as `indices` gives them) by subject, in `BIAS_UNITS`.

    Volumes and mass in percent of `theirs`, the ejection fraction in points. Subjects that one of them lacks are left
    out.
    """
    both = ours.index.intersection(theirs.index, sort=False)
    a, b = ours.loc[both], theirs.loc[both]
    relative = {name: 100 * (a[name] / b[name] - 1) for name, unit in BIAS_UNITS.items() if unit == "%"}
    return pd.DataFrame(relative | {"lv_ef": a["lv_ef"] - b["lv_ef"]}).rename_axis("subject")


def overview(table: pd.DataFrame, by: str) -> pd.DataFrame:
    r"""Means of what `evaluation.compare` gives, for a reader: a row for each measure, a column for each of `by`."""
    rows = {f"{m}.{s}": f"{structure}, {what}" for m, what in _MEASURES.items() for s, structure in _STRUCTURES.items()}
    means = table.groupby(by, sort=False).mean(numeric_only=True).T
    return means.loc[[name for name in rows if name in means.index]].rename(index=rows).round(2)


def by_subject(table: pd.DataFrame) -> pd.DataFrame:
    r"""Means over everything else, one row per subject."""
    return table.groupby("subject", sort=True).mean(numeric_only=True)


def repeated(first: Found, second: Found, drawn_first: Drawn, drawn_second: Drawn) -> pd.DataFrame:
    r"""How far the LV ejection fraction (points) of two visits differs, by subject: of the `network`, and on average of
    the `observers`, each of whom drew both."""
    people = sorted({name for drawn in drawn_first.values() for name in drawn})
    everybody = {"network": (first, second)} | {
        name: (_of(drawn_first, name), _of(drawn_second, name)) for name in people
    }
    change = {name: (indices(a)["lv_ef"] - indices(b)["lv_ef"]).abs() for name, (a, b) in everybody.items()}
    table = pd.DataFrame({"network": change["network"], "observers": pd.DataFrame(change)[people].mean(axis=1)})
    return table.rename_axis("subject").reset_index()


def unusualness(infos: Iterable[Mapping[str, Any]], n: int = 500) -> pd.Series:
    r"""How far each subject lies from the training cohort (Mahalanobis distance), by subject.

    Compared are the logarithms of the true volumes of both ventricles and of the LV mass with those of `n` subjects of
    the phantom's training cohort. `infos` are those of phantom studies.
    """
    names = ["lv_edv", "lv_esv", "rv_edv", "rv_esv", "lv_mass"]
    usual = np.log([[getattr(s, name) for name in names] for s in sample_cohort(n, cohort="train", seed=0)])
    facts = {i["subject"]: [i[f"{name}_{'g' if name == 'lv_mass' else 'ml'}"] for name in names] for i in infos}
    away = np.log(list(facts.values())) - usual.mean(0)
    inverse = np.linalg.inv(np.cov(usual, rowvar=False))
    distance = np.sqrt(np.einsum("ij,jk,ik->i", away, inverse, away))
    return pd.Series(distance, index=pd.Index(list(facts), name="subject"), name="unusualness")


def _of(drawn: Drawn, name: str) -> Found:
    return {key: people[name] for key, people in drawn.items() if name in people}


def _table(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows))
    return table if len(table) else pd.DataFrame(columns=["subject", "phase"])
