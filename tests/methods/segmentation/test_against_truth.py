r"""Everybody against the truth: all of them are compared, and a habit that all share stays in the majority."""

from __future__ import annotations

import pytest
import torch
from hearts import ringed_heart

from cardiolearn.measures.metrics import dice
from cardiolearn.methods.segmentation import against_truth
from cardiolearn.phantom.cohorts.observers import OBSERVERS


def test_everybody_is_compared_and_recorded_under_the_right_name() -> None:
    _, truth = ringed_heart()
    key = ("s", "ED")
    nothing = truth.with_data(torch.zeros_like(truth.data))
    people = {observer.name: truth if i else nothing for i, observer in enumerate(OBSERVERS)}
    shifted = truth.with_data(truth.data.roll(2, dims=2))
    table = against_truth.everybody({key: truth}, {key: shifted}, {key: people}, seed=0)
    found = table.set_index("method")["dice.lv"]
    assert found["network"] == pytest.approx(dice(shifted.data == 1, truth.data == 1))
    assert [found[f"observer {o.name}"] for o in OBSERVERS] == [0.0, *[1.0] * (len(OBSERVERS) - 1)]
    offsets = table.set_index("method")["offset.lv"]
    assert offsets["majority of eight who draw thick walls"] < offsets["majority of eight"]
    rows = table.set_index("method").loc["majority of eight who draw thick walls"]
    thicker = rows["offset.epicardium"] - rows["offset.lv"]
    assert thicker > 0
    assert against_truth.wall_of_the_crowd(table) == f"their majority draws the wall {thicker:.1f} mm too thick"
    records = against_truth.records(table)
    assert list(records["truth.fcn"]["method"]) == ["network"]
    assert len(records["truth.observers"]) == len(OBSERVERS)
