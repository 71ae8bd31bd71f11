r"""Agreement of two outlines, against MONAI's Dice and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric

from cardiolearn.imaging.image import Image
from cardiolearn.measures.agreement import compare, compare_chambers, compare_pairs

AFFINE = np.diag([1.5, 1.5, 9.0, 1.0])


def outlined(seed: int) -> Image:
    labels = torch.randint(0, 4, (4, 12, 15), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    labels[:, :3] = 0
    return Image(labels, AFFINE)


def square(first: int, label: int = 3) -> Image:
    labels = torch.zeros((3, 30, 30), dtype=torch.uint8)
    labels[0, 5:10, first : first + 5] = label
    return Image(labels, AFFINE)


def monai_dice(a: Image, b: Image, n_classes: int) -> list[float]:
    one_hot = [torch.nn.functional.one_hot(image.data.long(), n_classes).movedim(-1, 0)[None] for image in (a, b)]
    found = DiceMetric(include_background=False, reduction="none")(*one_hot)
    assert isinstance(found, torch.Tensor)
    return list(found[0].tolist())


def test_dice_is_that_of_monai() -> None:
    a, b = outlined(0), outlined(1)
    row = compare(a, b)
    assert [row[f"dice.{name}"] for name in ("lv", "myocardium", "rv")] == pytest.approx(monai_dice(a, b, 4))


def test_a_shifted_square_by_hand() -> None:
    row = compare(square(6), square(8))
    assert row["dice.rv"] == pytest.approx(2 * 15 / 50)
    # Contours of 16 pixels, 1.5 mm apart; by hand the distances of one to the other sum to 15 pixels.
    points = {(y, x) for y in range(5) for x in range(5) if y in (0, 4) or x in (0, 4)}
    moved = {(y, x + 2) for y, x in points}
    nearest = [min(np.hypot(y - v, x - u) for v, u in moved) for y, x in points]
    assert row["mcd.rv"] == pytest.approx(1.5 * np.mean(nearest))
    assert row["dropped.rv"] == 0


def test_a_missed_structure_is_counted_and_two_empty_ones_agree() -> None:
    row = compare(square(6), square(6, label=1))
    assert row["dice.rv"] == row["dice.lv"] == 0
    assert row["dropped.rv"] == row["dropped.lv"] == 1
    assert np.isnan(row["mcd.rv"])
    assert row["dice.myocardium"] == 1
    empty = Image(torch.zeros((3, 4, 5), dtype=torch.uint8), AFFINE)
    assert compare(empty, empty)["dice.rv"] == 1


def test_offsets_have_the_sign_of_what_lies_outside() -> None:
    y, x = torch.meshgrid(torch.arange(50), torch.arange(60), indexing="ij")
    away = ((y - 25) ** 2 + (x - 20) ** 2).sqrt()

    def heart(cavity: float, wall: float, right: float) -> Image:
        labels = torch.where(away < cavity, 1, torch.where(away < cavity + wall, 2, 0)).to(torch.uint8)
        labels[((y - 25) ** 2 + (x - 45) ** 2).sqrt() < right] = 3
        return Image(labels[None], AFFINE)

    row = compare(heart(8.3, 6.0, 6.3), heart(7.3, 9.0, 8.3))  # radii in pixels of 1.5 mm
    found = [row[f"offset.{name}"] for name in ("lv", "epicardium", "rv")]
    assert found == pytest.approx([1.5, -3.0, -3.0], abs=0.4)
    back = compare(heart(7.3, 9.0, 8.3), heart(8.3, 6.0, 6.3))
    assert [back[f"offset.{name}"] for name in ("lv", "epicardium", "rv")] == pytest.approx([-o for o in found])


def test_cropping_to_the_heart_changes_nothing() -> None:
    a, b = outlined(2), outlined(3)
    pad = (9, 4, 7, 11)
    padded = [Image(torch.nn.functional.pad(image.data, pad), AFFINE) for image in (a, b)]
    assert compare(*padded) == pytest.approx(compare(a, b))


def test_every_pair_once() -> None:
    outlines = {name: outlined(seed) for seed, name in enumerate(("O1", "O2", "O3"))}
    rows = compare_pairs(outlines)
    assert [row["pair"] for row in rows] == ["O1 vs O2", "O1 vs O3", "O2 vs O3"]
    assert rows[2]["dice.lv"] == compare(outlines["O2"], outlines["O3"])["dice.lv"]
    assert compare_pairs({"annotator": outlines["O1"]}) == []


@pytest.mark.parametrize(("view", "names"), [("la_2ch", "lv myocardium la"), ("la_4ch", "lv myocardium rv la ra")])
def test_chambers_of_a_view_have_monais_dice(view: str, names: str) -> None:
    a, b = (
        Image(torch.randint(0, 6, (1, 12, 15), generator=torch.Generator().manual_seed(seed)), AFFINE)
        for seed in (4, 5)
    )
    expected = monai_dice(a, b, 6)
    labels = {"lv": 1, "myocardium": 2, "rv": 3, "la": 4, "ra": 5}
    assert compare_chambers(a, b, view) == pytest.approx({f"dice.{n}": expected[labels[n] - 1] for n in names.split()})
