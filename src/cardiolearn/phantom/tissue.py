r"""The tissues a phantom voxel can hold: one table, used by every simulated scanner.

A tissue map is a `uint8` tensor of `Tissue` codes. Labels (what an annotator would paint) are a second tensor, because
papillary muscles are myocardium to the scanner and cavity to the annotator.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch


class Tissue(IntEnum):
    r"""Codes of a tissue map; `AIR` is 0 so that empty space is background."""

    AIR = 0
    LV_BLOOD = 1
    MYOCARDIUM = 2
    RV_BLOOD = 3
    LA_BLOOD = 4
    RA_BLOOD = 5
    TRABECULA = 6
    RV_WALL = 7
    ATRIAL_WALL = 8
    ARTERY = 9
    VEIN = 10
    VESSEL_WALL = 11
    EPICARDIAL_FAT = 12
    PERICARDIUM = 13
    MEDIASTINAL_FAT = 14
    LUNG = 15
    LUNG_VESSEL = 16
    SUBCUTANEOUS_FAT = 17
    SKIN = 18
    MUSCLE = 19
    MUSCLE_FAT = 20
    CORTICAL_BONE = 21
    MARROW = 22
    CSF = 23
    CORD = 24
    LIVER = 25
    LIVER_VESSEL = 26
    SPLEEN = 27
    STOMACH_WALL = 28
    STOMACH_FLUID = 29
    STOMACH_FOOD = 30
    BOWEL_GAS = 31
    VISCERAL_FAT = 32
    KIDNEY = 33
    OESOPHAGUS = 34
    EFFUSION = 35
    CARTILAGE = 36
    OUTER_AIR = 37


@dataclass(frozen=True)
class Relaxation:
    r"""What a balanced steady-state sequence sees: proton density relative to water, T1 and T2 in ms at 1.5 T, fat."""

    density: float
    t1: float
    t2: float
    fat: bool = False


_BLOOD = Relaxation(0.95, 1500.0, 220.0)
_VENOUS = Relaxation(0.95, 1550.0, 170.0)
_MUSCLE = Relaxation(0.80, 1000.0, 42.0)
_FAT = Relaxation(0.75, 290.0, 85.0, fat=True)
_NOTHING = Relaxation(0.0, 1000.0, 50.0)

# Textbook values at 1.5 T; each subject and each rendered batch jitters them (`mri.py`), so only their order matters.
# Source: Bernstein, King, Zhou, Handbook of MRI Pulse Sequences (typical tissue parameters); blood and myocardium as
# reviewed for cardiac mapping. Deviation: lung density and stomach content are chosen to look like the real scans.
RELAXATION: dict[Tissue, Relaxation] = {
    Tissue.AIR: _NOTHING,
    Tissue.LV_BLOOD: _BLOOD,
    Tissue.MYOCARDIUM: Relaxation(0.82, 1000.0, 50.0),
    Tissue.RV_BLOOD: _VENOUS,
    Tissue.LA_BLOOD: _BLOOD,
    Tissue.RA_BLOOD: _VENOUS,
    Tissue.TRABECULA: Relaxation(0.84, 1050.0, 60.0),
    Tissue.RV_WALL: Relaxation(0.82, 1000.0, 52.0),
    Tissue.ATRIAL_WALL: Relaxation(0.80, 1000.0, 50.0),
    Tissue.ARTERY: _BLOOD,
    Tissue.VEIN: _VENOUS,
    Tissue.VESSEL_WALL: Relaxation(0.70, 950.0, 45.0),
    Tissue.EPICARDIAL_FAT: _FAT,
    Tissue.PERICARDIUM: Relaxation(0.25, 900.0, 25.0),
    Tissue.MEDIASTINAL_FAT: _FAT,
    Tissue.LUNG: Relaxation(0.12, 1200.0, 40.0),
    Tissue.LUNG_VESSEL: Relaxation(0.80, 1500.0, 180.0),
    Tissue.SUBCUTANEOUS_FAT: Relaxation(0.85, 280.0, 90.0, fat=True),
    Tissue.SKIN: Relaxation(0.60, 900.0, 35.0),
    Tissue.MUSCLE: _MUSCLE,
    Tissue.MUSCLE_FAT: Relaxation(0.60, 320.0, 80.0, fat=True),
    Tissue.CORTICAL_BONE: Relaxation(0.08, 1000.0, 20.0),
    Tissue.MARROW: Relaxation(0.60, 450.0, 70.0),
    Tissue.CSF: Relaxation(1.0, 3500.0, 1500.0),
    Tissue.CORD: Relaxation(0.80, 900.0, 80.0),
    Tissue.LIVER: Relaxation(0.80, 600.0, 46.0),
    Tissue.LIVER_VESSEL: Relaxation(0.90, 1500.0, 160.0),
    Tissue.SPLEEN: Relaxation(0.85, 1100.0, 80.0),
    Tissue.STOMACH_WALL: Relaxation(0.80, 950.0, 50.0),
    Tissue.STOMACH_FLUID: Relaxation(1.0, 2500.0, 900.0),
    Tissue.STOMACH_FOOD: Relaxation(0.85, 700.0, 90.0),
    Tissue.BOWEL_GAS: _NOTHING,
    Tissue.VISCERAL_FAT: _FAT,
    Tissue.KIDNEY: Relaxation(0.88, 1000.0, 90.0),
    Tissue.OESOPHAGUS: _MUSCLE,
    Tissue.EFFUSION: Relaxation(0.98, 2800.0, 800.0),
    Tissue.CARTILAGE: Relaxation(0.65, 1000.0, 40.0),
    Tissue.OUTER_AIR: _NOTHING,
}

N_TISSUES = len(Tissue)


def relaxation_table() -> torch.Tensor:
    r"""The table as a float tensor `(N_TISSUES, 4)`: density, T1 (ms), T2 (ms), fat (0 or 1)."""
    rows = [RELAXATION[t] for t in Tissue]
    return torch.tensor([[r.density, r.t1, r.t2, float(r.fat)] for r in rows])
