r"""Small hearts that several tests share: subjects, maps, volumes and pictures, and networks that need no training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TypeVar

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from scipy.spatial import ConvexHull
from torch import Tensor, nn

from cardiolearn.imaging.image import Image
from cardiolearn.measures.surfaces import Mesh
from cardiolearn.methods.registration.bsplines import FreeForm
from cardiolearn.methods.superresolution.networks import FACTOR, interpolate
from cardiolearn.phantom.body.disease import GROUPS, Cohort, Group
from cardiolearn.phantom.body.heart import Heart
from cardiolearn.phantom.body.noise import Noise
from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.body.subject import Subject, sample_subject
from cardiolearn.phantom.body.tissue import Tissue
from cardiolearn.phantom.cohorts.slice_maps import PIXEL, SIZE, SliceMaps
from cardiolearn.phantom.cohorts.volumes import Volumes
from cardiolearn.phantom.scanners.mri import UNSEEN_VENDOR, Vendor
from cardiolearn.phantom.scanners.thin_slices import SPACING

Result = TypeVar("Result")

#: One person of each disease and cohort.
PEOPLE: tuple[tuple[Group, Cohort], ...] = tuple((group, c) for group in GROUPS for c in ("train", "test"))
everyone = pytest.mark.parametrize(("group", "cohort"), PEOPLE)
#: Arguments of `heart_of`, not hearts: hypothesis must not be kept waiting while it chooses.
people = st.tuples(st.sampled_from(GROUPS), st.sampled_from(["train", "test"]), st.integers(0, 2))

#: A scanner without any accident: what goes in comes out.
IDEAL = Vendor(
    "ideal", flip=(50, 50), t1_scale=(1, 1), pixel=(1, 1), thickness=(8, 8), gap=(0, 0), blur=(0.3, 0.3),
    zero_fill=(1, 1), crispness=(0, 0), noise=(0, 0), texture=(1, 1), fat_phase=(1, 1), bias=(0, 0), gamma=(1, 1),
    spread=(0, 0),
)  # fmt: skip
#: Thick pixels: a small picture that still holds the heart, so that tests are quick.
COARSE = Vendor(**(vars(UNSEEN_VENDOR) | {"pixel": (3.2, 3.6)}))


def here(tasks: Sequence[Callable[[], Result]], jobs: int) -> Iterator[tuple[int, Result]]:
    r"""In the place of `learning.device.in_processes`: the tasks one after the other, in this process."""
    yield from enumerate(task() for task in tasks)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------------- bodies
def numbers_of(subjects: list[Subject], *names: str) -> np.ndarray:
    r"""Attributes of subjects, `(n, names)`, or `(n,)` of a single name."""
    return np.array([[getattr(subject, name) for name in names] for subject in subjects]).squeeze()


@cache
def heart_of(group: Group, cohort: Cohort, index: int = 0) -> Heart:
    return Heart(sample_subject(index, cohort=cohort, group=group))


@cache
def scene_of(index: int, cohort: Cohort) -> Scene:
    return Scene(sample_subject(index, cohort=cohort))


def material_points(heart: Heart, seed: int, n: int = 200, *, wall_only: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    r"""Radius, angle and depth (float64) of points in wall and cavity, from the mitral plane to the tip of the apex."""
    share, turn, level = torch.rand((3, n), generator=seeded(seed), dtype=torch.float64)
    depth, theta = 0.001 + (heart.height - 0.002) * level, 2 * math.pi * turn
    inner = heart.endo_radius(depth, theta) if wall_only else torch.zeros_like(depth)
    return inner + share * (heart.epi_radius(depth, theta) - inner), theta, depth


def cartesian(rho: Tensor, theta: Tensor, depth: Tensor) -> Tensor:
    return torch.stack((rho * torch.cos(theta), rho * torch.sin(theta), depth), -1)


# ---------------------------------------------------------------------- pictures
def voxel_places(image: Image) -> Tensor:
    r"""Middles `(Z, Y, X, 3)` of an image's voxels in mm, as nibabel reads its affine."""
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in image.data.shape[:-4:-1]), indexing="ij"), -1)
    millimetres = nib.affines.apply_affine(image.affine, indices)  # (X, Y, Z, 3)
    return torch.from_numpy(millimetres).permute(2, 1, 0, 3).float().contiguous()


