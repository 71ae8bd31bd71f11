r"""Tables of comparisons: the right pairs, means by subject, volumes and overlaps counted in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cardiolearn.imaging.image import Image
from cardiolearn.imaging.study import find_studies, write_study
from cardiolearn.measures import tables

SPACING = (1.5, 1.5, 10.0)


def heart(radius: float, wall: float = 8.0) -> Image:
    _, y, x = np.indices((3, 60, 64))
    away = np.hypot(y - 30, x - 28) * SPACING[0]
    data = np.where(away < radius, 1, np.where(away < radius + wall, 2, 0))
    data[(data == 0) & (away < radius + wall + 15) & (x > 28)] = 3
    return Image(torch.from_numpy(data.astype(np.uint8)), np.diag([*SPACING, 1.0]))


def volume_ml(radius: float) -> float:
    r"""What lies within `radius` mm of the middle of a `heart`, counted."""
    y, x = np.indices((60, 64))
    return 3 * int((np.hypot(y - 30, x - 28) * SPACING[0] < radius).sum()) * float(np.prod(SPACING)) / 1000


KEYS = [(s, p) for s in ("a", "b") for p in ("ED", "ES")]
TRUTH = {key: heart(24.0 if key[1] == "ED" else 15.0) for key in KEYS}
OUTLINED = {key: {"O1": heart(25.0), "O2": heart(22.0)} if key[1] == "ED" else {"O1": heart(16.0)} for key in KEYS}


def nested_dice(small: float, large: float) -> float:
    r"""Dice of the cavities of two hearts, one within the other."""
    return 2 * volume_ml(small) / (volume_ml(small) + volume_ml(large))


def test_every_comparison_has_its_row() -> None:
    pairs = tables.between_annotators(OUTLINED)
    assert list(pairs["pair"]) == ["O1 vs O2"] * 2 and set(pairs["phase"]) == {"ED"}
    assert pairs["dice.lv"].tolist() == pytest.approx([nested_dice(22.0, 25.0)] * 2)
    versus = tables.versus_annotators({k: TRUTH[k] for k in KEYS[:2]}, OUTLINED)
    assert list(versus[["subject", "phase", "annotator"]].itertuples(index=False, name=None)) == [
        ("a", "ED", "O1"), ("a", "ED", "O2"), ("a", "ES", "O1"),
    ]  # fmt: skip
    expected = [nested_dice(24.0, 25.0), nested_dice(22.0, 24.0), nested_dice(15.0, 16.0)]
    assert versus["dice.lv"].tolist() == pytest.approx(expected)
    assert set(tables.DICE_UNITS.items()) == {(name, "1") for name in versus if name.startswith("dice.")}
    assert set(tables.OFFSET_UNITS.items()) == {(name, "mm") for name in versus if name.startswith("offset.")}
    assert set(tables.CONTOUR_UNITS.items()) == {(name, "mm") for name in versus if name.startswith("mcd.")}


def test_segmentations_and_the_truth_by_method() -> None:
    smaller = {key: heart(20.0) for key in KEYS[:1]}
    found = tables.versus_truth(TRUTH, {"itself": TRUTH, "smaller": smaller})
    assert list(found["method"]) == ["itself"] * 4 + ["smaller"]
    assert found["dice.lv"].tolist() == pytest.approx([1.0] * 4 + [nested_dice(20.0, 24.0)])
    assert (found["dice.rv"][:4] == 1.0).all()


def test_chambers_are_those_of_the_view() -> None:
    four = tables.chambers(TRUTH, TRUTH, "la_4ch")
    assert {c for c in four if c.startswith("dice.")} == {f"dice.{c}" for c in ("lv", "myocardium", "rv", "la", "ra")}
    assert "dice.rv" not in tables.chambers(TRUTH, TRUTH, "la_2ch")
    smaller = tables.chambers({KEYS[0]: heart(20.0)}, TRUTH, "la_2ch")
    assert smaller["dice.lv"].tolist() == pytest.approx([nested_dice(20.0, 24.0)])


def test_nothing_to_compare_gives_empty_tables() -> None:
    for empty in (tables.between_annotators({}), tables.versus_annotators(TRUTH, {}), tables.versus_truth({}, {})):
        assert len(empty) == 0 and "subject" in empty
    assert len(tables.overview(tables.between_annotators({}), "pair")) == 0
    assert len(tables.indices({})) == 0 and len(tables.annotators_indices({})) == 0


def test_what_nobody_outlined_is_not_counted(tmp_path: Path) -> None:
    r"""A patient whose right ventricle, and whose wall at end-systole, nobody drew; beside one who declares nothing."""
    for subject, declared in (("a", {"outlined": {"ED": ["lv", "myocardium"], "ES": ["lv"]}}), ("b", {})):
        write_study(tmp_path / subject, {"sa_ED": heart(24.0)}, {}, declared)
    studies = find_studies(tmp_path)
    whole = tables.versus_annotators(TRUTH, OUTLINED)
    found = tables.only_outlined(whole, studies)
    lost = found.isna() & ~whole.isna()
    assert {name for name in found if lost[name].any()} == {
        f"{measure}.{key}" for measure in ("dice", "mcd", "dropped") for key in ("myocardium", "rv")
    } | {"offset.epicardium", "offset.rv"}  # fmt: skip
    mine, es = found["subject"] == "a", found["phase"] == "ES"
    assert (lost["dice.rv"] == mine).all() and (lost["offset.epicardium"] == (mine & es)).all()
    people = tables.annotators_indices(OUTLINED)
    known = tables.only_outlined(people, studies).notna()
    assert known.loc["b"].all()
    assert {name for name in known if known.loc["a", name]} == {"lv_edv", "lv_esv", "lv_sv", "lv_ef", "lv_mass"}
    assert not found["dice.lv"].isna().any() and whole["dice.rv"].notna().all()  # and the table given is as it was


def test_indices_by_subject_and_their_change_between_visits() -> None:
    found = tables.indices(TRUTH)
    assert list(found.index) == ["a", "b"] and set(tables.INDICES) <= set(found)
    assert found["lv_edv"].tolist() == pytest.approx([volume_ml(24.0)] * 2)
    assert found["lv_ef"].tolist() == pytest.approx([100 * (1 - volume_ml(15.0) / volume_ml(24.0))] * 2)
    assert found["lv_mass"].tolist() == pytest.approx([1.05 * (volume_ml(32.0) - volume_ml(24.0))] * 2)
    assert found["lv_mass_es"].tolist() == pytest.approx([1.05 * (volume_ml(23.0) - volume_ml(15.0))] * 2)
    people = tables.annotators_indices(OUTLINED)  # O2 outlined no end-systole
    assert people["lv_edv"].tolist() == pytest.approx([volume_ml(25.0)] * 2)
    again = {key: heart(24.0 if key[1] == "ED" else 18.0) for key in KEYS}
    visits = tables.repeated(TRUTH, again, OUTLINED, OUTLINED)
    change = 100 * (volume_ml(18.0) - volume_ml(15.0)) / volume_ml(24.0)
    assert visits["network"].tolist() == pytest.approx([change] * 2)
    assert visits["observers"].tolist() == [0.0, 0.0] and visits["failed"].tolist() == [0, 0]


def test_observers_differ_between_visits_by_the_mean_of_what_each_does() -> None:
    def outlined(*systolic: float) -> dict[tuple[str, str], dict[str, Image]]:
        return {
            ("a", "ED"): {name: heart(24.0) for name in ("O1", "O2")},
            ("a", "ES"): {name: heart(r) for name, r in zip(("O1", "O2"), systolic, strict=True)},
        }

    truth = {key: heart(24.0) for key in (("a", "ED"), ("a", "ES"))}
    visits = tables.repeated(truth, truth, outlined(15.0, 18.0), outlined(18.0, 15.0))  # one up, one down
    change = 100 * (volume_ml(18.0) - volume_ml(15.0)) / volume_ml(24.0)
    assert visits["observers"].tolist() == pytest.approx([change])


def stated(*fractions: float) -> pd.DataFrame:
    return pd.DataFrame({"lv_ef": fractions}, index=pd.Index([f"s{i}" for i in range(len(fractions))], name="subject"))


def test_outright_failures_are_far_from_the_annotators_of_the_same_visit() -> None:
    failed = tables.failed_outright(stated(60.0, 40.1, 39.9, 80.1, np.nan), stated(60.0, 60.0, 60.0, 60.0, 60.0))
    assert failed.tolist() == [0, 0, 1, 1, 1]
    assert tables.failed_outright(stated(60.0, 20.0), stated(60.0)).tolist() == [0]  # nobody outlined the second


def test_a_visit_without_a_cavity_is_counted_and_nobody_is_left_out() -> None:
    people = {key: {"O1": TRUTH[key]} for key in KEYS}
    lost = dict(TRUTH)
    for phase in ("ED", "ES"):
        lost["a", phase] = heart(24.0).with_data(torch.zeros(3, 60, 64, dtype=torch.uint8))
    lost["b", "ES"] = heart(23.0)  # it hardly contracts
    visits = tables.repeated(TRUTH, lost, people, people).set_index("subject")
    assert visits["failed"].to_dict() == {"a": 1, "b": 1}
    change = 100 * (volume_ml(23.0) - volume_ml(15.0)) / volume_ml(24.0)
    assert visits["network"].to_dict() == pytest.approx({"a": 100.0, "b": change}) and change > 20
    twice = tables.repeated(lost, lost, people, people).set_index("subject")
    assert twice["network"].to_dict() == pytest.approx({"a": 100.0, "b": 0.0})  # repeatable, and wrong both times
    assert twice["failed"].to_dict() == {"a": 2, "b": 2}


def test_by_subject_averages_everything_else() -> None:
    table = pd.DataFrame({"subject": ["b", "a", "b"], "phase": ["ED", "ED", "ES"], "dice.lv": [0.8, 0.5, 0.6]})
    assert tables.by_subject(table)["dice.lv"].to_dict() == pytest.approx({"a": 0.5, "b": 0.7})


def test_true_labels_are_those_kept_with_the_studies(tmp_path: Path) -> None:
    scan = heart(24.0).with_data(torch.rand(3, 60, 64))
    for subject, labelled in (("p1", ("ED", "ES")), ("p2", ("ES",))):
        images = {"sa_ED": scan, "sa_ES": scan, "la_4ch_ED": scan}
        write_study(tmp_path / subject, images, {f"sa_{p}": TRUTH["a", p] for p in labelled}, {})
    found = tables.true_labels(find_studies(tmp_path))
    assert set(found) == {("p1", "ED"), ("p1", "ES"), ("p2", "ES")}
    assert all(torch.equal(labels.data, TRUTH["a", phase].data) for (_, phase), labels in found.items())
    assert tables.true_labels(find_studies(tmp_path), "la_4ch") == {}


def test_one_subject_by_view_and_phase() -> None:
    found = tables.of_subject({"sa": TRUTH, "la_2ch": {("b", "ES"): TRUTH["b", "ES"]}}, "b")
    assert list(found) == ["sa ED", "sa ES", "la_2ch ES"] and found["sa ED"] is TRUTH["b", "ED"]
    assert tables.of_subject({"sa": TRUTH}, "c") == {}


def test_the_overview_has_words_for_rows_and_a_column_each() -> None:
    found = tables.overview(tables.versus_annotators(TRUTH, OUTLINED), "annotator")
    assert list(found) == ["O1", "O2"] and len(found) == 9
    assert list(found.index[:4]) == ["LV cavity, Dice", "LV myocardium, Dice", "RV cavity, Dice", "LV cavity, MCD (mm)"]
    assert found.loc["LV cavity, slices dropped", "O2"] == 0.0
    assert found.loc["LV cavity, Dice", "O2"] == round(nested_dice(22.0, 24.0), 2)


def test_bias_is_relative_but_for_the_ejection_fraction() -> None:
    ours = pd.DataFrame(
        {"lv_edv": [110.0, 90.0], "lv_esv": [50.0, 30.0], "lv_mass": [100.0, 80.0], "lv_ef": [55.0, 66.0]}
    ).assign(lv_mass_es=[90.0, 70.0])
    ours.index = pd.Index(["a", "b"], name="subject")
    theirs = pd.DataFrame({"lv_edv": [100.0], "lv_esv": [40.0], "lv_mass": [125.0], "lv_ef": [60.0]}, index=["a"])
    theirs["lv_mass_es"] = 120.0
    found = tables.bias(ours, theirs)
    assert list(found) == list(tables.BIAS_UNITS) and list(found.index) == ["a"]
    assert found.loc["a"].tolist() == pytest.approx([10.0, 25.0, -20.0, -25.0, -5.0])
    assert len(tables.bias(ours, tables.annotators_indices({}))) == 0
    assert len(tables.bias(tables.indices({}), tables.annotators_indices({}))) == 0


def test_a_summary_of_visits_with_and_without_those_that_failed() -> None:
    visits = pd.DataFrame({"subject": list("abc"), "network": [2.0, 4.0, 60.0], "observers": [3.0, 5.0, 4.0]})
    found = tables.repeat_summary(visits.assign(failed=[0, 0, 1]))
    assert found["all subjects"].to_dict() == {"network": 22.0, "observers": 4.0}
    assert found["without those that failed"].to_dict() == {"network": 3.0, "observers": 4.0}
