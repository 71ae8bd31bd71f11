"""Training slices: kept maps, ever new pictures; an interrupted drawing goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cardiolearn.errors import InputError
from cardiolearn.metrics import dice
from cardiolearn.phantom import batches, drawn
from cardiolearn.phantom.batches import (
    SIZE,
    SLICES_PER_SUBJECT,
    SliceMaps,
    draw_cohort,
    draw_slices,
    normalise_batch,
    render_batch,
)
from cardiolearn.phantom.mri import UNSEEN_VENDOR
from cardiolearn.phantom.observers import ANNOTATORS
from cardiolearn.phantom.tissue import N_TISSUES, Tissue


@pytest.fixture(scope="module")
def maps() -> SliceMaps:
    return draw_slices(3)


def toy_maps(n: int = 4, size: int = 60) -> SliceMaps:
    """A bright disc (LV) in a ring (muscle) beside another disc (RV), in lung."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, size),) * 2, indexing="ij")
    radius, beside = (x**2 + y**2).sqrt(), ((x + 0.55) ** 2 + y**2).sqrt()
    label = torch.zeros((size, size), dtype=torch.uint8)
    label[beside < 0.25], label[radius < 0.35], label[radius < 0.22] = 3, 2, 1
    label[-2:] = 4  # an atrium: not a class of the short-axis network
    tissue = torch.tensor([Tissue.LUNG, Tissue.LV_BLOOD, Tissue.MYOCARDIUM, Tissue.RV_BLOOD, Tissue.LA_BLOOD])[
        label.long()
    ]
    return SliceMaps(tissue.to(torch.uint8).expand(n, 3, size, size), label.expand(n, size, size))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_drawn_slices_are_codes_and_labels(maps: SliceMaps) -> None:
    assert len(maps) == SLICES_PER_SUBJECT
    assert maps.tissue.shape == (SLICES_PER_SUBJECT, 3, SIZE, SIZE)
    assert maps.label.shape == (SLICES_PER_SUBJECT, SIZE, SIZE)
    assert maps.tissue.dtype == maps.label.dtype == torch.uint8
    assert maps.tissue.max() < N_TISSUES
    assert set(maps.label.unique().tolist()) <= {0, 1, 2, 3, 4, 5}
    assert {1, 2, 3} <= set(maps.label.unique().tolist())
    # An annotator's line is not the truth's, but close to it: most of the painted cavity is blood or its muscle.
    inside = maps.tissue[:, 1][maps.label == 1]
    assert torch.isin(inside, torch.tensor([Tissue.LV_BLOOD, Tissue.TRABECULA])).float().mean() > 0.75


def test_sub_slices_differ_a_little(maps: SliceMaps) -> None:
    change = (maps.tissue[:, 0] != maps.tissue[:, 2]).float().mean()
    assert 0.0 < change < 0.5


@pytest.mark.slow
def test_drawing_is_reproducible_from_its_arguments(maps: SliceMaps) -> None:
    torch.manual_seed(1)
    again = draw_slices(3)
    assert torch.equal(again.tissue, maps.tissue)
    assert torch.equal(again.label, maps.label)
    other = draw_slices(3, seed=1)
    assert not torch.equal(other.tissue, maps.tissue)


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
    first, second = (render_batch(toy_maps(), picks, seeded(8), size=40) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    other = render_batch(toy_maps(), picks, seeded(9), size=40)
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[1], other[1])


def test_pictures_follow_their_labels() -> None:
    even = dataclasses.replace(UNSEEN_VENDOR, bias=(0, 0))
    images, labels = render_batch(toy_maps(40), torch.arange(40), seeded(2), size=64, vendor=even)
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


def test_poses_turn_mirror_and_scale() -> None:
    _, labels = render_batch(toy_maps(64), torch.arange(64), seeded(3), size=112)
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


def test_a_kept_cohort_is_read_not_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = toy_maps(2, 16)
    file = tmp_path / "train-0-00000-00002.safetensors"
    save_file({"tissue": kept.tissue.contiguous(), "label": kept.label.contiguous()}, file)
    monkeypatch.setattr(drawn, "_draw_file", None)  # drawing would fail
    found = draw_cohort(2, tmp_path)
    assert torch.equal(found.tissue, kept.tissue)
    assert torch.equal(found.label, kept.label)


def test_a_damaged_kept_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "train-0-00000-00002.safetensors"
    file.write_bytes(b"half a fi")
    with pytest.raises(InputError, match=str(file)):
        draw_cohort(2, tmp_path)


@pytest.mark.slow
def test_an_interrupted_drawing_goes_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """25 subjects are there, one is missing, and the stopped process left part of a file behind."""
    kept = toy_maps(25 * SLICES_PER_SUBJECT, SIZE)
    first = tmp_path / "train-0-00000-00025.safetensors"
    save_file({"tissue": kept.tissue.contiguous(), "label": kept.label.contiguous()}, first)
    (tmp_path / ".train-0-00025-00026.safetensors.4242.part").write_bytes(b"half a file")
    stamp = first.stat().st_mtime_ns
    found = draw_cohort(26, tmp_path, jobs=1)
    assert first.stat().st_mtime_ns == stamp
    assert len(found) == 26 * SLICES_PER_SUBJECT
    assert torch.equal(found.label[: 25 * SLICES_PER_SUBJECT], kept.label)
    alone = draw_slices(25)
    assert torch.equal(found.tissue[25 * SLICES_PER_SUBJECT :], alone.tissue)
    assert torch.equal(found.label[25 * SLICES_PER_SUBJECT :], alone.label)
    written = load_file(tmp_path / "train-0-00025-00026.safetensors")
    assert torch.equal(written["tissue"], alone.tissue)
    again = draw_cohort(26, tmp_path, jobs=1)
    assert torch.equal(again.tissue, found.tissue)
    assert "drawing hearts" in capfd.readouterr().err


def test_labels_without_annotators_are_the_truth_of_the_same_slices() -> None:
    labelled, truth = batches.draw_slices(2), batches.draw_slices(2, annotators=())
    assert torch.equal(labelled.tissue, truth.tissue)
    assert {4, 5} & set(truth.label.unique().tolist())  # annotators of the short axis know no atria
    for one in ANNOTATORS[:2]:
        alone = batches.draw_slices(2, annotators=(one,))
        assert dice(alone.label == 1, truth.label == 1) > 0.85
        assert not torch.equal(alone.label, truth.label)
