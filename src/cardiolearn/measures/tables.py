r"""Tables with one row per scan: a method, the annotators and the truth, compared two by two.

Segmentations go by (subject, phase), as `whole_scan.segment_all` returns them; outlines by (subject, phase) and
annotator. Every table has the columns `subject` and `phase`, so that all of them can be paired.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from cardiolearn.imaging.image import Image
from cardiolearn.imaging.structures import NAMES, PHASES, VENTRICLES
from cardiolearn.imaging.study import Study
from cardiolearn.measures.agreement import compare, compare_chambers, compare_pairs
from cardiolearn.measures.boundaries import BORDERS
from cardiolearn.measures.clinical import clinical_indices

Found = Mapping[tuple[str, str], Image]
Outlined = Mapping[tuple[str, str], Mapping[str, Image]]
INDICES = ("lv_edv", "lv_esv", "lv_ef", "lv_mass", "lv_mass_es", "rv_edv", "rv_esv", "rv_ef")
OUTRIGHT = 20.0  # points of ejection fraction; see `failed_outright`
#: Phases that an index of a ventricle is taken from.
_AT = {"edv": ("ED",), "esv": ("ES",), "sv": PHASES, "ef": PHASES}
#: What `agreement.compare` gives of each structure, in words.
MEASURES = {"dice": "Dice", "mcd": "MCD (mm)", "dropped": "slices dropped"}
#: Units of what `agreement.compare` gives.
DICE_UNITS = {f"dice.{key}": "1" for key in VENTRICLES}
CONTOUR_UNITS = {f"mcd.{key}": "mm" for key in VENTRICLES}
OFFSET_UNITS = {f"offset.{key}": "mm" for key in BORDERS}
#: Units of the indices that a report states.
INDEX_UNITS = {"lv_edv": "mL", "lv_esv": "mL", "lv_ef": "%", "lv_mass": "g", "lv_mass_es": "g"}
#: Units of what `bias` compares.
BIAS_UNITS = {"lv_edv": "%", "lv_esv": "%", "lv_mass": "%", "lv_mass_es": "%", "lv_ef": "points"}


def true_labels(studies: Iterable[Study], view: str = "sa") -> dict[tuple[str, str], Image]:
    r"""The labels kept with the studies: a phantom's are the truth, a patient's were outlined by somebody."""
    pairs = [(study, phase) for phase in PHASES for study in studies]
    return {(s.subject, p): s.labels(view, p) for s, p in pairs if s.has(view, p, label=True)}


def versus_annotators(found: Found, outlined: Outlined) -> pd.DataFrame:
    r"""`agreement.compare` of each segmentation with each annotator's outlines of the scan."""
    return _table(
        {"subject": s, "phase": p, "annotator": name, **compare(found[s, p], labels)}
        for (s, p), people in outlined.items()
        if (s, p) in found
        for name, labels in people.items()
    )


def between_annotators(outlined: Outlined) -> pd.DataFrame:
    r"""`agreement.compare` of every two annotators of a scan, as `pair`."""
    return _table(
        {"subject": s, "phase": p, **row} for (s, p), people in outlined.items() for row in compare_pairs(people)
    )


def versus_truth(truth: Found, segmentations: Mapping[str, Found]) -> pd.DataFrame:
    r"""`agreement.compare` of segmentations of the same scans, by name (`method`), with the truth."""
    return _table(
        {"subject": s, "phase": p, "method": method, **compare(found[s, p], labels)}
        for method, found in segmentations.items()
        for (s, p), labels in truth.items()
        if (s, p) in found
    )


def chambers(found: Found, truth: Found, view: str) -> pd.DataFrame:
    r"""`agreement.compare_chambers` of long-axis segmentations of a `view` with the truth."""
    return _table(
        {"subject": s, "phase": p, **compare_chambers(found[s, p], labels, view)}
        for (s, p), labels in truth.items()
        if (s, p) in found
    )


def of_subject(found: Mapping[str, Found], subject: str) -> dict[str, Image]:
    r"""Of segmentations by view those of one subject, by "view phase"."""
    keys = [(view, phase) for view in found for phase in PHASES if (subject, phase) in found[view]]
    return {f"{view} {phase}": found[view][subject, phase] for view, phase in keys}


def indices(found: Found) -> pd.DataFrame:
    r"""`clinical.clinical_indices` of every subject with both phases, one row each, by subject."""
    subjects = [s for s, p in found if p == "ED" and (s, "ES") in found]
    rows = [{"subject": s, **clinical_indices(found[s, "ED"], found[s, "ES"])} for s in subjects]
    return _table(rows).set_index("subject") if rows else pd.DataFrame(columns=list(INDICES))


def annotators_indices(outlined: Outlined) -> pd.DataFrame:
    r"""The annotators' mean of each index, by subject."""
    names = sorted({name for people in outlined.values() for name in people})
    each = [indices(_of(outlined, name)) for name in names]
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


