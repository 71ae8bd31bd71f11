r"""Slices of training hearts: codes and labels, the right chambers in each view, sampled once and kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hearts import disc_maps, here, scene_of, seeded
from safetensors.torch import load_file, save_file

from cardiolearn.errors import InputError
from cardiolearn.measures.metrics import dice
from cardiolearn.phantom.body.tissue import N_TISSUES, Tissue
from cardiolearn.phantom.cohorts import cache, slice_maps
from cardiolearn.phantom.cohorts.observers import ANNOTATORS
from cardiolearn.phantom.cohorts.slice_maps import (
    PIXEL,
    PLANES_PER_VIEW,
    SIZE,
    SLICES_PER_SUBJECT,
    SUB_SLICES,
    SliceMaps,
    sample_long_axis_slices,
    sample_moment,
    sample_slice_maps,
    sample_slices,
)
from cardiolearn.phantom.scanners.long_axis import LONG_AXIS_VIEWS, plan_long_axis


@pytest.fixture(scope="module")
def short() -> SliceMaps:
    return sample_slices(3)


@pytest.fixture(scope="module")
def truth() -> SliceMaps:
    return sample_slices(3, annotators=())


@pytest.fixture(scope="module")
def long() -> SliceMaps:
    return sample_long_axis_slices(3)


# ---------------------------------------------------------------------- short axis
def test_sampled_slices_are_codes_and_labels(short: SliceMaps) -> None:
    assert len(short) == SLICES_PER_SUBJECT
    assert short.tissue.shape == (SLICES_PER_SUBJECT, 3, SIZE, SIZE)
    assert short.label.shape == (SLICES_PER_SUBJECT, SIZE, SIZE)
    assert short.tissue.dtype == short.label.dtype == torch.uint8
    assert short.tissue.max() < N_TISSUES
    assert set(short.label.unique().tolist()) <= {0, 1, 2, 3, 4, 5}
    assert {1, 2, 3} <= set(short.label.unique().tolist())
    # An annotator's line is not the truth's, but close to it: most of the outlined cavity is blood or its muscle.
    inside = short.tissue[:, 1][short.label == 1]
    assert torch.isin(inside, torch.tensor([Tissue.LV_BLOOD, Tissue.TRABECULA])).float().mean() > 0.75


def test_sub_slices_differ_a_little(short: SliceMaps) -> None:
    change = (short.tissue[:, 0] != short.tissue[:, 2]).float().mean()
    assert 0.0 < change < 0.5


def test_slices_run_from_base_to_apex_seen_from_the_apex(truth: SliceMaps) -> None:
    r"""Anterior is up and the right ventricle on the left, as radiologists see it: the first slices hold atria or great
    vessels, the last ones lie below the apex."""
    maps = truth
    assert torch.isin(maps.tissue[0, 1], torch.tensor([Tissue.ARTERY, Tissue.LA_BLOOD, Tissue.RA_BLOOD])).sum() > 500
    assert not torch.isin(maps.label[-1], torch.tensor([1, 3, 4, 5])).any()
    rows, columns = torch.meshgrid(*(torch.arange(float(SIZE)),) * 2, indexing="ij")
    middle = int((maps.label == 1).flatten(1).sum(1).argmax())
    left, right = maps.label[middle] == 1, maps.label[middle] == 3
    assert columns[right].mean() < columns[left].mean() - 10.0
    below = maps.tissue[middle, 1] == Tissue.LIVER
    assert rows[below].mean() > rows[left].mean() + 40.0


@pytest.mark.slow
def test_sampling_is_reproducible_from_its_arguments(short: SliceMaps) -> None:
    torch.manual_seed(1)
    again = sample_slices(3)
    assert torch.equal(again.tissue, short.tissue)
    assert torch.equal(again.label, short.label)
    other = sample_slices(3, seed=1)
    assert not torch.equal(other.tissue, short.tissue)


def test_moments_are_end_diastole_end_systole_or_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slice_maps, "Scene", lambda subject, device: None)  # it plays no part, and takes its time
    moments = torch.tensor([sample_moment(index, "train", 0)[2] for index in range(200)])
    assert 0.2 < (moments == 0.0).float().mean() < 0.5
    assert 0.2 < (moments == 1.0).float().mean() < 0.55
    between = moments[(moments > 0.0) & (moments < 1.0)]
    assert 0.12 < len(between) / 200 < 0.45 and between.std() > 0.15


def test_labels_without_annotators_are_the_truth_of_the_same_slices(short: SliceMaps, truth: SliceMaps) -> None:
    assert torch.equal(short.tissue, truth.tissue)
    assert {4, 5} <= set(truth.label.unique().tolist())  # annotators of the short axis know no atria
    for one in ANNOTATORS[:2]:
        alone = sample_slices(3, annotators=(one,))
        assert dice(alone.label == 1, truth.label == 1) > 0.85
        assert not torch.equal(alone.label, truth.label)


# ---------------------------------------------------------------------- long axis
def test_each_view_shows_its_chambers(long: SliceMaps) -> None:
    assert len(long) == 2 * PLANES_PER_VIEW
    assert long.tissue.shape == (len(long), len(SUB_SLICES), SIZE, SIZE)
    assert long.label.shape == (len(long), SIZE, SIZE)
    assert long.tissue.dtype == long.label.dtype == torch.uint8
    assert long.tissue.max() < N_TISSUES
    for k, label in enumerate(long.label):
        found = set(label.unique().tolist())
        assert found == {0, 1, 2, 3, 4, 5} if k >= PLANES_PER_VIEW else {0, 1, 2, 4} <= found <= {0, 1, 2, 3, 4}


@pytest.mark.parametrize("maps", ["truth", "long"])
def test_labels_are_those_of_the_middle_sub_slice(maps: str, request: pytest.FixtureRequest) -> None:
    found: SliceMaps = request.getfixturevalue(maps)
    tissue, label = found.tissue[:, SUB_SLICES.index(0.0)], found.label
    for code, name in ((Tissue.MYOCARDIUM, 2), (Tissue.LV_BLOOD, 1), (Tissue.LA_BLOOD, 4), (Tissue.RA_BLOOD, 5)):
        assert (label[tissue == int(code)] == name).all()
    assert (tissue[label == 2] == int(Tissue.MYOCARDIUM)).all()
    for other in (0, 2):
        change = (found.tissue[:, other] != tissue).float().mean()
        assert 0.0 < change < 0.3


def test_long_axis_slices_are_the_truth_on_the_planned_planes(long: SliceMaps) -> None:
    r"""The moment's generator goes on with the planes, which scatter twice as much as a technician's."""
    g, _, a = sample_moment(3, "train", 0)
    scene = scene_of(3, "train")
    steps = (torch.arange(SIZE) - (SIZE - 1) / 2) * PIXEL
    for k in range(len(long)):
        plane = plan_long_axis(scene, LONG_AXIS_VIEWS[k // PLANES_PER_VIEW], g, scatter=2.0)
        for row, column in ((20, 170), (104, 104), (90, 130), (130, 80)):
            point = plane.middle + steps[row] * plane.down + steps[column] * plane.right
            assert scene.labels_at(point[None], a) == long.label[k, row, column]
            aside = PIXEL * (plane.right - plane.down)
            sub_slices = [point + mm * plane.normal + off * aside for mm, off in ((-2.0, 0.3), (0.0, 0.0), (2.0, -0.3))]
            through = [scene.at(place[None], a).tissue.item() for place in sub_slices]
            assert through == long.tissue[k, :, row, column].tolist()


def test_long_axis_sampling_is_reproducible_and_planes_differ(long: SliceMaps) -> None:
    torch.manual_seed(1)
    again = sample_long_axis_slices(3)
    assert torch.equal(again.tissue, long.tissue)
    assert torch.equal(again.label, long.label)
    assert not torch.equal(long.label[0], long.label[1])
    assert not torch.equal(sample_long_axis_slices(3, seed=1).label, long.label)


# ---------------------------------------------------------------------- kept cohorts
def save(maps: SliceMaps, file: Path) -> None:
    save_file({"tissue": maps.tissue.contiguous(), "label": maps.label.contiguous()}, file)


def test_a_kept_cohort_is_read_and_not_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = disc_maps(2, 16)
    save(maps, tmp_path / "train-0-00000-00002.safetensors")
    monkeypatch.setattr(cache, "_make_file", None)  # sampling would fail
    found = sample_slice_maps(2, tmp_path)
    assert torch.equal(found.tissue, maps.tissue)
    assert torch.equal(found.label, maps.label)


def test_a_damaged_kept_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "train-0-00000-00002.safetensors"
    file.write_bytes(b"half a fi")
    with pytest.raises(InputError, match=str(file)):
        sample_slice_maps(2, tmp_path)


def numbered(asked: list[tuple[int, str, int]]) -> Callable[[int, str, int], SliceMaps]:
    def sample(index: int, cohort: str, seed: int) -> SliceMaps:
        asked.append((index, cohort, seed))
        return SliceMaps(torch.full((2, 3, 4, 5), index, dtype=torch.uint8), torch.zeros(2, 4, 5, dtype=torch.uint8))

    return sample


def test_subjects_are_sampled_25_to_a_file_and_come_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "in_processes", here)
    asked: list[tuple[int, str, int]] = []
    found = sample_slice_maps(53, tmp_path, cohort="test", seed=7, sample=numbered(asked))
    assert found.tissue[:, 0, 0, 0].tolist() == [i for i in range(53) for _ in range(2)]
    assert asked == [(i, "test", 7) for i in range(53)]
    names = [f"test-7-{start:05d}-{stop:05d}.safetensors" for start, stop in ((0, 25), (25, 50), (50, 53))]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    sample_slice_maps(50, tmp_path, cohort="test", seed=7, sample=numbered(asked))
    assert len(asked) == 53  # all there


@pytest.mark.slow
def test_an_interrupted_sampling_goes_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    r"""25 subjects are there, one is missing, and the stopped process left part of a file behind."""
    maps = disc_maps(25 * SLICES_PER_SUBJECT)
    first = tmp_path / "train-0-00000-00025.safetensors"
    save(maps, first)
    (tmp_path / ".train-0-00025-00026.safetensors.4242.part").write_bytes(b"half a file")
    stamp = first.stat().st_mtime_ns
    found = sample_slice_maps(26, tmp_path, jobs=1)
    assert first.stat().st_mtime_ns == stamp
    assert len(found) == 26 * SLICES_PER_SUBJECT
    assert torch.equal(found.label[: 25 * SLICES_PER_SUBJECT], maps.label)
    alone = sample_slices(25)
    assert torch.equal(found.tissue[25 * SLICES_PER_SUBJECT :], alone.tissue)
    assert torch.equal(found.label[25 * SLICES_PER_SUBJECT :], alone.label)
    written = load_file(tmp_path / "train-0-00025-00026.safetensors")
    assert torch.equal(written["tissue"], alone.tissue)
    again = sample_slice_maps(26, tmp_path, jobs=1)
    assert torch.equal(again.tissue, found.tissue)
    assert "sampling hearts" in capfd.readouterr().err


@pytest.mark.slow
def test_a_sampled_cohort_holds_its_subjects(tmp_path: Path, long: SliceMaps) -> None:
    found = sample_slice_maps(4, tmp_path, jobs=1, sample=slice_maps.sample_long_axis_slices)
    assert len(found) == 4 * len(long)
    assert torch.equal(found.tissue[-len(long) :], long.tissue)
    assert torch.equal(found.label[-len(long) :], long.label)


def test_generators_of_subjects_and_seeds_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slice_maps, "Scene", lambda subject, device: None)
    states = [sample_moment(*given)[0] for given in ((0, "train", 0), (1, "train", 0), (0, "train", 1))]
    numbers = [torch.rand(1, generator=g).item() for g in (*states, seeded())]
    assert len(set(numbers)) == 4
