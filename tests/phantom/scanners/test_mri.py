r"""The tissues' signals against Bloch's equations, and the ranges that a scanner's settings are sampled from."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hearts import IDEAL, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from cardiolearn.phantom.body.tissue import RELAXATION, Tissue
from cardiolearn.phantom.scanners.mri import ANY_VENDOR, TRAINING_VENDORS, UNSEEN_VENDOR, Vendor, signal_table, uniform

VENDORS = (*TRAINING_VENDORS, UNSEEN_VENDOR, ANY_VENDOR)


def bloch_steady_state(tissue: Tissue, flip_degrees: float, repetition: float) -> float:
    r"""Transverse magnetisation after many pulses of alternating sign, on resonance, by iterating Bloch's equations."""
    values = RELAXATION[tissue]
    alpha = math.radians(flip_degrees)
    decay1, decay2 = math.exp(-repetition / values.t1), math.exp(-repetition / values.t2)
    relax = np.diag([decay2, decay2, decay1, 1.0])
    relax[2, 3] = values.density * (1 - decay1)
    pulse = np.eye(4)
    pulse[1:3, 1:3] = [[math.cos(alpha), math.sin(alpha)], [-math.sin(alpha), math.cos(alpha)]]
    alternate = np.diag([-1.0, -1.0, 1.0, 1.0])  # the next pulse has the other sign: turn by 180 degrees instead
    once = pulse @ alternate @ relax
    state = np.linalg.matrix_power(once, 2**22) @ np.array([0.0, 0.0, values.density, 1.0])
    return float(np.hypot(state[0], state[1]))


@pytest.mark.parametrize("flip", [25.0, 50.0, 75.0])
def test_signals_are_those_of_iterated_bloch_equations(flip: float) -> None:
    tissues = (Tissue.MUSCLE, Tissue.LIVER, Tissue.SPLEEN, Tissue.STOMACH_FLUID, Tissue.CSF, Tissue.MARROW)
    table = signal_table(3, dataclasses.replace(IDEAL, flip=(flip, flip)), seeded())
    ours = table.sum(-1)[:, list(tissues)]
    # Blood is scaled by fresh inflow, so signals are compared with that of muscle.
    reference = np.array([bloch_steady_state(t, flip, 0.01) for t in tissues])
    for row in ours.numpy():
        assert row / row[0] == pytest.approx(reference / reference[0], rel=2e-3)
    # A real repetition time of 3 ms: the short-TR formula errs by a few percent only.
    real = np.array([bloch_steady_state(t, flip, 3.0) for t in tissues])
    assert ours[0].numpy() / ours[0, 0].item() == pytest.approx(real / real[0], rel=0.05)


def test_blood_is_its_steady_state_plus_inflow() -> None:
    table = signal_table(200, IDEAL, seeded(1)).sum(-1)
    expected = bloch_steady_state(Tissue.LV_BLOOD, 50, 0.01) / bloch_steady_state(Tissue.CSF, 50, 0.01)
    ratio = table[:, Tissue.LV_BLOOD] / table[:, Tissue.CSF] / expected
    assert ratio.min() > 1.09
    assert ratio.max() < 1.71
    assert torch.allclose(table[:, Tissue.LV_BLOOD], torch.ones(200))


def test_fat_is_fat_and_air_is_silent() -> None:
    table = signal_table(4, ANY_VENDOR, seeded())
    for tissue in Tissue:
        assert (table[:, tissue, 0 if RELAXATION[tissue].fat else 1] == 0).all(), tissue
    assert (table[:, [Tissue.AIR, Tissue.OUTER_AIR, Tissue.BOWEL_GAS]] == 0).all()
    assert torch.isfinite(table).all()
    assert (table >= 0).all()


@settings(max_examples=30)
@given(st.sampled_from(VENDORS), st.integers(0, 2**31))
def test_blood_is_brighter_than_muscle_in_every_sample(vendor: Vendor, seed: int) -> None:
    water = signal_table(200, vendor, seeded(seed))[..., 0]
    for blood in (Tissue.LV_BLOOD, Tissue.RV_BLOOD):
        for muscle in (Tissue.MYOCARDIUM, Tissue.TRABECULA, Tissue.RV_WALL):
            assert (water[:, blood] > 1.2 * water[:, muscle]).all()


def test_a_higher_flip_angle_darkens_muscle() -> None:
    low, high = (
        signal_table(100, dataclasses.replace(IDEAL, flip=(f, f)), seeded())[:, [Tissue.LIVER, Tissue.CSF], 0]
        for f in (30, 70)
    )
    assert (high[:, 0] / high[:, 1] < low[:, 0] / low[:, 1]).all()


def test_tissues_scatter_by_the_vendors_spread_and_free_organs_twice_as_much() -> None:
    r"""The logarithms of a tissue's signal over that of muscle, which scatters too: variances add."""
    wide = dataclasses.replace(IDEAL, spread=(0.1, 0.1))
    table = signal_table(4000, wide, seeded(3)).sum(-1)
    apart = (table[:, [Tissue.SKIN, Tissue.LIVER]] / table[:, Tissue.MUSCLE, None]).log().std(0).numpy()
    np.testing.assert_allclose(apart, [0.1 * math.sqrt(2), 0.1 * math.sqrt(5)], rtol=0.05)


def test_vendors_are_ranges_and_any_vendor_covers_the_training_ones() -> None:
    for vendor in VENDORS:
        for field in dataclasses.fields(Vendor)[1:]:
            low, high = getattr(vendor, field.name)
            assert low <= high, (vendor.name, field.name)
            if vendor in TRAINING_VENDORS:
                lowest, highest = getattr(ANY_VENDOR, field.name)
                assert lowest <= low, (vendor.name, field.name)
                assert high <= highest, (vendor.name, field.name)


#: What the unseen scanner does that no training scanner does; below and above their ranges.
BELOW, ABOVE = ("flip",), ("t1_scale", "zero_fill", "bias")


def test_the_unseen_vendor_lies_outside_the_training_ranges_in_named_respects_and_within_in_all_others() -> None:
    for name in [field.name for field in dataclasses.fields(Vendor)][1:]:
        (low, high), (lowest, highest) = getattr(UNSEEN_VENDOR, name), getattr(ANY_VENDOR, name)
        if name in BELOW:
            assert high < lowest, name
        elif name in ABOVE:
            assert low > highest, name
        else:
            assert lowest <= low <= high <= highest, name


def test_tables_are_made_where_the_generator_is() -> None:
    for sampled in (uniform(3, (0.0, 1.0), seeded()), signal_table(2, ANY_VENDOR, seeded())):
        assert sampled.device == seeded().device


def test_uniform_fills_its_bounds_evenly() -> None:
    sampled = uniform(5000, (-2.0, 3.0), seeded())
    assert sampled.shape == (5000,)
    assert -2.0 <= sampled.min() < -1.95
    assert 2.95 < sampled.max() <= 3.0
    assert kstest(sampled.numpy(), "uniform", (-2.0, 5.0)).pvalue > 0.01
