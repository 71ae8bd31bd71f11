r"""Scores of edge maps against counting by hand and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score

from cardiolearn.errors import InputError
from cardiolearn.methods.forests import boundary_scores as scores

SPACING, TOLERANCE = (2.0, 1.0), 2.5


def both(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    edges = torch.rand((9, 14), generator=generator)
    return edges, torch.rand((9, 14), generator=generator) > 0.93


def test_counts_are_those_of_all_pairs_of_voxels() -> None:
    edges, border = both()
    found = scores.curve(edges, border, SPACING, TOLERANCE)
    true = border.nonzero().numpy() * SPACING
    for level in (3, 40, 60):
        strong = (edges >= (level + 0.5) / scores.LEVELS).nonzero().numpy() * SPACING
        apart = cdist(strong, true) <= TOLERANCE
        assert (found.found[level], found.right[level]) == (len(strong), apart.any(1).sum())
        assert (found.met[level], found.there) == (apart.any(0).sum(), len(true))


def test_average_precision_is_scikit_learns_where_nothing_is_tolerated() -> None:
    # Without tolerance an edge voxel is right where the border is, so voxels are samples.
    edges, border = both(1)
    rounded = ((edges * scores.LEVELS).floor() + 0.5) / scores.LEVELS  # no two thresholds between equal values
    ours = scores.average_precision(scores.curve(rounded, border, SPACING, 0.0))
    theirs = average_precision_score(border.flatten(), rounded.flatten())
    assert theirs <= ours < theirs + 0.1  # ours takes the best precision at a higher recall


def test_the_true_border_is_perfect_and_its_opposite_worthless() -> None:
    _, border = both(2)
    assert scores.average_precision(scores.curve(border.float(), border, SPACING, 0.0)) == 1.0
    assert scores.best_f(scores.curve(border.float(), border, SPACING, 0.0)) == 1.0
    assert scores.best_f(scores.curve((~border).float(), border, SPACING, 0.0)) == 0.0
    empty = scores.curve(torch.zeros(9, 14), border, SPACING, TOLERANCE)
    assert scores.average_precision(empty) == scores.best_f(empty) == 0.0


def test_a_set_is_scored_at_common_thresholds() -> None:
    one, other = (scores.curve(*both(seed), SPACING, TOLERANCE) for seed in (3, 4))
    pooled = scores.pooled([one, other])
    assert pooled.there == one.there + other.there and (pooled.right == one.right + other.right).all()
    assert scores.best_f(pooled) <= max(scores.best_f(one), scores.best_f(other))


@pytest.mark.parametrize("axes", [2, 3])
def test_a_thick_edge_becomes_a_thin_one_at_its_ridge(axes: int) -> None:
    away = torch.arange(21.0)[:, None].expand(21, 17) - 9.0
    edges = torch.exp(-0.5 * (away / 2.0) ** 2)
    if axes == 3:
        edges = edges[:, :, None].expand(-1, -1, 12).contiguous()
    thin = scores.thinned(edges)
    inner = thin[3:-3]
    assert (inner.flatten(1).sum(1) > 0).nonzero().flatten().tolist() == [6] and inner[6].min() == 1.0


@pytest.mark.parametrize("shape", [(14, 17), (9, 8, 10)])
def test_the_steepest_direction_is_the_structure_tensors_first_eigenvector(shape: tuple[int, ...]) -> None:
    edges = torch.rand(shape, generator=torch.Generator().manual_seed(3))

    def triangle(picture: np.ndarray, radius: int) -> np.ndarray:
        weights = np.array([radius + 1 - abs(k) for k in range(-radius, radius + 1)], float)
        for axis in range(len(shape)):
            picture = ndimage.correlate1d(picture, weights / weights.sum(), axis, mode="nearest")
        return picture

    slopes = np.gradient(triangle(edges.double().numpy(), 1))
    tensor = np.stack([np.stack([triangle(a * b, 2) for a in slopes], -1) for b in slopes], -1)
    values, vectors = np.linalg.eigh(tensor)
    clear = values[..., -1] > 1.5 * values[..., -2]
    found = scores.steepest(edges).movedim(0, -1).numpy()
    agree = np.abs((found * vectors[..., -1]).sum(-1))[clear]
    assert clear.mean() > 0.4 and agree.min() > 0.99
    assert not scores.steepest(torch.zeros(shape)).any()


def test_a_ridge_that_grows_stronger_stays_whole() -> None:
    away, along = torch.meshgrid(torch.arange(21.0) - 9.0, torch.linspace(0.3, 1.0, 40), indexing="ij")
    thin = scores.thinned(torch.exp(-0.5 * (away / 2.0) ** 2) * along)
    assert (thin[9] > 0.0).all() and not thin[[5, 7, 8, 10, 11, 13]][:, 3:-3].any()


def test_no_border_and_other_shapes_are_refused() -> None:
    edges, border = both()
    with pytest.raises(InputError, match=r"border: expected some of shape \(9, 14\), got 0 voxels"):
        scores.curve(edges, border & False, SPACING, 1.0)
    with pytest.raises(InputError, match=r"border: expected some of shape \(9, 14\), got"):
        scores.curve(edges, border[1:], SPACING, 1.0)


def test_what_lies_beyond_is_the_share_that_is_farther_off_than_asked() -> None:
    edges, border = torch.zeros(20, 20), torch.zeros(20, 20, dtype=torch.bool)
    border[10] = True
    edges[10], edges[12], edges[14] = 2.0, 1.0, 1.0  # 0, 4 and 8 mm off
    assert scores.mass_beyond(edges, border, (2.0, 1.0)) == pytest.approx(0.25)
    assert scores.mass_beyond(edges, border, (2.0, 1.0), beyond=3.0) == pytest.approx(0.5)
    assert scores.mass_beyond(edges * 0, border, (2.0, 1.0)) == 0.0


def test_a_plane_is_smooth_and_noise_about_it_is_its_roughness() -> None:
    generator = np.random.default_rng(0)
    flat = np.stack(np.meshgrid(np.arange(30.0), np.arange(30.0), indexing="ij"), -1).reshape(-1, 2)
    tilted = np.c_[flat, 0.5 * flat[:, 0] - 0.2 * flat[:, 1]]
    assert scores.roughness(tilted) == pytest.approx(0.0, abs=1e-6)
    noisy = np.c_[flat, generator.normal(scale=0.8, size=len(flat))]
    assert scores.roughness(noisy) == pytest.approx(0.8, rel=0.05)
    turned = noisy @ np.linalg.qr(generator.normal(size=(3, 3)))[0]
    assert scores.roughness(turned) == pytest.approx(scores.roughness(noisy), rel=1e-6)
    assert np.isnan(scores.roughness(flat[:3] * 100.0))


def test_the_roughness_is_that_of_planes_fitted_one_by_one() -> None:
    points = np.random.default_rng(1).normal(scale=5.0, size=(60, 3))
    expected = []
    for point in points:
        near = points[np.linalg.norm(points - point, axis=1) <= 8.0]
        if len(near) >= 6:
            expected.append(np.linalg.svd(near - near.mean(0))[1][-1] / np.sqrt(len(near)))
    assert scores.roughness(points) == pytest.approx(np.mean(expected))
