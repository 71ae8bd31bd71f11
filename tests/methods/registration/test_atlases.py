r"""Atlases carried to a target: a known warp is undone, labels go through both maps at once, bad input is named."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hearts import random_field, seeded
from scipy import ndimage
from scipy.spatial.transform import Rotation
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image, resample
from cardiolearn.measures.surfaces import surface_distances
from cardiolearn.methods.forests.channels import smooth
from cardiolearn.methods.forests.training_patches import borders
from cardiolearn.methods.registration import atlases
from cardiolearn.methods.registration.atlases import Atlas, Propagated, PropagationSettings, propagated
from cardiolearn.methods.registration.block_matching import MatchingSettings
from cardiolearn.methods.registration.bsplines import grid_places
from cardiolearn.methods.registration.ffd import RegistrationSettings

SIZE, SPACING = 28, 4.0
ALIGN, KEEP = (MatchingSettings(affine=True, levels=1, block=3, iterations=count) for count in (6, 0))
BEND, STIFF = (RegistrationSettings(knot=15.0, levels=2, iterations=count) for count in (30, 0))


def egg(points: Tensor) -> Tensor:
    r"""Labels at points `(..., 3)` mm about the middle of a heart, (z, y, x): a cavity in a wall, cut at the base."""
    z, y, x = (points * torch.tensor([1.0 / 36.0, 1.0 / 18.0, 1.0 / 22.0])).unbind(-1)
    away = (z.square() + y.square() + x.square()).sqrt()
    cavity, wall = away < 1.0, (away < 1.4) & (z > -0.6)
    return torch.where(cavity & (z > -0.6), 1, torch.where(wall, 2, 0)).to(torch.uint8)


def places() -> Tensor:
    return grid_places((SIZE,) * 3, (SPACING,) * 3) - 0.5 * SPACING * (SIZE - 1)


def affine() -> np.ndarray:
    matrix = np.diag([-SPACING, SPACING, SPACING, 1.0])
    matrix[:3, 3] = [30.0, -20.0, 12.0]
    return matrix


def atlas_of(labels: Tensor, where: np.ndarray | None = None) -> Atlas:
    where = affine() if where is None else where
    return Atlas(Image(smooth(borders(labels).float(), 1).clamp(0.0, 1.0), where), Image(labels, where))


def cavity_distance(found: Propagated, true: Tensor) -> float:
    r"""Mean distance in voxels of the cavities' surfaces."""
    return surface_distances(found.labels.argmax(0) == 1, true == 1, (1.0,) * 3).mean


def test_an_atlas_of_the_target_brings_its_own_labels() -> None:
    atlas = atlas_of(egg(places()))
    found = propagated(atlas.edges, atlas, PropagationSettings(3, KEEP, BEND))
    assert torch.equal(found.labels.argmax(0).to(torch.uint8), atlas.labels.data)
    torch.testing.assert_close(found.edges, atlas.edges.data, atol=1e-3, rtol=0)
    assert found.least_jacobian == pytest.approx(1.0, abs=0.01)


def test_a_known_warp_is_undone() -> None:
    r"""The target is the atlas's heart turned, moved, enlarged and bent; the atlas's grid is a smaller one."""
    bend = random_field(2.0, extent=(112.0,) * 3)
    turned = places() @ torch.linalg.matrix_exp(torch.tensor([[0, 0.1, 0], [-0.1, 0, 0.15], [0, -0.15, 0]])) / 1.1
    true = egg(turned - 5.0 + bend.at(places() + 56.0))
    atlas = atlas_of(egg(places())[2:-1, 3:-2, 2:-2], affine() @ np.array(
        [[1, 0, 0, 2], [0, 1, 0, 3], [0, 0, 1, 2], [0, 0, 0, 1]]
    ))  # fmt: skip
    target = atlas_of(true).edges
    before, aligned, found = (
        propagated(target, atlas, PropagationSettings(3, *both))
        for both in ((KEEP, STIFF), (ALIGN, STIFF), (ALIGN, BEND))
    )
    assert cavity_distance(before, true) > 1.0
    assert cavity_distance(aligned, true) < 0.7
    assert cavity_distance(found, true) < 0.4
    assert found.least_jacobian > 0.2
    assert (found.edges - target.data).square().mean() < 0.4 * (before.edges - target.data).square().mean()