def ringed_heart() -> tuple[Image, Image]:
    r"""A heart in four slices of 80 x 90 pixels, and its labels: a bright cavity of 20 mm in a wall of 10 mm, on whose
    left a right ventricle hangs; the grey values are 1, 100, 60 and 30 for the labels 0 to 3."""
    _, y, x = np.indices((4, 80, 90))
    away = np.hypot(y - 40, x - 45) * 1.5
    labels = np.select([away < 20, away < 30, (away < 45) & (x < 45)], [1, 2, 3], 0)
    grey = np.array([1.0, 100.0, 60.0, 30.0], np.float32)[labels]
    affine = np.diag([1.5, 1.5, 9.0, 1.0])
    return Image(torch.from_numpy(grey), affine), Image(torch.from_numpy(labels.astype(np.uint8)), affine)


def disc_maps(n: int, size: int = SIZE) -> SliceMaps:
    r"""`n` equal slices: a round cavity of 22 mm in a wall of 11 mm, a right ventricle on its left, an atrium along the
    lower edge, in lung."""
    place = (torch.arange(size) - (size - 1) / 2) * (SIZE * PIXEL / size)
    y, x = torch.meshgrid(place, place, indexing="ij")
    away = (y**2 + x**2).sqrt()
    label = torch.where(away < 22.0, 1, torch.where(away < 33.0, 2, torch.where((away < 51.0) & (x < 0.0), 3, 0)))
    label[-2:] = 4  # no class of the short-axis network
    codes = [Tissue.LUNG, Tissue.LV_BLOOD, Tissue.MYOCARDIUM, Tissue.RV_BLOOD, Tissue.LA_BLOOD]
    tissue = torch.tensor(codes)[label].to(torch.uint8)
    return SliceMaps(tissue.repeat(n, 3, 1, 1), label.to(torch.uint8).repeat(n, 1, 1))


def spheres(n: int) -> Volumes:
    r"""Thin slices of `n` subjects that cost nothing: bright balls in the dark, of 20 mm, 21 mm, ... at end-diastole,
    6 mm less at end-systole, and two planes through their middle."""
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


# ---------------------------------------------------------------------- label volumes
def shell_heart(
    grid: tuple[int, int, int] = (20, 24, 28), *, base: float = 2.0, apex: float = 17.0, radius: float = 5.0,
    wall: float = 2.5, turn: float = 0.0,
) -> Tensor:  # fmt: skip
    r"""Labels `(Z, Y, X)`, uint8: a cavity as half an egg between the slices `base` and `apex`, open at the base, in a
    wall, and a right ventricle on its side; sizes in voxels, `turn` in radians."""
    z, y, x = torch.meshgrid(*(torch.arange(float(n)) for n in grid), indexing="ij")
    y, x = y - grid[1] / 2 + 0.3, x - 0.6 * grid[2]
    y, x = math.cos(turn) * y - math.sin(turn) * x, math.sin(turn) * y + math.cos(turn) * x

    def egg(middle: float, r: float, tip: float) -> Tensor:
        return ((y / r) ** 2 + ((x - middle) / r) ** 2 + ((z - base) / (tip - base)) ** 2 < 1) & (z >= base)

    cavity, body = egg(0.0, radius, apex), egg(0.0, radius + wall, apex + wall)
    right = egg(-radius, radius + wall, apex - 1.0)
    label = torch.where(cavity, 1, torch.where(body, 2, torch.where(right & (x < 0), 3, 0)))
    return label.to(torch.uint8)


