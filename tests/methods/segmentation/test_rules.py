r"""The rule-based finder: right where its rules hold, wrong where they do not, never an exception."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hearts import scene_of, seeded

from cardiolearn.imaging.image import Image
from cardiolearn.measures.metrics import dice
from cardiolearn.methods.segmentation.rules import find_lv_cavity
from cardiolearn.phantom.scanners.acquisition import scan_short_axis
from cardiolearn.phantom.scanners.mri import TRAINING_VENDORS


def disc(shape: tuple[int, int, int], spacing: tuple[float, float, float], centre: tuple[float, float]) -> Image:
    r"""A bright disc of 22 mm with a dark papillary muscle, in a dark ring, on a grey ground, with some noise."""
    _, y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in shape), indexing="ij")
    away = ((y - centre[0]) ** 2 * spacing[1] ** 2 + (x - centre[1]) ** 2 * spacing[0] ** 2).sqrt()
    data = torch.where(away < 22.0, 200.0, torch.where(away < 32.0, 40.0, 90.0))
    data[:, int(centre[0]) + 3 : int(centre[0]) + 6, int(centre[1]) : int(centre[1]) + 4] = 40.0
    data += 4.0 * torch.randn(shape, generator=seeded())
    return Image(data, np.diag([*spacing, 1.0]))


@pytest.mark.parametrize(
    ("shape", "spacing", "centre"),
    [
        ((8, 101, 120), (1.5, 1.5, 10.0), (48, 66)),
        ((5, 77, 90), (2.1, 2.1, 8.0), (40, 41)),
        ((1, 96, 96), (1.4, 1.4, 6.0), (48, 48)),
    ],
)
def test_finds_a_disc_with_its_papillary_muscle(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], centre: tuple[float, float]
) -> None:
    image = disc(shape, spacing, centre)
    labels = find_lv_cavity(image)
    _, y, x = np.indices(shape)
    true = np.hypot((y - centre[0]) * spacing[1], (x - centre[1]) * spacing[0]) < 22.0
    assert labels.data.dtype == torch.uint8 and labels.data.shape == shape
    assert dice(labels.data == 1, torch.from_numpy(true)) > 0.93


def test_an_empty_picture_has_no_ventricle() -> None:
    image = Image(torch.zeros(3, 40, 50), np.diag([1.5, 1.5, 8.0, 1.0]))
    assert not find_lv_cavity(image).data.any()


@pytest.mark.slow
def test_finds_most_of_simulated_ventricles() -> None:
    overlaps = []
    for subject in range(3):
        scan = scan_short_axis(scene_of(subject, "train"), TRAINING_VENDORS[0], (0.0,), seed=1)
        found = find_lv_cavity(scan.image.frame(0)).data == 1
        overlaps.append(float(dice(found, scan.labels.data[0] == 1)))
    assert sum(overlaps) / 3 > 0.65 and min(overlaps) > 0.4
