r"""What a beam hears, against closed forms: exponential speckle, Gaussian pulses and beams, mirrors at right angles."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hearts import seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from cardiolearn.phantom.body.tissue import Tissue
from cardiolearn.phantom.scanners.beam_forming import (
    amplitude,
    beam_matrix,
    mirror_echo,
    pulse_matrix,
    runs_along,
    side_lobes,
    speckle,
)
from cardiolearn.phantom.scanners.sector import BEAMS, DEPTHS, STEP, depths, sector_points, steering

CPU = torch.device("cpu")
GRID = (1, DEPTHS, BEAMS, BEAMS)


def spread(pulse: float = 2.0, beam: float = 2.5, aperture: float = 0.0) -> tuple[Tensor, Tensor]:
    return pulse_matrix(torch.tensor([pulse])), beam_matrix(torch.tensor([beam]), torch.tensor([aperture]))


def heard(rough: Tensor, smooth: Tensor, compound: float = 0.0, **widths: float) -> Tensor:
    return speckle(rough, smooth, spread(**widths), torch.tensor([compound]), seeded(1))[0]


@given(st.floats(-60.0, 60.0))
def test_decibels_are_of_amplitudes(level: float) -> None:
    assert 20.0 * math.log10(amplitude(torch.tensor(level, dtype=torch.float64)).item()) == pytest.approx(level)


def test_speckle_of_even_tissue_is_fully_developed() -> None:
    r"""The intensity of many random phasors is exponential (Goodman): its mean is the tissue's, its SD equals it."""
    intensity = heard(torch.full(GRID, 3.0), torch.zeros(GRID))
    apart = intensity[10:-10:6, 8:-8:8, 8:-8:8].flatten().numpy()  # farther apart than they blur
    assert apart.mean() == pytest.approx(9.0, rel=0.05)
    assert stats.kstest(apart, "expon", args=(0.0, 9.0)).pvalue > 0.01


@pytest.mark.parametrize("compound", [0.3, 0.8])
def test_compounding_takes_its_share_of_the_speckle_and_no_brightness(compound: float) -> None:
    plain, mixed = (heard(torch.ones(GRID), torch.zeros(GRID), c)[20:-20, 10:-10, 10:-10] for c in (0.0, compound))
    assert mixed.mean().item() == pytest.approx(1.0, rel=0.02)
    assert (mixed.std() / plain.std()).item() == pytest.approx(1.0 - compound, rel=0.02)


def half_width(profile: np.ndarray, step: float) -> float:
    r"""Full width at half maximum of a profile, between samples by straight lines."""
    top, peak = profile.max(), int(profile.argmax())
    right = np.interp(-0.5 * top, -profile[peak:], np.arange(len(profile) - peak))
    left = np.interp(-0.5 * top, -profile[peak::-1], np.arange(peak + 1))
    return float((left + right) * step)


def test_a_point_is_drawn_as_wide_as_pulse_and_beam() -> None:
    r"""Amplitudes are Gaussians of the given widths, intensities narrower by the root of two. Across it is an angle:
    the deeper a point lies, the wider it is drawn."""
    turn = (steering(CPU)[1] - steering(CPU)[0]).item()
    across = {}
    for k in (30, 60, 120):
        point = torch.zeros(GRID)
        point[0, k, 40, 40] = 1.0
        drawn = heard(torch.zeros(GRID), point, pulse=5.0, beam=4.0).numpy()
        assert half_width(drawn[:, 40, 40], STEP) == pytest.approx(5.0 / math.sqrt(2.0), rel=0.03)
        for profile in (drawn[k, :, 40], drawn[k, 40]):
            across[k] = half_width(profile, turn * depths(CPU)[k].item())
            wanted = math.radians(4.0) * depths(CPU)[k].item() / math.sqrt(2.0)
            assert across[k] == pytest.approx(wanted, rel=0.03)
    assert across[30] < across[60] < across[120]


