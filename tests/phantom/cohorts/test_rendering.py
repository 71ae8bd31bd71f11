r"""Ever new pictures of slice maps: labels that lie where the picture shows them, however it is posed, bent or cut."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hearts import IDEAL, disc_maps, seeded
from torch import Tensor

from cardiolearn.phantom.body.tissue import Tissue
from cardiolearn.phantom.cohorts import rendering
from cardiolearn.phantom.cohorts.rendering import normalise_batch, render_batch
from cardiolearn.phantom.cohorts.slice_maps import PIXEL, SIZE, SliceMaps, sample_long_axis_slices, sample_slices
from cardiolearn.phantom.scanners.mri import UNSEEN_VENDOR

RADIUS = 22.0  # mm, of the cavity of `disc_maps`


@pytest.fixture(scope="module")
def maps() -> SliceMaps:
    return sample_slices(3)


@pytest.mark.parametrize(("size", "pixel"), [(48, 2.5), (65, 1.8)])
def test_batches_are_pictures_and_classes(maps: SliceMaps, size: int, pixel: float) -> None:
    picks = torch.tensor([2, 0, 2, 5, 6])
    images, labels = render_batch(maps, picks, seeded(), size=size, pixel=pixel)
    assert images.shape == (5, 1, size, size)
    assert images.dtype == torch.float32
    assert labels.shape == (5, size, size)
    assert labels.dtype == torch.int64
    assert torch.isfinite(images).all()
    assert images.min() >= 0
    assert images.max() <= 1
    assert set(labels.unique().tolist()) <= {0, 1, 2, 3}
    assert (images.flatten(1).std(1) > 0.02).all()
    assert not torch.equal(images[0], images[2])  # the same slice, another picture


def test_batches_are_reproducible_from_the_generator() -> None:
    picks = torch.arange(4)
    first, second = (render_batch(disc_maps(4, 60), picks, seeded(8), size=40) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    other = render_batch(disc_maps(4, 60), picks, seeded(9), size=40)
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[1], other[1])


def test_pictures_follow_their_labels() -> None:
    even = dataclasses.replace(UNSEEN_VENDOR, bias=(0, 0))
    images, labels = render_batch(disc_maps(40, 60), torch.arange(40), seeded(2), size=64, vendor=even)
    brighter = [
        bool(image[label == 1].mean() > image[label == 2].mean())
        for image, label in zip(images[:, 0], labels, strict=True)
        if (label == 1).sum() > 20 and (label == 2).sum() > 20
    ]
    assert len(brighter) > 20
    assert sum(brighter) > 0.9 * len(brighter)  # but for a dark band across the heart
    assert (labels == 1).any()
    assert (labels == 3).any()
    assert labels.max() == 3  # the atrium's 4 became background


def chessboard(n: int, square: float = 12.0) -> SliceMaps:
    r"""Squares of blood (label 1) and of nothing at all, `square` mm wide: borders everywhere."""
    place = ((torch.arange(SIZE) + 0.5) * PIXEL / square).long()
    label = ((place[:, None] + place[None, :]) % 2).to(torch.uint8)
    tissue = torch.where(label == 1, int(Tissue.LV_BLOOD), int(Tissue.AIR)).to(torch.uint8)
    return SliceMaps(tissue.repeat(n, 3, 1, 1), label.repeat(n, 1, 1))


def bent_by(monkeypatch: pytest.MonkeyPatch, times: float) -> tuple[Tensor, Tensor]:
    r"""Pictures of chessboards without noise or texture, bent `times` as much as usual, and their labels."""
    field = rendering.smooth_field
    with monkeypatch.context() as patch:
        patch.setattr(rendering, "TEXTURE", torch.zeros_like(rendering.TEXTURE))
        patch.setattr(rendering, "smooth_field", lambda *given: times * field(*given))
        images, labels = render_batch(chessboard(24), torch.arange(24), seeded(1), size=96, vendor=IDEAL)
    return images[:, 0], labels


@pytest.mark.parametrize("upright", [False, True])
def test_labels_are_bent_with_the_picture(upright: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    r"""Where the grid is bent most, a picture without noise still turns dark where its label ends."""
    if upright:
        monkeypatch.setattr(rendering, "_poses", rendering._upright_poses)
    _, straight = bent_by(monkeypatch, 0.0)
    for times in (1.0, 3.0):
        images, labels = bent_by(monkeypatch, times)
        inside = (images > 0.0) | (labels > 0) | (straight > 0)  # not what was cut off
        moved = labels != straight
        assert moved.float().mean() > 0.1  # there is something to see
        bright = images > 0.5 * images.flatten(1).amax(1)[:, None, None]
        wrong = (bright != (labels == 1)) & inside
        assert wrong.float().mean() < 0.03
        assert (wrong & moved).float().mean() < 0.1 * moved.float().mean()


def test_upright_pictures_show_the_map_at_its_size_and_on_its_side(monkeypatch: pytest.MonkeyPatch) -> None:
    r"""Whole and unbent, so that the pose alone shows: where the cavity lies, how large it is, and where the RV is."""
    monkeypatch.setattr(rendering, "smooth_field", lambda n, shape, cell, generator: torch.zeros((n, *shape)))
    monkeypatch.setattr(rendering, "_field_of_view", lambda images, generator: torch.ones_like(images) > 0)
    n, size, pixel = 300, 72, 2.5
    _, labels = render_batch(disc_maps(n, 104), torch.arange(n), seeded(5), size=size, pixel=pixel, upright=True)
    rows, columns = torch.meshgrid(*(torch.arange(float(size)),) * 2, indexing="ij")

    def middles(mask: Tensor) -> np.ndarray:
        return torch.stack([((mask * axis).sum((1, 2)) / mask.sum((1, 2))) for axis in (rows, columns)], 1).numpy()

    left, away = middles(labels == 1), middles(labels == 3) - middles(labels == 1)
    zoom = np.sqrt((labels == 1).sum((1, 2)).numpy() * pixel**2 / (math.pi * RADIUS**2))
    assert np.median(zoom) == pytest.approx(1.0, abs=0.04)
    assert (1.0 / zoom).std() == pytest.approx(0.2, rel=0.15)
    turns = np.degrees(np.arctan2(away[:, 0], -away[:, 1]))  # the RV lies straight to the left in the map
    assert abs(turns.mean()) < 2.0 and turns.std() == pytest.approx(10.0, rel=0.15)
    shifts = (left - (size - 1) / 2) * pixel / zoom[:, None]
    np.testing.assert_allclose(shifts.mean(0), 0.0, atol=2.0)
    np.testing.assert_allclose(shifts.std(0), 10.0, rtol=0.15)  # mm


def test_bending_moves_along_x_and_y_by_fields_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    r"""Where the first field is the same everywhere and the second nothing, hearts are shifted along x alone: by 0 to 5
    mm on the map, each by its own."""
    fields = iter((1.0, 0.0))
    monkeypatch.setattr(rendering, "smooth_field", lambda n, shape, cell, g: torch.full((n, *shape), next(fields)))
    monkeypatch.setattr(rendering, "_field_of_view", lambda images, generator: torch.ones_like(images) > 0)
    zoom = 72 / SIZE
    straight = torch.tensor([[zoom, 0.0, 0.0], [0.0, zoom, 0.0]])
    monkeypatch.setattr(rendering, "_poses", lambda n, generator, size, pixel: straight.expand(n, 2, 3))
    _, labels = render_batch(disc_maps(40), torch.arange(40), seeded(2), size=72, pixel=PIXEL, vendor=IDEAL)
    rows, columns = torch.meshgrid(*(torch.arange(72.0),) * 2, indexing="ij")
    y, x = (((labels == 1) * axis).sum((1, 2)) / (labels == 1).sum((1, 2)) - 35.5 for axis in (rows, columns))
    assert y.abs().max() < 0.05
    moved = -x * PIXEL  # what lies farther right on the map is seen
    assert -0.4 < moved.min() < 0.8 and 4.2 < moved.max() < 5.4  # to a third of a pixel
    assert moved.std().item() == pytest.approx(5.0 / math.sqrt(12.0), rel=0.3)


def test_poses_turn_mirror_and_scale() -> None:
    _, labels = render_batch(disc_maps(64, 60), torch.arange(64), seeded(3), size=112)
    area = (labels == 1).flatten(1).sum(1).float()
    seen = area > 0
    assert seen.float().mean() > 0.7
    assert area[seen].max() > 1.5 * area[seen].median()
    rows, columns = torch.meshgrid(*(torch.arange(112.0),) * 2, indexing="ij")
    offsets = []
    for label in labels[seen]:
        left, right = label == 1, label == 3
        if right.sum() > 10:
            offsets.append([(axis[right].mean() - axis[left].mean()).item() for axis in (rows, columns)])
    directions = torch.tensor(offsets)
    assert (directions > 0).any(0).all()
    assert (directions < 0).any(0).all()  # the RV on every side


def test_half_of_the_poses_are_mirror_images_and_their_sizes_lie_within_the_bounds() -> None:
    r"""Of the matrix alone: the determinant's sign tells a mirror image, its root the size."""
    poses = rendering._poses(4000, seeded(1), 128, 1.5)
    determinant = torch.linalg.det(poses[:, :, :2])
    assert (determinant < 0).float().mean().item() == pytest.approx(0.5, abs=0.03)
    scale = determinant.abs().sqrt() / (128 * 1.5 / (SIZE * PIXEL))
    assert 0.72 <= scale.min() < 0.74 and 1.33 < scale.max() <= 1.36
    assert (poses[:, :, 2] * SIZE * PIXEL / 2).std(0).tolist() == pytest.approx([25.0, 25.0], rel=0.1)  # mm


