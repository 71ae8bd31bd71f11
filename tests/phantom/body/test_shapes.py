r"""Signed distances to simple solids, against closed forms."""

from __future__ import annotations

import pytest
import torch

from cardiolearn.phantom.body.shapes import ellipsoid, tube


def test_tube_is_a_signed_distance() -> None:
    path = [(0.0, 0.0, 0.0), (10.0, 0.0, 0.0), (10.0, 20.0, 0.0)]
    points = torch.tensor([[5.0, 0.0, 0.0], [5.0, 0.0, 4.0], [10.0, 10.0, 7.0], [-3.0, 0.0, 0.0]])
    distance = tube(points, path, [2.0, 2.0, 2.0])
    torch.testing.assert_close(distance, torch.tensor([-2.0, 2.0, 5.0, 1.0]))
    cone = tube(torch.tensor([[10.0, 5.0, 0.0]]), [(0.0, 0.0, 0.0), (20.0, 0.0, 0.0)], [2.0, 4.0])
    torch.testing.assert_close(cone, torch.tensor([2.0]))


def test_ellipsoid_is_right_in_sign_everywhere_and_exact_for_a_ball() -> None:
    points = 12.0 * torch.randn((500, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    centre, radii = (1.0, -2.0, 3.0), (5.0, 9.0, 14.0)
    inside = (((points - torch.tensor(centre)) / torch.tensor(radii)) ** 2).sum(1) < 1.0
    assert torch.equal(ellipsoid(points, centre, radii) < 0.0, inside) and 0 < inside.sum() < 500
    ball = ellipsoid(points, centre, (7.0, 7.0, 7.0))
    torch.testing.assert_close(ball, (points - torch.tensor(centre)).norm(dim=1) - 7.0)


def test_as_many_radii_as_corners() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        tube(torch.zeros(1, 3), [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0)], [1.0])
