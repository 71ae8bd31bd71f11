r"""Where the heart cannot be, it is not looked for: nothing of it may be missed."""

from __future__ import annotations

import pytest
import torch
from hearts import PEOPLE, seeded
from torch import Tensor

from cardiolearn.phantom.body.anatomy import Anatomy
from cardiolearn.phantom.body.heart import Heart
from cardiolearn.phantom.body.reach import Reach
from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.body.subject import sample_subject


def cloud(n: int = 40_000) -> Tensor:
    low, high = torch.tensor([-150.0, -150.0, -160.0]), torch.tensor([150.0, 150.0, 190.0])
    return low + (high - low) * torch.rand((n, 3), generator=seeded(4))


@pytest.mark.parametrize("a", [0.0, 0.45, 1.0])
def test_no_point_near_the_heart_is_missed_and_most_far_ones_are_left_out(a: float) -> None:
    points = cloud()
    for group, cohort in PEOPLE:
        anatomy = Anatomy(Heart(sample_subject(1, cohort=cohort, group=group)))
        length, outside = anatomy.heart.length, anatomy.at(points, a).outside
        around = (points - torch.tensor([0.0, 0.0, 0.25 * length])).abs().amax(1) < length + 45.0
        for distance in (6.0, 20.0):
            found = torch.zeros(len(points), dtype=torch.bool)
            found[Reach(anatomy, points.device).within(points, a, distance)] = True
            assert found[(outside < distance) & around].all()
            assert found[outside > distance + 20.0].float().mean() < 0.03


def test_a_scene_is_that_of_a_heart_looked_for_everywhere() -> None:
    r"""No tissue, no label, and nothing that the trunk makes of the heart's nearness is lost."""
    points = cloud()
    for group, cohort in PEOPLE:
        scene = Scene(sample_subject(2, cohort=cohort, group=group))
        local = (points - scene.origin) @ scene.frame
        inside = (local - torch.tensor([0.0, 0.0, 0.25 * scene.heart.length])).norm(dim=1) < scene.heart.length + 45.0
        everywhere = scene.anatomy.at(local, 0.7)
        trunk = scene.thorax.at(points, scene.thorax.contact(points, everywhere.outside))
        expected = torch.where(everywhere.tissue > 0, everywhere.tissue, trunk)
        assert (scene.at(points, 0.7).tissue != expected)[inside].float().mean() < 1e-4
        assert torch.equal(scene.labels_at(points, 0.7)[inside], everywhere.label[inside])


def test_beyond_the_lattice_there_is_no_heart() -> None:
    anatomy = Anatomy(Heart(sample_subject(0, cohort="train")))
    far = torch.tensor([[1e4, 0.0, 0.0], [0.0, -1e4, 0.0], [0.0, 0.0, 1e4], [0.0, 0.0, 40.0]])
    assert Reach(anatomy, far.device).within(far, 0.0, 20.0).tolist() == [3]
