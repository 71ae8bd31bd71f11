r"""Trainings that are compared: sizes and places as asked, known ones taken over, losses by group."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from cardiolearn.methods.superresolution import trainings
from cardiolearn.methods.superresolution.networks import PAPER, SLIM, Deconvolution
from cardiolearn.methods.superresolution.training_pairs import TrainingPairs


def test_every_size_learns_at_every_place_but_for_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[str, float, int, int]] = []

    def train(network: nn.Module, pairs: TrainingPairs, name: str, steps: int) -> Any:
        asked.append((name, pairs.breath_hold, steps, sum(p.numel() for p in network.parameters())))
        return SimpleNamespace(flat=lambda _: True)

    pairs: Any = TrainingPairs(None, 3)  # type: ignore[arg-type]  # nobody asks for a batch
    known = {"sr_slim_shifted": nn.Identity()}
    found = trainings.train_sizes(train, pairs, 7, seed=1, device=torch.device("cpu"), known=known)
    weights = {name: sum(p.numel() for p in Deconvolution(filters).parameters())
               for name, filters in (("slim", SLIM), ("paper", PAPER))}  # fmt: skip
    assert asked == [
        ("sr_slim_in_place", 0.0, 7, weights["slim"]),
        ("sr_paper_in_place", 0.0, 7, weights["paper"]),
        ("sr_paper_shifted", 1.0, 7, weights["paper"]),
    ]
    assert found["shifted"]["slim"] is known["sr_slim_shifted"]
    assert {place: list(sizes) for place, sizes in found.items()} == {
        "in_place": ["slim", "paper"], "shifted": ["slim", "paper"]
    }  # fmt: skip
    assert capsys.readouterr().out.count("stood still over the last third? True") == 3


def test_what_a_group_loses_is_the_mean_over_trainings_that_both_had() -> None:
    rows = [
        {"variant": variant, "seed": seed, "subject": subject, "group": group, "psnr": psnr}
        for variant, seed, subject, group, psnr in (
            ("single", 0, "00000", "NOR", 20.0), ("healthy only", 0, "00000", "NOR", 19.0),
            ("single", 1, "00000", "NOR", 22.0), ("healthy only", 1, "00000", "NOR", 19.0),
            ("single", 2, "00000", "NOR", 90.0),  # `healthy only` has no third training
            ("single", 0, "00001", "DCM", 20.0), ("healthy only", 0, "00001", "DCM", 21.5),
        )
    ]  # fmt: skip
    lost = trainings.lost_by_group(pd.DataFrame(rows))
    assert lost["NOR"].to_dict() == {"00000": 2.0} and lost["DCM"].to_dict() == {"00001": -1.5}


def test_time_is_taken_run_by_run() -> None:
    seconds = trainings.seconds_to_restore((2, 8, 8), runs=3)
    assert len(seconds) == 3 and min(seconds) > 0
