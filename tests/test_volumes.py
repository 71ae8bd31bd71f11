r"""Thin-slice cohorts: drawn once, the same every time, planes through the heart."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cardiolearn.phantom import drawn, volumes
from cardiolearn.phantom.crossing import look
from cardiolearn.phantom.high_resolution import SPACING
from cardiolearn.phantom.volumes import Volumes, draw_volume, draw_volumes

SMALL = (15, 28, 28)


def test_a_cohort_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[int] = []

    def quick(index: int, *rest: object) -> Volumes:
        names.append(index)
        image = torch.full((1, 2, 5, 4, 3), index, dtype=torch.int16)
        return Volumes(image, torch.zeros_like(image), torch.zeros(1, 2, 3, 3))

    class Here:
        r"""Stands in for the pool: work is done at once, in this process."""

        def __init__(self, *_: object, **__: object) -> None: ...
        def __enter__(self) -> Here:
            return self

        def __exit__(self, *_: object) -> None: ...
        def submit(self, function: object, *arguments: object) -> Here:
            assert callable(function)
            function(*arguments)
            return self

        def result(self) -> None: ...

    monkeypatch.setattr(volumes, "draw_volume", quick)
    monkeypatch.setattr(drawn, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(drawn, "as_completed", list)
    assert draw_volumes(2, tmp_path).image[:, 0, 0, 0, 0].tolist() == [0, 1]
    found = draw_volumes(3, tmp_path)
    assert names == [0, 1, 2] and len(found) == 3
    draw_volumes(1, tmp_path, group="NOR")
    assert names == [0, 1, 2, 0]  # another cohort, another file


def test_a_subject_is_the_same_every_time_and_its_planes_cut_the_heart() -> None:
    one, two = draw_volume(1, "test", 0, "DCM", SMALL), draw_volume(1, "test", 0, "DCM", SMALL)
    assert torch.equal(one.image, two.image) and one.image.shape == (1, 2, *SMALL)
    for where in one.crossings(0):
        seen = look(one.image[0, 0].float(), SPACING, where, torch.Generator().manual_seed(0))
        inside = one.label[0, 0][seen[1] > 0]
        assert {1, 2} <= set(inside.unique().tolist())  # cavity and wall
    assert not torch.equal(one.image, draw_volume(2, "test", 0, "DCM", SMALL).image)
