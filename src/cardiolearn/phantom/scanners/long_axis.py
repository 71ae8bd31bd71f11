r"""Long-axis views of a subject: the two- and the four-chamber plane as a technician plans them.

Both contain the LV long axis, from the middle of the left atrium's mouth to the apex at end-diastole. (The mouth lies
some 13 mm from the middle of the ventricle's base, which holds the aortic root as well: a plane through the latter
would show the aorta in place of the left atrium.) The four-chamber plane is turned about the axis until it passes
half-way between the widest place of the right ventricle and the middle of the right atrium; the two-chamber plane
stands 60 to 75 degrees to it, clear of the right heart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch

from cardiolearn.errors import InputError
from cardiolearn.imaging.structures import LEFT_ATRIUM, RIGHT_ATRIUM
from cardiolearn.phantom.body.heart import Heart
from cardiolearn.phantom.body.landmarks import landmarks, to_patient
from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.scanners.acquisition import Scan, SlicePlan, acquire
from cardiolearn.phantom.scanners.mri import Vendor, uniform

LongAxisView = Literal["la_2ch", "la_4ch"]
LONG_AXIS_VIEWS: tuple[LongAxisView, ...] = ("la_2ch", "la_4ch")
THICKNESS = 6.0  # mm
_BETWEEN = (60.0, 75.0)  # degrees from the four- to the two-chamber plane
# A technician's errors, standard deviations: the turn about the axis, and how far the plane passes by either end of it.
_TURN, _OFF = math.radians(3.0), 1.5  # rad, mm
_ATRIA = 50.0  # mm that they reach above the mitral plane


@dataclass(frozen=True)
class Plane:
    r"""A plane in the patient frame (RAS+): the middle of the picture `(3,)` in mm, unit directions `(3,)` of its rows'
    and columns' growth."""

    middle: torch.Tensor
    right: torch.Tensor
    down: torch.Tensor

    @property
    def normal(self) -> torch.Tensor:
        r"""Unit normal `(3,)`, as DICOM defines it."""
        return torch.linalg.cross(self.right, self.down)

    def affine(self, pixel: float, shape: tuple[int, int]) -> np.ndarray:
        r"""Affine (x, y, z, 1) to RAS mm of a picture of `shape` with square pixels of `pixel` mm."""
        corner = self.middle - 0.5 * pixel * ((shape[1] - 1) * self.right + (shape[0] - 1) * self.down)
        affine = np.eye(4)
        columns = (self.right * pixel, self.down * pixel, self.normal * THICKNESS, corner)
        affine[:3] = torch.stack(columns, 1).double().cpu().numpy()
        return affine


def _unit(vector: torch.Tensor) -> torch.Tensor:
    return vector / vector.norm()


def _across(vector: torch.Tensor, axis: torch.Tensor) -> torch.Tensor:
    # The part of a vector that stands at right angles to a unit axis, as a unit vector.
    return _unit(vector - (vector @ axis) * axis)


def _widest_right(heart: Heart, device: torch.device) -> torch.Tensor:
    # The point (3,) of the RV free wall (mm, heart frame, end-diastole) farthest from the septum at mid-ventricle.
    theta = torch.linspace(0.0, 2.0 * math.pi, 721, device=device)
    depth = torch.full_like(theta, 0.5 * heart.length)
    epi = heart.radii_now(depth, theta, 0.0)[1]
    outer = epi + heart.right.beyond(depth, theta, 0.0)
    widest = int((outer - epi).argmax())
    return heart.to_space(outer[widest], theta[widest], depth[widest], 0.0)


def _middle(scene: Scene, label: int, height: float) -> torch.Tensor:
    # The middle (3,) of a chamber in the slice `height` mm above the ventricle's base, patient frame.
    across = torch.arange(-90.0, 61.0, 3.0, device=scene.device)
    slice_points = to_patient(scene, torch.cartesian_prod(across, across, across.new_tensor([-height])))
    return slice_points[scene.labels_at(slice_points, 0.0) == label].mean(0)


