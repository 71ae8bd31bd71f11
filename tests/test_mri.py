"""The simulated scanner: its signal against Bloch's equations, its optics against scipy, its draws against its own."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cardiolearn.phantom.mri import (
    ANY_VENDOR,
    TRAINING_VENDORS,
    UNSEEN_VENDOR,
    Vendor,
    blur,
    coil_bias,
    magnitude,
    signal_table,
    smooth_field,
    uniform,
)
from cardiolearn.phantom.tissue import RELAXATION, Tissue

VENDORS = (*TRAINING_VENDORS, UNSEEN_VENDOR, ANY_VENDOR)

#: A scanner without any accident: what goes in comes out.
IDEAL = Vendor("ideal", (50, 50), (1, 1), (1, 1), (8, 8), (0, 0), (0.3, 0.3), (0, 0), (1, 1), (0, 0), (1, 1), (0, 0))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bloch_steady_state(tissue: Tissue, flip_degrees: float, repetition: float) -> float:
    """Transverse magnetisation after many pulses of alternating sign, on resonance, by iterating Bloch's equations."""
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
    assert ratio.min() > 0.99
    assert ratio.max() < 1.6
    assert torch.allclose(table[:, Tissue.LV_BLOOD], torch.ones(200))


def test_fat_is_fat_and_air_is_silent() -> None:
    table = signal_table(4, ANY_VENDOR, seeded())
    for tissue in Tissue:
        assert (table[:, tissue, 0 if RELAXATION[tissue].fat else 1] == 0).all(), tissue
    assert (table[:, [Tissue.AIR, Tissue.OUTER_AIR, Tissue.BOWEL_GAS]] == 0).all()
    assert torch.isfinite(table).all()
    assert (table >= 0).all()


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(VENDORS), st.integers(0, 2**31))
def test_blood_is_brighter_than_muscle_in_every_draw(vendor: Vendor, seed: int) -> None:
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


@pytest.mark.parametrize("sigma", [0.3, 0.55, 0.8, 1.1])
@pytest.mark.parametrize("shape", [(17, 30), (40, 21)])
def test_blur_is_scipys(sigma: float, shape: tuple[int, int]) -> None:
    from scipy.ndimage import gaussian_filter

    images = torch.rand((3, *shape), generator=seeded(), dtype=torch.float64)
    sigmas = torch.tensor([sigma, 0.5, 1.0], dtype=torch.float64)
    ours = blur(images, sigmas)
    for image, result, s in zip(images, ours, sigmas.tolist(), strict=True):
        reference = gaussian_filter(image.numpy(), s, mode="nearest", radius=4)
        np.testing.assert_allclose(result.numpy(), reference, atol=1e-12)
    assert images.data_ptr() != ours.data_ptr()


@pytest.mark.parametrize("shape", [(40, 40), (33, 71)])
def test_smooth_field_is_random_and_smooth(shape: tuple[int, int]) -> None:
    field = smooth_field(400, shape, 8, seeded())
    assert field.shape == (400, *shape)
    assert field.mean().abs() < 0.05
    assert field[:, ::8, ::8].std().item() == pytest.approx(1.0, abs=0.05)  # at the nodes
    assert field.diff(dim=-1).std() < 0.4
    assert not torch.equal(field[0], field[1])


def halves() -> tuple[torch.Tensor, torch.Tensor]:
    """Water left, fat right, equally bright, one column shared half and half."""
    water = torch.zeros((1, 24, 33))
    water[..., :16], water[..., 16] = 1.0, 0.5
    return water, 1.0 - water


def test_india_ink_where_water_meets_fat() -> None:
    water, fat = halves()
    zero = torch.zeros_like(water)
    opposed = magnitude(water, fat, zero, IDEAL, seeded())[0]
    assert (opposed[:, 16] < 0.05 * opposed[:, 4]).all()
    aligned = magnitude(water, fat, zero, dataclasses.replace(IDEAL, fat_phase=(0, 0)), seeded())[0]
    assert (aligned[:, 16] > 0.9 * aligned[:, 4]).all()
    # Away from the border the phase cannot be told.
    torch.testing.assert_close(opposed[:, :8], aligned[:, :8], atol=1e-5, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(VENDORS), st.integers(0, 1000))
