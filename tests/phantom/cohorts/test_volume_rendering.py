r"""Clinical stacks of whole hearts: what is spoilt is spoilt as much as asked, and the labels stay the heart's."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hearts import IDEAL, seeded
from hypothesis import given
from hypothesis import strategies as st

from cardiolearn.errors import InputError
from cardiolearn.phantom.body.tissue import Tissue
from cardiolearn.phantom.cohorts.volume_maps import SHAPE, SPACING, VolumeMaps, sample_volume
from cardiolearn.phantom.cohorts.volume_rendering import (
    EASY,
    FACTOR,
    STACK_SHAPE,
    TEST,
    TRAINING,
    Degradation,
    RenderedStacks,
    render_stacks,
    without_motion,
)

WHOLE = Degradation(shift=0.0, missing=0.0, low_contrast=0.0)


@functools.cache
def maps() -> VolumeMaps:
    return sample_volume(1)


def rendered(degradation: Degradation, seed: int = 0, n: int = 3) -> RenderedStacks:
    return render_stacks(maps(), torch.arange(n) % 2, seeded(seed), degradation=degradation, vendor=IDEAL)


@pytest.mark.parametrize("degradation", [EASY, TRAINING, TEST])
def test_batches_are_stacks_thin_slices_and_labels(degradation: Degradation) -> None:
    found = render_stacks(maps(), torch.tensor([1, 0, 1]), seeded(), degradation=degradation)
    assert found.stack.shape == (3, 1, *STACK_SHAPE) and found.thin.shape == (3, 1, *SHAPE)
    assert (SHAPE[0] // FACTOR, *SHAPE[1:]) == STACK_SHAPE
    for picture in (found.stack, found.thin):
        assert torch.isfinite(picture).all() and picture.min() >= 0.0 and picture.max() <= 1.0
        assert (picture.flatten(1).std(1) > 0.02).all()
    assert found.label.dtype == torch.int64
    assert torch.equal(found.label, maps().label[0, [1, 0, 1]].long())  # end-systole, end-diastole, end-systole
    assert not torch.equal(found.stack[0], found.stack[2])  # the same heart, another scan


def test_batches_are_reproducible_from_the_generator() -> None:
    one, two, other = (rendered(TRAINING, seed) for seed in (5, 5, 6))
    assert torch.equal(one.stack, two.stack) and torch.equal(one.thin, two.thin)
    assert not torch.equal(one.stack, other.stack)


def test_blood_is_brighter_than_muscle() -> None:
    found = render_stacks(maps(), torch.arange(8) % 2, seeded(2), degradation=WHOLE)
    for thin, label in zip(found.thin[:, 0], found.label, strict=True):
        assert thin[label == 1].mean() > thin[label == 2].mean()


def test_a_thick_slice_mixes_the_thin_ones_around_it_by_its_profile() -> None:
    r"""Against numpy: a Gaussian whose full width is one of 8 to 10 mm, where no thin slice is at white or black."""
    found = rendered(WHOLE)
    stack, thin = found.stack[0, 0].double().numpy(), found.thin[0, 0].double().numpy()
    middle = FACTOR * np.arange(STACK_SHAPE[0]) + 0.5 * (FACTOR - 1)
    away = (np.arange(SHAPE[0])[None] - middle[:, None]) * SPACING
    grey = ((thin > 0.0) & (thin < 1.0)).reshape(SHAPE)
    seen = np.stack([grey[max(0, round(m) - 6) : round(m) + 7].all(0) for m in middle])
    seen[[0, 1, -2, -1]] = False
    off = {}
    for width in (8.0, 8.5, 9.0, 9.5, 10.0):
        profile = np.exp(-4.0 * np.log(2.0) * (away / width) ** 2)
        mixed = np.einsum("kz,zyx->kyx", profile / profile.sum(1, keepdims=True), thin)
        off[width] = np.abs(mixed - stack)[seen].max()
    assert seen.sum() > 300 and min(off.values()) < 0.02 < max(off.values())


def test_slices_shift_as_far_as_asked_and_labels_stay() -> None:
    r"""A vessel along the LV axis, bright in the dark: the middle of its disc is found to a tenth of a millimetre."""
    _, y, x = torch.meshgrid(*(torch.arange(float(n)) * SPACING for n in SHAPE), indexing="ij")
    disc = ((y - y.mean()) ** 2 + (x - x.mean()) ** 2).sqrt() < 20.0
    label = disc.to(torch.uint8).expand(1, 2, *SHAPE)
    vessel = VolumeMaps(label * int(Tissue.LV_BLOOD), label)
    found = render_stacks(
        vessel,
        torch.arange(12) % 2,
        seeded(1),
        degradation=replace(WHOLE, shift=4.0),
        vendor=replace(IDEAL, texture=(0, 0)),
    )
    bright = found.stack[:, 0] * (found.stack[:, 0] > 0.2)
    middles = torch.stack([(bright * along[0]).sum((2, 3)) / bright.sum((2, 3)) for along in (y, x)], -1)
    shifts = middles - torch.stack((y.mean(), x.mean()))
    assert shifts.std().item() == pytest.approx(4.0, rel=0.1)  # of 384
    assert abs(shifts.mean().item()) < 0.6
    assert torch.equal(found.label[0], label[0, 0].long())


def test_without_motion_only_the_shift_is_gone() -> None:
    still = without_motion(TRAINING)
    assert still == Degradation(0.0, TRAINING.missing, TRAINING.low_contrast)
    assert EASY.shift < TRAINING.shift < TEST.shift and EASY.missing < TRAINING.missing < TEST.missing


def test_missing_slices_are_dark_and_as_many_as_asked() -> None:
    missing = replace(WHOLE, missing=0.3)
    found, whole = (rendered(d, n=16).stack[:, 0] for d in (missing, WHOLE))
    gone = (found == 0.0).flatten(2).all(2)
    assert gone.float().mean().item() == pytest.approx(0.3, abs=0.1)  # of 256 slices
    assert torch.equal(found[~gone], whole[~gone])
    assert (rendered(replace(WHOLE, missing=1.0)).stack == 0.0).all()


def test_low_contrast_slices_keep_a_tenth_to_four_tenths_of_it() -> None:
    r"""Over that of the others: the grey scale of a whole stack adapts."""
    some, whole = (rendered(d, n=16).stack[:, 0].flatten(2).std(2) for d in (replace(WHOLE, low_contrast=0.25), WHOLE))
    left = some / whole / (some / whole).median(1, keepdim=True).values
    faded = left < 0.7
    assert faded.float().mean().item() == pytest.approx(0.25, abs=0.1)
    assert left[faded].min() > 0.05 and 0.15 < left[faded].median() < 0.4 and (left[~faded] > 0.95).float().mean() > 0.9


def test_noise_is_the_stacks_and_thin_slices_are_quiet() -> None:
    noisy = replace(IDEAL, noise=(0.1, 0.1), texture=(0, 0))
    even = VolumeMaps(*(torch.full((1, 2, *SHAPE), code, dtype=torch.uint8) for code in (int(Tissue.LV_BLOOD), 1)))
    even.tissue[..., :20] = int(Tissue.LUNG)
    found = render_stacks(even, torch.arange(1), seeded(1), degradation=WHOLE, vendor=noisy)
    grain = [(p[0, 0, 1:, :, 30:] - p[0, 0, :-1, :, 30:]).std().item() for p in (found.stack, found.thin)]
    assert grain[0] > 3.0 * grain[1] > 0.0


@given(st.sampled_from(["shift", "missing", "low_contrast"]), st.floats(-5.0, -0.01) | st.just(float("nan")))
def test_no_degradation_is_negative(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{name}: expected a number from 0 to"):
        replace(WHOLE, **{name: value})


@pytest.mark.parametrize(("name", "value"), [("shift", float("inf")), ("missing", 1.1), ("low_contrast", 2.0)])
def test_shares_are_at_most_one(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{name}: expected a number from 0 to .*, got {value}"):
        replace(WHOLE, **{name: value})
