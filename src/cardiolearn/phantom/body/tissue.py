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


_BLOOD = Relaxation(density=0.95, t1=1500.0, t2=220.0)
_VENOUS = Relaxation(density=0.95, t1=1550.0, t2=170.0)
_MUSCLE = Relaxation(density=0.80, t1=1000.0, t2=42.0)
_FAT = Relaxation(density=0.75, t1=290.0, t2=85.0, fat=True)
_NOTHING = Relaxation(density=0.0, t1=1000.0, t2=50.0)

# Textbook values at 1.5 T; each subject and each rendered batch jitters them (`mri.py`), so only their order matters.
# Source: Bernstein, King, Zhou, Handbook of MRI Pulse Sequences (typical tissue parameters); blood and myocardium as
# reviewed for cardiac mapping. Deviation: lung density and stomach content are chosen to look like the real scans.
RELAXATION: dict[Tissue, Relaxation] = {
    Tissue.AIR: _NOTHING,
    Tissue.LV_BLOOD: _BLOOD,
    Tissue.MYOCARDIUM: Relaxation(density=0.82, t1=1000.0, t2=50.0),
    Tissue.RV_BLOOD: _VENOUS,
    Tissue.LA_BLOOD: _BLOOD,
    Tissue.RA_BLOOD: _VENOUS,
    Tissue.TRABECULA: Relaxation(density=0.84, t1=1050.0, t2=60.0),
    Tissue.RV_WALL: Relaxation(density=0.82, t1=1000.0, t2=52.0),
    Tissue.ATRIAL_WALL: Relaxation(density=0.80, t1=1000.0, t2=50.0),
    Tissue.ARTERY: _BLOOD,
    Tissue.VEIN: _VENOUS,
    Tissue.VESSEL_WALL: Relaxation(density=0.70, t1=950.0, t2=45.0),
    Tissue.EPICARDIAL_FAT: _FAT,
    Tissue.PERICARDIUM: Relaxation(density=0.25, t1=900.0, t2=25.0),
    Tissue.MEDIASTINAL_FAT: _FAT,
    Tissue.LUNG: Relaxation(density=0.12, t1=1200.0, t2=40.0),
    Tissue.LUNG_VESSEL: Relaxation(density=0.80, t1=1500.0, t2=180.0),
    Tissue.SUBCUTANEOUS_FAT: Relaxation(density=0.92, t1=280.0, t2=100.0, fat=True),
    Tissue.SKIN: Relaxation(density=0.60, t1=900.0, t2=35.0),
    Tissue.MUSCLE: _MUSCLE,
    Tissue.MUSCLE_FAT: Relaxation(density=0.60, t1=320.0, t2=80.0, fat=True),
    Tissue.CORTICAL_BONE: Relaxation(density=0.08, t1=1000.0, t2=20.0),
    Tissue.MARROW: Relaxation(density=0.60, t1=450.0, t2=70.0),
    Tissue.CSF: Relaxation(density=1.0, t1=3500.0, t2=1500.0),
    Tissue.CORD: Relaxation(density=0.80, t1=900.0, t2=80.0),
    Tissue.LIVER: Relaxation(density=0.80, t1=600.0, t2=46.0),
    Tissue.LIVER_VESSEL: Relaxation(density=0.90, t1=1500.0, t2=160.0),
    Tissue.SPLEEN: Relaxation(density=0.85, t1=1100.0, t2=80.0),
    Tissue.STOMACH_WALL: Relaxation(density=0.80, t1=950.0, t2=50.0),
    Tissue.STOMACH_FLUID: Relaxation(density=1.0, t1=2500.0, t2=900.0),
    Tissue.STOMACH_FOOD: Relaxation(density=0.85, t1=700.0, t2=90.0),
    Tissue.BOWEL_GAS: _NOTHING,
    Tissue.VISCERAL_FAT: _FAT,
    Tissue.KIDNEY: Relaxation(density=0.88, t1=1000.0, t2=90.0),
    Tissue.OESOPHAGUS: _MUSCLE,
    Tissue.EFFUSION: Relaxation(density=0.98, t1=2800.0, t2=800.0),
    Tissue.CARTILAGE: Relaxation(density=0.65, t1=1000.0, t2=40.0),
    Tissue.OUTER_AIR: _NOTHING,
}

N_TISSUES = len(Tissue)


def relaxation_table() -> torch.Tensor:
    r"""The table as a float tensor `(N_TISSUES, 4)`: density, T1 (ms), T2 (ms), fat (0 or 1)."""
    rows = [RELAXATION[t] for t in Tissue]
    return torch.tensor([[r.density, r.t1, r.t2, float(r.fat)] for r in rows], device="cpu")
