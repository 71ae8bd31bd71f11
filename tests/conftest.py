r"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cardiolearn.phantom.high_resolution import SPACING
from cardiolearn.phantom.volumes import Volumes


@pytest.fixture(scope="session")
def real_scans() -> Path:
    r"""Folder of real sample scans (`CARDIOLEARN_SCANS`); the test is skipped where there is none."""
    folder = os.environ.get("CARDIOLEARN_SCANS", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("CARDIOLEARN_SCANS names no folder of real scans")
    return Path(folder)


def _spheres(n: int) -> Volumes:
    r"""Bright balls in the dark, smaller in the second phase, two planes through their middle."""
    z, y, x = torch.meshgrid(
        *(torch.arange(n_) * d for n_, d in zip((30, 48, 44), reversed(SPACING), strict=True)), indexing="ij"
    )
    middle = torch.tensor([29.0, 29.0, 27.0])
    away = ((z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2).sqrt()
    radii = torch.tensor([[20.0 + i, 14.0 + i] for i in range(n)])
    label = (away < radii[:, :, None, None, None]).to(torch.uint8)
    image = (100 + 300 * label.float() + 20 * torch.sin(x / 3)).to(torch.int16)
    one = torch.stack((middle, torch.tensor([0.0, 1.0, 0.0]), torch.tensor([1.0, 0.0, 0.0])))
    other = torch.stack((middle, torch.tensor([0.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0])))
    return Volumes(image, label, torch.stack((one, other)).expand(n, 2, 3, 3))


@pytest.fixture
def spheres() -> Callable[[int], Volumes]:
    r"""Thin-slice volumes that cost nothing: `spheres(n)` of n subjects."""
    return _spheres
