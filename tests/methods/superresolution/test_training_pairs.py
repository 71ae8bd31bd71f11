r"""What a super-resolution network learns from: pairs that belong together, on the heart, at one scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hearts import Adds, seeded, spheres
from scipy.stats import kstest
from skimage.metrics import peak_signal_noise_ratio

from cardiolearn.methods.superresolution import training_pairs
from cardiolearn.methods.superresolution.networks import interpolate
from cardiolearn.methods.superresolution.training_pairs import TrainingPairs
from cardiolearn.phantom.cohorts.stacks import TestStack
from cardiolearn.phantom.scanners import thick_slices


@pytest.mark.parametrize("views", [False, True])
def test_inputs_and_targets_show_the_same_piece_at_one_scale(views: bool) -> None:
    pairs = TrainingPairs(spheres(2), 2, views=views, size=24, batch=3)
    inputs, target = pairs(0, seeded())
    assert inputs.shape == (3, 21 if views else 1, 6, 24, 24) and target.shape == (3, 1, 30, 24, 24)
    again = pairs(9, seeded())
    assert torch.equal(inputs, again[0]) and torch.equal(target, again[1])
    assert not torch.equal(inputs, pairs(0, seeded(1))[0])
    apart = (interpolate(inputs[:, :1]) - target)[:, :, 2:-2]
    assert apart.abs().mean() < 0.15 * training_pairs.SPAN  # the same place; another piece would be some 3 off
    if views:
        folded = inputs[:, 1:].reshape(3, 2, 2, 5, 6, 24, 24)  # view, signal or presence, thin slice of the thick one
        signal, there = folded[:, :, 0], folded[:, :, 1]
        assert set(there.unique().tolist()) <= {0.0, 1.0}
        assert (signal[there == 0] == 0).all() and signal[there > 0].std() > 1
        truth = target.reshape(3, 1, 6, 5, 24, 24).transpose(2, 3).expand_as(signal)
        assert (signal - truth)[there > 0].abs().mean() < 0.15 * training_pairs.SPAN


def test_stack_views_and_target_of_a_pair_are_of_one_phase() -> None:
    r"""A ball of 20 mm, or of 14 mm: never one in the stack and the other in the views or the target."""
    pairs = TrainingPairs(spheres(1), 1, views=True, size=40, batch=1, breath_hold=0.0)
    sizes = set()
    for seed in range(8):
        inputs, target = pairs(0, seeded(seed))
        assert (interpolate(inputs[:, :1]) - target)[:, :, 2:-2].abs().mean() < 0.4
        signal, there = (inputs[:, 1:].reshape(2, 2, 5, 6, 40, 40)[:, part] for part in (0, 1))
        truth = target.reshape(1, 6, 5, 40, 40).transpose(1, 2).expand_as(signal)
        assert (signal - truth)[there > 0].abs().mean() < 0.4
        sizes.add(int((target > 1.0).sum()) > 4500)
    assert sizes == {True, False}  # both phases were met


@pytest.mark.parametrize(("size", "rows", "columns"), [(16, (2, 22), (60, 78)), (60, (0, 2), (34, 40))])
def test_patches_lie_on_the_heart_and_its_border(size: int, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    heart = torch.zeros(5, 90, 100, dtype=torch.bool)
    heart[2, 10:30, 68:86] = True
    g = seeded()
    corners = torch.tensor([[p.start for p in training_pairs._on_the_heart(heart, size, g)] for _ in range(400)])
    lowest, highest = corners.amin(0).tolist(), corners.amax(0).tolist()
    assert (lowest[0], highest[0]) == rows and (lowest[1], highest[1]) == columns


def test_only_the_first_subjects_are_learnt_from_and_the_others_are_held_out() -> None:
    volumes = spheres(3)
    volumes.image[2] += 1000
    pairs = TrainingPairs(volumes, 2, size=20, batch=2)
    raw = [pairs(0, seeded(i))[1].max().item() for i in range(12)]
    assert max(raw) < 15  # scaled: far below what the bright subject would give unscaled


def test_the_held_out_score_is_scikit_images_psnr_of_linear_interpolation() -> None:
    volumes = spheres(4)
    pairs = TrainingPairs(volumes, 2, size=20, batch=2)
    expected = []
    for subject in (2, 3):
        scan = TestStack.of(volumes, subject, seed=99)
        middles = 5 * np.arange(6) + 2
        found = np.apply_along_axis(lambda line: np.interp(np.arange(30), middles, line), 0, scan.stack[0].numpy())  # noqa: B023
        volume, mask = scan.volume[0].numpy(), scan.mask[0].numpy()
        span = np.ptp(np.percentile(volume, (1, 99)))
        expected.append(peak_signal_noise_ratio(volume[mask], found[mask], data_range=span))
    assert pairs.held_out_score(Adds().eval()) == pytest.approx(np.mean(expected), abs=0.02)


def test_a_held_out_stack_is_held_still_where_the_pairs_are() -> None:
    volumes = spheres(3)
    still, moved = (TrainingPairs(volumes, 2, breath_hold=mm) for mm in (0.0, 3.0))
    assert still.held_out_score(Adds().eval()) > moved.held_out_score(Adds().eval()) + 1.0


def test_stacks_have_slices_of_8_to_10_mm_noise_and_breath_holds_up_to_their_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[dict[str, float]] = []

    def seen(*given: object, **settings: float) -> torch.Tensor:
        asked.append(settings)
        return thick_slices.clinical_stack(*given, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(training_pairs, "clinical_stack", seen)
    pairs = TrainingPairs(spheres(1), 1, size=8, batch=60, breath_hold=2.0)
    pairs(0, seeded())
    for name, low, high in (("thickness", 8.0, 10.0), ("noise", 0.01, 0.03), ("breath_hold", 0.0, 2.0)):
        values = [settings[name] for settings in asked]
        assert kstest(values, "uniform", (low, high - low)).pvalue > 0.01, name


def test_smooth_l1_by_hand() -> None:
    found, wanted = torch.tensor([0.5, -3.0, 1.0]), torch.tensor([0.0, 0.0, 0.0])
    assert TrainingPairs.loss(found, wanted).item() == pytest.approx((0.125 + 2.5 + 0.5) / 3)
