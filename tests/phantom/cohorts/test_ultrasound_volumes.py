r"""Ultrasound cohorts: beams sampled once and kept, every batch another scan of the same hearts."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from hearts import here, scene_of

from cardiolearn.phantom.body.disease import Cohort, Group
from cardiolearn.phantom.cohorts import cache, ultrasound_volumes
from cardiolearn.phantom.cohorts.ultrasound_volumes import (
    UltrasoundVolumes,
    render_ultrasound,
    sample_beams,
    sample_beams_block,
    sample_ultrasound_volumes,
)
from cardiolearn.phantom.scanners.sector import BEAMS, DEPTHS, SHAPE, SPACING


@functools.cache
def beams() -> UltrasoundVolumes:
    return UltrasoundVolumes(torch.cat([sample_beams(index, "test").codes for index in (0, 1)]))


def test_a_subject_is_the_same_every_time_under_a_probe_of_its_own() -> None:
    torch.manual_seed(5)
    again = sample_beams(0, "test")
    assert again.codes.shape == (1, 2, DEPTHS, BEAMS, BEAMS) and again.codes.dtype == torch.uint8
    assert torch.equal(again.codes[0], beams().codes[0]) and len(beams()) == 2
    assert not torch.equal(beams().codes[0], beams().codes[1])
    assert not torch.equal(sample_beams(0, "test", group="DCM").codes, again.codes)


def test_batches_are_pictures_and_labels_of_the_moments_asked_for() -> None:
    picks = torch.tensor([2, 1, 2])
    picture, label = render_ultrasound(beams(), picks, torch.Generator().manual_seed(1))
    assert picture.shape == (3, 1, *SHAPE) and label.shape == (3, *SHAPE) and label.dtype == torch.int64
    assert label.unique().tolist() == [0, 1, 2] and picture.min() >= 0.0 and picture.max() <= 1.0
    assert torch.equal(label[0], label[2]) and not torch.equal(picture[0], picture[2])  # one heart, two scans
    for found, (subject, a) in zip(label, ((1, 0.0), (0, 1.0), (1, 0.0)), strict=True):
        volume = (found == 1).sum().item() * SPACING**3 * 1e-3
        assert volume == pytest.approx(scene_of(subject, "test").heart.lv_volume(a), rel=0.02)


def test_batches_are_reproducible_and_a_coarser_box_shows_the_same() -> None:
    box = ((48, 48, 48), 3.2)
    one, two, other = (
        render_ultrasound(beams(), torch.tensor([0]), torch.Generator().manual_seed(s), shape=box[0], spacing=box[1])
        for s in (1, 1, 2)
    )
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1]) and not torch.equal(one[0], other[0])
    fine = render_ultrasound(beams(), torch.tensor([0]), torch.Generator().manual_seed(1))
    coarse = (fine[1] == 1).sum().item() / 8.0
    assert (one[1] == 1).sum().item() == pytest.approx(coarse, rel=0.02)
    eighths = torch.nn.functional.avg_pool3d(fine[0], 2)[0, 0]
    assert torch.corrcoef(torch.stack((eighths.flatten(), one[0][0, 0].flatten())))[0, 1] > 0.9


def test_cohorts_are_sampled_once_25_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def quick(index: int, cohort: Cohort, seed: int, group: Group | None) -> UltrasoundVolumes:
        asked.append((index, cohort, seed, group))
        return UltrasoundVolumes(torch.full((1, 2, 3, 2, 2), index, dtype=torch.uint8))

    monkeypatch.setattr(ultrasound_volumes, "sample_beams", quick)
    monkeypatch.setattr(cache, "in_processes", here)
    found = sample_ultrasound_volumes(27, tmp_path, seed=2)
    assert found.codes[:, 0, 0, 0, 0].tolist() == list(range(27))
    names = ["train-2-00000-00025.safetensors", "train-2-00025-00027.safetensors"]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    sample_ultrasound_volumes(27, tmp_path, seed=2)
    assert asked == [(i, "train", 2, None) for i in range(27)]
    sample_ultrasound_volumes(1, tmp_path, cohort="test", group="DCM")
    assert asked[27:] == [(0, "test", 0, "DCM")]
    assert sample_beams_block(range(2), "test", 0, None)["codes"].shape == (2, 2, 3, 2, 2)
