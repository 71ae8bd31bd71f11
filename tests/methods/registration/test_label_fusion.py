r"""Label fusion: weights in closed form and as scipy's, counted votes, wrong atlases outvoted, bad input named."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hearts import seeded, shell_heart
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, stats
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.learning.device import in_processes
from cardiolearn.measures.surfaces import SurfaceDistances, summarise, surface_distances
from cardiolearn.methods.forests.channels import smooth
from cardiolearn.methods.forests.training_patches import borders
from cardiolearn.methods.registration.atlases import Atlas, Propagated, PropagationSettings
from cardiolearn.methods.registration.block_matching import MatchingSettings
from cardiolearn.methods.registration.ffd import RegistrationSettings
from cardiolearn.methods.registration.label_fusion import (
    Weighting,
    equal_weights,
    fused,
    fusions,
    global_weights,
    local_weights,
)

SPACING = (2.0, 1.5, 3.0)
AFFINE = np.diag([*SPACING, 1.0])
CLASSES = 4
WEIGHTINGS: dict[str, Weighting] = {"majority": equal_weights, "global": global_weights, "local": local_weights}


def edges_of(labels: Tensor) -> Tensor:
    return smooth(borders(labels).float(), 1).clamp(0.0, 1.0)


def carried(labels: Tensor) -> Propagated:
    r"""What a perfect propagation of an atlas with these labels gives."""
    shares = torch.nn.functional.one_hot(labels.long(), CLASSES).movedim(-1, 0).float()
    return Propagated(shares, edges_of(labels), 1.0)


def target_of(labels: Tensor) -> Image:
    return Image(edges_of(labels), AFFINE)


def cavity_distances(found: Image, true: Tensor) -> SurfaceDistances:
    return surface_distances(found.data == 1, true == 1, found.spacing)


def shifted(labels: Tensor, voxels: int) -> Tensor:
    return labels.roll(voxels, 2)


@given(st.integers(1, 5), st.tuples(*(st.integers(2, 12),) * 3), st.sampled_from(sorted(WEIGHTINGS)))
def test_weights_sum_to_one(n: int, grid: tuple[int, int, int], name: str) -> None:
    target, edges = torch.rand(grid, generator=seeded()), torch.rand((n, *grid), generator=seeded(1))
    for exact in (edges, edges * 0.0 + target, edges * 0.0):
        weights = WEIGHTINGS[name](target, exact)
        assert torch.broadcast_shapes(weights.shape, edges.shape) == edges.shape and (weights >= 0.0).all()
        torch.testing.assert_close(weights.sum(0), torch.ones(weights.shape[1:]))


@pytest.mark.parametrize("weighting", [global_weights, local_weights])
def test_atlases_that_look_alike_weigh_alike_and_without_gain_all_do(weighting: Weighting) -> None:
    target, one = torch.rand((2, 7, 8, 9), generator=seeded())
    same = weighting(target, torch.stack((one, one, target, target)))
    torch.testing.assert_close(same[0], same[1])
    torch.testing.assert_close(same[2], same[3])
    assert (same[2] > 10.0 * same[0]).all()
    flat = partial(weighting, gain=0.0)(target, torch.stack((one, target, target)))
    torch.testing.assert_close(flat, torch.full_like(flat, 1.0 / 3.0))


def test_global_weights_are_powers_of_the_mean_squares() -> None:
    target, edges = torch.rand((6, 7, 5), generator=seeded()), torch.rand((3, 6, 7, 5), generator=seeded(1))
    powers = ((edges - target).double().numpy() ** 2).mean((1, 2, 3)) ** -1.5
    found = global_weights(target, edges, gain=1.5)
    np.testing.assert_allclose(found.flatten(), powers / powers.sum(), rtol=1e-4)
    # Half of the mean square at a gain of 2: four times the weight.
    twice = torch.stack((torch.full_like(target, 0.1), torch.full_like(target, 0.1 * 2**0.5))) + target
    torch.testing.assert_close(global_weights(target, twice, gain=2.0).flatten(), torch.tensor([0.8, 0.2]))


def test_local_weights_are_those_of_scipys_windows() -> None:
    target, edges = torch.rand((13, 5, 21), generator=seeded()), torch.rand((3, 13, 5, 21), generator=seeded(1))
    squares = (edges - target).double().numpy() ** 2

    def windows(volume: np.ndarray) -> np.ndarray:
        return np.asarray(ndimage.uniform_filter(volume, 9, mode="constant"))

    means = np.stack([windows(one) / windows(np.ones_like(one)) for one in squares]) ** -2.0
    np.testing.assert_allclose(local_weights(target, edges, gain=2.0), means / means.sum(0), rtol=1e-3)


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_identical_atlases_give_their_own_labels(name: str) -> None:
    labels = shell_heart()
    found = fused(target_of(shifted(labels, 1)), [carried(labels)] * 3, WEIGHTINGS[name])
    assert found.data.dtype == torch.uint8 and torch.equal(found.data, labels)
    np.testing.assert_array_equal(found.affine, AFFINE)


def test_a_majority_is_counted_as_scipy_does_and_of_equal_votes_the_lowest_label_wins() -> None:
    labels = torch.randint(0, CLASSES, (10, 6, 5, 4), generator=seeded()).to(torch.uint8)
    target, found = Image(torch.rand((6, 5, 4), generator=seeded()), AFFINE), []
    for order in (range(10), reversed(range(10)), [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]):
        found.append(fused(target, [carried(labels[k]) for k in order], equal_weights).data)
    counts = (labels[None] == torch.arange(CLASSES)[:, None, None, None, None]).sum(1)
    tied = (counts == counts.amax(0)).sum(0) > 1
    assert tied.any()
    for one in found:
        np.testing.assert_array_equal(one, stats.mode(labels.numpy(), axis=0).mode)


def test_a_wrong_atlas_weighs_little_and_is_outvoted() -> None:
    true = shell_heart()
    wrong = shifted(true, 5)
    everything = [carried(labels) for labels in (wrong, shifted(true, 1), wrong)]
    target = target_of(true)
    weights = global_weights(target.data, torch.stack([one.edges for one in everything])).flatten()
    assert weights[0] == weights[2] < 0.15
    distances = {name: cavity_distances(fused(target, everything, how), true) for name, how in WEIGHTINGS.items()}
    assert distances["global"].mean < 2.0 < 4.0 < distances["majority"].mean
    assert distances["local"].mean < 2.0 and distances["global"].hausdorff < distances["majority"].hausdorff


def test_local_weights_follow_each_atlas_where_it_is_right() -> None:
    true = shell_heart((20, 24, 40), radius=8.0, wall=3.0)
    left, right = (carried(torch.where(torch.arange(40) < 24, *both)) for both in (
        (true, shifted(true, 3)), (shifted(true, -3), true)
    ))  # fmt: skip
    local, overall = (
        summarise([cavity_distances(fused(target_of(true), [left, right, left], how), true)])
        for how in (local_weights, global_weights)
    )
    assert local.n == overall.n == 1 and local.mean < 0.5 * overall.mean


def test_a_structure_no_atlas_has_is_missed() -> None:
    true = shell_heart()
    without = carried(torch.where(true == 1, 0, true).to(torch.uint8))
    assert cavity_distances(fused(target_of(true), [without] * 2, global_weights), true).missed


def test_processes_carry_and_fuse_as_one_does() -> None:
    grid = (24, 24, 28)
    atlases = [Atlas(target_of(h), Image(h, AFFINE)) for h in (shell_heart(grid), shell_heart(grid, radius=6.0))]
    settings = PropagationSettings(
        CLASSES,
        MatchingSettings(affine=True, levels=1, block=3, iterations=1),
        RegistrationSettings(knot=15.0, levels=1, iterations=2),
    )
    targets = [target_of(shell_heart(grid, radius=radius)) for radius in (5.5, 6.5)]
    tasks = [partial(fusions, target, atlases, WEIGHTINGS, settings) for target in targets]
    together = dict(in_processes(tasks, 2))
    assert sorted(together) == [0, 1]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = [task() for task in tasks]
    finally:
        torch.set_num_threads(threads)
    for number, found in together.items():
        assert list(found) == list(WEIGHTINGS)
        for name, image in found.items():
            assert torch.equal(image.data, alone[number][name].data)
            np.testing.assert_array_equal(image.affine, AFFINE)
    assert not torch.equal(together[0]["global"].data, together[1]["global"].data)


def test_bad_input_is_named() -> None:
    labels = shell_heart()
    target, one = target_of(labels), carried(labels)
    with pytest.raises(InputError, match="label fusion: expected at least one atlas, got none"):
        fused(target, [], equal_weights)
    with pytest.raises(InputError, match="label fusion: expected at least one atlas, got none"):
        fusions(target, [], WEIGHTINGS, PropagationSettings())
    with pytest.raises(InputError, match=r"label fusion: expected labels \(4, 20, 24, 28\) and edges \(20, 24, 28\)"):
        fused(target, [one, carried(labels[1:])], equal_weights)
    with pytest.raises(InputError, match="label fusion: expected labels"):
        fused(target, [one, one._replace(labels=one.labels[:3])], equal_weights)
    with pytest.raises(InputError, match="target: expected one frame of floats"):
        fused(Image(labels, AFFINE), [one], equal_weights)
