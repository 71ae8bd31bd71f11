r"""Tissues as sound meets them: each has its numbers, and the codes alone say what belongs to the left ventricle."""

from __future__ import annotations

import torch
from hearts import scene_of

from cardiolearn.phantom.body.landmarks import to_patient
from cardiolearn.phantom.body.tissue import Tissue
from cardiolearn.phantom.scanners.echo_tissue import (
    ACOUSTIC,
    BLOOD,
    LEFT_VALVE,
    N_ECHO_TISSUES,
    RIGHT_TRABECULA,
    RIGHT_VALVE,
    acoustic_table,
    label_table,
)

CPU = torch.device("cpu")


def test_every_code_has_its_numbers() -> None:
    assert sorted(int(code) for code in ACOUSTIC) == list(range(N_ECHO_TISSUES))
    table = acoustic_table(CPU)
    assert table.shape == (N_ECHO_TISSUES, 3) and torch.isfinite(table).all()
    assert (table[:, 1:] > 0.0).all()  # impedance, attenuation
    assert table[RIGHT_TRABECULA].tolist() == table[int(Tissue.TRABECULA)].tolist()


def test_blood_is_darkest_of_what_scatters_and_leaflets_and_sac_are_bright() -> None:
    scatter = acoustic_table(CPU)[:, 0]
    names = ("LV_BLOOD", "RV_BLOOD", "LA_BLOOD", "RA_BLOOD", "ARTERY", "VEIN", "LIVER_VESSEL")
    assert sorted(BLOOD) == sorted(int(Tissue[name]) for name in names)
    assert scatter[list(BLOOD)].max() < -20.0 < scatter[int(Tissue.MYOCARDIUM)] == 0.0
    assert scatter[[LEFT_VALVE, RIGHT_VALVE, int(Tissue.PERICARDIUM)]].min() > 0.0


def test_muscle_and_blood_reflect_a_hundredth_and_lung_more_than_half() -> None:
    z = acoustic_table(CPU)[:, 1]

    def reflected(a: Tissue, b: Tissue) -> float:
        return abs((z[int(a)] - z[int(b)]) / (z[int(a)] + z[int(b)])).item()

    assert 0.005 < reflected(Tissue.MYOCARDIUM, Tissue.LV_BLOOD) < 0.02
    assert 0.5 < reflected(Tissue.MYOCARDIUM, Tissue.LUNG) < 1.0


def test_codes_of_the_left_ventricle_carry_its_labels_in_real_anatomy() -> None:
    scene = scene_of(2, "test")
    axis = torch.arange(-60.0, 61.0, 3.0)
    found = scene.at(to_patient(scene, torch.cartesian_prod(axis, axis, axis + 50.0)), 0.5)
    right = (found.tissue == int(Tissue.TRABECULA)) & (found.label == 3)
    codes = found.tissue.masked_fill(right, RIGHT_TRABECULA)
    assert right.any()
    torch.testing.assert_close(label_table(CPU)[codes.int()], found.label.masked_fill(found.label > 2, 0))
    assert label_table(CPU)[[LEFT_VALVE, RIGHT_VALVE, RIGHT_TRABECULA]].tolist() == [1, 0, 0]
