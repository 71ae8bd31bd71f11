r"""MR and CT of the same tissue: pictures and labels of the moments asked for, new with each batch."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from hearts import seeded

from cardiolearn.phantom.cohorts.ct_volumes import render_ct
from cardiolearn.phantom.cohorts.mr_volumes import render_mr
from cardiolearn.phantom.cohorts.volume_maps import FINE_SHAPE, FINE_SPACING, SPACING, VolumeMaps, sample_volume

RENDERERS = pytest.mark.parametrize("render", [render_mr, render_ct])


@functools.cache
def maps() -> VolumeMaps:
    return sample_volume(3, "test", fine=True)


def test_fine_voxels_show_the_same_heart() -> None:
    fine, coarse = maps(), sample_volume(3, "test")
    assert fine.spacing == FINE_SPACING and coarse.spacing == SPACING and fine.label.shape[2:] == FINE_SHAPE
    for k in (1, 2, 3):
        volumes = [(m.label == k).sum().item() * m.spacing**3 for m in (fine, coarse)]
        assert volumes[0] == pytest.approx(volumes[1], rel=0.03)


@RENDERERS
def test_batches_are_pictures_and_labels_of_the_moments(
    render: Callable[..., tuple[torch.Tensor, torch.Tensor]],
) -> None:
    picks = torch.tensor([1, 0, 1])
    picture, label = render(maps(), picks, seeded())
    assert picture.shape == (3, 1, *FINE_SHAPE) and picture.min() >= 0.0 and picture.max() <= 1.0
    assert torch.equal(label, maps().label[0][picks].long())
    assert not torch.equal(picture[0], picture[2])  # one heart, two scans
    again, _ = render(maps(), picks, seeded())
    assert torch.equal(picture, again)


@RENDERERS
def test_blood_is_brighter_than_muscle(render: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> None:
    picture, label = render(maps(), torch.tensor([0]), seeded(2))
    blood, muscle = (picture[0, 0][label[0] == k].mean() for k in (1, 2))
    assert blood > muscle + 0.1