def test_near_the_probe_a_beam_is_as_wide_as_the_aperture() -> None:
    narrow, wide = (beam_matrix(torch.tensor([2.0]), torch.tensor([a]))[0] for a in (0.0, 6.0))
    assert (wide[0, 40] > 0.5 * wide[0, 40].max()).sum() > 5 * (narrow[0, 40] > 0.5 * narrow[0, 40].max()).sum()
    far = (wide[-1, 40] > 0.5 * wide[-1, 40].max()).sum() - (narrow[-1, 40] > 0.5 * narrow[-1, 40].max()).sum()
    assert far <= 2
    torch.testing.assert_close(wide.square().sum(-1), torch.ones(DEPTHS, BEAMS))


def border(value: Tensor) -> Tensor:
    return (1.7 * torch.where(value > 0.0, 1.2, 1.0)).log()[None]


def test_a_border_is_a_mirror_where_the_beam_meets_it_at_right_angles() -> None:
    x, y, z = sector_points(CPU).unbind(-1)
    away = (x**2 + y**2 + z**2).sqrt()
    facing = mirror_echo(border(away - 80.3))[0]
    reflected = (1.2 - 1.0) / (1.2 + 1.0)  # of the pressure, at normal incidence
    assert facing.amax(0).min() == facing.amax(0).max()  # a ball around the probe: each beam alike
    assert facing.max().item() == pytest.approx(reflected / (1.0 + reflected / 0.08), rel=0.02)
    assert abs(depths(CPU)[facing.argmax(0)].unique().item() - 80.3) < STEP  # in one sample of all beams
    along = mirror_echo(border(x))[0]  # all beams run along it
    assert along.max() < 1e-6
    slanted = mirror_echo(border(z - 80.0 + x))[0]  # at 45 degrees
    middle = slice(38, 42)
    assert 0.0 < slanted[:, middle, middle].max() < 0.4 * facing.max()


def test_strong_mirrors_are_not_shown_brighter_than_they_can_be() -> None:
    away = sector_points(CPU).norm(dim=-1)
    gas = torch.where(away > 80.0, math.log(0.4), math.log(1.7))[None]
    assert 0.04 < mirror_echo(gas).max() < 0.08


def test_walls_beside_a_cavity_are_run_along_and_one_below_it_is_met() -> None:
    r"""A cavity around the middle beam, all else is muscle: 1 beside it, 0 above and below it, and 0 in the cavity."""
    codes = torch.full((1, DEPTHS, BEAMS, BEAMS), int(Tissue.MYOCARDIUM), dtype=torch.uint8)
    codes[:, 40:100, 30:50, 30:50] = int(Tissue.LV_BLOOD)
    along = runs_along(codes)[0]
    assert (along[70, 38:42, 26:29] > 0.99).all() and (along[70, 51:54, 38:42] > 0.99).all()
    assert (along[[37, 102]][:, 38:42, 38:42] < 0.01).all()
    assert along[40:100, 30:50, 30:50].max() == 0 and along.min() >= 0 and along.max() <= 1
    assert 0.1 < along[101, 40, 52] < 0.99  # at a corner, between both
    blood = torch.full_like(codes, int(Tissue.LV_BLOOD))
    assert runs_along(blood).max() == 0


@settings(max_examples=5)
@given(st.floats(-40.0, -10.0), st.integers(20, 59))
def test_side_lobes_spread_what_is_bright_across_and_not_in_depth(level: float, beam: int) -> None:
    bright = torch.zeros(GRID)
    bright[0, 70, 40, beam] = 1.0
    leaked = side_lobes(bright, torch.tensor([level]))[0]
    assert leaked[:70].max() == leaked[71:].max() == 0.0
    even = side_lobes(torch.ones(GRID), torch.tensor([level]))
    torch.testing.assert_close(even, torch.full_like(even, 10.0 ** (level / 10.0)), rtol=1e-4, atol=0)
    row = leaked[70, 40]
    assert abs(int(row.argmax()) - beam) <= 2 and row[beam - 15] < 0.5 * row[beam]  # at the edge fewer share it
