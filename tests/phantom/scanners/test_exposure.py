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
from scipy.ndimage import fourier_gaussian, gaussian_filter
from scipy.stats import rice
from torch import Tensor

from cardiolearn.phantom.scanners import exposure as module
from cardiolearn.phantom.scanners.exposure import (
    Exposure,
    coil_bias,
    magnitude,
    sample_exposure,
    smooth_field,
    transfer,
)
from cardiolearn.phantom.scanners.mri import ANY_VENDOR, TRAINING_VENDORS, UNSEEN_VENDOR, Vendor

VENDORS = (*TRAINING_VENDORS, UNSEEN_VENDOR, ANY_VENDOR)
#: One for each scan.
SETTINGS = (
    "texture", "blur", "zero_fill", "crispness", "fat_phase", "line", "coil", "free_walls", "noise_level", "gamma",
)  # fmt: skip


def plain(n: int, shape: tuple[int, int]) -> Exposure:
    r"""An exposure that does nothing."""
    flat, one, each = torch.zeros((n, *shape)), torch.ones((n, 1, 1)), torch.zeros(n)
    return Exposure(
        pattern=flat, texture=one, blur=each, zero_fill=each + 1.0, crispness=each, fat_phase=math.pi * one,
        line=flat + 1.0, coil=flat + 1.0, free_walls=0.0 * one, noise_level=0.0 * one, noise=(flat, flat), gamma=one,
    )  # fmt: skip


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(17, 30), (40, 21)])
def test_the_reconstructions_blur_is_scipys(shape: tuple[int, int]) -> None:
    ours = transfer(shape, numbers(0.0, 0.4, 1.3), numbers(1, 1, 1), numbers(0, 0, 0))
    assert ours.shape == (3, *shape)
    for one, sigma in zip(ours.numpy(), (0.0, 0.4, 1.3), strict=True):
        np.testing.assert_allclose(one, fourier_gaussian(np.ones(shape), sigma), atol=1e-12)


def test_what_was_not_acquired_is_filled_with_zeros() -> None:
    r"""Shown twice as fine as acquired, a picture holds nothing beyond half its highest frequency, up to 0.7 of that
    all of it, and between a cosine."""
    across = transfer((1, 80), numbers(0.0), numbers(2.0), numbers(0.0))[0, 0].numpy()
    share = np.abs(np.fft.fftfreq(80)) / 0.25  # of the highest acquired frequency
    expected = np.select([share <= 0.7, share >= 1.0], [1.0, 0.0], 0.5 + 0.5 * np.cos(np.pi * (share - 0.7) / 0.3))
    np.testing.assert_allclose(across, expected, atol=1e-12)
    both = transfer((80, 80), numbers(0.0), numbers(2.0), numbers(0.0))[0].numpy()
    np.testing.assert_allclose(both, np.outer(across, across), atol=1e-12)


def test_a_crisp_filter_lifts_fine_detail_alone() -> None:
    lifted = transfer((1, 100), numbers(0.0), numbers(1.0), numbers(0.6))[0, 0].numpy()
    coarse = fourier_gaussian(np.ones(100), 1.5)
    np.testing.assert_allclose(lifted, 1.0 + 0.6 * (1.0 - coarse), atol=1e-12)
    assert lifted[0] == 1.0 and lifted[50] > 1.59


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
    exposure = dataclasses.replace(plain(1, (24, 33)), blur=torch.full((1,), 0.3))
    opposed = magnitude(water, fat, zero, exposure)[0]
    assert (opposed[:, 16] < 0.05 * opposed[:, 4]).all()
    aligned = magnitude(water, fat, zero, dataclasses.replace(exposure, fat_phase=torch.zeros(1, 1, 1)))[0]
    assert (aligned[:, 16] > 0.9 * aligned[:, 4]).all()
    # Away from the border the phase cannot be told, but for the ringing.
    torch.testing.assert_close(opposed[:, :8], aligned[:, :8], atol=2e-3, rtol=0.0)


def test_a_voxel_of_water_and_fat_shows_the_length_of_their_sum_as_complex_numbers() -> None:
    g = seeded(2)
    water, fat = torch.rand((2, 3, 9, 11), generator=g)
    phase = math.pi * torch.rand((3, 1, 1), generator=g)
    shown = magnitude(water, fat, torch.zeros_like(water), dataclasses.replace(plain(3, (9, 11)), fat_phase=phase))
    expected = np.abs(water.numpy() + fat.numpy() * np.exp(1j * phase.numpy()))
    np.testing.assert_allclose(shown, expected, atol=1e-5)


def test_each_setting_does_its_part() -> None:
    r"""A picture written out with numpy: swirls, fat's phase, line, coil, noise, reconstruction, grey scale. Fat swirls
    half as much as water; the reconstruction knows eight pixels more on each side and leaves the noise its level."""
    g = seeded(4)
    water, fat, texture = 0.5 + torch.rand((3, 2, 20, 17), generator=g)
    line, coil = 0.5 + torch.rand((2, 2, 20, 17), generator=g)
    phase = math.pi * torch.rand((2, 20, 17), generator=g)
    pattern, *noise = torch.randn((3, 2, 20, 17), generator=g)
    values = {"texture": (0.1, 0.2), "noise_level": (0.1, 0.03), "gamma": (1.0, 0.8)}
    each = {name: torch.tensor(two)[:, None, None] for name, two in values.items()}
    filters = {"blur": (0.5, 0.9), "zero_fill": (1.0, 1.6), "crispness": (0.7, 0.0)}
    each |= {name: torch.tensor(two) for name, two in filters.items()}
    each["free_walls"] = torch.ones((2, 1, 1))  # they are in the water already
    exposure = Exposure(pattern=pattern, fat_phase=phase, line=line, coil=coil, noise=(noise[0], noise[1]), **each)
    shown = magnitude(water, fat, texture, exposure)
    for i in range(2):
        strength, level, gamma = (two[i] for two in values.values())
        filtering = transfer((36, 33), *(numbers(two[i]) for two in filters.values()))[0].numpy()
        swirl = np.maximum(1.0 + (texture[i] * pattern[i]).numpy() * strength, 0.0)
        seen = water[i].numpy() * swirl + fat[i].numpy() * (0.5 + 0.5 * swirl) * np.exp(1j * phase[i].numpy())
        seen = seen * (line[i] * coil[i]).numpy()
        seen = seen + level / np.sqrt(np.mean(filtering**2)) * (noise[0][i].numpy() + 1j * noise[1][i].numpy())
        seen = np.abs(np.fft.ifft2(np.fft.fft2(np.pad(seen, 8, mode="edge")) * filtering))[8:-8, 8:-8]
        np.testing.assert_allclose(shown[i], seen**gamma, atol=2e-5)


