r"""Whole hearts as volumes: inside the grid, as large as the closed form says, upright, sampled once and kept."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from hearts import here, scene_of

from cardiolearn.measures.metrics import dice
from cardiolearn.phantom.body.disease import GROUPS, Cohort, Group
from cardiolearn.phantom.body.tissue import Tissue
from cardiolearn.phantom.cohorts import cache, volume_maps
from cardiolearn.phantom.cohorts.volume_maps import (
    SHAPE,
    SPACING,
    VolumeMaps,
    sample_volume,
    sample_volume_block,
    sample_volume_maps,
)


@functools.cache
def sampled(index: int, cohort: Cohort) -> VolumeMaps:
    return sample_volume(index, cohort)


CASES = [(0, "train"), (3, "test"), (93, "test")]  # the last has the widest right ventricle of 200 subjects
some = pytest.mark.parametrize(("index", "cohort"), CASES)


@some
def test_volumes_of_the_labels_are_those_of_the_closed_form(index: int, cohort: Cohort) -> None:
    maps, heart = sampled(index, cohort), scene_of(index, cohort).heart
    assert maps.tissue.shape == maps.label.shape == (1, 2, *SHAPE)
    assert maps.tissue.dtype == maps.label.dtype == torch.uint8
    assert maps.label.unique().tolist() == [0, 1, 2, 3]
    for label, a in zip(maps.label[0], (0.0, 1.0), strict=True):
        found = [(label == k).sum().item() * SPACING**3 * 1e-3 for k in (1, 2, 3)]
        assert found == pytest.approx([heart.lv_volume(a), heart.wall_volume(), heart.rv_volume(a)], rel=0.03)


@some
def test_hearts_lie_whole_in_the_grid(index: int, cohort: Cohort) -> None:
    ventricles = (sampled(index, cohort).label[0] > 0).any(0)
    for axis in range(3):
        assert not ventricles.movedim(axis, 0)[[0, -1]].any()


def test_slices_run_from_base_to_apex_with_the_right_ventricle_on_the_left() -> None:
    label, tissue = sampled(0, "train").label[0, 0], sampled(0, "train").tissue[0, 0]
    z, y, x = torch.meshgrid(*(torch.arange(float(n)) for n in SHAPE), indexing="ij")
    left = label == 1
    assert x[label == 3].mean() < x[left].mean() - 8.0
    assert z[tissue == int(Tissue.LA_BLOOD)].mean() < z[left].mean() - 15.0
    area = left.flatten(1).sum(1)
    level = int(z[left].min())
    assert area[level + 4] > 2 * area[int(z[left].max()) - 1]  # the apex comes last, and tapers
    assert y[tissue == int(Tissue.LIVER)].mean() > y[left].mean()  # the inferior wall below, the anterior above


def test_tissue_is_sampled_a_little_aside_of_the_labels() -> None:
    maps = sampled(3, "test")
    wall = maps.tissue == int(Tissue.MYOCARDIUM)
    assert 0.85 < dice(wall, maps.label == 2) < 0.999
    for codes, name in (((Tissue.LV_BLOOD,), 1), ((Tissue.RV_BLOOD,), 3)):
        blood = torch.isin(maps.tissue, torch.tensor([int(c) for c in codes]))
        assert (maps.label[blood] == name).float().mean() > 0.9


def test_a_subject_is_the_same_every_time_and_groups_are_others() -> None:
    torch.manual_seed(3)
    again = sample_volume(3, "test")
    assert torch.equal(again.tissue, sampled(3, "test").tissue) and torch.equal(again.label, sampled(3, "test").label)
    groups = [sample_volume(3, "test", group=group).label for group in GROUPS]
    cavity, wall = ([(g[0, 0] == k).sum().item() for g in groups] for k in (1, 2))
    assert cavity[1] == max(cavity) and wall[2] > wall[0]  # dilated, hypertrophic
    assert not torch.equal(sample_volume(3, "test", seed=1).label, again.label)


def test_cohorts_are_sampled_once_25_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def quick(index: int, cohort: Cohort, seed: int, group: Group | None, *, fine: bool = False) -> VolumeMaps:
        asked.append((index, cohort, seed, group))
        one = torch.full((1, 2, 4, 3, 2), index, dtype=torch.uint8)
        return VolumeMaps(one, one + 1)

    monkeypatch.setattr(volume_maps, "sample_volume", quick)
    monkeypatch.setattr(cache, "in_processes", here)
    found = sample_volume_maps(27, tmp_path, cohort="test", seed=4)
    assert found.tissue[:, 0, 0, 0, 0].tolist() == list(range(27)) and len(found) == 27
    assert torch.equal(found.label, found.tissue + 1)
    names = ["test-4-00000-00025.safetensors", "test-4-00025-00027.safetensors"]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    sample_volume_maps(25, tmp_path, cohort="test", seed=4)
    assert asked == [(i, "test", 4, None) for i in range(27)]
    sample_volume_maps(1, tmp_path, group="HCM")
    assert asked[27:] == [(0, "train", 0, "HCM")]
    assert sample_volume_block(range(2, 4), "train", 1, "NOR")["tissue"].shape == (2, 2, 4, 3, 2)
