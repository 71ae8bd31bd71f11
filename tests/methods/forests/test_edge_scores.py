r"""Rows of scores: right where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cardiolearn.imaging.image import Image
from cardiolearn.methods.forests.edge_scores import alike, edge_scores, scored, strongest
from cardiolearn.methods.forests.hearts import HeartScan
from cardiolearn.methods.forests.training_patches import borders


def shell(radius: float = 7.0) -> HeartScan:
    r"""A ball of cavity in a ball of wall, in voxels of 2 mm."""
    axes = [torch.arange(float(n)) - 0.5 * (n - 1) for n in (26, 24, 28)]
    away = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0).sqrt()
    labels = torch.where(away < radius, 1, torch.where(away < radius + 3.0, 2, 0)).to(torch.uint8)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    return HeartScan(Image(labels.float() / 2.0, affine), Image(labels, affine), torch.zeros(6, 3), labels >= 0)


def test_the_true_border_is_found_whole_and_nothing_lies_beyond() -> None:
    scan = shell()
    found = scored(borders(scan.labels.data).float(), scan)
    assert found["ap"] == pytest.approx(1.0) and found["f"] == pytest.approx(1.0) and found["beyond"] == 0.0
    rough = scored(torch.rand(scan.labels.data.shape, generator=torch.Generator().manual_seed(0)), scan)
    assert rough["ap"] < 0.7 and rough["beyond"] > 0.2 and rough["rough"] > found["rough"] + 0.5


def test_there_is_a_row_for_each_scan_and_method_and_one_of_the_truth() -> None:
    scans, seen = [shell(), shell(6.0)], []
    finders = {"same": lambda picture: picture, "none": torch.zeros_like}
    table = edge_scores(finders, scans, "mr", lambda: seen.append(1))
    assert list(table["method"]) == ["same", "none", "truth"] * 2 and len(seen) == 2
    assert list(table["phase"]) == ["ED"] * 3 + ["ES"] * 3 and set(table["subject"]) == {"00000"}
    truth = table[table["method"] == "truth"]
    assert truth["ap"].isna().all() and (truth["rough"] > 0.1).all()
    assert (table[table["method"] == "none"]["ap"] == 0.0).all()


def test_the_strongest_are_those_with_the_highest_values() -> None:
    edges = torch.zeros(4, 5, 6)
    edges[1, 2, 3], edges[0, 4, 5], edges[3, 0, 0] = 0.9, 0.5, 0.1
    assert strongest(edges, 2).tolist() == [[1, 2, 3], [0, 4, 5]]
    assert len(strongest(edges, 100)) == 3  # zeros are no edges


def test_maps_are_compared_where_something_was_seen() -> None:
    one = torch.rand(5, 6, 7, generator=torch.Generator().manual_seed(1))
    other, seen = 1.0 - 2.0 * one, torch.ones_like(one, dtype=torch.bool)
    assert alike(one, one * 3 + 1, seen) == pytest.approx(1.0) and alike(one, other, seen) == pytest.approx(-1.0)
    seen[2:] = False
    other[2:] = one[2:]
    assert alike(one, other, seen) == pytest.approx(-1.0)
