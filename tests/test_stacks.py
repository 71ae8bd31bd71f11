r"""Thin slices and what a clinical stack makes of them: closed forms, scipy, the chart of the heart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cardiolearn.errors import InputError
from cardiolearn.phantom import high_resolution
from cardiolearn.phantom.high_resolution import SPACING, scan_high_resolution
from cardiolearn.phantom.landmarks import displacement
from cardiolearn.phantom.mri import TRAINING_VENDORS
from cardiolearn.phantom.scene import Scene
from cardiolearn.phantom.stacks import clinical_stack, shift_slices, slice_profile
from cardiolearn.phantom.subject import sample_subject
from cardiolearn.phantom.volumes import quiet


def test_a_slice_profile_is_a_gaussian_of_its_width() -> None:
    profile = slice_profile(63, 5, 10.0, 2.0)
    assert profile.shape == (12, 63)
    torch.testing.assert_close(profile.sum(1), torch.ones(12))
    middle = profile[6]
    assert int(middle.argmax()) == 32  # thick slice k stands at thin slice 5 k + 2
    sigma = 10.0 / 2.3548 / 2.0  # thin slices
    expected = np.exp(-0.5 * ((np.arange(63) - 32) / sigma) ** 2)
    np.testing.assert_allclose(middle, expected / expected.sum(), atol=1e-5)
    for bad in ((4, 5, 10.0, 2.0), (10, 5, 0.0, 2.0), (10, 5, float("nan"), 2.0)):
        with pytest.raises(InputError, match="expected 5 or more and a positive thickness"):
            slice_profile(*bad)


def test_slices_are_shifted_as_scipy_shifts() -> None:
    g = torch.Generator().manual_seed(0)
    stack, shifts = torch.rand(4, 21, 18, generator=g), torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, -2.4], [1.5, 0.6]])
    found = shift_slices(stack, shifts, (1.5, 1.2))
    for z in range(4):
        expected = ndimage.shift(stack[z].numpy(), shifts[z].numpy() / (1.5, 1.2), order=1, mode="nearest")
        np.testing.assert_allclose(found[z, 3:-3, 3:-3], expected[3:-3, 3:-3], atol=1e-4)


@settings(deadline=None, max_examples=20)
@given(shape=st.tuples(st.integers(5, 23), st.integers(2, 12), st.integers(2, 12)), value=st.floats(1.0, 900.0))
def test_what_is_the_same_everywhere_stays(shape: tuple[int, int, int], value: float) -> None:
    volume = torch.full(shape, value)
    stack = clinical_stack(volume, (1.2, 1.3, 2.0), torch.Generator().manual_seed(0), noise=0.0)
    assert stack.shape == (shape[0] // 5, *shape[1:])
    torch.testing.assert_close(stack, torch.full_like(stack, value))


def test_noise_is_rician() -> None:
    volume = torch.zeros(50, 64, 64)
    volume[:, 32:] = 400.0
    stack = clinical_stack(volume, SPACING, torch.Generator().manual_seed(0), breath_hold=0.0, noise=0.05)
    dark, bright = stack[:, :30], stack[:, 34:]
    assert bright.std().item() == pytest.approx(20.0, rel=0.05)
    assert dark.mean().item() == pytest.approx(20.0 * (torch.pi / 2) ** 0.5, rel=0.05)  # Rayleigh


def test_frames_of_a_slice_share_its_breath_hold_and_not_their_noise() -> None:
    still = torch.rand(20, 24, 24, generator=torch.Generator().manual_seed(1)).cumsum(2)
    cine = torch.stack((still, 2 * still))
    g = [torch.Generator().manual_seed(5) for _ in range(3)]
    first, second = clinical_stack(cine, SPACING, g[0], noise=0.0)
    torch.testing.assert_close(second, 2 * first)
    torch.testing.assert_close(first, clinical_stack(still, SPACING, g[1], noise=0.0))
    assert not torch.allclose(first, clinical_stack(still, SPACING, g[1], noise=0.0))  # another breath
    a, b = clinical_stack(torch.stack((still, still)), SPACING, g[2], noise=0.05)
    assert not torch.allclose(a, b)


def test_material_points_are_followed_back_to_rest() -> None:
    scene = Scene(sample_subject(3, cohort="train", seed=0))
    depth, theta = torch.linspace(8.0, 0.8 * scene.heart.length, 9), torch.linspace(0.0, 6.0, 9)
    middle = 0.5 * (scene.heart.endo_radius(depth, theta) + scene.heart.epi_radius(depth, theta))
    first, last = (scene.heart.to_space(middle, theta, depth, a) for a in (0.0, 1.0))
    moved = scene.origin + last @ scene.frame.T
    torch.testing.assert_close(scene.at_rest(moved, 1.0), scene.origin + first @ scene.frame.T, atol=2e-2, rtol=0)
    material = scene.heart.to_material(first, 0.0)
    torch.testing.assert_close(last - first, displacement(scene.heart, material, 0.0, 1.0), atol=2e-2, rtol=0)
    far = torch.tensor([[300.0, 0.0, 0.0]])
    assert torch.equal(scene.at_rest(far, 1.0), far)


def test_thin_slices_show_the_heart_and_repeat() -> None:
    scene = Scene(sample_subject(0, cohort="train", seed=0))
    shape = (30, 56, 56)
    scan = scan_high_resolution(scene, TRAINING_VENDORS[0], (0.0, 1.0), seed=1, shape=shape)
    again = scan_high_resolution(scene, TRAINING_VENDORS[0], (0.0, 1.0), seed=1, shape=shape)
    assert scan.image.data.shape == (2, *shape) and torch.equal(scan.image.data, again.image.data)
    assert scan.image.spacing == pytest.approx(SPACING)
    labels = scan.labels.data
    assert {1, 2, 3} <= set(labels.unique().tolist())
    assert (labels[0] == 1).sum() > 1.3 * (labels[1] == 1).sum()  # it empties
    assert (scan.image.data[0][labels[0] == 1].median() > 1.2 * scan.image.data[0][labels[0] == 2].median()).item()


def test_thin_slices_are_as_sharp_through_the_plane_as_their_point_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, shape = Scene(sample_subject(0, cohort="train", seed=0)), (24, 48, 48)
    images = {}
    for width in (0.6, 1.2, 2.4):
        monkeypatch.setattr(high_resolution, "_PROFILE", width)
        scan = scan_high_resolution(scene, quiet(TRAINING_VENDORS[0]), (0.0,), seed=1, shape=shape)
        images[width] = scan.image.data[0].float()
    jumps = [images[width].diff(dim=0).diff(dim=0).square().mean() for width in images]
    assert jumps[0] > 1.2 * jumps[1] > 1.44 * jumps[2]
    across = [images[width].diff(dim=1).square().mean() for width in images]
    assert across[2] > 0.6 * across[0]  # within the plane it stays
