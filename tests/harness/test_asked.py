r"""What a kernel says it used, against what it was asked to use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cardiolearn.harness.asked import data_problems, weights_problems
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.study import write_study
from cardiolearn.lab.records import make_record


@pytest.mark.parametrize("shipped", [True, False])
def test_weights_are_those_of_the_folder_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped: bool
) -> None:
    monkeypatch.delenv("CARDIOLEARN_HOME", raising=False)
    folder = tmp_path / "course" / "weights"
    folder.mkdir(parents=True)
    (tmp_path / "course" / "claims.toml").write_text("")
    asked = {"folder": str(tmp_path / "notebooks"), "weights": "shipped" if shipped else str(folder)}
    right = {"name": "net", "sha256": "ab12", "folder": str(folder)}
    assert list(weights_problems(asked, [])) == []
    assert "weights.toml" in next(iter(weights_problems(asked, [right])))
    (folder / "weights.toml").write_text('[net]\nsha256 = "ab12"\n')
    assert list(weights_problems(asked, [right, right])) == []
    for change, problem in (
        ({"folder": str(tmp_path / "jane")}, "weights 'net' were loaded from another folder than the one asked for"),
        ({"sha256": "ff34"}, "weights 'net': loaded were ff34..., weights.toml has others"),
        ({"name": "other"}, "weights 'other': loaded were ab12..., weights.toml has others"),
    ):
        assert list(weights_problems(asked, [right, right | change])) == [problem]


def test_numbers_are_of_the_data_asked_for(tmp_path: Path) -> None:
    for kind, info in (("real", {}), ("made", {"phantom": True})):
        (tmp_path / kind).mkdir()
        image = Image(torch.rand(3, 8, 8), np.diag([1.5, 1.5, 8.0, 1.0]))
        write_study(tmp_path / kind / "a", {"sa_ED": image}, {}, {"subject": "a", **info})
    phantom, real = (make_record("toy.x", [1.0], subjects=["a"], data=data) for data in ("phantom", "real"))
    assert list(data_problems(None, [phantom])) == []
    assert list(data_problems(str(tmp_path / "made"), [phantom])) == []
    assert list(data_problems(str(tmp_path / "real"), [real, make_record("toy.n", 1, data="real")])) == []
    wrong = "toy.x: says that it was measured on {} data, asked for were {} data"
    assert list(data_problems(None, [real])) == [wrong.format("real", "phantom")]
    assert list(data_problems(str(tmp_path / "real"), [phantom])) == [wrong.format("phantom", "real")]
    others = make_record("toy.x", [1.0, 2.0], subjects=["a", "b"], data="real")
    assert list(data_problems(str(tmp_path / "real"), [others])) == ["toy.x: 1 of 2 subjects are not in the data_dir"]
    kept = make_record("toy.x", [1.0, 2.0], subjects=["b", "c"], recorded=True)  # of a longer run, on the phantom
    assert list(data_problems(str(tmp_path / "real"), [kept])) == []
    assert list(data_problems(str(tmp_path / "jane"), [real])) == ["the data_dir holds no studies, or no longer"]