def test_the_same_generator_gives_the_same_image(vendor: Vendor, seed: int) -> None:
    water, fat = halves()
    texture = torch.full_like(water, 0.1)
    first, second = (magnitude(water, fat, texture, vendor, seeded(seed)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.isfinite(first).all()
    assert (first >= 0).all()
    assert not torch.equal(first, magnitude(water, fat, texture, vendor, seeded(seed + 1)))


def test_nothing_is_changed_in_place() -> None:
    water, fat = halves()
    texture = torch.full_like(water, 0.1)
    before = [t.clone() for t in (water, fat, texture)]
    magnitude(water, fat, texture, ANY_VENDOR, seeded())
    assert all(torch.equal(a, b) for a, b in zip(before, (water, fat, texture), strict=True))


def test_images_of_one_scan_share_coil_and_settings() -> None:
    quiet = dataclasses.replace(ANY_VENDOR, noise=(0, 0), bias=(1, 1))
    water = torch.ones((4, 30, 40))
    zero = torch.zeros_like(water)
    scans = torch.tensor([0, 0, 1, 1])
    images = magnitude(water, zero, zero, quiet, seeded(), scans=scans)
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[2], images[3])
    assert not torch.allclose(images[0], images[2], rtol=0.05)
    noisy = magnitude(water, zero, zero, dataclasses.replace(quiet, noise=(0.05, 0.05)), seeded(), scans=scans)
    assert not torch.equal(noisy[0], noisy[1])  # noise is never the same twice


def test_coil_profile_is_positive_smooth_and_of_the_asked_strength() -> None:
    flat = coil_bias(2, (20, 30), torch.zeros(2), seeded())
    assert torch.equal(flat, torch.ones((2, 20, 30)))
    strong = coil_bias(200, (40, 40), torch.full((200,), 0.8), seeded())
    spread = strong.log().flatten(1)
    spread = spread.amax(1) - spread.amin(1)
    assert (strong > 0).all()
    assert 0.8 < spread.mean() < 3.0
    assert strong.log().diff(dim=-1).abs().max() < 0.15


def test_noise_is_rician_in_the_background() -> None:
    """Without signal the magnitude follows Rayleigh's distribution: mean over SD is sqrt(pi / (4 - pi))."""
    zero = torch.zeros((8, 100, 100))
    plain = dataclasses.replace(IDEAL, noise=(0.05, 0.05), blur=(0.05, 0.05))
    ratios = []
    for seed in range(8):
        image = magnitude(zero, zero, zero, plain, seeded(seed), scans=torch.zeros(8, dtype=torch.long))
        ratios.append((image.mean() / image.std()).item())
    # Draws with edge sharpening clip at zero and are left out by the maximum.
    assert max(ratios) == pytest.approx(math.sqrt(math.pi / (4 - math.pi)), rel=0.03)


def test_vendors_are_ranges_and_any_vendor_covers_the_training_ones() -> None:
    for vendor in VENDORS:
        for field in dataclasses.fields(Vendor)[1:]:
            low, high = getattr(vendor, field.name)
            assert low <= high, (vendor.name, field.name)
            if vendor in TRAINING_VENDORS:
                lowest, highest = getattr(ANY_VENDOR, field.name)
                assert lowest <= low, (vendor.name, field.name)
                assert high <= highest, (vendor.name, field.name)


def test_uniform_fills_its_bounds() -> None:
    drawn = uniform(5000, (-2.0, 3.0), seeded())
    assert drawn.shape == (5000,)
    assert -2.0 <= drawn.min() < -1.95
    assert 2.95 < drawn.max() <= 3.0
