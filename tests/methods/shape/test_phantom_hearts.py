r"""Simulated hearts as sources: what they give is what the scanners make, each heart by random numbers of its own."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from hearts import seeded

from cardiolearn.methods.shape.phantom_hearts import ECHO_GRID, ECHO_SPACING, EchoHearts, StackHearts, cases, each_once
from cardiolearn.methods.shape.volume_source import look_at
from cardiolearn.phantom.cohorts.ultrasound_volumes import UltrasoundVolumes, render_ultrasound, sample_beams
from cardiolearn.phantom.cohorts.volume_maps import VolumeMaps, sample_volume
from cardiolearn.phantom.cohorts.volume_rendering import EASY, TEST, render_stacks
from cardiolearn.phantom.scanners.mri import UNSEEN_VENDOR
from cardiolearn.phantom.scanners.ultrasound import UNSEEN_ECHOGRAPH


@cache
def maps() -> VolumeMaps:
    return sample_volume(1)


@cache
def beams() -> UltrasoundVolumes:
    return sample_beams(1)


@pytest.mark.parametrize("thin", [False, True])
def test_stacks_are_those_of_the_scanner(thin: bool) -> None:
    hearts = StackHearts(maps(), TEST, UNSEEN_VENDOR, thin=thin)
    assert len(hearts) == 2 and torch.equal(hearts.labels, maps().label[0])
    picks = torch.tensor([1, 0, 1])
    images, labels = look_at(hearts, picks, seeded(3), 4)
    expected = render_stacks(maps(), picks, seeded(3), degradation=TEST, vendor=UNSEEN_VENDOR)
    assert torch.equal(images, expected.thin if thin else expected.stack)
    assert torch.equal(labels, maps().label[0][picks].long())
    assert not torch.equal(images, StackHearts(maps(), EASY, UNSEEN_VENDOR, thin=thin)(picks, seeded(3))[0])


def test_each_heart_is_scanned_once_and_alike_whatever_else_is_tested() -> None:
    both = VolumeMaps(maps().tissue.repeat(2, 1, 1, 1, 1), maps().label.repeat(2, 1, 1, 1, 1))
    one, two = (StackHearts(those).each_once(4) for those in (maps(), both))
    assert torch.equal(one.stack, two.stack[:2]) and torch.equal(one.thin, two.thin[:2])
    assert not torch.equal(two.stack[:2], two.stack[2:])  # the same subject again, another scan
    images, labels = each_once(StackHearts(both), 4)
    assert torch.equal(images, two.stack) and torch.equal(labels, two.label)
    assert not torch.equal(images, each_once(StackHearts(both), 5)[0])


def test_echoes_are_those_of_the_echograph_and_their_labels_need_no_picture() -> None:
    hearts = EchoHearts(beams(), UNSEEN_ECHOGRAPH)
    picks = torch.tensor([1, 0])
    images, labels = look_at(hearts, picks, seeded(3), 3)
    box = {"shape": ECHO_GRID, "spacing": ECHO_SPACING}
    expected = render_ultrasound(beams(), picks, seeded(3), echograph=UNSEEN_ECHOGRAPH, **box)  # type: ignore[arg-type]
    assert torch.equal(images, expected[0]) and torch.equal(labels, expected[1])
    assert torch.equal(hearts.labels[picks].long(), labels) and len(hearts) == 2
    outside = [labels[:, [0, -1]], labels[:, :, [0, -1]], labels[..., [0, -1]]]
    assert not any(face.any() for face in outside)  # the ventricle lies in the box, whole


def test_cases_name_subject_and_phase() -> None:
    assert cases(4)[3] == ("00001", "ES")
