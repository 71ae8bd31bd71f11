r"""The same hearts before three scanners: one place in the patient, other scanners for the test cohort."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from cardiolearn.methods.forests.hearts import BOX, MODALITIES, Hearts, Modality
from cardiolearn.phantom.cohorts.poses import LANDMARKS, find_poses
from cardiolearn.phantom.cohorts.ultrasound_volumes import sample_beams
from cardiolearn.phantom.cohorts.volume_maps import FINE_SHAPE, sample_volume


@cache
def hearts() -> Hearts:
    return Hearts(sample_volume(2, "test", fine=True), sample_beams(2, "test"), find_poses(2, "test"), "test")


def world(mask: torch.Tensor, affine: np.ndarray) -> np.ndarray:
    return np.asarray(affine[:3, :3] @ mask.nonzero().double().mean(0).flip(0).numpy() + affine[:3, 3])


@pytest.mark.parametrize("moment", [0, 1])
def test_a_heart_is_at_one_place_in_all_modalities(moment: int) -> None:
    scans = {name: hearts().scan(name, moment) for name in MODALITIES}
    assert scans["us"].picture.data.shape == BOX and scans["mr"].picture.data.shape == FINE_SHAPE
    places = [world(scan.labels.data == 2, scan.labels.affine) for scan in scans.values()]
    assert max(np.linalg.norm(place - places[0]) for place in places) < 0.8  # mm
    for scan in scans.values():
        assert scan.picture.spacing == pytest.approx((2.0, 2.0, 2.0), abs=1e-4)
        assert scan.labels.data.unique().tolist() == [0, 1, 2]
        assert scan.picture.data.min() >= 0.0 and scan.picture.data.max() <= 1.0
        lateral = scan.landmark_voxels()[LANDMARKS.index("lv_lateral_wall")].round().long()
        assert scan.labels.data[tuple(lateral)] == 2


def test_the_sector_is_what_an_echograph_sees() -> None:
    scan = hearts().scan("us", 0)
    assert 0.3 < scan.seen.float().mean() < 0.8
    assert (scan.picture.data[~scan.seen] > 0).float().mean() < 0.2  # sectors may be some degrees wider
    assert (scan.picture.data[scan.seen] > 0).float().mean() > 0.5
    assert hearts().scan("ct", 0).seen.all()


@pytest.mark.parametrize("modality", list(MODALITIES))
def test_a_seed_is_a_scan(modality: Modality) -> None:
    one, same, other = (hearts().scan(modality, 0, seed).picture.data for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(hearts().scans(modality, [0], 1)[0].picture.data, one)


def test_test_hearts_meet_other_scanners() -> None:
    known = Hearts(*(getattr(hearts(), name) for name in ("maps", "beams", "poses")), "train")
    for modality in MODALITIES:
        assert not torch.equal(known.scan(modality, 0).picture.data, hearts().scan(modality, 0).picture.data)
