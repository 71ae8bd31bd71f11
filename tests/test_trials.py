r"""Tampered and spoilt scans: rows for every method, cue and subject; the flag's ranks against scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from cardiolearn import trials
from cardiolearn.errors import InputError
from cardiolearn.image import Image
from cardiolearn.phantom.artefacts import CONFLICTS, KINDS
from cardiolearn.study import Study, write_study


class Levels(nn.Module):
    r"""Reads the grey value: bright is cavity, half bright the wall, a third the right ventricle."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.tensor([0.0, 1.0, 0.6, 0.3]), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -200.0 * (x - self.centres[None, :, None, None]) ** 2


@pytest.fixture
def studies(tmp_path: Path) -> list[Study]:
    _, y, x = np.indices((4, 80, 90))
    away = np.hypot(y - 40, x - 45) * 1.5
    labels = np.where(away < 20, 1, np.where(away < 30, 2, np.where((away < 45) & (x < 45), 3, 0)))
    grey = np.array([1.0, 100.0, 60.0, 30.0], np.float32)[labels]
    affine = np.diag([1.5, 1.5, 9.0, 1.0])
    image, truth = Image(torch.from_numpy(grey), affine), Image(torch.from_numpy(labels.astype(np.uint8)), affine)
    return [
        write_study(tmp_path / f"s{i}", {"sa_ED": image}, {"sa_ED": truth}, {"subject": f"s{i}", "hand": i})
        for i in range(2)
    ]


def test_every_method_meets_every_cue(studies: list[Study]) -> None:
    methods = {"nothing": lambda image: image.with_data(torch.zeros(image.data.shape, dtype=torch.uint8))}
    methods["threshold"] = lambda image: image.with_data((image.data > 80).to(torch.uint8))
    table = trials.with_conflicting_cues(studies, methods)
    assert list(table["cue"].unique()) == ["plain", *CONFLICTS]
    assert len(table) == 2 * 2 * (1 + len(CONFLICTS))
    cavity = table[table["who"] == "threshold"].groupby("cue")["dice.lv"].mean()
    assert cavity["plain"] == cavity["mirrored"] == cavity["heart moved"] == 1.0
    assert cavity["contrast inverted"] < 0.5
    nothing = table[(table["who"] == "nothing") & (table["cue"] == "RV erased")]
    assert (nothing["dice.rv"] == 1.0).all()  # there is none any more
    assert nothing["dice"].to_numpy() == pytest.approx(1 / 3)


def test_spoilt_scans_have_a_true_and_an_expected_dice(studies: list[Study]) -> None:
    table = trials.of_spoilt_scans(studies, Levels(), seed=0)
    scans = table.drop_duplicates(["subject", "kind"])
    assert list(scans["kind"]) == ["none", *KINDS] * 2
    assert scans[["dice", "expected"]].stack().between(0.0, 1.0).all()
    clean = scans[scans["kind"] == "none"]
    assert (clean["dice"] > 0.85).all() and (clean["level"] == 0).all()
    assert scans["level"].nunique() == 1 + 2 * len(KINDS)  # every scan its own strength
    assert table.equals(trials.of_spoilt_scans(studies, Levels(), seed=0))
    with pytest.raises(InputError, match="at least one study"):
        trials.of_spoilt_scans([], Levels(), seed=0)


def test_the_mean_rank_is_the_area_under_the_roc_curve() -> None:
    rng = np.random.default_rng(0)
    dice = rng.uniform(0.5, 1.0, 40)
    expected = (dice + rng.normal(0, 0.1, 40)).round(1)  # with ties
    table = pd.DataFrame({"subject": [f"s{i}" for i in range(40)], "kind": "none", "dice": dice, "expected": expected})
    ranks = trials.flag_ranks(table)
    assert ranks.mean() == pytest.approx(roc_auc_score(dice < trials.FAILED, -expected))
    assert len(ranks) == (dice < trials.FAILED).sum() and ranks.index.is_unique
    assert len(trials.flag_ranks(table.assign(dice=0.9))) == 0
    assert len(trials.flag_ranks(table.assign(dice=0.1))) == 0
