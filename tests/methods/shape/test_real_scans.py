r"""Networks on scans of studies: each phase in its place, what cannot be placed named, faults counted."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hearts import seeded
from torch import Tensor, nn

from cardiolearn.imaging.image import Image
from cardiolearn.methods.shape.real_scans import RealScan, implausible, in_words, rows_of_scans, segmented
from cardiolearn.phantom.cohorts.volume_maps import SHAPE, SPACING, VolumeMaps, sample_volume

AFFINE = np.diag([SPACING, -SPACING, SPACING, 1.0])


@cache
def maps() -> VolumeMaps:
    return sample_volume(3)


class OneStudy:
    r"""A study of a simulated heart, labels at end-diastole only."""

    subject = "P1"

    def has(self, view: str = "sa", phase: str | None = "ED", label: bool = False) -> bool:
        return phase == "ED" or (phase == "ES" and not label)

    def image(self, phase: str | None = "ED") -> Image:
        labels = maps().label[0, ("ED", "ES").index(str(phase))]
        return Image(labels.float() + 0.1 * torch.rand(SHAPE, generator=seeded()), AFFINE)

    def labels(self, phase: str | None = "ED") -> Image:
        return Image(maps().label[0, 0], AFFINE)


class Everywhere(nn.Module):
    r"""Calls bright pixels LV cavity: it lies in pieces, and there is no wall."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, stack: Tensor) -> Tensor:
        thin = stack.repeat_interleave(4, 2) * self.one
        return torch.cat((1 - thin, thin, thin - 9, thin - 9), 1)


def outline(scan: Image) -> Image:
    return scan.with_data(scan.data.round().to(torch.uint8).clamp(max=3))


def test_every_phase_is_segmented_where_it_lies(capsys: pytest.CaptureFixture[str]) -> None:
    study: Any = OneStudy()
    scans = segmented([study], outline, {"one": Everywhere(), "two": Everywhere()})
    assert [scan.name for scan in scans] == ["P1 ED", "P1 ES"] and list(scans[0].found) == ["one", "two"]
    first, second = scans
    assert first.person is not None and second.person is None
    assert first.person.data.shape == first.found["one"].data.shape == SHAPE
    np.testing.assert_allclose(first.person.affine, first.found["one"].affine)
    volume = (first.person.data > 0).sum() / (maps().label[0, 0] > 0).sum()
    assert 0.98 < volume < 1.02
    table = implausible(scans)
    assert len(table) == 4 and table["implausible"].all() and table["reasons"].str.contains("missing").all()
    said = in_words(scans).splitlines()
    assert said[0] == "implausible scans: one 2 of 2, two 2 of 2" and len(said) == 5
    assert said[1].startswith("P1 ED, one: ") and "missing" in said[1]
    assert in_words([]) == "implausible scans: none was segmented"
    rows = rows_of_scans(scans)
    assert list(rows) == ["P1 ED", "P1 ES"] and list(rows["P1 ED"]) == ["what goes in", "one", "two", "a person"]
    person = rows["P1 ES"]["a person"].labels
    assert person is not None and not person.any()
    assert not segmented([study], lambda scan: scan.with_data(torch.zeros(SHAPE)), {"one": Everywhere()})
    assert capsys.readouterr().out.count("passed over, own grid: expected an outline with both ventricles") == 2


def test_the_picture_holds_what_a_person_outlined_and_what_was_found_elsewhere() -> None:
    found, person = torch.zeros(2, 8, 12, 30, dtype=torch.uint8)
    found[2:4, 5:8, 3:6], person[2:5, 5:8, 20:24] = 1, 1
    stack: Any = SimpleNamespace(stack=torch.zeros(1, 1, 2, 12, 30))
    scan = RealScan("P1 ED", stack, {"one": Image(found, AFFINE)}, Image(person, AFFINE))
    (line,) = rows_of_scans([scan]).values()
    seen = {name: line[name].labels for name in ("one", "a person")}
    assert {name: int(labels.sum()) for name, labels in seen.items() if labels is not None} == {
        "one": 2 * 3, "a person": 3 * 4
    }  # fmt: skip
