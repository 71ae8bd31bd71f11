r"""Simulated annotators: they disagree as much as the lecture's do, and never outline an impossible heart."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.stats import mode

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.measures.metrics import dice, mean_contour_distance
from cardiolearn.phantom.cohorts.observers import (
    ANNOTATORS,
    OBSERVERS,
    THICK_WALLED,
    Observer,
    majority,
    majority_of,
    outline,
)

Spacing = tuple[float, float, float]
UK_BIOBANK: Spacing = (1.8, 1.8, 10.0)
PERFECT = Observer("perfect", 99, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)

# Lecture slide L118-127 (papers.md 1.3): Dice, then mean contour distance in mm, per structure and pair of observers.
SLIDE = {
    (0, 1): ((0.94, 1.00), (0.88, 1.16), (0.87, 2.00)),
    (1, 2): ((0.92, 1.30), (0.87, 1.19), (0.88, 1.78)),
    (0, 2): ((0.93, 1.21), (0.88, 1.21), (0.89, 1.87)),
}


def bullet(
    radius: float = 24.0, wall: float = 7.0, length: float = 80.0, spacing: Spacing = UK_BIOBANK
) -> torch.Tensor:
    r"""A bullet-shaped LV with a wall and a crescent RV, base first; the RV reaches 15 mm above the base."""
    dx, dy, dz = spacing
    x, y = (np.arange(int(130 / d)) * d - 65 for d in (dx, dy))
    z = np.arange(int(130 / dz)) * dz - 20
    Z, Y, X = np.meshgrid(z, y, x, indexing="ij")

    def profile(height: float) -> np.ndarray:
        return np.where(Z >= 0, np.sqrt(np.clip(1 - (np.clip(Z, 0, None) / height) ** 3, 0, None)), 0.0)

    rho = np.hypot(X - 10, Y)
    cavity = rho < radius * profile(length)
    heart = rho < (radius + wall) * profile(length + wall)
    fade = np.where(Z > 0, np.clip(1 - Z / (0.85 * length), 0, None), np.where(Z > -16, 0.8, 0.0)) ** 0.5
    crescent = (np.hypot((X + 20) / 1.2, Y) < 30 * fade) & ~heart & (rho > 0.9 * (radius + wall))
    return torch.from_numpy(np.select([cavity, heart, crescent], [1, 2, 3], 0).astype(np.uint8))


def disc(radius: float, wall: float, slices: int, dz: float = 10.0, step: float = 1.0) -> torch.Tensor:
    r"""A cylinder with a wall, no RV, in the middle of a 100 mm square."""
    axis = np.arange(int(100 / step)) * step - 50 + 0.5 * step
    rho = np.hypot(*np.meshgrid(axis, axis))
    return torch.from_numpy(np.select([rho < radius, rho < radius + wall], [1, 2], 0).astype(np.int16)).repeat(
        slices, 1, 1
    )


@pytest.mark.slow
def test_pairs_of_observers_agree_as_the_lectures_did() -> None:
    from cardiolearn.phantom.body.anatomy import Anatomy
    from cardiolearn.phantom.body.heart import Heart
    from cardiolearn.phantom.body.subject import sample_cohort

    axes = [
        torch.arange(n) * step + start for n, step, start in ((17, 10.0, -36.0), (72, 1.8, -66.0), (84, 1.8, -90.0))
    ]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)
    outlined = []
    for subject in sample_cohort(12, cohort="train", group="NOR"):
        anatomy = Anatomy(Heart(subject))
        for phase in (0, 1):
            labels = anatomy.at(points, float(phase)).label
            outlined.append([outline(labels, UK_BIOBANK, who, subject.seed ^ phase) for who in OBSERVERS])

    means = {}
    for pair in SLIDE:
        for structure in (1, 2, 3):
            masks = [(case[pair[0]] == structure, case[pair[1]] == structure) for case in outlined]
            means[pair, structure] = np.mean(
                [(dice(a, b), mean_contour_distance(a, b, UK_BIOBANK).mm) for a, b in masks], axis=0
            )
    for structure in (1, 2, 3):
        ours = np.mean([means[pair, structure] for pair in SLIDE], axis=0)
        slide = np.mean([SLIDE[pair][structure - 1] for pair in SLIDE], axis=0)
        assert ours[0] == pytest.approx(slide[0], abs=0.03), (structure, ours, slide)
        assert ours[1] == pytest.approx(slide[1], abs=0.4), (structure, ours, slide)
        for pair in SLIDE:
            found, wanted = means[pair, structure], SLIDE[pair][structure - 1]
            assert found[0] == pytest.approx(wanted[0], abs=0.03), (pair, structure)
            assert found[1] == pytest.approx(wanted[1], abs=0.4), (pair, structure)


@settings(max_examples=12)
@given(
    radius=st.floats(9.0, 30.0),
    wall=st.floats(3.0, 16.0),
    spacing=st.sampled_from([UK_BIOBANK, (1.4, 2.1, 8.0), (2.5, 2.5, 2.5)]),
    number=st.integers(0, 7),
    seed=st.integers(0, 2**40),
)
def test_whatever_is_outlined_is_a_heart(radius: float, wall: float, spacing: Spacing, number: int, seed: int) -> None:
    truth = bullet(radius, wall, spacing=spacing)
    before = truth.clone()
    outlined = outline(truth, spacing, ANNOTATORS[number], seed)
    assert torch.equal(truth, before) and outlined.shape == truth.shape and outlined.dtype == truth.dtype
    assert set(outlined.unique().tolist()) == {0, 1, 2, 3}
    cavity = (outlined == 1).numpy()
    around = ndimage.binary_dilation(cavity, np.ones((1, 3, 3), bool)) & ~cavity
    assert (outlined.numpy()[around] == 2).all()  # the wall is closed around the cavity
    for structure in (1, 2, 3):
        assert dice(truth == structure, outlined == structure) > 0.5
    assert torch.equal(outlined, outline(truth, spacing, ANNOTATORS[number], seed))


def test_a_perfect_observer_outlines_the_truth() -> None:
    for truth in (bullet(), bullet(12.0, 12.0), disc(20, 8, 4), bullet(spacing=(1.4, 2.1, 8.0))):
        assert torch.equal(outline(truth, UK_BIOBANK, PERFECT, 3), truth)


@pytest.mark.parametrize("shift", [-1.6, -0.5, 0.3, 0.8, 2.0])
def test_a_habit_moves_the_border_by_its_millimetres(shift: float) -> None:
    truth = disc(22.0, 9.0, 2)
    cavity = outline(truth, (1.0, 1.0, 10.0), replace(PERFECT, endocardium=shift), 0) == 1
    heart = outline(truth, (1.0, 1.0, 10.0), replace(PERFECT, epicardium=shift), 0) > 0
    assert math.sqrt(cavity[0].sum() / math.pi) - 22.0 == pytest.approx(shift, abs=0.25)
    assert math.sqrt(heart[0].sum() / math.pi) - 31.0 == pytest.approx(shift, abs=0.25)
    right = replace(PERFECT, right=shift)
    base = bullet()
    assert int((outline(base, UK_BIOBANK, right, 0) == 3).sum() - (base == 3).sum()) * shift > 0
    assert torch.equal(outline(base, UK_BIOBANK, right, 0) == 1, base == 1)


def test_the_hand_trembles_by_its_standard_deviation_and_smoothly() -> None:
    truth, step = disc(25.0, 12.0, 24, step=0.5), 0.5
    spacing = (step, step, 200.0)  # so far apart that the slices are independent outlines
    outlined = (outline(truth, spacing, replace(PERFECT, endocardium_jitter=0.8), 1) == 1).numpy()
    axis = np.arange(outlined.shape[1]) * step - 50 + 0.5 * step
    angle = np.arctan2(*np.meshgrid(axis, axis, indexing="ij"))
    sector = ((angle + math.pi) / (2 * math.pi) * 72).astype(int) % 72
    area = np.array([[slice_[sector == k].sum() for k in range(72)] for slice_ in outlined]) * step**2
    still = np.array([(truth[0].numpy()[sector == k] == 1).sum() for k in range(72)]) * step**2
    wander = 25.0 * (np.sqrt(area / still) - 1.0)
    assert wander.std() == pytest.approx(0.8, rel=0.25)
    assert abs(wander.mean()) < 0.15
    next_to = np.mean(wander * np.roll(wander, 1, axis=1)) / wander.var()  # 2 mm along the contour
    far_off = np.mean(wander * np.roll(wander, 24, axis=1)) / wander.var()  # 43 mm
    assert next_to > 0.8 and far_off < 0.35


def test_thin_slices_share_the_tremble_and_thick_ones_hardly() -> None:
    def likeness(dz: float) -> float:
        outlined = outline(disc(25.0, 10.0, 40), (1.0, 1.0, dz), replace(PERFECT, endocardium_jitter=1.0), 5) == 1
        area = outlined.sum(dim=(1, 2)).numpy()
        return float(np.corrcoef(area[:-1], area[1:])[0, 1])

    assert likeness(2.0) > 0.8 > 0.6 > likeness(10.0) > 0.15
    assert abs(likeness(60.0)) < 0.4


def test_base_and_apex_are_left_out_by_each_observers_rule_from_either_end() -> None:
    truth = bullet()
    half = truth.clone()
    top = int((truth == 1).any(2).any(1).nonzero()[0])
    half[top, :, 40:][half[top, :, 40:] < 3] = 0  # the mitral plane cuts the most basal slice: under half of it is left
    strict, lenient = replace(PERFECT, basal_lv=0.8), replace(PERFECT, basal_lv=0.2)
    for flip in (False, True):
        seen = half.flip(0) if flip else half
        place = half.shape[0] - 1 - top if flip else top
        assert (outline(seen, UK_BIOBANK, lenient, 0)[place] == 1).any()
        assert not (outline(seen, UK_BIOBANK, strict, 0)[place] % 3 > 0).any()
        assert (outline(seen, UK_BIOBANK, strict, 0)[place] == 3).any()  # the RV goes on without the LV
    whole = outline(truth, UK_BIOBANK, strict, 0)
    assert (whole[top] == 1).any()  # a complete basal ring is always outlined

    apex = int((truth == 2).any(2).any(1).nonzero()[-1])
    radius = math.sqrt(int((truth[apex] % 3 > 0).sum()) * 1.8**2 / math.pi)
    assert (outline(truth, UK_BIOBANK, replace(PERFECT, apical=radius - 1), 0)[apex] == 2).any()
    assert not outline(truth, UK_BIOBANK, replace(PERFECT, apical=radius + 1), 0)[apex].any()
    rv_top = int((truth == 3).any(2).any(1).nonzero()[0])
    assert rv_top < top
    truth[rv_top][:, : truth.shape[2] // 4] = 0
    assert not (outline(truth, UK_BIOBANK, replace(PERFECT, basal_rv=0.95), 0)[rv_top] == 3).any()


def test_observers_given_the_same_seed_outline_independently() -> None:
    truth = bullet()
    twin = replace(OBSERVERS[0], name="twin", number=77)
    errors = [(outline(truth, UK_BIOBANK, who, 4) != truth).float().flatten() for who in (OBSERVERS[0], twin)]
    assert not torch.equal(*errors)
    seeds = [outline(truth, UK_BIOBANK, OBSERVERS[0], seed) for seed in range(4)]
    assert not any(torch.equal(a, b) for a, b in combinations(seeds, 2))


def test_eight_annotators_without_a_common_bias() -> None:
    assert [o.name for o in ANNOTATORS] == [f"O{k}" for k in range(1, 9)] and ANNOTATORS[:3] == OBSERVERS
    assert len({o.number for o in ANNOTATORS}) == 8
    for habit in ("endocardium", "epicardium", "right"):
        assert sum(getattr(o, habit) for o in ANNOTATORS) == pytest.approx(0.0, abs=0.05)


def test_thick_walled_annotators_share_one_habit_on_top_of_their_own() -> None:
    truth = disc(22.0, 9.0, 3)
    for usual, thick in zip(ANNOTATORS, THICK_WALLED, strict=True):
        assert thick.number == usual.number and thick.name == f"{usual.name}t"
        one, other = (outline(truth, (1.0, 1.0, 10.0), who, 1) for who in (usual, thick))
        cavity, heart = (
            math.sqrt(float(k(other)) / 3 / math.pi) - math.sqrt(float(k(one)) / 3 / math.pi)
            for k in (lambda labels: (labels == 1).sum(), lambda labels: (labels > 0).sum())
        )
        assert (cavity, heart) == pytest.approx((-1.2, 0.4), abs=0.2)  # mm


def test_the_majority_is_scipys_mode() -> None:
    g = np.random.default_rng(0)
    people = [Image(torch.from_numpy(g.integers(0, 6, (3, 7, 8), np.uint8)), np.eye(4)) for _ in range(5)]
    found = majority(people)
    expected = mode(np.stack([one.data.numpy() for one in people]), axis=0).mode  # the lowest of equally common ones
    assert found.data.dtype == torch.uint8
    np.testing.assert_array_equal(found.data, expected)


def test_the_majority_of_some_annotators_is_that_of_their_outlines() -> None:
    affine = np.diag([*UK_BIOBANK, 1.0])
    truth = {("a", "ED"): Image(bullet(), affine), ("b", "ES"): Image(bullet(14.0, 11.0), affine)}
    found = majority_of(truth, ANNOTATORS[:3], seed=2)
    assert list(found) == list(truth)
    for key, image in truth.items():
        people = np.stack([outline(image.data, UK_BIOBANK, who, 2).numpy() for who in ANNOTATORS[:3]])
        np.testing.assert_array_equal(found[key].data, mode(people, axis=0).mode)
        errors = [dice(torch.from_numpy(one) == 2, image.data == 2) for one in people]
        assert dice(found[key].data == 2, image.data == 2) > np.mean(errors)  # together they err less


def test_averaging_removes_scatter_and_keeps_a_shared_habit() -> None:
    truth = {("a", "ED"): Image(bullet(), np.diag([*UK_BIOBANK, 1.0]))}
    crowds = {"eight": ANNOTATORS, "thick": THICK_WALLED, "one": ANNOTATORS[2:3]}
    wall = truth["a", "ED"].data == 2
    right = {name: dice(majority_of(truth, crowd, seed=0)["a", "ED"].data == 2, wall) for name, crowd in crowds.items()}
    assert right["eight"] > right["one"]
    assert right["eight"] > right["thick"] + 0.02


def test_atria_empty_slices_and_empty_scans() -> None:
    truth = bullet()
    atria = truth.clone()
    atria[0, 2:9, 2:9], atria[1, 4:8, 4:8] = 4, 5
    assert torch.equal(outline(atria, UK_BIOBANK, OBSERVERS[1], 2), outline(truth, UK_BIOBANK, OBSERVERS[1], 2))
    assert not outline(torch.zeros(3, 5, 7, dtype=torch.int64), UK_BIOBANK, OBSERVERS[0], 0).any()
    alone = torch.where(truth == 3, 3, 0)
    assert set(outline(alone, UK_BIOBANK, OBSERVERS[0], 0).unique().tolist()) == {0, 3}
    full = torch.ones(2, 6, 6, dtype=torch.uint8)
    assert torch.equal(outline(full, UK_BIOBANK, PERFECT, 0), full)


@pytest.mark.parametrize(
    ("labels", "spacing", "seed", "message"),
    [
        (torch.zeros(4, 4, dtype=torch.uint8), UK_BIOBANK, 0, r"integers \(Z, Y, X\)"),
        (torch.zeros(2, 4, 4), UK_BIOBANK, 0, "float32"),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), (1.8, 0.0, 10.0), 0, "spacing"),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), (1.8, math.nan, 10.0), 0, "spacing"),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), UK_BIOBANK, -1, "seed"),
    ],
)
def test_wrong_input_is_named(labels: torch.Tensor, spacing: Spacing, seed: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        outline(labels, spacing, OBSERVERS[0], seed)
