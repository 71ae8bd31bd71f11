r"""Tables of comparisons: the right pairs, means by subject, a majority that is one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import mahalanobis

from cardiolearn import tables
from cardiolearn.image import Image
from cardiolearn.phantom.observers import ANNOTATORS, THICK_WALLED
from cardiolearn.phantom.subject import sample_cohort, sample_subject

SPACING = (1.5, 1.5, 10.0)


def heart(radius: float, wall: float = 8.0) -> Image:
    _, y, x = np.indices((3, 60, 64))
    away = np.hypot(y - 30, x - 28) * SPACING[0]
    data = np.where(away < radius, 1, np.where(away < radius + wall, 2, 0))
    data[(data == 0) & (away < radius + wall + 15) & (x > 28)] = 3
    return Image(torch.from_numpy(data.astype(np.uint8)), np.diag([*SPACING, 1.0]))


KEYS = [(s, p) for s in ("a", "b") for p in ("ED", "ES")]
TRUTH = {key: heart(24.0 if key[1] == "ED" else 15.0) for key in KEYS}
DRAWN = {key: {"O1": heart(25.0), "O2": heart(22.0)} if key[1] == "ED" else {"O1": heart(16.0)} for key in KEYS}


def test_every_comparison_has_its_row() -> None:
    pairs = tables.between_annotators(DRAWN)
    assert list(pairs["pair"]) == ["O1 vs O2"] * 2 and set(pairs["phase"]) == {"ED"}
    versus = tables.versus_annotators({k: TRUTH[k] for k in KEYS[:2]}, DRAWN)
    assert list(versus[["subject", "annotator"]].itertuples(index=False, name=None)) == [
        ("a", "O1"), ("a", "O2"), ("a", "O1"),
    ]  # fmt: skip
    assert (tables.versus_truth(TRUTH, {"itself": TRUTH})["dice.rv"] == 1.0).all()
    four = tables.chambers(TRUTH, TRUTH, "la_4ch")
    assert {c for c in four if c.startswith("dice.")} == {f"dice.{c}" for c in ("lv", "myocardium", "rv", "la", "ra")}
    assert "dice.rv" not in tables.chambers(TRUTH, TRUTH, "la_2ch")


def test_nothing_to_compare_gives_empty_tables() -> None:
    for empty in (tables.between_annotators({}), tables.versus_annotators(TRUTH, {}), tables.versus_truth({}, {})):
        assert len(empty) == 0 and "subject" in empty
    assert len(tables.indices({})) == 0 and len(tables.annotators_indices({})) == 0


def test_the_majority_is_the_mode_of_each_voxel() -> None:
    g = torch.Generator().manual_seed(0)
    people = [heart(20).with_data(torch.randint(0, 4, (3, 60, 64), generator=g).to(torch.uint8)) for _ in range(5)]
    expected = stats.mode(np.stack([p.data.numpy() for p in people]), axis=0).mode
    assert np.array_equal(tables.majority(people).data.numpy(), expected)


def test_averaging_removes_scatter_and_keeps_a_shared_habit() -> None:
    truth = {("a", "ED"): heart(24.0)}
    crowds = {"eight": ANNOTATORS, "thick": THICK_WALLED}
    found = {name: tables.majority_of(truth, crowd, seed=0) for name, crowd in crowds.items()}
    one = tables.majority_of(truth, ANNOTATORS[2:3], seed=0)
    table = tables.versus_truth(truth, found | {"one": one}).set_index("who")
    assert table.loc["eight", "dice.myocardium"] > table.loc["one", "dice.myocardium"]
    assert table.loc["eight", "dice.myocardium"] > table.loc["thick", "dice.myocardium"] + 0.02


def test_indices_by_subject_and_their_change_between_visits() -> None:
    found = tables.indices(TRUTH)
    assert list(found.index) == ["a", "b"] and (found["lv_ef"] > 0).all()
    people = tables.annotators_indices(DRAWN)  # O2 drew no end-systole
    assert people.loc["a", "lv_edv"] == tables.indices({k: d["O1"] for k, d in DRAWN.items()}).loc["a", "lv_edv"]
    again = {key: heart(24.0 if key[1] == "ED" else 18.0) for key in KEYS}
    visits = tables.repeated(TRUTH, again, DRAWN, DRAWN)
    expected = abs(tables.indices(again)["lv_ef"] - found["lv_ef"])
    assert visits["network"].to_numpy() == pytest.approx(expected.to_numpy())
    assert (visits["observers"] == 0).all()


def test_unusualness_is_scipys_mahalanobis_distance() -> None:
    names = ["lv_edv", "lv_esv", "rv_edv", "rv_esv", "lv_mass"]
    subjects = [sample_subject(i, cohort="test", seed=0) for i in range(4)]
    infos = [
        {"subject": s.identity, "lv_mass_g": s.lv_mass, **{f"{n}_ml": getattr(s, n) for n in names[:4]}}
        for s in subjects
    ]
    usual = np.log([[getattr(s, n) for n in names] for s in sample_cohort(500, cohort="train", seed=0)])
    inverse = np.linalg.inv(np.cov(usual.T))
    expected = [mahalanobis(np.log([getattr(s, n) for n in names]), usual.mean(0), inverse) for s in subjects]
    assert tables.unusualness(infos).to_numpy() == pytest.approx(expected)
    assert list(tables.unusualness(infos).index) == [s.identity for s in subjects]


def test_by_subject_averages_everything_else() -> None:
    table = pd.DataFrame({"subject": ["b", "a", "b"], "phase": ["ED", "ED", "ES"], "dice.lv": [0.8, 0.5, 0.6]})
    assert tables.by_subject(table)["dice.lv"].to_dict() == pytest.approx({"a": 0.5, "b": 0.7})


def test_one_subject_by_view_and_phase() -> None:
    found = tables.of_subject({"sa": TRUTH, "la_2ch": {("b", "ES"): TRUTH["b", "ES"]}}, "b")
    assert list(found) == ["sa ED", "sa ES", "la_2ch ES"] and found["sa ED"] is TRUTH["b", "ED"]
    assert tables.of_subject({"sa": TRUTH}, "c") == {}


def test_the_overview_has_words_for_rows_and_a_column_each() -> None:
    found = tables.overview(tables.versus_annotators(TRUTH, DRAWN), "annotator")
    assert list(found) == ["O1", "O2"] and len(found) == 9
    assert list(found.index[:4]) == ["LV cavity, Dice", "LV myocardium, Dice", "RV cavity, Dice", "LV cavity, MCD (mm)"]
    assert found.loc["LV cavity, slices dropped", "O2"] == 0.0


def test_bias_is_relative_but_for_the_ejection_fraction() -> None:
    ours = pd.DataFrame(
        {"lv_edv": [110.0, 90.0], "lv_esv": [50.0, 30.0], "lv_mass": [100.0, 80.0], "lv_ef": [55.0, 66.0]}
    )
    ours.index = pd.Index(["a", "b"], name="subject")
    theirs = pd.DataFrame({"lv_edv": [100.0], "lv_esv": [40.0], "lv_mass": [125.0], "lv_ef": [60.0]}, index=["a"])
    found = tables.bias(ours, theirs)
    assert list(found) == list(tables.BIAS_UNITS) and list(found.index) == ["a"]
    assert found.loc["a"].tolist() == pytest.approx([10.0, 25.0, -20.0, -5.0])
    assert len(tables.bias(ours, tables.annotators_indices({}))) == 0
    assert len(tables.bias(tables.indices({}), tables.annotators_indices({}))) == 0
