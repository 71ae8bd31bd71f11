r"""What sound meets on its way through the chest: how much each tissue scatters, reflects and swallows.

Sound needs more codes than a tissue map has: closed valves, which are thinner than a map's voxel, and the muscle in the
right ventricle, so that the codes alone say what belongs to the left one.

Source: impedance and attenuation are textbook values (Szabo, Diagnostic Ultrasound Imaging: Inside Out, tissue tables;
deviation: gas and bone are damped as far as a picture needs, and how much a tissue scatters was set by eye on a real
apical clip).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cardiolearn.imaging.structures import LV_CAVITY, MYOCARDIUM
from cardiolearn.phantom.body.tissue import N_TISSUES, Tissue

# Codes that only sound knows. Leaflets of the mitral and aortic valve lie in the left cavity, others do not.
LEFT_VALVE, RIGHT_VALVE, RIGHT_TRABECULA = N_TISSUES, N_TISSUES + 1, N_TISSUES + 2
N_ECHO_TISSUES = N_TISSUES + 3


@dataclass(frozen=True)
class Acoustic:
    r"""Backscatter in dB over heart muscle, impedance in MRayl, attenuation in dB/cm at 1 MHz, one way."""

    scatter: float
    impedance: float
    attenuation: float


_BLOOD = Acoustic(scatter=-30.0, impedance=1.66, attenuation=0.15)
_FLUID = Acoustic(scatter=-36.0, impedance=1.52, attenuation=0.05)
_MUSCLE = Acoustic(scatter=0.0, impedance=1.70, attenuation=0.55)
_WALL = Acoustic(scatter=1.0, impedance=1.72, attenuation=0.6)
_FAT = Acoustic(scatter=1.0, impedance=1.45, attenuation=0.6)
_ORGAN = Acoustic(scatter=1.0, impedance=1.66, attenuation=0.5)
_FIBROUS = Acoustic(scatter=9.0, impedance=1.85, attenuation=0.8)
_LEAFLET = Acoustic(scatter=4.0, impedance=1.78, attenuation=0.6)
_BONE = Acoustic(scatter=8.0, impedance=4.0, attenuation=9.0)
_GAS = Acoustic(scatter=5.0, impedance=0.4, attenuation=2.5)

ACOUSTIC: dict[int, Acoustic] = {
    Tissue.AIR: _GAS,
    Tissue.LV_BLOOD: _BLOOD,
    Tissue.MYOCARDIUM: _MUSCLE,
    Tissue.RV_BLOOD: _BLOOD,
    Tissue.LA_BLOOD: _BLOOD,
    Tissue.RA_BLOOD: _BLOOD,
    Tissue.TRABECULA: Acoustic(scatter=1.0, impedance=1.70, attenuation=0.55),
    Tissue.RV_WALL: _MUSCLE,
    Tissue.ATRIAL_WALL: _WALL,
    Tissue.ARTERY: _BLOOD,
    Tissue.VEIN: _BLOOD,
    Tissue.VESSEL_WALL: _WALL,
    Tissue.EPICARDIAL_FAT: _FAT,
    Tissue.PERICARDIUM: _FIBROUS,
    Tissue.MEDIASTINAL_FAT: Acoustic(scatter=2.0, impedance=1.50, attenuation=0.9),
    Tissue.LUNG: _GAS,
    Tissue.LUNG_VESSEL: _GAS,
    Tissue.SUBCUTANEOUS_FAT: _FAT,
    Tissue.SKIN: _WALL,
    Tissue.MUSCLE: _MUSCLE,
    Tissue.MUSCLE_FAT: _FAT,
    Tissue.CORTICAL_BONE: _BONE,
    Tissue.MARROW: _BONE,
    Tissue.CSF: _FLUID,
    Tissue.CORD: _ORGAN,
    Tissue.LIVER: _ORGAN,
    Tissue.LIVER_VESSEL: _BLOOD,
    Tissue.SPLEEN: _ORGAN,
    Tissue.STOMACH_WALL: _WALL,
    Tissue.STOMACH_FLUID: _FLUID,
    Tissue.STOMACH_FOOD: Acoustic(scatter=5.0, impedance=1.60, attenuation=1.5),
    Tissue.BOWEL_GAS: _GAS,
    Tissue.VISCERAL_FAT: _FAT,
    Tissue.KIDNEY: _ORGAN,
    Tissue.OESOPHAGUS: _WALL,
    Tissue.EFFUSION: _FLUID,
    Tissue.CARTILAGE: Acoustic(scatter=4.0, impedance=1.90, attenuation=3.0),
    Tissue.OUTER_AIR: _GAS,
    LEFT_VALVE: _LEAFLET,
    RIGHT_VALVE: _LEAFLET,
    RIGHT_TRABECULA: Acoustic(scatter=1.0, impedance=1.70, attenuation=0.55),
}
BLOOD = tuple(int(code) for code, acoustic in ACOUSTIC.items() if acoustic is _BLOOD)


def acoustic_table(device: torch.device) -> Tensor:
    r"""The table `(N_ECHO_TISSUES, 3)`: backscatter (dB), impedance (MRayl), attenuation (dB/cm at 1 MHz)."""
    rows = [ACOUSTIC[code] for code in range(N_ECHO_TISSUES)]
    return torch.tensor([[r.scatter, r.impedance, r.attenuation] for r in rows], device=device)


def label_table(device: torch.device) -> Tensor:
    r"""The label `(N_ECHO_TISSUES,)` (uint8) of each code: 1 the left cavity with its muscles, 2 its wall, else 0."""
    table = torch.zeros(N_ECHO_TISSUES, dtype=torch.uint8, device=device)
    table[[int(Tissue.LV_BLOOD), int(Tissue.TRABECULA), LEFT_VALVE]] = LV_CAVITY
    table[int(Tissue.MYOCARDIUM)] = MYOCARDIUM
    return table