def shell_hearts(n: int, grid: tuple[int, int, int] = (20, 24, 28)) -> Tensor:
    r"""`n` different hearts `(n, Z, Y, X)`, with the labels of `shell_heart`, always the same."""
    z, scale = grid[0], min(grid[1] / 24, grid[2] / 28)
    hearts = []
    for a, b, c in torch.rand((n, 3), generator=seeded(7)).tolist():
        sizes = {"radius": scale * (3.5 + 2.5 * b), "wall": scale * (1.8 + 1.4 * c), "turn": 0.4 * (a - c)}
        hearts.append(shell_heart(grid, base=0.1 * z, apex=(0.65 + 0.2 * a) * z, **sizes))
    return torch.stack(hearts)


def numbers_among(some: Tensor, everything: Tensor) -> list[int]:
    r"""Where in `everything` `(N, ...)` each of `some` `(n, ...)` is: exactly once."""
    return [int(torch.nonzero((one == everything).flatten(1).all(1))) for one in some]


# ---------------------------------------------------------------------- surfaces and deformations
def ball(radius: float, rings: int = 48, around: int = 96) -> Mesh:
    r"""A sphere about the origin whose vertices lie exactly on it; meshes of any radius have the same triangles."""
    theta = math.pi * torch.arange(1, rings, dtype=torch.float64) / rings
    phi = 2.0 * math.pi * torch.arange(around, dtype=torch.float64) / around
    ring = torch.stack(torch.broadcast_tensors(
        theta.sin()[:, None] * phi.cos(), theta.sin()[:, None] * phi.sin(), theta.cos()[:, None]
    ), -1).reshape(-1, 3)  # fmt: skip
    poles = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]], dtype=torch.float64)
    unit = torch.cat((ring, poles))
    return Mesh(radius * unit, torch.from_numpy(ConvexHull(unit.numpy()).simplices.astype(np.int64)))


def texture(points: Tensor) -> Tensor:
    r"""A smooth pattern at any point `(..., 3)` mm."""
    return Noise(3).at(points, 9.0) + 0.6 * Noise(4).at(points, 20.0)


def random_field(scale: float, extent: tuple[float, ...] = (69.0, 58.0, 54.0), seed: int = 0) -> FreeForm:
    flat = FreeForm.identity(extent, 18.0)
    return FreeForm(scale * torch.randn(flat.coefficients.shape, generator=seeded(seed)), flat.knots)


# ---------------------------------------------------------------------- networks
class ReadsGrey(nn.Module):
    r"""Segments by grey value alone: class `k` is likeliest where a pixel is near `levels[k]`, and the surer the
    `sharper` it is."""

    def __init__(self, levels: tuple[float, ...] = (0.0, 1.0, 0.6, 0.3), sharp: float = 200.0) -> None:
        super().__init__()
        self.levels = nn.Parameter(torch.tensor(levels), requires_grad=False)
        self.sharp = sharp

    def forward(self, x: Tensor) -> Tensor:
        return -self.sharp * (x - self.levels[None, :, None, None]) ** 2


class Adds(nn.Module):
    r"""Restores thin slices: linear interpolation and `gain` times the nearest slice."""

    def __init__(self, gain: float = 0.0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, stack: Tensor) -> Tensor:
        return interpolate(stack[:, :1]) + self.gain * stack[:, :1].repeat_interleave(FACTOR, 2)


def disc(size: tuple[int, ...], radius: float, shift: float = 0.0) -> torch.Tensor:
    r"""Label 1 in a disc or a ball about the middle of a picture, or `shift` pixels beside it along every axis."""
    axes = [torch.arange(float(n)) - 0.5 * (n - 1) - shift for n in size]
    away = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0).sqrt()
    return (away < radius).to(torch.uint8)


def pictured(labels: torch.Tensor, seed: int, noise: float = 0.1) -> torch.Tensor:
    r"""Labels as a noisy picture: 0.3 and 0.4 more for each label."""
    generator = torch.Generator().manual_seed(seed)
    return 0.3 + 0.4 * labels.float() + noise * torch.randn(labels.shape, generator=generator)
