r"""Widgets call the plain function, with every value they offer, and refuse what cannot be shown."""

from __future__ import annotations

import gzip
import re
import sys

import nibabel as nib
import numpy as np
import pytest
import torch

from cardiolearn.errors import InputError
from cardiolearn.figures import widgets
from cardiolearn.figures.style import PALETTE
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.structures import NAMES


def test_explorer_offers_the_given_values_and_draws_once_a_change() -> None:
    drawn: list[tuple[float, str]] = []

    def draw(noise: float, view: str) -> None:
        drawn.append((noise, view))

    box = widgets.explorer(draw, noise=[0.0, 0.1], view=["sa", "la"])
    box.children[0].value = 0.1
    box.children[1].value = "la"
    assert drawn == [(0.0, "sa"), (0.1, "sa"), (0.1, "la")]
    assert not any(slider.continuous_update for slider in box.children[:2])  # nor on the way to a new value
    with pytest.raises(InputError, match="no values for noise"):
        widgets.explorer(draw, noise=[])


def volume() -> tuple[Image, Image]:
    affine = np.diag([1.5, 1.5, 8.0, 1.0])
    labels = torch.zeros(4, 6, 5, dtype=torch.uint8)
    labels[1, 2, 3] = 3
    return Image(torch.rand(4, 6, 5), affine), Image(labels, affine)


def test_volume_viewer_gets_image_labels_and_palette() -> None:
    image, labels = volume()
    viewer = widgets.volume_viewer(image, labels)
    first, second = viewer.volumes
    shown = nib.Nifti1Image.from_bytes(second.data)
    assert shown.shape == (5, 6, 4) and shown.dataobj[3, 2, 1] == 3
    np.testing.assert_allclose(nib.Nifti1Image.from_bytes(first.data).get_fdata(), image.data.numpy().T, rtol=1e-6)
    assert not first.data.startswith(gzip.compress(b"")[:2])
    colours = np.reshape(second.colormap_label.lut, (6, 4))
    assert ["#{:02X}{:02X}{:02X}".format(*rgb) for rgb in colours[1:, :3]] == list(PALETTE.values())
    assert colours[:, 3].tolist() == [0, 255, 255, 255, 255, 255]
    assert second.colormap_label.labels[1:] == list(NAMES.values()) and second.colormap_label.max == 5
    with pytest.raises(InputError, match="choose a frame"):
        widgets.volume_viewer(Image(torch.rand(2, 4, 6, 5), image.affine))


def test_volume_viewer_falls_back_on_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    monkeypatch.setitem(sys.modules, "ipyniivue", None)
    image, labels = volume()
    player = widgets.volume_viewer(image, labels)
    assert re.search(r'const .*labels = \["slice 0", "slice 1", "slice 2", "slice 3"\]', player.html)
    assert plt.get_fignums() == []
