"""The synthetic population: reference means and SDs, physiology, group overlap, reproducibility."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardiolearn.errors import InputError
from cardiolearn.phantom.reference import REFERENCE, SEXES, Reference, reference
from cardiolearn.phantom.subject import GROUPS, Subject, sample_cohort, sample_subject


def values(subjects: list[Subject], *names: str) -> np.ndarray:
    return np.array([[getattr(subject, name) for name in names] for subject in subjects]).squeeze()


@pytest.fixture(scope="module", params=SEXES)
def healthy(request: pytest.FixtureRequest) -> list[Subject]:
    return sample_cohort(2000, cohort="train", group="NOR", sex=request.param)


@pytest.fixture(scope="module")
def patients() -> list[Subject]:
    return [s for group in GROUPS for s in sample_cohort(300, cohort="train", group=group)]


def test_healthy_means_and_sds_meet_the_published_ones(healthy: list[Subject]) -> None:
    rows = [row for row in REFERENCE if row.sex == healthy[0].sex]
    assert {"lv_edv", "lv_esv", "lv_ef", "lv_mass", "rv_edv"} <= {row.quantity for row in rows}
    for row in rows:
        drawn = values(healthy, row.quantity)
        assert drawn.mean() == pytest.approx(row.mean, rel=0.05), row
        assert drawn.std(ddof=1) == pytest.approx(row.sd, rel=0.25), row


def test_reference_rows_agree_with_each_other() -> None:
    for sex in SEXES:
        edv, esv, ef = (reference(sex, name) for name in ("lv_edv", "lv_esv", "lv_ef"))
        assert 1 - esv.mean / edv.mean == pytest.approx(ef.mean, abs=0.01)
        right = reference(sex, "rv_edv").mean * reference(sex, "rv_ef").mean
        assert right == pytest.approx(edv.mean - esv.mean, rel=0.03)
    assert all(isinstance(row, Reference) and row.source for row in REFERENCE)
    with pytest.raises(InputError, match="lv_colour"):
        reference("male", "lv_colour")


def test_the_test_cohort_is_wider_but_has_the_same_healthy_means() -> None:
    for sex in SEXES:
        drawn = sample_cohort(1000, cohort="test", group="NOR", sex=sex)
        for row in (row for row in REFERENCE if row.sex == sex):
            assert values(drawn, row.quantity).mean() == pytest.approx(row.mean, rel=0.05), row
            assert values(drawn, row.quantity).std() > 1.15 * row.sd, row
    sick = {cohort: sample_cohort(300, cohort=cohort, group="DCM") for cohort in ("train", "test")}
    assert values(sick["test"], "lv_ef").mean() < values(sick["train"], "lv_ef").mean() - 0.02


def test_size_sex_age_and_pressure_act_as_in_people(healthy: list[Subject]) -> None:
    names = ("lv_edv", "lv_mass", "rv_edv", "body_surface_area", "age", "systolic_pressure")
    r = dict(zip(names, np.corrcoef(values(healthy, *names), rowvar=False), strict=True))
    bsa, age = names.index("body_surface_area"), names.index("age")
    assert all(0.25 < r[name][bsa] < 0.75 for name in ("lv_edv", "lv_mass", "rv_edv"))
    assert r["lv_edv"][age] < -0.1 and r["systolic_pressure"][age] > 0.1
    assert r["lv_edv"][names.index("lv_mass")] > 0.5 and r["lv_edv"][names.index("rv_edv")] > 0.7
    # Mass rises with pressure at equal volume and size.
    predictors = np.log(values(healthy, "lv_edv", "body_surface_area", "systolic_pressure"))
    design = np.column_stack([np.ones(len(healthy)), predictors])
    slope = np.linalg.lstsq(design, np.log(values(healthy, "lv_mass")), rcond=None)[0][3]
    assert 0.15 < slope < 0.7


def test_groups_overlap_so_that_volumes_and_mass_classify_most_but_not_all(patients: list[Subject]) -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = values(patients, "lv_edv", "lv_esv", "lv_mass", "rv_edv", "rv_esv")
    groups = [subject.group for subject in patients]
    for model in (LinearDiscriminantAnalysis(), LogisticRegression(max_iter=2000)):
        accuracy = cross_val_score(make_pipeline(StandardScaler(), model), features, groups, cv=10).mean()
        assert 0.80 <= accuracy <= 0.90, (model, accuracy)


def test_each_disease_has_its_signature(patients: list[Subject]) -> None:
    by = {group: [s for s in patients if s.group == group] for group in GROUPS}
    median = {
        g: dict(
            zip(
                ("v", "m", "ef", "ls", "tw"),
                np.median(values(by[g], "lv_edv", "lv_mass", "lv_ef", "longitudinal_shortening", "twist"), axis=0),
                strict=True,
            )
        )
        for g in GROUPS
    }
    assert median["DCM"]["v"] > 1.2 * median["NOR"]["v"] and median["DCM"]["ef"] < 0.45
    assert median["DCM"]["ls"] < 0.12 <= median["NOR"]["ls"] <= 0.20 and median["DCM"]["tw"] < median["NOR"]["tw"]
    assert median["HCM"]["m"] > 1.3 * median["NOR"]["m"] and median["HCM"]["ef"] > median["NOR"]["ef"]
    assert np.median(values(by["HCM"], "septal_asymmetry")) > 0.3
    assert not values(by["NOR"], "septal_asymmetry").any() and not values(by["DCM"], "septal_asymmetry").any()

    def slenderness(subjects: list[Subject]) -> np.ndarray:  # length over diameter of a bullet of this volume
        volume, length = values(subjects, "lv_edv", "lv_length").T
        return length / np.sqrt(1000 * volume / length * 24 / (5 * math.pi))

    assert np.all((np.percentile(slenderness(by["NOR"]), [2.5, 97.5]) > 1.55) & (slenderness(by["NOR"]).max() < 2.15))
    assert np.median(slenderness(by["DCM"])) < 1.6
    assert 70 < np.median(values(by["NOR"], "lv_length")) < 105


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**40), st.sampled_from(["train", "test"]), st.integers(0, 2**40))
def test_every_subject_is_possible(index: int, cohort: str, seed: int) -> None:
    s = sample_subject(index, cohort=cohort, seed=seed)  # type: ignore[arg-type]
    assert s == sample_subject(index, cohort=cohort, seed=seed)  # type: ignore[arg-type]
    assert 0 < s.lv_esv < s.lv_edv and 0 < s.rv_esv < s.rv_edv and 0.05 < s.lv_ef < 0.85
    assert s.rv_stroke_volume == pytest.approx(s.lv_stroke_volume, rel=0.06)
    assert s.body_surface_area == pytest.approx(math.sqrt(s.height * s.weight / 3600))
    assert s.longitudinal_shortening < s.lv_ef  # the base alone never ejects more than the ventricle
    assert len(s.shape) == 24 and len(s.unseen_shape) == 8
    assert any(s.unseen_shape) == (cohort == "test")
    assert all(math.isfinite(v) for v in dataclasses.asdict(s).values() if isinstance(v, float))
    assert 0 <= s.seed < 2**63


def test_shape_modes_are_standard_normal_and_independent() -> None:
    train, test = sample_cohort(1500, cohort="train"), sample_cohort(1500, cohort="test")
    modes, unseen = values(train, "shape"), values(test, "unseen_shape")
    for drawn in (modes, unseen):
        assert np.abs(drawn.mean(0)).max() < 0.1 and np.abs(drawn.std(0) - 1).max() < 0.08
        correlation = np.corrcoef(drawn, rowvar=False) - np.eye(drawn.shape[1])
        assert np.abs(correlation).max() < 0.12
    assert values(test, "shape").std() == pytest.approx(1.3, rel=0.03)


def test_a_subject_depends_on_its_index_only() -> None:
    few, many = sample_cohort(3, cohort="train", seed=5), sample_cohort(9, cohort="train", seed=5)
    assert few == many[:3] and many[7] == sample_subject(7, cohort="train", seed=5)
    assert [s.identity for s in few] == ["train-00000", "train-00001", "train-00002"]
    others = [sample_subject(0, cohort="train", seed=6), sample_subject(0, cohort="test", seed=5), few[1]]
    restricted = [sample_subject(0, cohort="train", seed=5, group=group) for group in GROUPS]
    everybody = [few[0], *others, *restricted]
    assert len({s.seed for s in everybody}) == len({s.shape for s in everybody}) == len(everybody)
    assert [s.group for s in restricted] == list(GROUPS)
    assert sample_subject(0, cohort="train", sex="female").sex == "female"


def test_both_sexes_and_all_groups_are_drawn() -> None:
    drawn = sample_cohort(400, cohort="train")
    assert {s.sex for s in drawn} == set(SEXES) and {s.group for s in drawn} == set(GROUPS)
    assert 0.4 < np.mean([s.group == "NOR" for s in drawn]) < 0.6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"index": -1, "cohort": "train"}, "index"),
        ({"index": 0, "cohort": "train", "seed": -2}, "seed"),
        ({"index": 0, "cohort": "validation"}, "cohort must be one of train, test"),
        ({"index": 0, "cohort": None}, "cohort"),
        ({"index": 0, "cohort": "train", "group": "ARV"}, "group must be one of NOR, DCM, HCM, got 'ARV'"),
        ({"index": 0, "cohort": "train", "sex": "m"}, "sex"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sample_subject(**arguments)  # type: ignore[arg-type]
