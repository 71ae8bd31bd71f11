r"""A cohort by its codes: whose codes they are, who is told right, and R^2 as scikit-learn has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hearts import shell_hearts
from scipy.stats import binomtest
from sklearn.metrics import r2_score
from torch import Tensor, nn

from cardiolearn.methods.shape import cohort_codes
from cardiolearn.methods.shape.codes import MaskComponents
from cardiolearn.methods.shape.cohort_codes import CohortCodes, compared, errors, explained, of_groups, worth
from cardiolearn.phantom.body.disease import GROUPS
from cardiolearn.phantom.body.subject import sample_cohort
from cardiolearn.phantom.cohorts.volume_maps import VolumeMaps

GRID = (8, 8, 8)


class Counts(nn.Module):
    r"""In the place of an encoder: how many voxels each class has, and 60 zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, masks: Tensor) -> Tensor:
        return nn.functional.pad(masks.flatten(2).sum(2), (0, 60)) * self.one


def test_codes_stand_beside_their_subjects_the_few_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohort_codes, "FEW", 2)
    labels = {group: shell_hearts(6, GRID).roll(k, 3).unflatten(0, (3, 2)) for k, group in enumerate(GROUPS)}

    def sample(n: int, folder: Path, **how: Any) -> VolumeMaps:
        assert (n, folder, how["cohort"], how["seed"]) == (3, tmp_path, "test", 4)
        return VolumeMaps(labels[how["group"]], labels[how["group"]])

    monkeypatch.setattr(cohort_codes, "sample_volume_maps", sample)
    components = MaskComponents.fit(shell_hearts(8, GRID), 5)
    cohort = of_groups(Counts(), components, tmp_path, 3, 4)
    people = [s for group in GROUPS for s in sample_cohort(3, cohort="test", seed=4, group=group)]
    order = [people[i] for i in (0, 1, 3, 4, 6, 7, 2, 5, 8)]
    assert list(cohort.subjects) == order
    for subject, codes, scores in zip(cohort.subjects, cohort.codes, cohort.components, strict=True):
        both = labels[subject.group][int(subject.identity[-5:])]
        counts = [np.bincount(one.flatten(), minlength=4) for one in both.numpy()]
        np.testing.assert_array_equal(codes.reshape(2, 64)[:, :4], counts)
        np.testing.assert_allclose(scores.reshape(2, 5), components.of(both).numpy(), rtol=1e-4, atol=1e-4)
    assert cohort.truth.shape == (9, 10 + 30 + 8) and cohort.truth[0, 0] == order[0].lv_edv


def cohort() -> CohortCodes:
    rng = np.random.default_rng(0)
    people = [s for group in GROUPS for s in sample_cohort(24, cohort="test", group=group)]
    people.sort(key=lambda s: int(s.identity[-5:]) >= cohort_codes.FEW)
    sizes = np.array([[s.lv_edv, s.lv_mass, s.lv_ef] for s in people])
    codes = np.c_[sizes / sizes.std(0), rng.normal(size=(72, 3))]
    truth = np.array([[s.lv_edv, s.lv_mass, s.lv_esv] for s in people])
    return CohortCodes(people, codes, rng.normal(size=(72, 6)), truth)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return worth(cohort(), 0)


def test_good_codes_tell_more_right_than_noise(table: pd.DataFrame) -> None:
    assert table["few.tl"].notna().sum() == 60 and table["few.tl"].isna().sum() == 12
    assert set(table["right.tl"]) == {0.0, 1.0} and table["right.tl"].mean() > 0.7 > table["right.pca"].mean()
    found = compared(table, "right")
    only = ((table["right.tl"] > table["right.pca"]).sum(), (table["right.tl"] < table["right.pca"]).sum())
    assert (found.only_first, found.only_second, found.n) == (*only, 72)
    assert found.p == pytest.approx(binomtest(int(only[0]), int(sum(only))).pvalue)
    assert found.first - found.second == pytest.approx((table["right.tl"] - table["right.pca"]).mean())
    assert compared(table, "few").n == 60


def test_errors_add_up_to_r2(table: pd.DataFrame) -> None:
    missed = errors(table)
    for index in ("lv_mass", "age"):
        expected = r2_score(table[index], table[f"codes.{index}"])
        assert 1 - missed[f"codes.{index}"].mean() == pytest.approx(expected)
        left_out = [table[index].drop(i).mean() for i in table.index]
        assert 1 - missed[f"mean.{index}"].mean() == pytest.approx(r2_score(table[index], left_out))
    shares = explained(missed)
    assert list(shares.index)[:2] == ["LV mass (g)", "LV end-diastolic volume (mL)"]
    assert "ejection fraction" in shares.index and len(shares) == len(cohort_codes.INDICES)
    assert shares.loc["LV mass (g)", "R2 from codes"] > 0.9 and 0.9 < shares.loc["LV mass (g)", "share"] < 1.1
    assert np.isnan(shares.loc["age (years)", "share"]) or shares.loc["age (years)", "R2 of the oracle"] > 0.02


def test_what_is_recorded_keeps_the_subjects(table: pd.DataFrame) -> None:
    records = cohort_codes.to_record(table)
    assert records["codes.right.pca"]["values"].tolist() == table["right.pca"].tolist()
    assert records["indices.codes.age"]["values"].tolist() == errors(table)["codes.age"].tolist()
    assert len(records) == 2 + 3 * len(cohort_codes.INDICES)
    assert all(of["subjects"] == table["subject"].tolist() for of in records.values())
