r"""The data that lesson 1 compares: the right columns under the right names, means as in pandas, a task that fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cardiolearn.methods.segmentation import data_variants
from cardiolearn.phantom.cohorts.slice_maps import SIZE, SLICES_PER_SUBJECT, SliceMaps


def trainings(variants: list[str]) -> pd.DataFrame:
    r"""Two seeds and three subjects of each variant, every number another."""
    rows = [{"variant": v, "seed": seed, "subject": f"{i:05d}"} for v in variants for seed in (0, 1) for i in range(3)]
    table = pd.DataFrame(rows)
    columns = ["dice.train", "dice.alike", "dice.home", "dice.unseen", "cavity.unseen"]
    table[columns] = np.random.default_rng(0).uniform(size=(len(table), len(columns)))
    return table


def test_each_record_is_its_variants_column() -> None:
    short = data_variants.with_cost(trainings(list(data_variants.VARIANTS)))
    habits = trainings(list(data_variants.HABITS))
    records = data_variants.compared(short, habits)
    one = short[short["variant"] == "one scanner"]
    lost = (one["dice.home"] - one["dice.unseen"]).to_numpy().reshape(2, 3)
    np.testing.assert_allclose(records["scanner.cost.one"]["values"], lost)
    assert records["scanner.cost.one"]["seeds"] == [0, 1]
    assert records["scanner.cost.one"]["subjects"] == ["00000", "00001", "00002"]
    many = habits[habits["variant"] == "eight annotators"]["cavity.unseen"].to_numpy().reshape(2, 3)
    np.testing.assert_allclose(records["labels.cavity.eight"]["values"], many)
    assert records["labels.cavity.eight"]["unit"] == "%" and records["labels.dice.one"]["unit"] == "1"
    learnt = short[(short["variant"] == "16 subjects") & (short["subject"] == "00000")]["dice.train"]
    np.testing.assert_allclose(records["size.train.16"]["values"], learnt)
    sizes = {f"size.{name}.{n}" for name in ("alike", "dice", "train") for n in data_variants.SIZES}
    assert sizes < set(records) and len(records) == len(sizes) + 2 + 4


def test_learning_curves_are_means_over_subjects() -> None:
    short = trainings(list(data_variants.VARIANTS))
    curves = data_variants.learning_curves(short)
    assert list(curves) == list(data_variants.TESTS.values())
    rows = short[(short["variant"] == "64 subjects") & (short["seed"] == 1)]
    assert curves["new hearts, unseen scanner"][64][1] == pytest.approx(rows["dice.unseen"].mean())


def test_the_watched_task_is_small_and_holds_whole_subjects_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def maps(first: int, n: int, folder: Path, seed: int, *, block: int) -> SliceMaps:
        assert first == 0 and block == n // 2 and folder == tmp_path / "watched"
        nothing = torch.zeros(n * SLICES_PER_SUBJECT, 3, SIZE, SIZE, dtype=torch.uint8)
        return SliceMaps(nothing, nothing[:, 0])

    monkeypatch.setattr(data_variants, "some_slice_maps", maps)
    task = data_variants.watched_task(tmp_path, 0)
    assert (len(task.maps) - task.n) == data_variants.HELD_OUT * SLICES_PER_SUBJECT
    images, labels = task(0, torch.Generator().manual_seed(0))
    assert images.shape == (4, 1, 64, 64) and labels.shape == (4, 64, 64)
