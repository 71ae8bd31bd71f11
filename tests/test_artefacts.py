r"""Scans that were tampered with: image and labels change alike, and only as announced."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from cardiolearn.errors import InputError
from cardiolearn.image import Image
from cardiolearn.phantom.artefacts import CONFLICTS, KINDS, degrade, with_contrast

AFFINE = np.diag([1.5, 1.5, 9.0, 1.0])


@pytest.fixture
def scan() -> tuple[Image, Image]:
    g = torch.Generator().manual_seed(3)
    labels = torch.zeros((3, 21, 26), dtype=torch.uint8)
    labels[:, 4:12, 5:14] = 2
    labels[:, 6:10, 7:12] = 1
    labels[:2, 6:10, 14:18] = 3
    grey = torch.tensor([20.0, 300.0, 90.0, 280.0])[labels.long()] + 5 * torch.rand(labels.shape, generator=g)
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
        return degrade(scan[0], kind, level, torch.Generator().manual_seed(1)).data

    assert torch.allclose(changed(0.0), scan[0].data)
    apart = [float((changed(level) - scan[0].data).abs().mean()) for level in (0.2, 0.5, 1.0)]
    assert 0 < apart[0] < apart[1] < apart[2]
    assert torch.equal(changed(0.7), changed(0.7))
    assert (changed(1.0) >= 0).all()


def test_blur_is_scipys(scan: tuple[Image, Image]) -> None:
    blurred = degrade(scan[0], "blur", 0.5, torch.Generator()).data
    expected = ndimage.gaussian_filter(scan[0].data.numpy(), (0, 2.0, 2.0), mode="nearest", truncate=3.5)
    assert np.allclose(blurred, expected, atol=0.5)


def test_an_unknown_kind_is_refused(scan: tuple[Image, Image]) -> None:
    with pytest.raises(InputError, match="noise, blur, ghosts or fading, got 'rust'"):
        degrade(scan[0], "rust", 0.5, torch.Generator())
