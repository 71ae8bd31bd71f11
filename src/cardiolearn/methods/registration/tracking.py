r"""A heart followed from end-diastole to end-systole on pictures of it, and how far from where it really went."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image, box_around
from cardiolearn.imaging.intensity import unit_variance
from cardiolearn.imaging.structures import RV_CAVITY
from cardiolearn.learning.progress import tqdm
from cardiolearn.measures.surfaces import Mesh
from cardiolearn.methods.registration.bsplines import FreeForm
from cardiolearn.methods.registration.ffd import register
from cardiolearn.methods.registration.meshes import carry, mesh_distance
from cardiolearn.phantom.body.disease import Cohort
from cardiolearn.phantom.body.landmarks import Surface, to_patient, ventricle_mesh
from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.body.subject import sample_subject
from cardiolearn.phantom.cohorts.stacks import TestStack
from cardiolearn.phantom.cohorts.volumes import Volumes, quiet
from cardiolearn.phantom.scanners.mri import UNSEEN_VENDOR
from cardiolearn.phantom.scanners.thick_slices import clinical_stack
from cardiolearn.phantom.scanners.thin_slices import SPACING, high_resolution_affine, scan_high_resolution

Beat = dict[str, Mesh]  # the surfaces at one moment
Restore = Callable[[TestStack], Tensor]  # thin slices `(2, 5 Z, Y, X)` of both phases
SURFACES: tuple[Surface, ...] = ("lv_endocardium", "lv_epicardium")
_MARGIN = 12.0  # mm around the ventricles that registration looks at
_COARSE = (16, 32)  # rings and vertices a ring of surfaces that are only looked at


@dataclass(frozen=True)
class TrueMotion:
    r"""What a phantom knows: `affine` of its thin-slice scan, the LV's surfaces `before`, at end-diastole, and the true
    places `after`, at end-systole, of their vertices `(V, 3)`, mm (RAS+)."""

    affine: Any
    before: Mapping[str, Mesh]
    after: Mapping[str, Tensor]

    @classmethod
    def of(cls, index: int, cohort: Cohort, seed: int) -> TrueMotion:
        r"""Of subject `index` of a cohort, as `scan_volumes` scans it."""
        scene = Scene(sample_subject(index, cohort=cohort, seed=seed))
        after = {name: mesh.vertices for name, mesh in _surfaces(scene, 1.0).items()}
        return cls(high_resolution_affine(scene), _surfaces(scene, 0.0), after)


def follow(images: Tensor, affine: Any, heart: Tensor, start: FreeForm | None = None) -> tuple[FreeForm, Image]:
    r"""The deformation from the first to the second of two pictures `(2, Z, Y, X)`, and the piece of the first it holds
    for.

    Args:
        affine: of the pictures, 4x4 mm.
        heart: `(Z, Y, X)`, true where the heart lies in the first: only that piece and some margin is looked at.
        start: what was found for an earlier frame, to begin from.
    """
    whole = Image(images[0], affine)
    piece = box_around(heart, [round(_MARGIN / step) for step in reversed(whole.spacing)])
    if piece is None:
        raise InputError("follow: expected a mask of the heart, got an empty one")
    origin = np.array([s.start for s in reversed(piece)] + [1.0])
    moved = whole.affine.copy()
    moved[:3, 3] = (whole.affine @ origin)[:3]
    middle, width = unit_variance(images[0])
    fixed, moving = ((image[piece] - middle) / width for image in images)
    return register(fixed, moving, whole.spacing[::-1], start=start), Image(fixed, moved)


def tracked(motion: TrueMotion, images: Tensor, heart: Tensor) -> dict[str, Tensor]:
    r"""Where tracking on `images` `(2, Z, Y, X)` carries the surfaces, vertices by surface; arguments as `follow`."""
    deformation, piece = follow(images, motion.affine, heart)
    return {name: carry(mesh.vertices, deformation, piece) for name, mesh in motion.before.items()}


@dataclass(frozen=True)
class Followed:
    r"""One subject followed from end-diastole to end-systole on several `pictures` `(2, Z, Y, X)`, by method.

    `found` holds the places `(V, 3)` mm (RAS+) of the vertices of each surface, by method and surface.
    """

    motion: TrueMotion
    pictures: Mapping[str, Tensor]
    found: Mapping[str, Mapping[str, Tensor]]


def follow_subject(
    volumes: Volumes, index: int, methods: Mapping[str, Restore], seed: int, device: torch.device | str = "cpu"
) -> Followed:
    r"""Subject `index` of a test cohort sampled with `seed`, followed on the thin slices that `methods` restore and, as
    `"high_resolution"`, on those of the scan; registered on `device`."""
    motion, scan = TrueMotion.of(index, "test", seed), TestStack.of(volumes, index, seed)
    heart = _ventricles(scan.labels[0])
    pictures = {name: restore(scan) for name, restore in methods.items()} | {"high_resolution": scan.volume}
    found = {name: tracked(motion, both.to(device), heart) for name, both in pictures.items()}
    return Followed(motion, pictures, found)


def tracking_errors(motion: TrueMotion, found: Mapping[str, Mapping[str, Tensor]]) -> list[dict[str, Any]]:
    r"""A row for the pictures of each `method` that the surfaces were tracked on: means over the surfaces in mm.

    Columns `to_high_resolution` (distance from the surface tracked on the thin-slice scan, called so in `found`),
    `to_truth` (of each vertex from its true place), and `surface_to_truth` (from the true surface, gliding along it not
    counted).
    """
    rows = []
    for name, vertices in found.items():
        reference = found["high_resolution"]
        each = [
            {
                "to_high_resolution": _apart(mesh, vertices[surface], reference[surface]),
                "to_truth": float((vertices[surface] - motion.after[surface]).norm(dim=1).mean()),
                "surface_to_truth": _apart(mesh, vertices[surface], motion.after[surface]),
            }
            for surface, mesh in motion.before.items()
        ]
        rows.append({"method": name} | {key: sum(e[key] for e in each) / len(each) for key in each[0]})
    return rows


def track_all(
    volumes: Volumes, methods: Mapping[str, Restore], seed: int, device: torch.device | str = "cpu"
) -> pd.DataFrame:
    r"""`tracking_errors` of each subject of a test cohort sampled with `seed`: on thin slices that `methods` restore,
    and on the thin slices themselves, registered on `device`. Columns `subject`, `method`, and the distances in mm."""
    rows: list[dict[str, Any]] = []
    for i in tqdm(range(len(volumes)), desc="tracking", unit="subject"):
        one = follow_subject(volumes, i, methods, seed, device)
        rows += [{"subject": f"{i:05d}", **row} for row in tracking_errors(one.motion, one.found)]
    return pd.DataFrame(rows)


def film(
    index: int, activations: Sequence[float], restore: Callable[[Tensor], Tensor], seed: int
) -> tuple[list[Beat], list[Beat]]:
    r"""The LV's surfaces of subject `index` of the test cohort over a heart beat, a mesh for each surface and frame, mm
    (RAS+): tracked on what `restore` makes of its short-axis stacks, and where they truly are.

    Args:
        activations: of the frames, of which the first is end-diastole.
        restore: thin slices `(5 Z, Y, X)` of a stack `(Z, Y, X)`.
    """
    scene = Scene(sample_subject(index, cohort="test", seed=seed))
    scan = scan_high_resolution(scene, quiet(UNSEEN_VENDOR), activations, seed=seed)
    stacks = clinical_stack(scan.image.data, SPACING, torch.Generator().manual_seed(seed))
    pictures, heart = [restore(stack) for stack in stacks], _ventricles(scan.labels.data[0])
    true = [_surfaces(scene, a, _COARSE) for a in activations]
    found, field = [true[0]], None
    for picture in pictures[1:]:
        field, piece = follow(torch.stack((pictures[0], picture)), scan.image.affine, heart, start=field)
        found.append({name: Mesh(carry(mesh.vertices, field, piece), mesh.faces) for name, mesh in true[0].items()})
    return found, true


def _ventricles(labels: Tensor) -> Tensor:
    return (labels > 0) & (labels <= RV_CAVITY)


def _surfaces(scene: Scene, activation: float, rings: tuple[int, int] = (48, 96)) -> Beat:
    found: Beat = {}
    for surface in SURFACES:
        vertices, faces = ventricle_mesh(scene.heart, surface, activation, *rings)
        found[surface] = Mesh(to_patient(scene, vertices).double(), faces)
    return found


def _apart(mesh: Mesh, one: Tensor, other: Tensor) -> float:
    return mesh_distance(Mesh(one, mesh.faces), Mesh(other, mesh.faces))
