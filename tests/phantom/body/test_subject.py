r"""The synthetic population: reference means and SDs, physiology, and a person who depends on the index alone."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hearts import numbers_of
from hypothesis import given, settings
from hypothesis import strategies as st

from cardiolearn.errors import InputError
from cardiolearn.phantom.body.disease import GROUPS
from cardiolearn.phantom.body.reference import REFERENCE, SEXES
from cardiolearn.phantom.body.subject import Subject, sample_cohort, sample_subject


@pytest.fixture(scope="module", params=SEXES)
def healthy(request: pytest.FixtureRequest) -> list[Subject]:
    return sample_cohort(2000, cohort="train", group="NOR", sex=request.param)


def test_healthy_means_and_sds_meet_the_published_ones(healthy: list[Subject]) -> None:
    rows = [row for row in REFERENCE if row.sex == healthy[0].sex]
    assert {"lv_edv", "lv_esv", "lv_ef", "lv_mass", "rv_edv"} <= {row.quantity for row in rows}
    for row in rows:
        sampled = numbers_of(healthy, row.quantity)
        assert sampled.mean() == pytest.approx(row.mean, rel=0.05), row
        assert sampled.std(ddof=1) == pytest.approx(row.sd, rel=0.25), row


def test_the_test_cohort_is_wider_but_has_the_same_healthy_means() -> None:
    for sex in SEXES:
        sampled = sample_cohort(1000, cohort="test", group="NOR", sex=sex)
        for row in (row for row in REFERENCE if row.sex == sex):
            assert numbers_of(sampled, row.quantity).mean() == pytest.approx(row.mean, rel=0.05), row
            assert numbers_of(sampled, row.quantity).std() > 1.15 * row.sd, row
    sick = {cohort: sample_cohort(300, cohort=cohort, group="DCM") for cohort in ("train", "test")}
    assert numbers_of(sick["test"], "lv_ef").mean() < numbers_of(sick["train"], "lv_ef").mean() - 0.02


def test_size_sex_age_and_pressure_act_as_in_people(healthy: list[Subject]) -> None:
    names = ("lv_edv", "lv_mass", "rv_edv", "body_surface_area", "age", "systolic_pressure")
    r = dict(zip(names, np.corrcoef(numbers_of(healthy, *names), rowvar=False), strict=True))
    bsa, age = names.index("body_surface_area"), names.index("age")
    assert all(0.25 < r[name][bsa] < 0.75 for name in ("lv_edv", "lv_mass", "rv_edv"))
    assert r["lv_edv"][age] < -0.1 and r["systolic_pressure"][age] > 0.1
    assert r["lv_edv"][names.index("lv_mass")] > 0.5 and r["lv_edv"][names.index("rv_edv")] > 0.7
    # Mass rises with pressure at equal volume and size.
    predictors = np.log(numbers_of(healthy, "lv_edv", "body_surface_area", "systolic_pressure"))
    design = np.column_stack([np.ones(len(healthy)), predictors])
    slope = np.linalg.lstsq(design, np.log(numbers_of(healthy, "lv_mass")), rcond=None)[0][3]
    assert 0.15 < slope < 0.7


@settings(max_examples=60)
@given(st.integers(0, 2**40), st.sampled_from(["train", "test"]), st.integers(0, 2**40))
def test_every_subject_is_possible(index: int, cohort: str, seed: int) -> None:
    s = sample_subject(index, cohort=cohort, seed=seed)  # type: ignore[arg-type]
    assert s == sample_subject(index, cohort=cohort, seed=seed)  # type: ignore[arg-type]
    assert 0 < s.lv_esv < s.lv_edv and 0 < s.rv_esv < s.rv_edv and 0.05 < s.lv_ef < 0.85
    assert s.rv_stroke_volume == pytest.approx(s.lv_stroke_volume, rel=0.06)
    assert s.body_surface_area == pytest.approx(math.sqrt(s.height * s.weight / 3600))
    assert s.longitudinal_shortening < s.lv_ef  # the base alone never ejects more than the ventricle
    assert len(s.shape) == 30 and len(s.unseen_shape) == 8
    assert any(s.unseen_shape) == (cohort == "test")
    assert all(math.isfinite(v) for v in dataclasses.asdict(s).values() if isinstance(v, float))
    assert 0 <= s.seed < 2**63


def test_shape_modes_are_standard_normal_and_independent() -> None:
    train, test = sample_cohort(1500, cohort="train"), sample_cohort(1500, cohort="test")
    modes, unseen = numbers_of(train, "shape"), numbers_of(test, "unseen_shape")
    for sampled in (modes, unseen):
        assert np.abs(sampled.mean(0)).max() < 0.1 and np.abs(sampled.std(0) - 1).max() < 0.08
        correlation = np.corrcoef(sampled, rowvar=False) - np.eye(sampled.shape[1])
        assert np.abs(correlation).max() < 0.12
    assert numbers_of(test, "shape").std() == pytest.approx(1.3, rel=0.03)


def test_only_the_test_cohort_has_the_unseen_shape() -> None:
    assert all(not any(subject.unseen_shape) for subject in sample_cohort(50, cohort="train"))
    assert all(all(subject.unseen_shape) for subject in sample_cohort(50, cohort="test"))


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


def test_both_sexes_and_all_groups_are_sampled() -> None:
    sampled = sample_cohort(400, cohort="train")
    assert {s.sex for s in sampled} == set(SEXES) and {s.group for s in sampled} == set(GROUPS)
    assert 0.4 < np.mean([s.group == "NOR" for s in sampled]) < 0.6


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
