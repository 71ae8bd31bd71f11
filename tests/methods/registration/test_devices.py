r"""Hearts are followed on the device of the pictures: nothing is made on the default device."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hearts import seeded

from cardiolearn.methods.registration import similarity, tracking
from cardiolearn.methods.registration.ffd import RegistrationSettings, register
from cardiolearn.methods.registration.meshes import carry

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def elsewhere() -> Iterator[None]:
    with torch.device("meta"):
        yield


@pytest.mark.parametrize(
    "unlike", [similarity.mean_squares, similarity.local_correlation, similarity.mutual_information]
)
@pytest.mark.parametrize("shape", [(16, 18, 20), (24, 20)])
def test_a_registration_stays_where_the_pictures_are(unlike: similarity.Unlikeness, shape: tuple[int, ...]) -> None:
    fixed, moving = torch.rand((2, *shape), generator=seeded(), device=CPU)
    settings = RegistrationSettings(unlike, iterations=2)
    found = register(fixed, moving, (2.0,) * len(shape), settings)
    points = torch.rand((9, len(shape)), generator=seeded(), device=CPU)
    assert found.coefficients.device == found.at(points).device == found.jacobian(points).device == CPU
    assert found.coefficients.any()


def test_surfaces_are_carried_where_they_are() -> None:
    images = torch.rand((2, 12, 20, 22), generator=seeded(), device=CPU)
    heart = torch.zeros(images.shape[1:], dtype=torch.bool, device=CPU)
    heart[4:8, 6:12, 7:13] = True
    field, piece = tracking.follow(images, np.diag([2.0, 2.0, 3.0, 1.0]), heart)
    vertices = 20.0 * torch.rand((30, 3), generator=seeded(), device=CPU)
    assert carry(vertices, field, piece).device == CPU
