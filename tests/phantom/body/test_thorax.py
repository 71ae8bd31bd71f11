r"""The trunk around the heart: organs on their sides, a wall as thick as the person, gas above what is fluid."""

from __future__ import annotations

import dataclasses

import torch
from hearts import seeded

from cardiolearn.phantom.body.subject import Subject, sample_subject
from cardiolearn.phantom.body.thorax import Thorax
from cardiolearn.phantom.body.tissue import Tissue

HEART = (-30.0, 30.0, -15.0)  # mm: its middle, to the patient's left and in front


def trunk(subject: Subject, n: int = 60_000) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Random points of the trunk and their tissues, the heart far away from all of them."""
    low, high = torch.tensor([-220.0, -170.0, -130.0]), torch.tensor([220.0, 170.0, 60.0])
    points = low + (high - low) * torch.rand((n, 3), generator=seeded())
    return points, Thorax(subject, HEART).at(points, torch.zeros(n, dtype=torch.uint8))


def middle(points: torch.Tensor, tissue: torch.Tensor, *which: Tissue) -> torch.Tensor:
    return points[torch.isin(tissue, torch.tensor(which))].mean(0)


def test_organs_lie_where_they_do_in_people() -> None:
    r"""RAS+: the liver on the right, the spleen on the left, the spine behind, the aorta beside it on the left."""
    for index in range(6):
        points, tissue = trunk(sample_subject(index, cohort="train"))
        assert set(tissue.tolist()) <= {int(t) for t in Tissue} - {int(Tissue.AIR)}
        liver, spleen = (middle(points, tissue, organ) for organ in (Tissue.LIVER, Tissue.SPLEEN))
        assert liver[0] > 20.0 and spleen[0] < -20.0
        assert max(liver[2], spleen[2]) < middle(points, tissue, Tissue.LUNG)[2] - 40.0  # below the diaphragm
        spine = middle(points, tissue, Tissue.CSF, Tissue.CORD)
        assert abs(spine[0]) < 15.0 and spine[1] < -60.0
        descending = (tissue == Tissue.ARTERY) & (points[:, 2] < -20.0)
        assert points[descending].mean(0)[0] < spine[0] and points[descending].mean(0)[1] > spine[1]


def test_a_heavier_person_has_more_fat_under_the_skin() -> None:
    subject = sample_subject(0, cohort="train", sex="male")
    shares = []
    for weight in (80.0, 100.0, 120.0):
        _, tissue = trunk(dataclasses.replace(subject, weight=weight))
        shares.append((tissue == Tissue.SUBCUTANEOUS_FAT).float().mean().item())
    assert shares[0] < 0.8 * shares[1] < 0.64 * shares[2]


def test_gas_lies_in_front_of_what_else_is_in_the_stomach() -> None:
    r"""A patient lies on the back. (The colon has gas too, or food: it is told by its place.)"""
    seen = 0
    for index in range(12):
        thorax = Thorax(sample_subject(index, cohort="train"), HEART)
        centre, radii = (torch.tensor(part) for part in thorax._stomach)
        points = centre + 0.6 * radii * (2.0 * torch.rand((4000, 3), generator=seeded(index)) - 1.0)
        away = (points - torch.tensor(thorax._colon[0])).norm(dim=-1) - thorax._colon[1]
        points = points[away > 12.0]
        tissue = thorax.at(points, torch.zeros(len(points), dtype=torch.uint8))
        gas = points[tissue == Tissue.BOWEL_GAS][:, 1]
        full = points[(tissue == Tissue.STOMACH_FLUID) | (tissue == Tissue.STOMACH_FOOD)][:, 1]
        if len(gas) > 20 and len(full) > 20:
            seen += 1
            assert gas.min() >= full.max()
    assert seen >= 3
