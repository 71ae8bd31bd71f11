r"""The hearts that forests learn from and are tried on: the same ones in MR, ultrasound and CT, in one patient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cardiolearn.imaging.image import Image
from cardiolearn.imaging.structures import MYOCARDIUM
from cardiolearn.phantom.body.disease import Cohort
from cardiolearn.phantom.cohorts.ct_volumes import render_ct
from cardiolearn.phantom.cohorts.mr_volumes import render_mr
from cardiolearn.phantom.cohorts.poses import Poses, sample_poses
from cardiolearn.phantom.cohorts.ultrasound_volumes import (
    UltrasoundVolumes,
    render_ultrasound,
    sample_ultrasound_volumes,
)
from cardiolearn.phantom.cohorts.volume_maps import FINE_SPACING, VolumeMaps, sample_volume_maps
from cardiolearn.phantom.scanners.ct import ANY_CT, UNSEEN_CT
from cardiolearn.phantom.scanners.mri import ANY_VENDOR, UNSEEN_VENDOR
from cardiolearn.phantom.scanners.sector import in_sector
from cardiolearn.phantom.scanners.ultrasound import ANY_ECHOGRAPH, UNSEEN_ECHOGRAPH

Modality = Literal["mr", "us", "ct"]
MODALITIES: dict[Modality, str] = {"mr": "MR", "us": "ultrasound", "ct": "CT"}
SPACING = FINE_SPACING  # mm, of the voxels in every modality
BOX = (80, 80, 80)  # voxels of an ultrasound volume, (Z, Y, X)
MOMENTS = 2  # of each subject: end-diastole and end-systole


class HeartScan(NamedTuple):
    r"""A `picture` in [0, 1] and its true `labels` (uint8: 1 LV cavity, 2 LV wall), both on one grid in the patient;
    the six `landmarks` `(6, 3)`, mm, in the order of :data:`~cardiolearn.phantom.cohorts.poses.LANDMARKS`; and which
    voxels the scanner has `seen` `(Z, Y, X)`: those of the sector, in MR and CT all."""

    picture: Image
    labels: Image
    landmarks: Tensor
    seen: Tensor

    def landmark_voxels(self) -> Tensor:
        r"""The landmarks in voxels `(6, 3)`, along the axes (z, y, x) of the tensors."""
        away = torch.from_numpy(np.linalg.inv(self.picture.affine))
        return (self.landmarks @ away[:3, :3].T + away[:3, 3]).flip(1)


@dataclass(frozen=True)
class Hearts:
    r"""Subjects of a cohort before three scanners: those of the test cohort before ones that no forest has seen."""

    maps: VolumeMaps
    beams: UltrasoundVolumes
    poses: Poses
    cohort: Cohort

    def __len__(self) -> int:
        return len(self.maps)

    def scan(self, modality: Modality, moment: int, seed: int = 0) -> HeartScan:
        r"""The scan of a `moment`: `2 i` is subject `i` at end-diastole, `2 i + 1` at end-systole. Another `seed` is
        another scan of it."""
        subject, pick = moment // MOMENTS, torch.tensor([moment])
        own = (seed * 1_000_003 + moment) * len(MODALITIES) + list(MODALITIES).index(modality)
        generator = torch.Generator().manual_seed(own % 2**62)
        unseen = self.cohort == "test"
        if modality == "us":
            echograph = UNSEEN_ECHOGRAPH if unseen else ANY_ECHOGRAPH
            found = render_ultrasound(self.beams, pick, generator, echograph=echograph, shape=BOX, spacing=SPACING)
            affine = self.poses.box_affine(subject, BOX, SPACING)
            seen = in_sector(BOX, SPACING, math.radians(echograph.half_angle[0]), found[0].device)
        else:
            if modality == "mr":
                found = render_mr(self.maps, pick, generator, vendor=UNSEEN_VENDOR if unseen else ANY_VENDOR)
            else:
                found = render_ct(self.maps, pick, generator, scanner=UNSEEN_CT if unseen else ANY_CT)
            affine = self.poses.heart_affine(subject, self.maps.label.shape[2:], SPACING)
            seen = torch.ones_like(found[1][0], dtype=torch.bool)
        picture, labels = (part[0] for part in found)
        ventricle = labels.masked_fill(labels > MYOCARDIUM, 0).to(torch.uint8)
        landmarks = self.poses.landmarks[subject, moment % MOMENTS]
        return HeartScan(Image(picture[0], affine), Image(ventricle, affine), landmarks, seen)

    def scans(self, modality: Modality, moments: Sequence[int], seed: int = 0) -> list[HeartScan]:
        r"""Those of several moments."""
        return [self.scan(modality, moment, seed) for moment in moments]


def sample_hearts(n: int, folder: Path, cohort: Cohort = "train", seed: int = 0, jobs: int | None = None) -> Hearts:
    r"""Subjects 0 to `n` - 1, kept in `folder`; some 3 s of one core a subject."""
    return Hearts(
        sample_volume_maps(n, folder / "tissue", cohort=cohort, seed=seed, jobs=jobs, fine=True),
        sample_ultrasound_volumes(n, folder / "beams", cohort=cohort, seed=seed, jobs=jobs),
        sample_poses(n, folder / "poses", cohort=cohort, seed=seed, jobs=jobs),
        cohort,
    )
