r"""Scanning a subject: a cine with its true labels, geometry as a real scanner would write it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from cardiolearn.imaging.image import Image
from cardiolearn.phantom.body.curves import activation
from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.scanners.exposure import Exposure, magnitude, sample_exposure
from cardiolearn.phantom.scanners.free_walls import along_free_walls, near_free_walls, with_blood
from cardiolearn.phantom.scanners.mri import TEXTURE, Vendor, signal_table, uniform

# Where the signal of a voxel is sampled: through the slice (share of its thickness) and in the plane (pixels).
_SAMPLES = ((-0.33, 0.25, -0.25), (0.0, -0.25, -0.25), (0.0, 0.25, 0.25), (0.33, -0.25, 0.25))
_MIDDLE = 1  # of these, one in the middle of the slice


@dataclass(frozen=True)
class Scan:
    r"""A cine `(T, Z, Y, X)`, its true labels on the same grid (uint8), and the activation of each frame."""

    image: Image
    labels: Image
    activations: tuple[float, ...]


def frame_activations(n_frames: int) -> tuple[float, ...]:
    r"""Activation of `n_frames` frames spread evenly over one cycle, the first at end-diastole."""
    return tuple(activation(t / n_frames) for t in range(n_frames))


@dataclass(frozen=True)
class SlicePlan:
    r"""Slices as they are planned: `affine` (x, y, z, 1) to RAS mm, `grid` `(Z, Y, X)`, `thickness` in mm."""

    affine: np.ndarray
    grid: tuple[int, int, int]
    thickness: float


def plan_short_axis(scene: Scene, vendor: Vendor, shape: tuple[int, int], generator: torch.Generator) -> SlicePlan:
    r"""A stack of pictures of `shape` as a technician would plan it.

    The stack runs from one slice above the mitral plane to the apex, a few degrees off the true axis, the heart
    somewhat off the centre of the picture.
    """
    pixel = uniform(1, vendor.pixel, generator).item()
    thickness = uniform(1, vendor.thickness, generator).item()
    step = thickness + uniform(1, vendor.gap, generator).item()
    n = torch.randn(6, generator=generator, device=generator.device).clamp(-2, 2).tolist()
    tilt, turn = (0.06 * n[0], 0.06 * n[1]), 0.12 * n[2]
    axis = scene.frame @ scene.frame.new_tensor([tilt[0], tilt[1], 1.0])
    axis = axis / axis.norm()
    right = scene.frame @ scene.frame.new_tensor([math.cos(turn), math.sin(turn), 0.0])
    right = right - (right @ axis) * axis
    right = right / right.norm()
    down = -torch.linalg.cross(axis, right)
    first = -step * (0.8 + 0.4 * abs(n[3]))
    count = math.ceil((scene.heart.height - first) / step) + 1
    middle = scene.frame @ scene.frame.new_tensor([-12.0 + 14 * n[4], -8.0 + 14 * n[5], first]) + scene.origin
    corner = middle - 0.5 * pixel * ((shape[1] - 1) * right + (shape[0] - 1) * down)
    affine = np.eye(4)
    affine[:3] = torch.stack((right * pixel, down * pixel, axis * step, corner), 1).double().cpu().numpy()
    return SlicePlan(affine, (count, *shape), thickness)


def grid_points(affine: np.ndarray, shape: Sequence[int], device: torch.device | str = "cpu") -> torch.Tensor:
    r"""Voxel centres `(Z, Y, X, 3)` in mm of a grid of `shape` `(Z, Y, X)`."""
    steps = (torch.arange(n, dtype=torch.float32, device=device) for n in shape)
    z, y, x = torch.meshgrid(*steps, indexing="ij")
    matrix = torch.from_numpy(affine).float().to(device)
    return torch.stack((x, y, z), -1) @ matrix[:3, :3].T + matrix[:3, 3]


def scan_short_axis(
    scene: Scene, vendor: Vendor, activations: Sequence[float], *,
    seed: int, shape: tuple[int, int] = (160, 176), breath_hold: float = 1.0, first: int = 0,
) -> Scan:  # fmt: skip
    r"""Short-axis cine of `scene`, one frame for each of `activations`; reproducible from `seed`.

    Args:
        shape: rows and columns of the picture.
        breath_hold: standard deviation (mm) of each slice's in-plane shift, held over all frames, labels included.
        first: number of the first frame in its cine; frames of one scan differ in nothing but the heart and the noise.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    plan = plan_short_axis(scene, vendor, shape, generator)
    return acquire(scene, vendor, activations, plan, generator, breath_hold=breath_hold, first=first)


