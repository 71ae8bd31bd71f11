r"""Snapshots of a training: what is kept, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cardiolearn.errors import InputError
from cardiolearn.learning.snapshots import Snapshots, Watch


class Bright(nn.Module):
    r"""Label 2 where a picture is above the threshold; refuses to be asked while it learns."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(threshold))

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        return torch.cat([x * 0, x * 0 - 1, x - self.threshold], 1)


PICTURE = torch.linspace(0, 1, 12).reshape(1, 3, 4)
TRUTH = torch.arange(12).reshape(3, 4) // 6


def test_labels_come_back_with_their_steps_and_a_new_beginning_forgets_the_old(tmp_path: Path) -> None:
    path = tmp_path / "new" / "watch.npz"
    network = Bright(0.5).train()
    watch = Watch(path, PICTURE, TRUTH)
    for step, threshold in ((0, 0.9), (20, 0.2), (1_000, 0.5)):
        network.threshold.data.fill_(threshold)
        watch.take(step, network)
        assert network.training
    found = Snapshots.read(path)
    assert np.array_equal(found.picture, np.round(np.linspace(0, 255, 12)).reshape(3, 4))
    assert np.array_equal(found.truth, TRUTH) and found.picture.dtype == found.truth.dtype == np.uint8
    assert {step: int((labels == 2).sum()) for step, labels in found.labels.items()} == {0: 2, 20: 9, 1_000: 6}
    assert all(labels.dtype == np.uint8 for labels in found.labels.values())
    Watch(path, PICTURE, TRUTH).take(200, network)  # a training that went on from an older checkpoint
    assert list(Snapshots.read(path).labels) == [0, 20, 200]
    watch.take(0, network)
    assert list(Snapshots.read(path).labels) == [0]
    assert [file.name for file in path.parent.iterdir()] == ["watch.npz"]


def test_another_example_and_other_files_are_refused(tmp_path: Path) -> None:
    path, network = tmp_path / "watch.npz", Bright(0.5)
    Watch(path, PICTURE, TRUTH).take(0, network)
    with pytest.raises(InputError, match=r"watch\.npz: holds snapshots of another example"):
        Watch(path, 1 - PICTURE, TRUTH).take(20, network)
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:-30], whole[:200]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"watch\.npz: expected snapshots of a training, found"):
            Snapshots.read(path)
    np.savez(path, picture=np.array([{}], dtype=object), steps=np.zeros(1))  # would need pickle
    with pytest.raises(InputError, match="expected snapshots of a training"):
        Snapshots.read(path)
    with pytest.raises(InputError, match=r"none\.npz: expected snapshots"):
        Snapshots.read(tmp_path / "none.npz")
