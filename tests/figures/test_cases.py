r"""Single subjects: the right ones are chosen, shown at one scale and one grey scale, and what differs is tinted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cardiolearn.errors import InputError
from cardiolearn.figures.cases import DIFFERENT, FIELD, Case, cases_of, compare, describe, machine_above_hand, ranked
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.study import write_study


def case(name: str, shift: int, brightness: float = 1.0) -> Case:
    r"""A square heart of three structures, found `shift` pixels aside in one slice."""
    labels = torch.zeros(4, 60, 60, dtype=torch.uint8)
    labels[:, 20:40, 20:26], labels[:, 20:40, 26:32], labels[:, 20:40, 32:38] = 3, 2, 1
    found = labels.clone()
    found[2] = labels[2].roll(shift, dims=0)
    affine = np.diag([2.0, 2.0, 8.0, 1.0])
    scan = brightness * torch.rand(4, 60, 60, generator=torch.Generator().manual_seed(shift))
    return Case(name, Image(scan, affine), Image(found, affine), Image(labels, affine))


def test_worst_median_and_best_are_those() -> None:
    cases = [case(str(shift), shift) for shift in (3, 0, 8, 1, 5)]
    chosen = ranked(cases)
    assert {rank: c.name for rank, c in chosen.items()} == {"worst": "8", "median": "3", "best": "0"}
    assert chosen["best"].dice == 1.0
    assert chosen["worst"].dice == pytest.approx((3 * 20 + 12) / 80)  # 8 of 20 rows of one of four slices are off
    assert list(ranked(cases[:2])) == ["worst", "best"] and list(ranked(cases[:1])) == ["worst"]
    with pytest.raises(InputError, match="expected at least one scan"):
        ranked([])


def test_each_is_described_in_a_line_with_its_dice() -> None:
    said = describe(ranked([case("a", 8), case("b", 0)]))
    assert "worst (a, mean Dice 0.90):" in said and "best (b, mean Dice 1.00):" in said


def test_what_nobody_outlined_is_not_held_against_the_network(tmp_path: Path) -> None:
    whole = case("p", 8)
    cavity = whole.observer.with_data(whole.observer.data * (whole.observer.data == 1))
    study = write_study(tmp_path / "p", {"sa_ES": whole.scan}, {"sa_ES": cavity}, {})
    (one,) = cases_of([study], {("p", "ES"): whole.found}, {("p", "ES"): {"annotator": cavity}})
    assert (one.name, one.outlined) == ("p ES", ("lv",))
    assert one.dice == pytest.approx((3 * 20 + 12) / 80)
    assert set(one.found.data.unique().tolist()) == {0, 1}
    assert "LV cavity, Dice 0.90" in describe({"worst": one})
    nothing = cavity.with_data(torch.zeros_like(cavity.data))
    bare = write_study(tmp_path / "q", {"sa_ES": whole.scan}, {"sa_ES": nothing}, {"outlined": {"ES": []}})
    assert cases_of([bare], {("q", "ES"): whole.found}, {("q", "ES"): {"annotator": nothing}}) == []


def test_pictures_share_scale_and_grey_values_and_differences_are_tinted() -> None:
    cases = ranked([case("a", 8), case("b", 2, brightness=2.0), case("c", 0)])
    figure = compare(cases)
    axes = np.array(figure.axes).reshape(3, 4)
    assert {ax.images[0].get_clim() for ax in axes.flat} == {axes[0, 0].images[0].get_clim()}
    for ax in axes.flat:
        assert abs(np.diff(ax.get_xlim())[0]) == abs(np.diff(ax.get_ylim())[0]) == FIELD
    assert axes[0, 0].get_ylabel() == "worst: a\nslice 2"
    tinted = [(np.asarray(ax.images[-1].get_array())[..., 3] > 0).sum() for ax in axes[:, 3]]
    assert tinted == [2 * 8 * 18, 2 * 2 * 18, 0]
    assert {text.get_text() for text in figure.legends[0].get_texts()} >= set(DIFFERENT)


def test_cases_are_the_scans_an_observer_outlined_beside_the_first_of_them(tmp_path: Path) -> None:
    one = case("a", 2)
    study = write_study(tmp_path / "a", {"sa_ES": one.scan}, {"sa_ES": one.observer}, {"subject": "a"})
    key = ("a", "ES")
    (made,) = cases_of([study], {key: one.found}, {key: {"O1": one.observer, "O2": one.found}})
    assert made.name == "a ES" and made.dice == pytest.approx(one.dice)
    np.testing.assert_allclose(made.scan.data, one.scan.data, rtol=1e-3, atol=1e-3)
    assert cases_of([study], {key: one.found}, {}) == []


def test_machine_above_hand_shows_each_view_and_phase_with_labels(tmp_path: Path) -> None:
    one = case("a", 2)
    study = write_study(tmp_path / "a", {"sa_ED": one.scan}, {"sa_ED": one.observer}, {"subject": "a"})
    found, truth = {"sa": {("a", "ED"): one.found}}, {"sa": {("a", "ED"): one.observer}}
    figure = machine_above_hand(study, found, truth, below="truth")
    above, below = figure.axes
    assert (above.get_title(), above.get_ylabel(), below.get_ylabel()) == ("short axis, ED", "automatic", "truth")