def test_labels_go_through_both_maps_in_one_interpolation(monkeypatch: pytest.MonkeyPatch) -> None:
    g, target_grid, atlas_grid = seeded(), (9, 14, 11), (12, 8, 13)
    here, there = np.diag([-2.0, 3.0, 4.0, 1.0]), np.diag([3.0, -3.5, 2.5, 1.0])
    here[:3, 3], there[:3, 3] = [9.0, -20.0, -15.0], [-18.0, 13.0, -14.0]
    alignment = torch.eye(4, dtype=torch.float64)
    alignment[:3] += 0.1 * torch.randn(3, 4, generator=g, dtype=torch.float64)
    bend = random_field(1.0, extent=(32.0, 39.0, 20.0))
    monkeypatch.setattr(atlases, "align", lambda *images: alignment)
    monkeypatch.setattr(atlases, "register", lambda *images: bend)
    labels = torch.randint(0, 3, atlas_grid, generator=g).to(torch.uint8)
    atlas = Atlas(Image(torch.rand(atlas_grid, generator=g), there), Image(labels, there))
    found = propagated(Image(torch.rand(target_grid, generator=g), here), atlas, PropagationSettings())
    mm = grid_places(target_grid, (4.0, 3.0, 2.0))
    moved = ((mm + bend.at(mm)) / torch.tensor([4.0, 3.0, 2.0])).double().numpy()
    voxels = np.concatenate((moved[..., ::-1], np.ones((*target_grid, 1))), -1)
    looked_up = (voxels @ (np.linalg.inv(there) @ alignment.numpy() @ here).T)[..., 2::-1].transpose(3, 0, 1, 2)
    for values, carried in ((atlas.edges.data, found.edges), *((labels == k, found.labels[k]) for k in (1, 2))):
        expected = ndimage.map_coordinates(values.double().numpy(), looked_up, order=1, mode="grid-constant")
        np.testing.assert_allclose(carried.numpy(), expected, atol=1e-4)
        assert (expected > 0.0).mean() > 0.3
    torch.testing.assert_close(found.labels.sum(0), torch.ones(target_grid))
    steps = np.eye(3) + np.stack(
        [(bend.at(mm + 0.01 * torch.eye(3)[k]) - bend.at(mm - 0.01 * torch.eye(3)[k])).numpy() / 0.02 for k in range(3)]
    ).transpose(1, 2, 3, 4, 0)
    assert found.least_jacobian == pytest.approx(np.linalg.det(steps).min(), abs=2e-3)


def test_beyond_an_atlas_all_is_background() -> None:
    atlas = atlas_of(torch.full((8, 8, 8), 2, dtype=torch.uint8).index_fill_(0, torch.tensor([3]), 1))
    target = Image(torch.rand((20, 20, 20), generator=seeded()), affine())
    found = propagated(target, atlas, PropagationSettings(3, KEEP, STIFF))
    inside = torch.zeros((20, 20, 20), dtype=torch.bool)
    inside[6:14, 6:14, 6:14] = True  # the middles of both grids lie on one another
    torch.testing.assert_close(found.labels[1:].sum(0), inside.float())
    assert found.edges[~inside].max() < 1e-4


def test_a_finer_atlas_brings_the_same_heart() -> None:
    labels = egg(places())
    fine = affine() @ np.diag([0.8, 0.8, 0.8, 1.0])
    size = round(SIZE / 0.8)
    sharper = resample(Image(labels, affine()), fine, (size,) * 3, order=0).data
    found = propagated(atlas_of(labels).edges, atlas_of(sharper, fine), PropagationSettings(3, ALIGN, BEND))
    assert cavity_distance(found, labels) < 0.4


def test_patients_may_lie_anywhere() -> None:
    labels, turn = egg(places() * 1.1), np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", (40, -70, 100), degrees=True).as_matrix()
    turn[:3, 3] = [300.0, -200.0, 50.0]
    target, quick = atlas_of(labels).edges, PropagationSettings(3, ALIGN, STIFF)
    here = propagated(target, atlas_of(egg(places())), quick)
    there = propagated(target, atlas_of(egg(places()), turn @ affine()), quick)
    torch.testing.assert_close(there.labels, here.labels, atol=1e-3, rtol=0)


def test_propagation_repeats_itself() -> None:
    target, atlas = atlas_of(egg(places() * 1.1)).edges, atlas_of(egg(places()))
    quick = PropagationSettings(3, ALIGN, RegistrationSettings(knot=15.0, levels=1, iterations=2))
    one, other = (propagated(target, atlas, quick) for _ in range(2))
    assert torch.equal(one.labels, other.labels) and torch.equal(one.edges, other.edges)


def test_bad_atlases_are_named() -> None:
    edges, labels = Image(torch.zeros(4, 5, 6), np.eye(4)), torch.zeros((4, 5, 6), dtype=torch.uint8)
    some = labels.index_fill(0, torch.tensor([1]), 1)
    with pytest.raises(InputError, match="atlas labels: expected at least one structure"):
        Atlas(edges, Image(labels, np.eye(4)))
    with pytest.raises(InputError, match="atlas labels: expected the edges' affine"):
        Atlas(edges, Image(some, np.diag([2.0, 1.0, 1.0, 1.0])))
    with pytest.raises(InputError, match=r"atlas labels: expected uint8 of the edges' shape \(4, 5, 6\)"):
        Atlas(edges, Image(some[1:], np.eye(4)))
    with pytest.raises(InputError, match="atlas labels: expected uint8"):
        Atlas(edges, Image(some.float(), np.eye(4)))
    for bad in (edges.data - 1.0, edges.data + torch.nan):
        with pytest.raises(InputError, match=r"atlas edges: expected values in \[0, 1\]"):
            Atlas(edges.with_data(bad), Image(some, np.eye(4)))


def test_bad_targets_and_labels_are_named() -> None:
    atlas = atlas_of(egg(places()))
    with pytest.raises(InputError, match="atlas labels: expected below 2, got 2"):
        propagated(atlas.edges, atlas, PropagationSettings(classes=2))
    with pytest.raises(InputError, match="target: expected one frame of floats"):
        propagated(Image(torch.zeros(2, 8, 8, 8), np.eye(4)), atlas, PropagationSettings())
    with pytest.raises(InputError, match="block matching: expected 8 blocks"):
        propagated(atlas.edges.with_data(torch.zeros(SIZE, SIZE, SIZE)), atlas, PropagationSettings())
