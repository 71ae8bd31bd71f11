r"""What the FCN learns from: the first slices alone, pictured anew; the others score it."""

from __future__ import annotations

import pytest
import torch
from hearts import ReadsGrey, disc_maps, seeded
from sklearn.metrics import f1_score

from cardiolearn.methods.segmentation.training_slices import TrainingSlices, found_labels
from cardiolearn.phantom.cohorts.rendering import render_batch
from cardiolearn.phantom.cohorts.slice_maps import SliceMaps
from cardiolearn.phantom.scanners.mri import ANY_VENDOR, TRAINING_VENDORS


def half_empty(n: int = 7) -> SliceMaps:
    r"""`n` slices without labels, then `n` with."""
    maps = disc_maps(2 * n, 104)
    maps.label[:n] = 0
    return maps


def test_the_first_slices_are_learnt_from_and_the_others_held_out() -> None:
    n = 7
    data = TrainingSlices(half_empty(n), n, size=48, pixel=3.0, batch=5)
    for seed in range(6):
        images, labels = data(0, seeded(seed))
        assert images.shape == (5, 1, 48, 48) and labels.shape == (5, 48, 48)
        assert not labels.any()  # never a slice that is held out
    images, labels = data._held_out
    assert len(images) == n and (labels.flatten(1).amax(1) > 0).float().mean() > 0.6
    whole = TrainingSlices(half_empty(n), 2 * n, size=48, pixel=3.0, batch=64)
    share = (whole(0, seeded())[1].flatten(1).amax(1) > 0).float().mean()
    assert 0.25 < share < 0.6  # slices are picked evenly


def test_the_held_out_score_is_scikit_learns_macro_f1_of_the_structures() -> None:
    data = TrainingSlices(half_empty(), 7, size=48, pixel=3.0)
    network = ReadsGrey()
    images, labels = data._held_out
    found = network(images).argmax(1)
    expected = f1_score(labels.flatten(), found.flatten(), labels=[1, 2, 3], average="macro")  # of all slices together
    assert data.held_out_score(network) == pytest.approx(expected, abs=1e-6)
    assert 0.0 < expected < 1.0


def test_a_batch_is_as_the_fields_say() -> None:
    maps = disc_maps(6, 104)
    data = TrainingSlices(maps, 6, TRAINING_VENDORS[1], size=56, pixel=2.2, batch=6, n_classes=5, upright=True)
    images, labels = data(0, seeded(3))
    g = seeded(3)
    picks = torch.randint(0, 6, (6,), generator=g)
    options = {"vendor": TRAINING_VENDORS[1], "size": 56, "pixel": 2.2, "n_classes": 5, "upright": True}
    expected = render_batch(maps, picks, g, **options)  # type: ignore[arg-type]
    assert torch.equal(images, expected[0]) and torch.equal(labels, expected[1])
    assert not torch.equal(images, data(0, seeded(4))[0])
    assert TrainingSlices(maps, 6).vendor is ANY_VENDOR


def test_the_loss_is_the_mean_cross_entropy_of_the_pixels() -> None:
    logits, labels = torch.randn(2, 4, 5, 6, generator=seeded()), torch.randint(0, 4, (2, 5, 6), generator=seeded())
    chosen = logits.log_softmax(1).gather(1, labels[:, None])
    assert TrainingSlices.loss(logits, labels).item() == pytest.approx(-chosen.mean().item(), rel=1e-5)


def test_found_labels_are_the_likeliest_of_any_number_of_pictures() -> None:
    pictures = torch.rand(37, 1, 8, 9, generator=seeded())
    found = found_labels(ReadsGrey(), pictures)
    levels = torch.tensor([0.0, 1.0, 0.6, 0.3])
    assert torch.equal(found, (pictures - levels[None, :, None, None]).abs().argmin(1))


def test_upright_slices_keep_the_right_ventricle_on_its_side() -> None:
    _, labels = TrainingSlices(disc_maps(14), 14, batch=64, upright=True)(0, seeded())
    seen = labels.flatten(1).amax(1) > 0
    x = torch.arange(labels.shape[-1]).float()
    centre = {k: (((labels == k) * x).flatten(1).sum(1) / (labels == k).flatten(1).sum(1))[seen] for k in (1, 3)}
    assert (centre[3] < centre[1]).all()