@lru_cache(maxsize=2)  # both views of a scan, and all planes of a training subject, are planned on them
def planning_points(scene: Scene) -> dict[str, torch.Tensor]:
    r"""What a technician clicks on at end-diastole, each `(3,)` mm in the patient frame.

    `apex`; `mitral_valve`, the middle of the left atrium in the slice 6 mm above the ventricle's base; `right_atrium`,
    its middle 18 mm above it; `rv_free_wall`, where the RV is widest at mid-ventricle.
    """
    mitral, right = (_middle(scene, label, height) for label, height in ((LEFT_ATRIUM, 6.0), (RIGHT_ATRIUM, 18.0)))
    return {
        "apex": to_patient(scene, landmarks(scene.heart, 0.0, scene.device)["apex"]),
        "mitral_valve": mitral,
        "right_atrium": right,
        "rv_free_wall": to_patient(scene, _widest_right(scene.heart, scene.device)),
    }


def plan_long_axis(scene: Scene, view: LongAxisView, generator: torch.Generator, *, scatter: float = 1.0) -> Plane:
    r"""The plane of `view`; two views planned with equal generators are 60 to 75 degrees apart, up to those errors.

    Args:
        scene: whose heart, at end-diastole.
        view: `"la_2ch"` or `"la_4ch"`.
        generator: of the technician's errors; each view takes the same numbers, so that they fit together.
        scatter: scales the errors; 1 are those of a scan: 3 degrees about the axis, 1.5 mm at either end (SD).

    Raises:
        InputError: another view.
    """
    if view not in LONG_AXIS_VIEWS:
        raise InputError(f"view: expected {' or '.join(LONG_AXIS_VIEWS)}, got {view!r}")
    errors = torch.randn((2, 6), generator=generator, device=generator.device).clamp(-2, 2)
    n = errors[LONG_AXIS_VIEWS.index(view)].tolist()
    turn = math.radians(uniform(1, _BETWEEN, generator).item())
    found = planning_points(scene)
    top, tip = found["mitral_valve"], found["apex"]
    axis = _unit(tip - top)
    towards_right = _unit(_across(found["rv_free_wall"] - top, axis) + _across(found["right_atrium"] - top, axis))
    angle = scatter * _TURN * n[0] + (turn if view == "la_2ch" else 0.0)
    # Seen along the axis: from the RV free wall over the inferior to the lateral wall.
    side = math.cos(angle) * towards_right + math.sin(angle) * torch.linalg.cross(axis, towards_right)
    normal = torch.linalg.cross(axis, side)
    top, tip = top + scatter * _OFF * n[1] * normal, tip + scatter * _OFF * n[2] * normal
    axis = _unit(tip - top)
    side = _across(side, axis)
    down_long = 0.5 * (scene.heart.height - _ATRIA) + 8.0 * n[3]
    middle = top + down_long * axis + ((12.0 if view == "la_4ch" else 0.0) + 8.0 * n[4]) * side
    return Plane(middle, *_shown(torch.linalg.cross(axis, side), 0.12 * n[5]))


def _shown(normal: torch.Tensor, angle: float) -> tuple[torch.Tensor, torch.Tensor]:
    # Scanners show an oblique plane as the transverse, coronal or sagittal one it is nearest to; here turned a little.
    patient_left, backward, feet = -torch.eye(3, device=normal.device)
    nearest = int(normal.abs().argmax())
    first, second = ((backward, feet), (patient_left, feet), (patient_left, backward))[nearest]
    right = _across(first, normal)
    down = torch.linalg.cross(normal, right)
    down = down if down @ second > 0.0 else -down
    return math.cos(angle) * right + math.sin(angle) * down, math.cos(angle) * down - math.sin(angle) * right


def scan_long_axis(
    scene: Scene, vendor: Vendor, view: LongAxisView, activations: Sequence[float], *,
    seed: int, shape: tuple[int, int] = (160, 176), breath_hold: float = 1.0, first: int = 0,
) -> Scan:  # fmt: skip
    r"""Cine `(T, 1, Y, X)` of one long-axis slice, 6 mm thick, one frame for each of `activations`.

    As :func:`~cardiolearn.phantom.scanners.acquisition.scan_short_axis`, reproducible from `seed`; views scanned with
    the same seed were planned together.

    Raises:
        InputError: another view.
    """
    plane = plan_long_axis(scene, view, torch.Generator("cpu").manual_seed((seed * 7 + 3) % 2**62))
    generator = torch.Generator("cpu").manual_seed((seed * 7 + (4 if view == "la_2ch" else 6)) % 2**62)
    affine = plane.affine(uniform(1, vendor.pixel, generator).item(), shape)
    plan = SlicePlan(affine, (1, *shape), THICKNESS)
    return acquire(scene, vendor, activations, plan, generator, breath_hold=breath_hold, first=first)
