r"""The diseases: each has its signature, the test cohort's are worse, and sizes alone do not tell all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hearts import numbers_of

from cardiolearn.phantom.body.disease import GROUPS, disease_of
from cardiolearn.phantom.body.subject import Subject, sample_cohort


@pytest.fixture(scope="module")
def patients() -> list[Subject]:
    return [s for group in GROUPS for s in sample_cohort(300, cohort="train", group=group)]


def test_groups_overlap_so_that_volumes_and_mass_classify_most_but_not_all(patients: list[Subject]) -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = numbers_of(patients, "lv_edv", "lv_esv", "lv_mass", "rv_edv", "rv_esv")
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
                np.median(numbers_of(by[g], "lv_edv", "lv_mass", "lv_ef", "longitudinal_shortening", "twist"), axis=0),
                strict=True,
            )
        )
        for g in GROUPS
    }
    assert median["DCM"]["v"] > 1.2 * median["NOR"]["v"] and median["DCM"]["ef"] < 0.45
    assert median["DCM"]["ls"] < 0.12 <= median["NOR"]["ls"] <= 0.20 and median["DCM"]["tw"] < median["NOR"]["tw"]
    assert median["HCM"]["m"] > 1.3 * median["NOR"]["m"] and median["HCM"]["ef"] > median["NOR"]["ef"]
    assert np.median(numbers_of(by["HCM"], "septal_asymmetry")) > 0.3
    assert not numbers_of(by["NOR"], "septal_asymmetry").any() and not numbers_of(by["DCM"], "septal_asymmetry").any()

    def slenderness(subjects: list[Subject]) -> np.ndarray:  # length over diameter of a bullet of this volume
        volume, length = numbers_of(subjects, "lv_edv", "lv_length").T
        return length / np.sqrt(1000 * volume / length * 24 / (5 * math.pi))

    assert np.all((np.percentile(slenderness(by["NOR"]), [2.5, 97.5]) > 1.55) & (slenderness(by["NOR"]).max() < 2.15))
    assert np.median(slenderness(by["DCM"])) < 1.6
    assert 70 < np.median(numbers_of(by["NOR"], "lv_length")) < 105


def test_the_test_cohorts_diseases_are_a_fifth_worse_and_healthy_people_as_healthy() -> None:
    assert disease_of("NOR", "test") == disease_of("NOR", "train")
    for group in ("DCM", "HCM"):
        train, test = vars(disease_of(group, "train")), vars(disease_of(group, "test"))
        worse = {name for name in train if test[name] != train[name]}
        assert worse == {"edv_shift", "mass_shift", "ef_shift", "rv_ef_shift"}
        assert all(test[name] == pytest.approx(1.2 * train[name]) for name in worse)
