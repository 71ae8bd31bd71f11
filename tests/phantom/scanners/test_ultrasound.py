r"""A simulated echograph: attenuation of closed form, dark blood, shadows, a grey scale that keeps the order."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch
from hearts import scene_of, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.phantom.body.tissue import Tissue
from cardiolearn.phantom.scanners.probe import met_by_beams, place_probe
from cardiolearn.phantom.scanners.sector import BEAMS, DEPTHS, depths
from cardiolearn.phantom.scanners.ultrasound import (
    ANY_ECHOGRAPH,
    UNSEEN_ECHOGRAPH,
    Echograph,
    compress,
    echo,
    scan_ultrasound,
)

NOTHING = (-200.0, -200.0)  # dB
#: No accident, and a grey scale that is linear in dB.
PLAIN = Echograph(
    "plain", frequency=(2, 2), pulse=(2, 2), beam=(2, 2), aperture=(0, 0), compound=(1, 1), scatter=(0, 0),
    blood=(-25, -25), patchy=(0, 0), along_wall=(0, 0), specular=NOTHING, drop_out=(0, 0), ribs=(0, 0),
    clutter=NOTHING, haze=NOTHING,
    noise=NOTHING, near=(0, 0), tgc=(0, 0), gain=(0, 0), dynamic_range=(100, 100), gamma=(1, 1), half_angle=(40, 40),
)  # fmt: skip


def even(code: Tissue, n: int = 1) -> Tensor:
    return torch.full((n, DEPTHS, BEAMS, BEAMS), int(code), dtype=torch.uint8)


def levels(codes: Tensor, echograph: Echograph, seed: int = 0) -> Tensor:
    r"""dB below the brightest, (DEPTHS, BEAMS, BEAMS)."""
    return 100.0 * echo(codes, echograph, seeded(seed))[0]


@functools.cache
def heart() -> Tensor:
    scene = scene_of(0, "test")
    return met_by_beams(scene, place_probe(scene, seeded()), (0.0, 1.0))


@pytest.mark.parametrize(("tissue", "lost"), [(Tissue.MUSCLE, 0.55), (Tissue.LV_BLOOD, 0.15), (Tissue.LIVER, 0.5)])
@pytest.mark.parametrize(("frequency", "tgc"), [(2.0, 0.0), (3.0, 0.0), (2.0, 0.8)])
def test_what_tissue_swallows_is_made_good_in_part(tissue: Tissue, lost: float, frequency: float, tgc: float) -> None:
    r"""To and fro, in dB: twice the frequency times the tissue's attenuation, less the receiver's share of an average
    one (0.4 dB/cm at 1 MHz)."""
    found = levels(even(tissue), replace(PLAIN, frequency=(frequency,) * 2, tgc=(tgc,) * 2)).mean((1, 2))[20:120]
    slope = (found[-1] - found[0]).item() / (depths(found.device)[119] - depths(found.device)[20]).item()
    assert slope == pytest.approx(2.0 * frequency * (0.4 * tgc - lost) / 10.0, rel=0.02)


def test_blood_is_as_much_darker_than_muscle_as_it_is_set() -> None:
    codes = even(Tissue.MUSCLE)
    codes[..., :40] = int(Tissue.LV_BLOOD)
    quiet = replace(PLAIN, frequency=(0.01, 0.01))
    found = levels(codes, quiet)[60:100]
    assert (found[..., 60:].mean() - found[..., :20].mean()).item() == pytest.approx(25.0, abs=0.5)


def test_bone_throws_a_shadow_and_lung_hides_what_lies_behind_it() -> None:
    for code in (Tissue.CORTICAL_BONE, Tissue.LUNG):
        codes = even(Tissue.MUSCLE)
        codes[:, 30:45, 30:50, 30:50] = int(code)
        found = levels(codes, PLAIN)
        behind, beside = found[60:80, 38:42, 38:42].mean(), found[60:80, :15, :15].mean()
        assert beside - behind > 8.0


@pytest.mark.parametrize("setting", ["drop_out", "ribs"])
def test_what_is_hidden_is_hidden_along_whole_beams(setting: str) -> None:
    clear, hidden = (levels(even(Tissue.MUSCLE), replace(PLAIN, **{setting: (loss,) * 2})) for loss in (0.0, 20.0))
    relative = [found[40:100] - found[40:100].amax((1, 2), keepdim=True) for found in (clear, hidden)]
    lost = relative[0] - relative[1]
    assert lost.min() > -0.5 and 15.0 < lost.max() < 20.5
    torch.testing.assert_close(lost[0], lost[-1], atol=1.0, rtol=0)


def test_the_lung_hides_the_lateral_or_the_anterior_side() -> None:
    r"""x runs to the lateral wall, y to the inferior one: never the septum and the inferior wall together."""
    echograph = replace(PLAIN, drop_out=(30.0, 30.0))
    found = echo(even(Tissue.MUSCLE, 8), echograph, seeded(3))[:, 60:80].mean(1) * 100.0
    septal_inferior, lateral, anterior = found[:, 60:, :20], found[:, 30:50, 70:], found[:, :10, 30:50]
    for k in range(8):
        darkest = min(lateral[k].mean(), anterior[k].mean())
        assert septal_inferior[k].mean() > darkest


def test_haze_and_noise_fill_blood_and_clutter_its_upper_end() -> None:
    clear = replace(PLAIN, frequency=(0.01, 0.01))
    codes = even(Tissue.MUSCLE)
    codes[:, 10:120, 30:50, 30:50] = int(Tissue.LV_BLOOD)
    middle = (slice(38, 42), slice(38, 42))
    dark = levels(codes, clear)[:, *middle]
    for brighter in ({"haze": (-15, -15)}, {"noise": (-20, -20)}):
        assert (levels(codes, replace(clear, **brighter))[60:100, *middle] - dark[60:100]).mean() > 2.0
    risen = levels(codes, replace(clear, clutter=(-5, -5)))[:, *middle] - dark
    assert risen[12:18].mean() > 5.0 > 2.0 > risen[80:100].mean()


@settings(max_examples=20)
@given(st.floats(30.0, 80.0), st.floats(0.5, 3.0), st.floats(-20.0, 5.0), st.integers(0, 2**31))
def test_the_grey_scale_keeps_the_order_within_bounds(dynamic: float, gamma: float, gain: float, seed: int) -> None:
    intensity = torch.rand((1, 12, 12, 12), generator=seeded(seed)) ** 6 + 1e-9
    grey = compress(intensity, torch.tensor([gain]), torch.tensor([dynamic]), torch.tensor([gamma])).flatten()
    assert grey.min() >= 0.0 and grey.max() <= 1.0
    assert (grey[intensity.flatten().argsort()].diff() >= 0.0).all()


def test_the_grey_scale_is_logarithmic() -> None:
    intensity = torch.tensor([1.0, 0.1, 0.01, 0.001, 1e-5])[None, :, None, None].repeat(1, 1, 30, 30)
    grey = compress(intensity, torch.tensor([-10.0]), torch.tensor([50.0]), torch.tensor([2.0]))[0, :, 0, 0]
    expected = torch.tensor([0.8, 0.6, 0.4, 0.2, 0.0]) ** 2
    torch.testing.assert_close(grey, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("echograph", [ANY_ECHOGRAPH, UNSEEN_ECHOGRAPH], ids=lambda e: e.name)
def test_scans_are_pictures_and_labels(echograph: Echograph) -> None:
    picture, label = scan_ultrasound(heart(), echograph, seeded(), shape=(48, 48, 48), spacing=3.2)
    assert picture.shape == label.shape == (2, 48, 48, 48)
    assert label.dtype == torch.uint8 and label.unique().tolist() == [0, 1, 2]
    assert torch.isfinite(picture).all() and picture.min() >= 0.0 and picture.max() <= 1.0
    assert (label[1] == 1).sum() < (label[0] == 1).sum()  # end-systole
    assert picture[label == 2].mean() > picture[label == 1].mean()


def test_walls_are_brighter_than_blood_in_most_scans() -> None:
    codes = heart()[:1].repeat(5, 1, 1, 1)
    picture, label = scan_ultrasound(codes, ANY_ECHOGRAPH, seeded(4), shape=(48, 48, 48), spacing=3.2)
    contrast = [(p[lab == 2].mean() - p[lab == 1].mean()).item() for p, lab in zip(picture, label, strict=True)]
    assert sum(c > 0.02 for c in contrast) >= 4


def test_a_seed_is_one_scan() -> None:
    one, two, other = (scan_ultrasound(heart(), ANY_ECHOGRAPH, seeded(seed))[0] for seed in (7, 7, 8))
    assert torch.equal(one, two) and not torch.equal(one, other)
    assert not torch.allclose(one[0], one[1])


def test_the_unseen_echograph_is_outside_the_range_of_training_in_three_respects() -> None:
    apart = [
        name for name, (low, high) in list(vars(UNSEEN_ECHOGRAPH).items())[1:]
        if low > getattr(ANY_ECHOGRAPH, name)[1] or high < getattr(ANY_ECHOGRAPH, name)[0]
    ]  # fmt: skip
    assert apart == ["beam", "noise", "dynamic_range"]


def test_codes_of_another_grid_are_refused() -> None:
    with pytest.raises(InputError, match=rf"expected \(n, {DEPTHS}, {BEAMS}, {BEAMS}\), got \(1, 5, 6, 7\)"):
        echo(torch.zeros((1, 5, 6, 7), dtype=torch.uint8), ANY_ECHOGRAPH, seeded())
