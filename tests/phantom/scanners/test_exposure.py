r"""From signals to pictures: optics against scipy, noise against Rice's law, one scan's frames against each other."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hearts import IDEAL, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.stats import rice
from torch import Tensor

from cardiolearn.phantom.scanners import exposure as module
from cardiolearn.phantom.scanners.exposure import Exposure, blur, coil_bias, magnitude, sample_exposure, smooth_field
from cardiolearn.phantom.scanners.mri import ANY_VENDOR, TRAINING_VENDORS, UNSEEN_VENDOR, Vendor

VENDORS = (*TRAINING_VENDORS, UNSEEN_VENDOR, ANY_VENDOR)
SETTINGS = ("texture", "fat_phase", "line", "coil", "noise_level", "crispness", "gamma")  # one for each scan


def plain(n: int, shape: tuple[int, int], sigma: float = 0.05) -> Exposure:
    r"""An exposure that does nothing but blur with `sigma` pixels."""
    flat, one = torch.zeros((n, *shape)), torch.ones((n, 1, 1))
    return Exposure(
        pattern=flat, texture=one, point_spread=torch.full((n,), sigma), fat_phase=math.pi * one, line=flat + 1.0,
        coil=flat + 1.0, noise_level=0.0 * one, noise=(flat, flat), crispness=0.0 * one, gamma=one,
    )  # fmt: skip


@pytest.mark.parametrize("sigma", [0.3, 0.55, 0.8, 1.1])
@pytest.mark.parametrize("shape", [(17, 30), (40, 21)])
def test_blur_is_scipys(sigma: float, shape: tuple[int, int]) -> None:
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


def halves() -> tuple[Tensor, Tensor]:
    r"""Water left, fat right, equally bright, one column shared half and half."""
    water = torch.zeros((1, 24, 33))
    water[..., :16], water[..., 16] = 1.0, 0.5
    return water, 1.0 - water


def test_india_ink_where_water_meets_fat() -> None:
    water, fat = halves()
    zero = torch.zeros_like(water)
    exposure = sample_exposure(1, (24, 33), IDEAL, seeded())
    opposed = magnitude(water, fat, zero, exposure)[0]
    assert (opposed[:, 16] < 0.05 * opposed[:, 4]).all()
    aligned = magnitude(water, fat, zero, dataclasses.replace(exposure, fat_phase=torch.zeros(1, 1, 1)))[0]
    assert (aligned[:, 16] > 0.9 * aligned[:, 4]).all()
    # Away from the border the phase cannot be told.
    torch.testing.assert_close(opposed[:, :8], aligned[:, :8], atol=1e-5, rtol=1e-5)


def test_a_voxel_of_water_and_fat_shows_the_length_of_their_sum_as_complex_numbers() -> None:
    g = seeded(2)
    water, fat = torch.rand((2, 3, 9, 11), generator=g)
    phase = math.pi * torch.rand((3, 1, 1), generator=g)
    shown = magnitude(water, fat, torch.zeros_like(water), dataclasses.replace(plain(3, (9, 11)), fat_phase=phase))
    expected = np.abs(water.numpy() + fat.numpy() * np.exp(1j * phase.numpy()))
    np.testing.assert_allclose(shown, expected, atol=1e-5)


def test_each_setting_does_its_part() -> None:
    r"""A picture written out with scipy and numpy: swirls, blur, fat's phase, line, coil, noise, crispness, grey scale.
    Fat swirls half as much as water, and noise is blurred by 0.6 of the point spread."""
    g = seeded(4)
    water, fat, texture = 0.5 + torch.rand((3, 2, 20, 17), generator=g)
    line, coil = 0.5 + torch.rand((2, 2, 20, 17), generator=g)
    pattern, *noise = torch.randn((3, 2, 20, 17), generator=g)
    values = {"texture": (0.1, 0.2), "fat_phase": (0.4, 2.9), "noise_level": (0.1, 0.03), "crispness": (0.0, 0.7)}
    values["gamma"] = (1.0, 0.8)
    each = {name: torch.tensor(two)[:, None, None] for name, two in values.items()}
    exposure = Exposure(
        pattern=pattern, point_spread=torch.tensor([0.5, 0.9]), line=line, coil=coil, noise=(noise[0], noise[1]), **each
    )
    shown = magnitude(water, fat, texture, exposure)

    def spread(image: Tensor | np.ndarray, sigma: float) -> np.ndarray:
        return gaussian_filter(np.asarray(image, np.float64), sigma, mode="nearest", radius=4)

    for i, sigma in enumerate((0.5, 0.9)):
        strength, phase, level, crisp, gamma = (two[i] for two in values.values())
        swirl = np.maximum(1.0 + (texture[i] * pattern[i]).numpy() * strength, 0.0)
        dry = spread(fat[i].numpy() * (0.5 + 0.5 * swirl), sigma) * np.exp(1j * phase)
        seen = np.abs(spread(water[i].numpy() * swirl, sigma) + dry) * (line[i] * coil[i]).numpy()
        white = [1.3 * level * spread(part[i], 0.6 * sigma) for part in noise]
        seen = np.hypot(seen + white[0], white[1])
        seen = np.maximum(seen + crisp * (seen - spread(seen, 1.5)), 0.0) ** gamma
        np.testing.assert_allclose(shown[i], seen, atol=2e-5)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(VENDORS), st.integers(0, 1000))
def test_the_same_generator_gives_the_same_image(vendor: Vendor, seed: int) -> None:
    water, fat = halves()
    texture = torch.full_like(water, 0.1)

    def image(seed: int) -> Tensor:
        return magnitude(water, fat, texture, sample_exposure(1, (24, 33), vendor, seeded(seed)))

    assert torch.equal(image(seed), image(seed))
    assert torch.isfinite(image(seed)).all()
    assert (image(seed) >= 0).all()
    assert not torch.equal(image(seed), image(seed + 1))


def test_nothing_is_changed_in_place() -> None:
    water, fat = halves()
    texture = torch.full_like(water, 0.1)
    exposure = sample_exposure(1, (24, 33), ANY_VENDOR, seeded())
    tensors = (water, fat, texture, exposure.pattern, exposure.line, exposure.coil, *exposure.noise)
    before = [t.clone() for t in tensors]
    magnitude(water, fat, texture, exposure)
    assert all(torch.equal(a, b) for a, b in zip(before, tensors, strict=True))


def test_with_a_generator_for_the_noise_all_pictures_are_one_scans() -> None:
    scan = sample_exposure(4, (30, 40), ANY_VENDOR, seeded(), noise=seeded(1))
    each = sample_exposure(4, (30, 40), ANY_VENDOR, seeded())
    for name in SETTINGS:
        assert len(getattr(scan, name)) == 1, name
        assert len(getattr(each, name)) == 4, name
    assert scan.line.shape == scan.coil.shape == (1, 30, 40)
    assert scan.pattern.shape == each.pattern.shape == (4, 30, 40)  # the slices of one scan have each their texture
    assert len(scan.point_spread) == 4 and len(scan.point_spread.unique()) == 1
    assert len(each.point_spread.unique()) == 4
    assert all(white.shape == (4, 30, 40) for white in scan.noise)


def test_the_noise_of_a_scan_comes_from_its_own_generator_alone() -> None:
    one, two = (sample_exposure(3, (24, 20), ANY_VENDOR, seeded(5), noise=seeded(s)) for s in (1, 2))
    for name in (*SETTINGS, "pattern", "point_spread"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name
    assert not torch.equal(one.noise[0], two.noise[0]) and not torch.equal(one.noise[0], one.noise[1])


def test_another_frame_of_a_scan_has_new_noise_and_nothing_else() -> None:
    scan = sample_exposure(3, (24, 20), ANY_VENDOR, seeded(5), noise=seeded(1))
    frame, again = scan.with_noise(seeded(9)), scan.with_noise(seeded(9))
    for name in (*SETTINGS, "pattern", "point_spread"):
        assert getattr(frame, name) is getattr(scan, name), name
    assert torch.equal(frame.noise[0], again.noise[0]) and torch.equal(frame.noise[1], again.noise[1])
    assert not torch.equal(frame.noise[0], scan.noise[0]) and not torch.equal(frame.noise[1], scan.noise[1])


def test_images_of_one_scan_share_coil_and_settings() -> None:
    quiet = dataclasses.replace(ANY_VENDOR, noise=(0, 0), bias=(1, 1))
    water = torch.ones((4, 30, 40))
    zero = torch.zeros_like(water)
    one, two = (magnitude(water, zero, zero, sample_exposure(4, (30, 40), quiet, seeded(s), noise=seeded()))
                for s in (0, 1))  # fmt: skip
    assert torch.equal(one[0], one[1]) and torch.equal(one[2], one[3])
    assert not torch.allclose(one[0], two[0], rtol=0.05)
    loud = dataclasses.replace(quiet, noise=(0.05, 0.05))
    noisy = magnitude(water, zero, zero, sample_exposure(4, (30, 40), loud, seeded(), noise=seeded()))
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


def test_one_scan_in_six_has_a_dark_line() -> None:
    lines = module._off_resonance(3000, (24, 28), seeded(1))
    assert lines.min() >= 0.2 - 1e-6 and lines.max() <= 1.0
    dark = lines.flatten(1).amin(1) < 0.9
    # The line of some lies beyond the picture: at most the 17 % that have one, at least half of those.
    assert 0.085 < dark.float().mean() < 0.17 + 0.02


@pytest.mark.parametrize("signal", [0.0, 0.12, 1.0])
def test_noise_is_rician(signal: float) -> None:
    r"""Real and imaginary part have the noise's strength: mean and SD are those of scipy's Rice distribution."""
    water = torch.full((8, 100, 100), signal)
    zero = torch.zeros_like(water)
    level = torch.full((1, 1, 1), 0.05)
    scan = sample_exposure(8, (100, 100), dataclasses.replace(IDEAL, blur=(0.05, 0.05)), seeded(), noise=seeded(1))
    flat = dataclasses.replace(scan, noise_level=level, line=torch.ones(1, 1, 1), crispness=torch.zeros(1, 1, 1))
    image = magnitude(water, zero, zero, flat)
    sd = 1.3 * 0.05  # the level is that after the point spread, which takes about a quarter
    expected = rice(signal / sd, scale=sd)
    assert image.mean().item() == pytest.approx(expected.mean(), rel=0.01)
    assert image.std().item() == pytest.approx(expected.std(), rel=0.02)
