r"""Tampered and spoilt scans: rows for every method, cue and subject; the flag's ranks against scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hearts import ReadsGrey, ringed_heart
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from cardiolearn.errors import InputError
from cardiolearn.imaging.study import Study, write_study
from cardiolearn.methods.segmentation import robustness
from cardiolearn.phantom.scanners.artefacts import CONFLICTS, KINDS


@pytest.fixture
def studies(tmp_path: Path) -> list[Study]:
    image, truth = ringed_heart()
    return [
        write_study(tmp_path / f"s{i}", {"sa_ED": image}, {"sa_ED": truth}, {"subject": f"s{i}", "annotators_seed": i})
        for i in range(2)
    ]


def test_every_method_meets_every_cue(studies: list[Study]) -> None:
    methods = {"nothing": lambda image: image.with_data(torch.zeros(image.data.shape, dtype=torch.uint8))}
    methods["threshold"] = lambda image: image.with_data((image.data > 80).to(torch.uint8))
    table = robustness.with_conflicting_cues(studies, methods)
    assert list(table["cue"].unique()) == ["plain", *CONFLICTS]
    assert len(table) == 2 * 2 * (1 + len(CONFLICTS))
    cavity = table[table["method"] == "threshold"].groupby("cue")["dice.lv"].mean()
    assert cavity["plain"] == cavity["mirrored"] == cavity["heart moved"] == 1.0
    assert cavity["contrast inverted"] < 0.5
    nothing = table[(table["method"] == "nothing") & (table["cue"] == "RV erased")]
    assert (nothing["dice.rv"] == 1.0).all()  # there is none any more
    assert nothing["dice"].to_numpy() == pytest.approx(1 / 3)


def test_spoilt_scans_have_a_true_and_an_expected_dice(studies: list[Study]) -> None:
    table = robustness.of_spoilt_scans(studies, ReadsGrey(), seed=0)
    scans = table.drop_duplicates(["subject", "kind"])
    assert list(scans["kind"]) == ["none", *KINDS] * 2
    assert scans[["dice", "expected"]].stack().between(0.0, 1.0).all()
    clean = scans[scans["kind"] == "none"]
    assert (clean["dice"] > 0.85).all() and (clean["level"] == 0).all()
    assert scans["level"].nunique() == 1 + 2 * len(KINDS)  # every scan its own strength
    assert table.equals(robustness.of_spoilt_scans(studies, ReadsGrey(), seed=0))
    with pytest.raises(InputError, match="at least one study"):
        robustness.of_spoilt_scans([], ReadsGrey(), seed=0)


def test_among_unspoilt_scans_the_mean_share_is_scipys_rank_correlation() -> None:
    rng = np.random.default_rng(1)
    dice = rng.uniform(0.7, 1.0, 30)
    expected = (dice + rng.normal(0, 0.1, 30)).round(2)
    table = pd.DataFrame({"subject": [f"s{i}" for i in range(30)], "kind": "none", "dice": dice, "expected": expected})
    worse = table.assign(kind="noise", dice=rng.uniform(0.0, 0.3, 30), expected=0.1)  # would make it look easy
    bins = pd.concat([table, worse, table])  # a scan has a row for each bin of its calibration
    shares = robustness.unspoilt_shares(bins)
    assert shares.mean() == pytest.approx(spearmanr(dice, expected).statistic)
    assert list(shares.index) == list(table["subject"])
    assert len(robustness.unspoilt_shares(table[:4])) == 0


def test_the_mean_rank_is_the_area_under_the_roc_curve() -> None:
    rng = np.random.default_rng(0)
    dice = rng.uniform(0.5, 1.0, 40)
    expected = (dice + rng.normal(0, 0.1, 40)).round(1)  # with ties
    table = pd.DataFrame({"subject": [f"s{i}" for i in range(40)], "kind": "none", "dice": dice, "expected": expected})
    ranks = robustness.flag_ranks(table)
    assert ranks.mean() == pytest.approx(roc_auc_score(dice < robustness.FAILED, -expected))
    assert len(ranks) == (dice < robustness.FAILED).sum() and ranks.index.is_unique
    assert len(robustness.flag_ranks(table.assign(dice=0.9))) == 0
    assert len(robustness.flag_ranks(table.assign(dice=0.1))) == 0


def test_what_the_network_was_warned_of_is_counted_by_scan_among_the_failures_of_one_kind() -> None:
    each = {"subject": list("abcd"), "dice": [0.9, 0.7, 0.6, 0.5], "expected": [0.7, 0.9, 0.7, 0.79]}
    ghosts = pd.DataFrame(each).assign(kind="ghosts")
    table = pd.concat([ghosts, ghosts, ghosts.assign(kind="noise", expected=0.1)])  # a row for each bin, another kind
    said = robustness.warned_of(table, "ghosts")
    assert said == "of 3 scans with ghosts that failed, it expected 2 to fail"
    assert robustness.warned_of(table, "blur").startswith("of 0 scans with blur")


def test_a_changed_slice_is_that_slice_with_its_contrast_and_grain_of_the_asked_strength() -> None:
    scan, _ = ringed_heart()
    z = len(scan.data) // 2
    same = robustness.changed_slice(scan, z, 1.0, 0.0)
    np.testing.assert_allclose(same.data, scan.data[z : z + 1], rtol=1e-5, atol=1e-3)
    assert robustness.changed_slice(scan, z, 0.0, 0.0).data.std() < 1e-3
    grain = robustness.changed_slice(scan, z, 1.0, 0.1).data - same.data
    assert float(grain.std()) == pytest.approx(0.1 * np.percentile(scan.data, 99), rel=0.05)
    assert robustness.changed_slice(scan, z, 1.0, 0.2).data.numpy() == pytest.approx(
        (same.data + 2 * grain).numpy(), abs=1e-4
    )


def test_records_of_cues_are_by_method_cue_and_subject() -> None:
    rows = [
        {"subject": s, "cue": cue, "method": m, "dice.lv": 0.1 * i, "dice": 0.01 * i}
        for i, (s, cue, m) in enumerate(
            (s, cue, m)
            for s in ("a", "b")
            for cue in ("plain", "heart moved")
            for m in ("rules", "network", "network, one side")
        )
    ]
    found = robustness.cue_records(pd.DataFrame(rows))
    assert list(found) == ["cues", "cues.one_side", "plain.lv"]
    assert found["cues"].loc["b", "moved"] == pytest.approx(0.10)
    assert found["cues.one_side"].loc["a", "plain"] == pytest.approx(0.02)
    assert found["plain.lv"].loc["b"].to_dict() == pytest.approx({"network": 0.7, "rules": 0.6})


def test_rules_and_network_are_what_they_say() -> None:
    scan, truth = ringed_heart()
    methods = robustness.rules_and_network(ReadsGrey())
    assert list(methods) == ["rules", "network", "network, one side"]
    for name, method in methods.items():
        found = method(scan)
        assert found.data.shape == truth.data.shape, name
        assert float(((found.data == 1) & (truth.data == 1)).sum()) > 0
