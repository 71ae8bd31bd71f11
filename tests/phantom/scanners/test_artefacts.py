r"""Scans that were tampered with: image and labels change alike, and only as announced."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hearts import seeded
from scipy import ndimage

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.phantom.scanners.artefacts import CONFLICTS, KINDS, degrade, with_contrast

AFFINE = np.diag([1.5, 1.5, 9.0, 1.0])


@pytest.fixture
def scan() -> tuple[Image, Image]:
    labels = torch.zeros((3, 21, 26), dtype=torch.uint8)
    labels[:, 4:12, 5:14] = 2
    labels[:, 6:10, 7:12] = 1
    labels[:2, 6:10, 14:18] = 3
    grey = torch.tensor([20.0, 300.0, 90.0, 280.0])[labels.long()] + 5 * torch.rand(labels.shape, generator=seeded(3))
    image = Image(grey, AFFINE)
    return image, image.with_data(labels)


@pytest.mark.parametrize("cue", CONFLICTS)
def test_labels_keep_lying_on_their_tissue(cue: str, scan: tuple[Image, Image]) -> None:
    before = scan[0].data.clone()
    image, labels = CONFLICTS[cue](*scan)
    assert torch.equal(scan[0].data, before)  # nothing is changed in place
    assert image.data.shape == labels.data.shape == before.shape and labels.data.dtype == torch.uint8
    cavity, wall = (image.data[labels.data == k].median() for k in (1, 2))
    assert (cavity < wall) == (cue == "contrast inverted")
    assert int((labels.data == 1).sum()) == int((scan[1].data == 1).sum())
    assert bool((labels.data == 3).any()) == (cue != "RV erased")


def test_what_is_moved_mirrored_or_erased_stays_otherwise_as_it_was(scan: tuple[Image, Image]) -> None:
    before, labels = (image.data.numpy() for image in scan)
    for image, expected in zip(CONFLICTS["heart moved"](*scan), (before, labels), strict=True):  # 21 x 26 pixels
        np.testing.assert_array_equal(image.data, np.roll(expected, (5, 6), (1, 2)))
    for image, expected in zip(CONFLICTS["mirrored"](*scan), (before, labels), strict=True):
        np.testing.assert_array_equal(image.data, expected[:, :, ::-1])
    image, without = CONFLICTS["RV erased"](*scan)
    right = labels == 3
    assert np.array_equal(image.data[~right], before[~right]) and np.array_equal(without.data[~right], labels[~right])
    assert not without.data[right].any()
    assert image.data[right].unique().item() == pytest.approx(np.median(before[labels == 2]), abs=0.1)


def test_contrast() -> None:
    image = Image(torch.linspace(0, 100, 3 * 20 * 20).reshape(3, 20, 20), AFFINE)
    assert torch.allclose(with_contrast(image, 1.0).data, image.data, atol=1e-3)
    assert with_contrast(image, 0.0).data.std() < 1e-4
    upside_down = with_contrast(image, -1.0).data
    assert np.corrcoef(upside_down.ravel(), image.data.ravel())[0, 1] < -0.999
    assert (upside_down >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_degrading_grows_with_its_level(kind: str, scan: tuple[Image, Image]) -> None:
    def changed(level: float) -> torch.Tensor:
        return degrade(scan[0], kind, level, seeded(1)).data

    assert torch.allclose(changed(0.0), scan[0].data)
    apart = [float((changed(level) - scan[0].data).abs().mean()) for level in (0.2, 0.5, 1.0)]
    assert 0 < apart[0] < apart[1] < apart[2]
    assert torch.equal(changed(0.7), changed(0.7))
    assert (changed(1.0) >= 0).all()


def test_noise_is_as_strong_as_said_and_ghosts_lie_a_third_of_the_picture_lower() -> None:
    flat = Image(torch.full((4, 60, 70), 200.0), AFFINE)
    noisy = degrade(flat, "noise", 0.4, seeded(2)).data
    assert noisy.mean().item() == pytest.approx(200.0, rel=0.01)
    assert noisy.std().item() == pytest.approx(0.5 * 0.4 * 200.0, rel=0.03)
    point = torch.zeros(1, 60, 70)
    point[0, 10, 20] = 100.0
    ghost = degrade(Image(point, AFFINE), "ghosts", 0.5, seeded()).data - point
    assert ghost.nonzero().tolist() == [[0, 30, 20]] and ghost.max().item() == pytest.approx(40.0)


def test_the_signal_fades_evenly_to_either_side() -> None:
    flat = Image(torch.full((1, 12, 41), 100.0), AFFINE)
    faded = [degrade(flat, "fading", 0.5, seeded(seed)).data[0, 0] for seed in range(12)]
    expected = np.linspace(100.0, 100.0 * (1.0 - 0.97 * 0.5), 41)
    assert {bool(line[0] > line[-1]) for line in faded} == {True, False}
    for line in faded:
        np.testing.assert_allclose(line.sort(descending=True).values, expected, atol=1e-3)


def test_blur_is_scipys(scan: tuple[Image, Image]) -> None:
    blurred = degrade(scan[0], "blur", 0.5, torch.Generator()).data
    expected = ndimage.gaussian_filter(scan[0].data.numpy(), (0, 2.0, 2.0), mode="nearest", truncate=3.5)
    assert np.allclose(blurred, expected, atol=0.5)


def test_an_unknown_kind_is_refused(scan: tuple[Image, Image]) -> None:
    with pytest.raises(InputError, match="noise, blur, ghosts or fading, got 'rust'"):
        degrade(scan[0], "rust", 0.5, torch.Generator())