def acquire(
    scene: Scene, vendor: Vendor, activations: Sequence[float], plan: SlicePlan, generator: torch.Generator, *,
    breath_hold: float, first: int,
) -> Scan:  # fmt: skip
    r"""Scan the planned slices; what all views have in common.

    `breath_hold` and `first` as in :func:`scan_short_axis`; everything random follows from `generator`, which is the
    CPU's: places and contrast are the same on every device.
    """
    points = grid_points(plan.affine, plan.grid, scene.device)
    right, down, axis = (torch.from_numpy(plan.affine[:3, i]).float().to(scene.device) for i in range(3))
    normal = axis / axis.norm()
    shift = breath_hold * torch.randn((plan.grid[0], 2), generator=generator, device="cpu").to(scene.device)
    points = points + (shift[:, :1] * right / right.norm() + shift[:, 1:] * down / down.norm())[:, None, None]
    table, pixel = signals_and_texture(vendor, generator).to(scene.device), float(np.linalg.norm(plan.affine[:3, 0]))
    numbers = range(first, first + len(activations))
    exposures = frame_exposures(plan.grid, vendor, generator, numbers, scene.device)
    samples = []
    for through, dy, dx in _SAMPLES:
        seen = scene.over(points + through * plan.thickness * normal + dy * down + dx * right, activations)
        samples.append([here.tissue for here in seen])
    frames = []
    for tissues, exposure in zip(zip(*samples, strict=True), exposures, strict=True):
        mixed = torch.zeros((*points.shape[:-1], table.shape[1]), device=scene.device)
        for tissue in tissues:
            mixed += F.embedding(tissue.int(), table) / len(_SAMPLES)
        frames.append(grey_values(mixed, near_free_walls(tissues[_MIDDLE], pixel), exposure))
    labels = [scene.labels_at(points, a) for a in activations]
    duration = 60.0 / scene.subject.heart_rate / max(len(activations), 1)
    cine = Image(torch.stack(frames), plan.affine, duration)
    return Scan(cine, cine.with_data(torch.stack(labels)), tuple(activations))


def signals_and_texture(vendor: Vendor, generator: torch.Generator) -> torch.Tensor:
    r"""What one scan shows of each tissue, `(N_TISSUES, 5)`: water and fat signal, strength of the texture, and the
    water of the LV's and of the RV's blood."""
    signals = signal_table(1, vendor, generator)[0]
    return with_blood(torch.cat((signals, TEXTURE[:, None].to(signals.device)), 1))


def frame_exposures(
    grid: Sequence[int], vendor: Vendor, generator: torch.Generator, numbers: Iterable[int],
    device: torch.device | str = "cpu",
) -> Iterator[Exposure]:  # fmt: skip
    r"""The exposures, on `device`, of a cine's frames with these `numbers`: one scan, whose noise follows from the
    frame's number."""
    seed = int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
    settings = torch.Generator(device).manual_seed(seed)
    anything = torch.Generator(device)  # each frame brings its own noise
    scan = sample_exposure(grid[0], (grid[1], grid[2]), vendor, settings, noise=anything)
    return (scan.with_noise(torch.Generator(device).manual_seed(seed + 1 + number)) for number in numbers)


def grey_values(mixed: torch.Tensor, near: torch.Tensor, exposure: Exposure) -> torch.Tensor:
    r"""The picture of `mixed` signals `(n, Y, X, 5)`, in whole numbers; blood is near 400.

    `near` `(n, 2, Y, X)` says where the free walls are (`near_free_walls`).
    """
    return (magnitude(*along_free_walls(mixed, near, exposure.free_walls), exposure) * 400.0).round()