def test_pictures_do_not_wrap_around() -> None:
    r"""Brightness at one edge leaves the other dark, as if the picture went on."""
    water = torch.zeros((1, 30, 24))
    water[:, :, :3] = 1.0
    soft = dataclasses.replace(plain(1, (30, 24)), blur=torch.ones(1))
    shown = magnitude(water, 0.0 * water, 0.0 * water, soft)
    assert shown[..., -3:].max() < 1e-3
    expected = gaussian_filter(water[0].numpy(), 1.0, mode="nearest", radius=8)
    np.testing.assert_allclose(shown[0], expected, atol=1e-3)


@settings(max_examples=20)
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


def test_the_picture_is_made_where_its_exposure_is() -> None:
    exposure = sample_exposure(2, (24, 33), ANY_VENDOR, seeded())
    assert all(getattr(exposure, name).device == seeded().device for name in (*SETTINGS, "pattern"))
    away = {name: getattr(exposure, name).to("meta") for name in (*SETTINGS, "pattern")}
    away["noise"] = tuple(white.to("meta") for white in exposure.noise)
    signals = torch.zeros((3, 2, 24, 33), device="meta")
    shown = magnitude(*signals, Exposure(**away))
    assert shown.device.type == "meta" and shown.shape == (2, 24, 33)


def test_with_a_generator_for_the_noise_all_pictures_are_one_scans() -> None:
    scan = sample_exposure(4, (30, 40), ANY_VENDOR, seeded(), noise=seeded(1))
    each = sample_exposure(4, (30, 40), ANY_VENDOR, seeded())
    for name in SETTINGS:
        assert len(getattr(scan, name)) == 1, name
        assert len(getattr(each, name)) == 4, name
    assert scan.line.shape == scan.coil.shape == scan.fat_phase.shape == (1, 30, 40)
    assert scan.pattern.shape == each.pattern.shape == (4, 30, 40)  # the slices of one scan have each their texture
    assert all(white.shape == (4, 30, 40) for white in scan.noise)


def test_the_noise_of_a_scan_comes_from_its_own_generator_alone() -> None:
    one, two = (sample_exposure(3, (24, 20), ANY_VENDOR, seeded(5), noise=seeded(s)) for s in (1, 2))
    for name in (*SETTINGS, "pattern"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name
    assert not torch.equal(one.noise[0], two.noise[0]) and not torch.equal(one.noise[0], one.noise[1])


def test_another_frame_of_a_scan_has_new_noise_and_nothing_else() -> None:
    scan = sample_exposure(3, (24, 20), ANY_VENDOR, seeded(5), noise=seeded(1))
    frame, again = scan.with_noise(seeded(9)), scan.with_noise(seeded(9))
    for name in (*SETTINGS, "pattern"):
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
@pytest.mark.parametrize("zero_fill", [1.0, 1.7])
def test_noise_is_rician_and_of_its_level_in_the_picture(signal: float, zero_fill: float) -> None:
    r"""However it is filtered: mean and SD are those of scipy's Rice distribution."""
    water = torch.full((8, 100, 100), signal)
    zero = torch.zeros_like(water)
    white = torch.randn((2, 8, 100, 100), generator=seeded())
    exposure = dataclasses.replace(
        plain(8, (100, 100)), zero_fill=torch.full((8,), zero_fill), blur=torch.full((8,), 0.3),
        noise_level=torch.full((8, 1, 1), 0.05), noise=(white[0], white[1]),
    )  # fmt: skip
    image = magnitude(water, zero, zero, exposure)
    expected = rice(signal / 0.05, scale=0.05)
    assert image.mean().item() == pytest.approx(expected.mean(), rel=0.01)
    assert image.std().item() == pytest.approx(expected.std(), rel=0.03)
    alike = np.corrcoef(image[..., 1:].flatten(), image[..., :-1].flatten())[0, 1]
    assert (alike > 0.4) == (zero_fill > 1.0)  # neighbours share what was filled in between them


def test_the_line_between_water_and_fat_varies_along_an_organ() -> None:
    water, fat = halves()
    vendor = dataclasses.replace(IDEAL, fat_phase=(0.6, 0.9))
    exposure = sample_exposure(1, (24, 33), vendor, seeded())
    assert exposure.fat_phase.std() > 0.02
    weaker, stronger = (
        magnitude(water, fat, torch.zeros_like(water), dataclasses.replace(exposure, fat_phase=phase))[0, :, 16]
        for phase in (torch.full((1, 24, 33), 0.6 * math.pi), torch.full((1, 24, 33), 0.9 * math.pi))
    )
    assert (weaker > 2 * stronger).all()
