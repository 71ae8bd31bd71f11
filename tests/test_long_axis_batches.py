"""Training slices of the long-axis views: the right chambers in each, labels up to 5 through to the batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cardiolearn.phantom.batches import SIZE, SliceMaps, draw_cohort, render_batch
from cardiolearn.phantom.long_axis_batches import (
    PLANES_PER_VIEW,
    SUB_SLICES,
    draw_long_axis_slices,
)
from cardiolearn.phantom.tissue import N_TISSUES, Tissue


@pytest.fixture(scope="module")
def maps() -> SliceMaps:
    return draw_long_axis_slices(3)


def test_each_view_shows_its_chambers(maps: SliceMaps) -> None:
    assert len(maps) == 2 * PLANES_PER_VIEW
    assert maps.tissue.shape == (len(maps), len(SUB_SLICES), SIZE, SIZE)
    assert maps.label.shape == (len(maps), SIZE, SIZE)
    assert maps.tissue.dtype == maps.label.dtype == torch.uint8
    assert maps.tissue.max() < N_TISSUES
    for k, label in enumerate(maps.label):
        found = set(label.unique().tolist())
        assert found == {0, 1, 2, 3, 4, 5} if k >= PLANES_PER_VIEW else {0, 1, 2, 4} <= found <= {0, 1, 2, 3, 4}


def test_labels_are_those_of_the_middle_sub_slice(maps: SliceMaps) -> None:
    tissue, label = maps.tissue[:, SUB_SLICES.index(0.0)], maps.label
    for code, name in ((Tissue.MYOCARDIUM, 2), (Tissue.LV_BLOOD, 1), (Tissue.LA_BLOOD, 4), (Tissue.RA_BLOOD, 5)):
        assert (label[tissue == int(code)] == name).all()
    assert (tissue[label == 2] == int(Tissue.MYOCARDIUM)).all()
    for other in (0, 2):
        change = (maps.tissue[:, other] != tissue).float().mean()
        assert 0.0 < change < 0.3


def test_drawing_is_reproducible_and_planes_differ(maps: SliceMaps) -> None:
    torch.manual_seed(1)
    again = draw_long_axis_slices(3)
    assert torch.equal(again.tissue, maps.tissue)
    assert torch.equal(again.label, maps.label)
    assert not torch.equal(maps.label[0], maps.label[1])
    assert not torch.equal(draw_long_axis_slices(3, seed=1).label, maps.label)


def test_batches_keep_the_atria_where_asked(maps: SliceMaps) -> None:
    picks = torch.tensor([2, 3, 2, 3, 2, 3])

    def render(**given: int) -> tuple[torch.Tensor, torch.Tensor]:
        return render_batch(maps, picks, torch.Generator().manual_seed(4), size=83, pixel=2.4, **given)

    images, labels = render(n_classes=6)
    same, without = render()
    assert images.shape == (6, 1, 83, 83)
    assert torch.isfinite(images).all()
    assert set(labels.unique().tolist()) == {0, 1, 2, 3, 4, 5}
    assert torch.equal(images, same)
    assert torch.equal(without, torch.where(labels > 3, 0, labels))


@pytest.mark.slow
def test_a_drawn_cohort_holds_its_subjects(tmp_path: Path, maps: SliceMaps) -> None:
    found = draw_cohort(4, tmp_path, jobs=1, draw=draw_long_axis_slices)
    assert len(found) == 4 * len(maps)
    assert torch.equal(found.tissue[-len(maps) :], maps.tissue)
    assert torch.equal(found.label[-len(maps) :], maps.label)
