r"""Segmentations and their codes: the truth has a code loss of 0, and what passes through is what the decoder makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from hearts import shell_hearts
from torch import Tensor, nn

from cardiolearn.figures import picture_rows
from cardiolearn.measures.metrics import dice
from cardiolearn.methods.shape.acnn import CodePrior
from cardiolearn.methods.shape.autoencoder import AutoEncoder
from cardiolearn.methods.shape.frozen import frozen
from cardiolearn.methods.shape.tasks import Task
from cardiolearn.methods.shape.through_code import SHOWN, SMOOTHED, THROUGH, through_code

GRID = (16, 16, 16)
TASK = Task("toy", 4, 1, GRID, 2.5, 1, lambda *_: None)  # type: ignore[arg-type,return-value]


class Copies(nn.Module):
    r"""Gives back the labels it is shown, `shift` voxels to the right."""

    def __init__(self, shift: int) -> None:
        super().__init__()
        self.shift, self.anything = shift, nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        labels = images[:, 0].long().roll(self.shift, 3)
        return nn.functional.one_hot(labels, 4).movedim(-1, 1).float() + self.anything


@pytest.fixture(scope="module")
def found() -> tuple[Any, Any, AutoEncoder, Tensor]:
    autoencoder, labels = AutoEncoder(GRID, 4, seed=3).eval(), shell_hearts(4, GRID).to(torch.uint8)
    prior = CodePrior(frozen(autoencoder.encoder), 0.25, 1.0)
    networks = {"right": Copies(0), "shifted": Copies(3)}
    table, rows = through_code(networks, autoencoder, prior, TASK, (labels[:, None].float(), labels))
    return table, rows, autoencoder, labels


def test_code_loss_is_that_of_the_labels_that_were_found(found: tuple[Any, Any, AutoEncoder, Tensor]) -> None:
    table, _, autoencoder, labels = found
    endings = ("", f", {SMOOTHED}", f", {THROUGH}")
    assert list(table["method"].unique()) == [f"{name}{end}" for name in ("right", "shifted") for end in endings]
    assert set(SHOWN) <= set(table.columns)
    code = table.set_index("method")["code"]
    assert (code["right"] == 0).all() and (code["shifted"] > 0).all()
    masks = [nn.functional.one_hot(x.long(), 4).movedim(-1, 1).float() for x in (labels.roll(3, 3), labels)]
    with torch.no_grad():
        apart = autoencoder.encoder(masks[0]) - autoencoder.encoder(masks[1])
    np.testing.assert_allclose(code["shifted"], (apart**2).mean(1) / 0.25, rtol=1e-4)
    own = table.set_index("method")["own"]
    assert (own["shifted"] == 0).all() and (own[f"shifted, {THROUGH}"] > 0).all()


def test_smoothed_is_the_likeliest_label_after_a_mean_of_neighbours(
    found: tuple[Any, Any, AutoEncoder, Tensor],
) -> None:
    table, _, _, labels = found
    masks = nn.functional.one_hot(labels.long(), 4).movedim(-1, 1).double().numpy()
    for _ in range(2):
        masks = scipy.ndimage.uniform_filter(masks, (0, 0, 3, 3, 3), mode="nearest")
    smooth = torch.from_numpy(masks).argmax(1)
    scores = table[table["method"] == f"right, {SMOOTHED}"]["dice.myocardium"]
    expected = [dice(ours == 2, theirs == 2) for ours, theirs in zip(smooth, labels, strict=True)]
    np.testing.assert_allclose(scores, expected, atol=0.01)  # of equally likely labels either may be taken
    assert (scores < 1).all()


def test_what_passes_through_is_what_the_decoder_makes(found: tuple[Any, Any, AutoEncoder, Tensor]) -> None:
    table, _, autoencoder, labels = found
    masks = nn.functional.one_hot(labels.roll(3, 3).long(), 4).movedim(-1, 1).float()
    with torch.no_grad():
        made = autoencoder(masks).argmax(1)
    scores = table[table["method"] == f"shifted, {THROUGH}"]["dice.lv"]
    expected = [dice(ours == 1, theirs == 1) for ours, theirs in zip(made, labels, strict=True)]
    np.testing.assert_allclose(scores, expected)


def test_pictures_are_of_the_last_network_and_its_code(found: Any, tmp_path: Path) -> None:
    _, rows, _, _ = found
    for panels in rows.values():
        assert list(panels) == ["what goes in", "right", "shifted", f"shifted, {THROUGH}", "truth"]
    picture_rows.write_rows(tmp_path / "rows.npz", rows)
    assert list(picture_rows.read_rows(tmp_path / "rows.npz")) == list(rows)