def only_outlined(table: pd.DataFrame, studies: Iterable[Study]) -> pd.DataFrame:
    r"""The table without its numbers on structures that nobody outlined, as `info.toml` declares: NaN in their place.

    Where a patient's right ventricle was not drawn, an overlap of 0 would not be the network's fault. Studies that
    declare nothing keep all their numbers.

    Args:
        table: of `versus_annotators` or `versus_truth`, with a row for each subject and phase; or of
            `annotators_indices`, by subject.
    """
    kept = table.copy()
    for study in studies:
        for phase in PHASES:
            if (declared := study.outlined(phase)) is not None:
                gone = [name for name in table if (at := _rests_on(name, phase)) and at not in declared]
                rows = table.index == study.subject
                if "phase" in table:
                    rows = (table["subject"] == study.subject) & (table["phase"] == phase)
                kept.loc[rows, gone] = float("nan")
    return kept


def _rests_on(column: str, phase: str) -> str | None:
    r"""Key of the structure that a measure of agreement is of, or that an index needs at this phase; None of others."""
    _, dot, key = column.partition(".")
    if dot:
        return {"epicardium": "myocardium"}.get(key, key)
    if column in ("lv_mass", "lv_mass_es"):
        return "myocardium" if phase == ("ES" if column.endswith("_es") else "ED") else None
    side, _, index = column.partition("_")
    return side if index in _AT and phase in _AT[index] else None


def overview(table: pd.DataFrame, by: str) -> pd.DataFrame:
    r"""Means of what `agreement.compare` gives, for a reader: a row for each measure, a column for each of `by`.

    Empty where nobody was compared, as with the scans of a single annotator.
    """
    if by not in table:
        return pd.DataFrame()
    rows = {f"{m}.{key}": f"{NAMES[key]}, {what}" for m, what in MEASURES.items() for key in VENTRICLES}
    means = table.groupby(by, sort=False).mean(numeric_only=True).T
    return means.loc[[name for name in rows if name in means.index]].rename(index=rows).round(2)


def by_subject(table: pd.DataFrame) -> pd.DataFrame:
    r"""Means over everything else, one row per subject."""
    return table.groupby("subject", sort=True).mean(numeric_only=True)


def failed_outright(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.Series:
    r"""Whether the network failed outright on a visit, by subject: 1 or 0.

    It did where it found no cavity at end-diastole, or where its LV ejection fraction is over 20 points from the mean
    of the annotators who outlined that very visit. Neither the truth nor another visit is asked. An annotator's own
    differs by some 3 points between visits; 20 lie between a healthy ventricle and a failing one.

    Args:
        ours: of `indices`, of one visit.
        theirs: of `annotators_indices`, of the same visit.
    """
    apart = (ours["lv_ef"].reindex(theirs.index) - theirs["lv_ef"]).abs()
    return (~(apart <= OUTRIGHT)).astype(int)  # an ejection fraction that is none is not near


def repeated(first: Found, second: Found, outlined_first: Outlined, outlined_second: Outlined) -> pd.DataFrame:
    r"""How far the LV ejection fraction (points) of two visits differs, by subject: of the `network`, and on average of
    the `observers`, each of whom outlined both; `failed` counts the visits on which the network `failed_outright`.

    A visit without an ejection fraction of the network's counts as 100 points away: no subject is left out.
    """
    people = sorted({name for outlined in outlined_first.values() for name in outlined})
    everybody = {"network": (first, second)} | {
        name: (_of(outlined_first, name), _of(outlined_second, name)) for name in people
    }
    change = {name: (indices(a)["lv_ef"] - indices(b)["lv_ef"]).abs() for name, (a, b) in everybody.items()}
    visits = ((first, outlined_first), (second, outlined_second))
    failed = [failed_outright(indices(found), annotators_indices(outlined)) for found, outlined in visits]
    table = pd.DataFrame({"network": change["network"].fillna(100.0), "failed": failed[0] + failed[1]})
    table["observers"] = pd.DataFrame(change)[people].mean(axis=1)
    return table.rename_axis("subject").reset_index()


def repeat_summary(visits: pd.DataFrame) -> pd.DataFrame:
    r"""Mean differences of `repeated` in points, of all subjects and of those whose visits the network did not fail."""
    whose = {"all subjects": visits, "without those that failed": visits[visits["failed"] == 0]}
    return pd.DataFrame({name: rows[["network", "observers"]].mean() for name, rows in whose.items()}).round(1)


def _of(outlined: Outlined, name: str) -> Found:
    return {key: people[name] for key, people in outlined.items() if name in people}


def _table(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows))
    return table if len(table) else pd.DataFrame(columns=["subject", "phase"])
