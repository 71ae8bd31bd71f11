r"""Thin slices of whole stacks: scipy's splines, places in space, any pixel, long-axis pictures, bad input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hearts import Adds, seeded, spheres
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import interpolate as scipy_interpolate
from torch import nn

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image, resample
from cardiolearn.methods.superresolution import whole_scan
from cardiolearn.methods.superresolution.networks import FACTOR, NETWORKS, SLIM, Deconvolution
from cardiolearn.phantom.cohorts.stacks import TestStack
from cardiolearn.phantom.scanners.crossing_views import crossing, long_axis_picture
from cardiolearn.phantom.scanners.long_axis import Plane


def oblique(spacing: tuple[float, float, float]) -> np.ndarray:
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * np.array(spacing), (12.0, -40.0, 7.0)
    return affine


def smooth_stack(spacing: tuple[float, float, float], shape: tuple[int, int, int]) -> Image:
    z, y, x = (torch.arange(n) * d for n, d in zip(shape, reversed(spacing), strict=True))
    data = 300 + 100 * torch.sin(x / 19)[None, None] + 80 * torch.cos(y / 23)[None, :, None] + 2 * z[:, None, None]
    return Image(data, oblique(spacing))


@pytest.mark.parametrize("z", [2, 3, 4, 11])
def test_orders_are_those_of_scipy(z: int) -> None:
    stack = torch.rand(z, 3, 4, generator=seeded(z))
    places = ((np.arange(FACTOR * z) - 2) / FACTOR).clip(0, z - 1)
    middles = np.arange(z)
    if z >= 4:
        spline = scipy_interpolate.CubicSpline(middles, stack.numpy())(places)
    else:
        spline = scipy_interpolate.BarycentricInterpolator(middles, stack.numpy())(places)
    np.testing.assert_allclose(whole_scan.upsample(stack, "spline"), spline, atol=1e-5)
    linear = scipy_interpolate.interp1d(middles, stack.numpy(), axis=0)(places)
    np.testing.assert_allclose(whole_scan.upsample(stack, "linear"), linear, atol=1e-5)
    assert torch.equal(whole_scan.upsample(stack, "nearest"), stack[np.round(places).astype(int)])


@settings(max_examples=25)
@given(
    shape=st.tuples(st.integers(2, 7), st.integers(1, 9), st.integers(1, 9)),
    value=st.floats(-500, 500),
    order=st.sampled_from(["nearest", "linear", "spline"]),
)
def test_what_is_the_same_everywhere_stays(shape: tuple[int, int, int], value: float, order: whole_scan.Order) -> None:
    found = whole_scan.upsample(torch.full(shape, value), order)
    torch.testing.assert_close(found, torch.full((FACTOR * shape[0], *shape[1:]), value), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("spacing", [(1.25, 1.25, 10.0), (1.8, 1.8, 10.0), (0.9, 1.4, 8.0), (2.6, 2.6, 10.0)])
def test_a_scan_of_any_pixel_keeps_its_grid_and_its_linear_part(spacing: tuple[float, float, float]) -> None:
    stack = smooth_stack(spacing, (5, 61, 47))
    plain = whole_scan.super_resolve(stack, Adds(0.0))
    assert plain.data.shape == (25, 61, 47)
    assert plain.spacing == pytest.approx((*spacing[:2], spacing[2] / 5))
    torch.testing.assert_close(plain.data, whole_scan.upsample(stack.data, "linear"), atol=1e-2, rtol=0.0)
    np.testing.assert_allclose(  # thin slice 5 k + 2 lies in the middle of slice k
        plain.affine @ (4, 3, 12, 1), stack.affine @ (4, 3, 2, 1), atol=1e-9
    )


@pytest.mark.parametrize("spacing", [(1.25, 1.25, 10.0), (1.8, 1.8, 10.0), (2.6, 2.2, 10.0)])
def test_what_the_network_adds_lands_where_it_belongs(spacing: tuple[float, float, float]) -> None:
    stack = smooth_stack(spacing, (4, 61, 47))
    found = whole_scan.super_resolve(stack, Adds(0.5)).data
    middle = float(stack.data.mean())
    expected = whole_scan.upsample(stack.data, "linear") + 0.5 * (whole_scan.upsample(stack.data, "nearest") - middle)
    inner = (slice(None), slice(4, -4), slice(4, -4))
    assert (found - expected)[inner].abs().max() < 3.0  # of intensities that run over some 350


def test_a_network_of_one_view_needs_no_pictures_and_one_of_three_uses_them() -> None:
    stack = smooth_stack((1.25, 1.25, 10.0), (4, 24, 20))
    views = [picture_of(stack, axis) for axis in (0, 1)]
    alone = Deconvolution(((4,), (4,)))
    torch.testing.assert_close(
        whole_scan.super_resolve(stack, alone).data, whole_scan.restore(stack.data, alone), atol=1e-2, rtol=0.0
    )
    both = Deconvolution(((4,), (4,)), (10, 10), views="siamese")
    seen = whole_scan.super_resolve(stack, both, views).data
    brighter = [view.with_data(2 * view.data) for view in views]
    assert not torch.allclose(seen, whole_scan.super_resolve(stack, both, brighter).data)


def picture_of(stack: Image, axis: int) -> Image:
    r"""A long-axis picture through the middle of a stack, at right angles to its axis `axis` (0 x, 1 y)."""
    direction = stack.affine[:3, :3] / np.array(stack.spacing)
    size = np.array(stack.data.shape[::-1])
    middle = (stack.affine @ (*(0.5 * (size - 1)), 1))[:3]
    right, down, normal = direction[:, 1 - axis], direction[:, 2], direction[:, axis]
    affine = np.eye(4)
    affine[:3, :3] = np.stack((1.5 * right, 1.5 * down, 6.0 * normal), 1)
    affine[:3, 3] = middle - 1.5 * 40 * right - 1.5 * 40 * down
    return resample(stack, affine, (1, 81, 81))


def test_a_picture_lands_on_the_thin_slices_where_the_phantoms_does() -> None:
    stack = smooth_stack((1.25, 1.25, 10.0), (6, 48, 52))
    thin = Image(whole_scan.upsample(stack.data, "linear"), whole_scan.fine_affine(stack))
    plane = Plane(
        middle=torch.from_numpy((thin.affine @ (25.3, 22.1, 14.0, 1))[:3].copy()).float(),
        right=torch.from_numpy(thin.affine[:3, :3] @ (0.48, 0.0, 0.4)).float(),
        down=torch.from_numpy(thin.affine[:3, :3] @ (-0.64, 0.0, 0.3)).float(),
    )
    assert plane.right.norm().item() == pytest.approx(1.0) and abs(float(plane.right @ plane.down)) < 1e-5
    where = crossing(plane, thin.affine)
    still = seeded()
    ours = long_axis_picture(thin.data, thin.spacing, where, still, breath_hold=0.0, noise=0.0)
    picture = resample(thin, plane.affine(1.0, (130, 130)), (1, 130, 130))
    theirs = whole_scan.on_thin_slices(picture, stack)
    agree = (ours[1] == theirs[1]).float().mean()
    assert agree > 0.99  # voxels at the very reach may fall to either side
    both = (ours[1] > 0) & (theirs[1] > 0)
    assert (ours[0] - theirs[0])[both].abs().mean() < 6.0  # one is a mean through the slice


def test_a_networks_input_holds_the_stack_then_five_signals_and_five_presences_of_each_view() -> None:
    r"""Scaled alike; where a view shows nothing its channels are 0, which is the middle of the grey scale."""
    stack, views = torch.rand(1, 3, 6, 7, generator=seeded()), 50.0 + torch.rand(1, 4, 15, 6, 7, generator=seeded(1))
    there = (torch.rand(1, 2, 15, 6, 7, generator=seeded(2)) < 0.5).float()
    views[:, 1::2] = there
    found = whole_scan.network_input(stack, views, middle=20.0, width=5.0)
    assert found.shape == (1, 21, 3, 6, 7)
    torch.testing.assert_close(found[:, 0], (stack - 20.0) / 5.0)
    for view, z, thin in itertools.product(range(2), range(3), range(5)):
        signal, presence = (found[0, 1 + 10 * view + 5 * k + thin, z] for k in (0, 1))
        assert torch.equal(presence, there[0, view, 5 * z + thin])
        expected = torch.where(presence > 0, (views[0, 2 * view, 5 * z + thin] - 20.0) / 5.0, 0.0)
        torch.testing.assert_close(signal, expected)
    torch.testing.assert_close(whole_scan.network_input(stack, None, 20.0, 5.0), found[:, :1])


def test_thin_slices_of_both_phases_are_each_of_its_own_stack_and_views() -> None:
    scan = TestStack.of(spheres(1), 0, seed=0)
    both = Deconvolution(((4,), (4,)), (10, 10), views="siamese").eval()
    nn.init.normal_(both.last.weight, generator=seeded())
    for method in ("nearest", Adds(0.2).eval(), both):
        found = whole_scan.thin_phases(scan, method)
        for phase in (0, 1):
            one = whole_scan.thin(scan.stack[phase], method, scan.views[phase])
            assert torch.equal(found[phase], one)
    swapped = whole_scan.thin(scan.stack[0], both, scan.views[1])
    assert not torch.equal(swapped, whole_scan.thin(scan.stack[0], both, scan.views[0]))  # views do count


@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_takes_what_a_test_stack_holds(name: str) -> None:
    scan = TestStack.of(spheres(1), 0, seed=0)
    assert whole_scan.thin_phases(scan, NETWORKS[name](0).eval()).shape == scan.volume.shape


def test_every_second_slice_is_left_out_and_a_ramp_comes_back() -> None:
    ramp = Image(torch.arange(8.0)[:, None, None].expand(8, 3, 4), oblique((1.0, 1.0, 10.0)))
    kept, gone = whole_scan.leave_out(ramp)
    assert kept.data[:, 0, 0].tolist() == [0, 2, 4, 6] and gone[:, 0, 0].tolist() == [1, 3, 5]
    np.testing.assert_allclose(kept.affine @ (0, 0, 2, 1), ramp.affine @ (0, 0, 4, 1))
    for order in ("linear", "spline"):
        torch.testing.assert_close(whole_scan.between(whole_scan.upsample(kept.data, order)), gone)
    with pytest.raises(InputError, match="at least 5 slices, got 4"):
        whole_scan.leave_out(Image(ramp.data[:4], ramp.affine))


def test_bad_stacks_and_pictures_are_named() -> None:
    stack = smooth_stack((1.25, 1.25, 10.0), (4, 24, 20))
    network = Deconvolution(SLIM)
    one = Image(stack.data[:1], stack.affine)
    for bad in (one, Image(stack.data[None].repeat(2, 1, 1, 1), stack.affine)):
        with pytest.raises(InputError, match=r"expected (one frame|\(Z, Y, X\) with at least two slices)"):
            whole_scan.super_resolve(bad, network)
    with pytest.raises(InputError, match="nearest, linear or spline"):
        whole_scan.upsample(stack.data, "cubic")  # type: ignore[arg-type]
    picture = picture_of(stack, 0)
    away = picture.affine.copy()
    away[:3, 3] += 900.0
    with pytest.raises(InputError, match="does not cross the stack"):
        whole_scan.on_thin_slices(Image(picture.data, away), stack)
    with pytest.raises(InputError, match=r"one slice \(1, Y, X\), got \(4, 24, 20\)"):
        whole_scan.on_thin_slices(stack, stack)
    several = Deconvolution(((4,), (4,)), (10, 10))
    with pytest.raises(InputError, match="2 long-axis pictures, got 1"):
        whole_scan.super_resolve(stack, several, [picture])
    with pytest.raises(InputError, match="0 long-axis pictures, got 1"):
        whole_scan.super_resolve(stack, network, [picture])
