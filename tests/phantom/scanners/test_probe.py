r"""A probe on the chest: it looks where it should, and its beams meet the heart as it is, behind a chest wall."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from hearts import scene_of, seeded
from torch import Tensor

from cardiolearn.measures.metrics import dice
from cardiolearn.phantom.body.landmarks import landmarks, to_patient
from cardiolearn.phantom.body.tissue import Tissue
from cardiolearn.phantom.scanners.echo_tissue import LEFT_VALVE, N_ECHO_TISSUES, RIGHT_VALVE, label_table
from cardiolearn.phantom.scanners.probe import Probe, met_by_beams, place_probe
from cardiolearn.phantom.scanners.sector import BEAMS, DEPTHS, NEAREST, box_points, depths, scan_convert, sector_points

CPU = torch.device("cpu")


@functools.cache
def met(index: int) -> tuple[Probe, Tensor]:
    scene = scene_of(index, "test")
    probe = place_probe(scene, seeded(index))
    return probe, met_by_beams(scene, probe, (0.0, 1.0))


@pytest.mark.parametrize("index", range(6))
def test_a_probe_stands_at_the_apex_and_looks_at_the_mitral_valve(index: int) -> None:
    scene = scene_of(index, "test")
    probe = place_probe(scene, seeded(index))
    torch.testing.assert_close(probe.axes.T @ probe.axes, torch.eye(3), atol=1e-5, rtol=0)
    assert torch.det(probe.axes).item() == pytest.approx(1.0, abs=1e-5)
    marks = landmarks(scene.heart, 0.0)
    apex, valve, lateral = (
        (to_patient(scene, marks[name]) - probe.origin) @ probe.axes
        for name in ("apex", "mitral_valve", "lv_lateral_wall")
    )
    assert apex[:2].norm() < 2.0 * math.hypot(4.0, 4.0) + 6.0  # off by 4 mm (SD), and the tilt
    assert NEAREST + 10.0 < apex[2] < NEAREST + 32.0  # behind skin, fat and muscle
    assert valve[:2].norm() < math.tan(math.radians(20.0)) * valve[2]
    assert lateral[0] > 0.0  # on the right
    anterior = scene.frame[:, 1] @ probe.axes
    assert anterior[1] < -0.5


def test_probes_are_reproducible_and_differ() -> None:
    scene = scene_of(1, "test")
    one, two, other = (place_probe(scene, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(one.axes, two.axes) and torch.equal(one.origin, two.origin) and torch.equal(one.tent, two.tent)
    assert not torch.equal(one.axes, other.axes) and one.standoff != other.standoff


@pytest.mark.parametrize("moment", [0, 1])
def test_codes_carry_the_labels_of_the_scene(moment: int) -> None:
    scene, (probe, codes) = scene_of(0, "test"), met(0)
    assert codes.shape == (2, DEPTHS, BEAMS, BEAMS) and codes.dtype == torch.uint8 and codes.max() < N_ECHO_TISSUES
    truth = scene.labels_at(sector_points(CPU) @ probe.axes.T + probe.origin, float(moment))
    found = label_table(CPU)[codes[moment].int()]
    torch.testing.assert_close(found, truth.masked_fill(truth > 2, 0))


def test_the_ventricle_lies_whole_in_the_box_as_the_scene_has_it() -> None:
    scene, (probe, codes) = scene_of(0, "test"), met(0)
    _, label = scan_convert(torch.zeros(codes.shape), codes, torch.full((2,), 0.7))
    places = box_points(label.shape[1:], 1.6, CPU) @ probe.axes.T + probe.origin
    for moment, a in enumerate((0.0, 1.0)):
        truth = scene.labels_at(places, a)
        assert dice(label[moment] == 1, truth == 1) > 0.97
        assert dice(label[moment] == 2, truth == 2) > 0.93
        volume = [(label[moment] == k).sum().item() * 1.6**3 * 1e-3 for k in (1, 2)]
        assert volume == pytest.approx([scene.heart.lv_volume(a), scene.heart.wall_volume()], rel=0.02)


def test_leaflets_hang_into_the_ventricles_and_are_thin() -> None:
    codes = met(0)[1]
    for code, blood in ((LEFT_VALVE, Tissue.LV_BLOOD), (RIGHT_VALVE, Tissue.RV_BLOOD)):
        leaflet = codes == code
        assert leaflet.any()
        assert leaflet.sum(1).max() <= 3  # samples of a beam: mitral and aortic leaflets, a chamber left twice
        before = codes[:, :-1][leaflet[:, 1:]]
        assert torch.isin(before, torch.tensor([int(blood), code, int(Tissue.TRABECULA)])).float().mean() > 0.8
    tented = met(0)[0].tent
    assert tented.min() == -1 and 2 <= tented.max() <= 10
    assert 0.02 < (tented < 0).float().mean() < 0.5  # beams that pass beside them


@pytest.mark.parametrize("index", [0, 1])
def test_between_probe_and_heart_lie_fat_and_muscle_alone(index: int) -> None:
    probe, codes = met(index)
    heart = (codes >= int(Tissue.LV_BLOOD)) & (codes <= int(Tissue.PERICARDIUM))
    reached = heart.any(1, keepdim=True)
    ahead = (heart.int().cumsum(1) == 0) & reached
    assert set(codes[ahead].unique().tolist()) <= {int(Tissue.SUBCUTANEOUS_FAT), int(Tissue.MUSCLE)}
    shallow = depths(CPU) < 0.4 * probe.standoff
    assert (codes[:, shallow][ahead[:, shallow]] == int(Tissue.SUBCUTANEOUS_FAT)).all()
    assert (codes == int(Tissue.LUNG)).any()  # beside the heart it is the subject's own chest
