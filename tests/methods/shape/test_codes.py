r"""Codes, principal components and walks, held against scikit-learn and against what a decoder says one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hearts import seeded, shell_hearts
from sklearn.decomposition import PCA

from cardiolearn.errors import InputError
from cardiolearn.methods.shape.autoencoder import AutoEncoder, Encoder
from cardiolearn.methods.shape.codes import MaskComponents, codes_of_images, codes_of_labels, walk
from cardiolearn.methods.shape.label_volumes import one_hot

GRID = (16, 16, 16)
HEARTS = shell_hearts(34, GRID)


def test_codes_are_the_encoders_and_the_predictors_of_any_number_of_hearts() -> None:
    encoder, predictor = Encoder(4, GRID).eval(), Encoder(1, GRID).eval()
    images = torch.rand(11, 1, *GRID, generator=seeded())
    found = codes_of_labels(encoder, HEARTS[:11])
    assert not found.requires_grad and found.shape == (11, 64)
    torch.testing.assert_close(found, encoder(one_hot(HEARTS[:11], 4)).detach())
    torch.testing.assert_close(codes_of_images(predictor, images), predictor(images).detach())
    torch.testing.assert_close(codes_of_labels(Encoder(5, GRID).eval(), HEARTS[:3], 5).shape, torch.Size((3, 64)))


def test_components_are_scikit_learns() -> None:
    fitted, others = HEARTS[:24], HEARTS[24:]
    ours = MaskComponents.fit(fitted, 8)
    theirs = PCA(8, svd_solver="full").fit(one_hot(fitted, 4)[:, 1:].flatten(1).double().numpy())
    expected = theirs.transform(one_hot(others, 4)[:, 1:].flatten(1).double().numpy())
    signs = np.sign((theirs.components_ * ours.axes.numpy()).sum(1))
    np.testing.assert_allclose(ours.of(others).numpy() * signs, expected, atol=1e-3)
    torch.testing.assert_close(ours.axes @ ours.axes.T, torch.eye(8), atol=1e-4, rtol=0)


def test_components_want_as_many_different_hearts() -> None:
    with pytest.raises(InputError, match="hearts with 24 components, got 24 hearts with 23"):
        MaskComponents.fit(HEARTS[:24], 24)
    with pytest.raises(InputError, match="hearts with 4 components, got 6 hearts with 1"):
        MaskComponents.fit(HEARTS[[0, 1, 0, 1, 0, 1]], 4)


def test_a_walk_decodes_every_step_along_the_direction() -> None:
    decoder = AutoEncoder(GRID, 3).decoder.eval()
    code, direction = torch.randn(2, 64, generator=seeded())
    values = [-2.0, 0.0, 0.5, *range(8)]
    found = walk(decoder, code, direction, values)
    assert found.shape == (11, *GRID) and found.dtype == torch.uint8
    for step, volume in zip(values, found, strict=True):
        assert torch.equal(volume, decoder((code + step * direction)[None])[0].argmax(0).to(torch.uint8))
    assert torch.equal(found[1], found[3])
