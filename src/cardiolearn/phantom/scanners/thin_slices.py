r"""The 3D scan behind a clinical stack: thin slices, no breath-hold shifts, texture that moves with the heart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from cardiolearn.imaging.image import Image
from cardiolearn.phantom.body.noise import Noise
from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.scanners.acquisition import (
    Scan,
    frame_exposures,
    grey_values,
    grid_points,
    signals_and_texture,
)
from cardiolearn.phantom.scanners.free_walls import near_free_walls
from cardiolearn.phantom.scanners.mri import Vendor
from cardiolearn.phantom.scanners.thick_slices import slice_profile

SPACING = (1.25, 1.25, 2.0)  # mm, (x, y, z): the voxels of the lecture's 3D cohort
SHAPE = (60, 112, 112)  # 120 x 140 x 140 mm, (Z, Y, X)
_SAMPLES = ((-0.25, 0.25, -0.25), (0.25, -0.25, 0.25))  # voxels: where the signal of a voxel is sampled, (z, y, x)
_PROFILE = 1.2  # voxels: the full width at half maximum of the point spread through the plane, that of a sinc


def high_resolution_affine(scene: Scene, shape: Sequence[int] = SHAPE) -> np.ndarray:
    r"""Affine (x, y, z, 1) to RAS mm of a grid of `shape` around the ventricles, its slices across the LV axis."""
    right, down, axis = scene.frame[:, 0], -scene.frame[:, 1], scene.frame[:, 2]
    middle = scene.origin + scene.frame @ scene.frame.new_tensor([-14.0, -4.0, 0.5 * scene.heart.height - 4.0])
    steps = torch.stack([d * s for d, s in zip((right, down, axis), SPACING, strict=True)], 1)
    corner = middle - steps @ (0.5 * (steps.new_tensor(shape[::-1]) - 1.0))
    affine = np.eye(4)
    affine[:3] = torch.cat((steps, corner[:, None]), 1).double().cpu().numpy()
    return affine


def scan_high_resolution(
    scene: Scene, vendor: Vendor, activations: Sequence[float], *, seed: int, shape: tuple[int, int, int] = SHAPE
) -> Scan:
    r"""Volumes `(T, Z, Y, X)` of thin slices with their true labels, one for each of `activations`.

    One scan: the same contrast, coil and grey scale in every frame, and a texture carried along by the heart; only the
    noise is new. Blood is near 400, as in a stack.
    """
    g = torch.Generator("cpu").manual_seed(seed)
    affine = high_resolution_affine(scene, shape)
    points = grid_points(affine, shape, scene.device)
    columns = torch.from_numpy(affine[:3, :3]).float().to(scene.device)
    table = signals_and_texture(vendor, g).to(scene.device)
    exposures = frame_exposures(shape, vendor, g, range(len(activations)), scene.device)
    weight = torch.rand(1, generator=g, device="cpu").item()
    noise = Noise((scene.subject.seed * 7 + 6) % 2**62)
    profile = slice_profile(2 * shape[0], 2, _PROFILE * SPACING[2], 0.5 * SPACING[2], scene.device)
    samples = [scene.over(points + columns @ columns.new_tensor(offset[::-1]), activations) for offset in _SAMPLES]

    def texture(places: torch.Tensor) -> torch.Tensor:
        return weight * noise.at(places, 9.0) + (1.0 - weight) * noise.at(places, 4.0, 5.0)

    still = texture(points)
    frames, labels = [], []
    for t, (a, exposure) in enumerate(zip(activations, exposures, strict=True)):
        planes = torch.zeros((2 * shape[0], *shape[1:], table.shape[1]), device=scene.device)
        for k, seen in enumerate(samples):
            planes[k::2] = F.embedding(seen[t].tissue.int(), table)
        rest = scene.at_rest(points, a)
        moved = (rest != points).any(-1)
        pattern = still.masked_scatter(moved, texture(rest[moved]))
        near = near_free_walls(samples[0][t].tissue, SPACING[0])
        frames.append(grey_values(torch.tensordot(profile, planes, 1), near, replace(exposure, pattern=pattern)))
        labels.append(scene.labels_at(points, a))
    cine = Image(torch.stack(frames), affine)
    return Scan(cine, cine.with_data(torch.stack(labels)), tuple(activations))
