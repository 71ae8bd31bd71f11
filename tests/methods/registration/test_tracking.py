r"""Tracking: true motion of a phantom, a known deformation followed, distances of spheres in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hearts import ball, scene_of, seeded, spheres, texture
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.measures.surfaces import Mesh, mask_mesh, mesh_volume_ml
from cardiolearn.methods.registration import tracking
from cardiolearn.methods.registration.bsplines import FreeForm, grid_places
from cardiolearn.methods.registration.ffd import warp
from cardiolearn.methods.registration.meshes import mesh_distance
from cardiolearn.phantom.body.heart import Heart
from cardiolearn.phantom.body.landmarks import landmarks, to_patient
from cardiolearn.phantom.cohorts.stacks import TestStack
from cardiolearn.phantom.cohorts.volumes import scan_volume
from cardiolearn.phantom.scanners.thin_slices import SPACING


def linear(stack: Tensor) -> Tensor:
    return F.interpolate(stack[None, None], scale_factor=(5, 1, 1), mode="trilinear", align_corners=False)[0, 0]


def linear_phases(scan: TestStack) -> Tensor:
    return torch.stack([linear(stack) for stack in scan.stack])


def test_the_true_motion_is_that_of_the_heart() -> None:
    motion = tracking.TrueMotion.of(1, "test", 0)
    scene = scene_of(1, "test")
    subject = scene.subject
    endo = motion.before["lv_endocardium"]
    for vertices, volume in ((endo.vertices, subject.lv_edv), (motion.after["lv_endocardium"], subject.lv_esv)):
        assert mesh_volume_ml(vertices, endo.faces) == pytest.approx(volume, rel=0.03)
    tip = motion.before["lv_epicardium"].vertices[-1]
    apex = to_patient(scene, landmarks(Heart(subject), 0.0)["apex"])
    assert (tip - apex).norm() < 1e-3
    for name, mesh in motion.before.items():
        assert isinstance(mesh, Mesh) and motion.after[name].shape == mesh.vertices.shape


def test_a_known_motion_is_followed_within_its_box() -> None:
    spacing, shape = (2.0, 1.25, 1.25), (30, 56, 60)
    g = seeded()
    coarse = torch.rand(1, 1, 10, 14, 15, generator=g)
    image = F.interpolate(coarse, size=shape, mode="trilinear")[0, 0] * 400
    true = FreeForm.identity([(n - 1) * s for n, s in zip(shape, spacing, strict=True)], 20.0)
    true.coefficients.normal_(0.0, 5.0, generator=g)
    places = grid_places(shape, spacing)
    fixed = warp(image, true.at(places).movedim(-1, 0), spacing)
    heart = torch.zeros(shape, dtype=torch.bool)
    heart[12:18, 22:34, 24:36] = True
    affine = np.diag([1.25, 1.25, 2.0, 1.0])
    affine[:3, 3] = (5.0, -7.0, 11.0)
    found, piece = tracking.follow(torch.stack((fixed, image)), affine, heart)
    assert piece.data.shape == (18, 32, 32)
    assert piece.affine[:3, 3].tolist() == pytest.approx([5.0 + 1.25 * 14, -7.0 + 1.25 * 12, 11.0 + 2.0 * 6])
    inside = places[heart]
    start = torch.tensor([6 * 2.0, 12 * 1.25, 14 * 1.25])
    error = (found.at(inside - start) - true.at(inside)).norm(dim=-1)
    assert error.mean() < 0.2 and true.at(inside).norm(dim=-1).mean() > 1.5


def test_the_box_stays_within_the_picture_and_an_empty_one_is_refused() -> None:
    heart = torch.zeros(10, 20, 30, dtype=torch.bool)
    images = texture(grid_places(heart.shape, (4.0, 2.0, 1.0))).expand(2, *heart.shape)
    with pytest.raises(InputError, match="expected a mask of the heart, got an empty one"):
        tracking.follow(images, np.diag([1.0, 2.0, 4.0, 1.0]), heart)
    heart[0, 19, 15] = True
    field, piece = tracking.follow(images, np.diag([1.0, 2.0, 4.0, 1.0]), heart)
    assert piece.data.shape == (4, 7, 25)  # 12 mm to either side, as far as there are voxels
    assert piece.affine[:3, 3].tolist() == [3.0, 2.0 * 13, 0.0]
    assert field.at(grid_places(piece.data.shape, (4.0, 2.0, 1.0))).abs().max() < 0.05  # nothing moved


def turned(mesh: Mesh, angle: float) -> Tensor:
    r"""The vertices turned about z by `angle` (rad): a surface that glides along itself."""
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    return mesh.vertices @ matrix.T


def test_errors_are_those_of_spheres_in_closed_form() -> None:
    r"""Two surfaces, truly at 14 and 21 mm; on thin slices they are tracked to 15 and 23 mm, by the method to 17 and 24
    mm and a fifth of a turn too far. The distance of a vertex at the height `u` of the unit sphere from its true place
    follows from the law of cosines."""
    names: list[str] = list(tracking.SURFACES)
    angle = 0.4 * math.pi
    motion = tracking.TrueMotion(
        np.eye(4),
        before={name: ball(r) for name, r in zip(names, (20.0, 26.0), strict=True)},
        after={name: ball(r).vertices for name, r in zip(names, (14.0, 21.0), strict=True)},
    )
    thin = {name: ball(r).vertices for name, r in zip(names, (15.0, 23.0), strict=True)}
    method = {name: turned(ball(r), angle) for name, r in zip(names, (17.0, 24.0), strict=True)}
    rows = {r["method"]: r for r in tracking.tracking_errors(motion, {"high_resolution": thin, "method": method})}
    assert list(rows) == ["high_resolution", "method"]
    found = rows["high_resolution"]
    assert found["to_high_resolution"] == pytest.approx(0.0, abs=1e-9)
    assert found["to_truth"] == pytest.approx((1.0 + 2.0) / 2, abs=1e-9)
    assert found["surface_to_truth"] == pytest.approx((1.0 + 2.0) / 2, abs=0.02)
    found = rows["method"]
    u = ball(1.0).vertices[:, 2].numpy()
    along = u**2 + (1.0 - u**2) * math.cos(angle)
    apart = [np.sqrt(r**2 + t**2 - 2.0 * r * t * along).mean() for r, t in ((17.0, 14.0), (24.0, 21.0))]
    assert found["to_truth"] == pytest.approx(np.mean(apart), rel=1e-9)
    assert found["to_high_resolution"] == pytest.approx((2.0 + 1.0) / 2, abs=0.02)
    assert found["surface_to_truth"] == pytest.approx((3.0 + 3.0) / 2, abs=0.02)
    assert found["to_truth"] > 4.0 * found["surface_to_truth"]  # gliding counts for the vertices alone


@pytest.mark.slow
def test_what_is_tracked_on_thin_slices_is_its_own_yardstick(monkeypatch: pytest.MonkeyPatch) -> None:
    volumes = spheres(1)
    balls = volumes.label[0] > 0
    affine = np.diag([*SPACING, 1.0])
    before, after = (mask_mesh(Image(balls[phase], affine)) for phase in (0, 1))
    nearest = torch.cdist(before.vertices, after.vertices).argmin(1)
    motion = tracking.TrueMotion(affine, {"lv_endocardium": before}, {"lv_endocardium": after.vertices[nearest]})
    monkeypatch.setattr(tracking.TrueMotion, "of", lambda *arguments: motion)
    table = tracking.track_all(volumes, {"linear": linear_phases}, seed=0).set_index("method")
    assert table.loc["high_resolution", "to_high_resolution"] == pytest.approx(0.0, abs=1e-9)
    still = float((before.vertices - after.vertices[nearest]).norm(dim=1).mean())
    assert still > 4.0
    assert table["surface_to_truth"].max() < 0.4 * still  # the shrinking ball was followed
    assert table.loc["linear", "to_high_resolution"] < 0.3 * still and list(table["subject"]) == ["00000"] * 2


def test_every_method_is_given_the_same_stack_and_its_own_slices_are_tracked(monkeypatch: pytest.MonkeyPatch) -> None:
    r"""Two subjects; what is tracked on is what the method made of the subject's test stack, the heart that at rest."""
    volumes, seen = spheres(2), list[tuple[Tensor, Tensor]]()
    motion = tracking.TrueMotion(np.eye(4), {"lv_endocardium": ball(5.0)}, {"lv_endocardium": ball(4.0).vertices})
    asked: list[tuple[int, str, int]] = []

    def of(*arguments: object) -> tracking.TrueMotion:
        asked.append(arguments)  # type: ignore[arg-type]
        return motion

    def follow(of: tracking.TrueMotion, images: Tensor, heart: Tensor) -> dict[str, Tensor]:
        seen.append((images, heart))
        return {name: mesh.vertices for name, mesh in of.before.items()}

    monkeypatch.setattr(tracking.TrueMotion, "of", of)
    monkeypatch.setattr(tracking, "tracked", follow)
    table = tracking.track_all(volumes, {"stack": lambda scan: scan.stack}, seed=6)
    assert asked == [(0, "test", 6), (1, "test", 6)]
    assert table[["subject", "method"]].to_numpy().tolist() == [
        [subject, method] for subject in ("00000", "00001") for method in ("stack", "high_resolution")
    ]
    for i in range(2):
        scan = TestStack.of(volumes, i, 6)
        (stack, heart), (thin, same) = seen[2 * i : 2 * i + 2]
        assert torch.equal(stack, scan.stack) and torch.equal(thin, scan.volume)
        assert torch.equal(heart, scan.labels[0] > 0) and torch.equal(same, heart)
    assert table["to_truth"].to_numpy() == pytest.approx(1.0)  # nothing moved, the truth shrank by 1 mm


@pytest.mark.slow
def test_a_beat_is_followed_from_frame_to_frame() -> None:
    found, true = tracking.film(0, (0.0, 0.5, 1.0), linear, 0)
    assert len(found) == len(true) == 3 and found[0] is true[0]
    for frame in (1, 2):
        for name, mesh in true[frame].items():
            still = mesh_distance(true[0][name], mesh)
            assert mesh_distance(found[frame][name], mesh) < 0.6 * still


@pytest.mark.slow
def test_no_voxel_folds_between_end_diastole_and_end_systole() -> None:
    scanned = scan_volume(0, "test")
    heart = (scanned.label[0, 0] > 0) & (scanned.label[0, 0] <= 3)
    field, piece = tracking.follow(scanned.image[0].float(), np.diag([*SPACING, 1.0]), heart)
    assert field.jacobian(grid_places(piece.data.shape, piece.spacing[::-1])).min() > 0.0


def test_the_ventricles_are_what_is_followed() -> None:
    r"""Atria are none of them."""
    labels = torch.arange(6, dtype=torch.uint8)
    assert tracking._ventricles(labels).tolist() == [False, True, True, True, False, False]