def test_what_is_cut_off_is_dark_and_background() -> None:
    r"""Blood everywhere, without texture: whatever is not bright was cut off, and has no label."""
    blood = torch.full((1, 3, 30, 30), int(Tissue.LV_BLOOD), dtype=torch.uint8)
    everywhere = SliceMaps(blood.repeat(60, 1, 1, 1), torch.ones((60, 30, 30), dtype=torch.uint8))
    images, labels = render_batch(everywhere, torch.arange(60), seeded(4), size=40, pixel=1.0, vendor=IDEAL)
    cut = (labels == 0).flatten(1).any(1)
    assert 0.2 < cut.float().mean() < 0.5  # 45 %, but some edges lie beyond the picture
    assert (images[:, 0][labels == 0] == 0).float().mean() > 0.99
    assert (images[:, 0][labels == 1] > 0).float().mean() > 0.9


def test_normalisation_uses_each_images_own_quantiles() -> None:
    images = torch.rand((3, 20, 30), generator=seeded()) * torch.tensor([1.0, 50.0, 0.2])[:, None, None] - 3.0
    before = images.clone()
    low, high = torch.tensor([0.0, 0.01, 0.05]), torch.tensor([1.0, 0.99, 0.9])
    scaled = normalise_batch(images, low, high)
    assert torch.equal(images, before)
    for image, result, a, b in zip(images, scaled, low.tolist(), high.tolist(), strict=True):
        bottom, top = (torch.quantile(image.flatten(), q, interpolation="lower") for q in (a, b))
        torch.testing.assert_close(result, ((image - bottom) / (top - bottom)).clamp(0, 1), atol=2e-3, rtol=0)
    flat = normalise_batch(torch.ones((1, 4, 4)), torch.zeros(1), torch.ones(1))
    assert torch.equal(flat, torch.zeros((1, 4, 4)))


def test_batches_keep_the_atria_where_asked() -> None:
    maps, picks = sample_long_axis_slices(3), torch.tensor([2, 3, 2, 3, 2, 3])

    def render(n_classes: int) -> tuple[Tensor, Tensor]:
        return render_batch(maps, picks, seeded(4), size=83, pixel=2.4, n_classes=n_classes)

    images, labels = render(6)
    same, without = render(4)
    assert images.shape == (6, 1, 83, 83)
    assert torch.isfinite(images).all()
    assert set(labels.unique().tolist()) == {0, 1, 2, 3, 4, 5}
    assert torch.equal(images, same)
    assert torch.equal(without, torch.where(labels > 3, 0, labels))
