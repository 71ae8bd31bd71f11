r"""Tracking: true motion of a phantom, a known deformation followed, distances by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from cardiolearn import tracking
from cardiolearn.image import Image
from cardiolearn.phantom.heart import Heart
from cardiolearn.phantom.high_resolution import SPACING
from cardiolearn.phantom.landmarks import landmarks, to_patient
from cardiolearn.phantom.scene import Scene
from cardiolearn.phantom.subject import sample_subject
from cardiolearn.phantom.volumes import Volumes, draw_volume
from cardiolearn.registration.bsplines import FreeForm, grid_places
from cardiolearn.registration.ffd import warp
from cardiolearn.registration.meshes import mesh_distance
from cardiolearn.surfaces import Mesh, mask_mesh, mesh_volume_ml

Draw = Callable[[int], Volumes]


def test_the_true_motion_is_that_of_the_heart() -> None:
    motion = tracking.TrueMotion.of(1, "test", 0)
    subject = sample_subject(1, cohort="test", seed=0)
    scene = Scene(subject)
    endo = motion.before["lv_endocardium"]
    for vertices, volume in ((endo.vertices, subject.lv_edv), (motion.after["lv_endocardium"], subject.lv_esv)):
        assert mesh_volume_ml(vertices, endo.faces) == pytest.approx(volume, rel=0.03)
    tip = motion.before["lv_epicardium"].vertices[-1]
    apex = to_patient(scene, landmarks(Heart(subject), 0.0)["apex"])
    assert (tip - apex).norm() < 1e-3


def test_a_known_motion_is_followed_within_its_box() -> None:
    spacing, shape = (2.0, 1.25, 1.25), (30, 56, 60)
    g = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 1, 10, 14, 15, generator=g)
    image = torch.nn.functional.interpolate(coarse, size=shape, mode="trilinear")[0, 0] * 400
    true = FreeForm.identity([(n - 1) * s for n, s in zip(shape, spacing, strict=True)], 20.0)
    true.coefficients.normal_(0.0, 5.0, generator=g)
    places = grid_places(shape, spacing)
    fixed = warp(image, true.at(places).movedim(-1, 0), spacing)
    heart = torch.zeros(shape, dtype=torch.bool)
    heart[12:18, 22:34, 24:36] = True
    affine = torch.diag(torch.tensor([1.25, 1.25, 2.0, 1.0])).double().numpy()
    affine[:3, 3] = (5.0, -7.0, 11.0)
    found, piece = tracking.follow(torch.stack((fixed, image)), affine, heart)
    assert piece.data.shape == (18, 32, 32)
    assert piece.affine[:3, 3].tolist() == pytest.approx([5.0 + 1.25 * 14, -7.0 + 1.25 * 12, 11.0 + 2.0 * 6])
    inside = places[heart]
    start = torch.tensor([6 * 2.0, 12 * 1.25, 14 * 1.25])
    error = (found.at(inside - start) - true.at(inside)).norm(dim=-1)
    assert error.mean() < 0.2 and true.at(inside).norm(dim=-1).mean() > 1.5


def test_errors_are_distances_of_surfaces_and_of_vertices() -> None:
    motion = tracking.TrueMotion.of(0, "test", 0)
    right = dict(motion.after)
    off = {name: vertices + torch.tensor([0.0, 0.0, 3.0], dtype=torch.float64) for name, vertices in right.items()}
    rows = {r["who"]: r for r in tracking.tracking_errors(motion, {"high_resolution": right, "linear": off})}
    assert rows["high_resolution"]["to_truth"] == rows["high_resolution"]["to_high_resolution"] == 0.0
    assert rows["linear"]["to_truth"] == pytest.approx(3.0)
    assert 0.5 < rows["linear"]["to_high_resolution"] < 3.0  # a surface that glides along itself is near
    assert rows["linear"]["surface_to_truth"] == rows["linear"]["to_high_resolution"]


def test_the_box_stays_within_the_picture() -> None:
    heart = torch.zeros(10, 20, 30, dtype=torch.bool)
    heart[0, 19, 15] = True
    z, y, x = tracking._box(heart, (1.0, 2.0, 4.0))
    assert (z.start, z.stop, y.start, y.stop, x.start, x.stop) == (0, 4, 13, 20, 3, 28)


def test_meshes_keep_their_faces() -> None:
    motion = tracking.TrueMotion.of(0, "test", 0)
    for name, mesh in motion.before.items():
        assert isinstance(mesh, Mesh) and motion.after[name].shape == mesh.vertices.shape


@pytest.mark.slow
def test_who_is_tracked_on_thin_slices_is_its_own_yardstick(spheres: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    volumes = spheres(1)
    ball = volumes.label[0] > 0
    affine = np.diag([*SPACING, 1.0])
    before, after = (mask_mesh(Image(ball[phase], affine)) for phase in (0, 1))
    nearest = torch.cdist(before.vertices, after.vertices).argmin(1)
    motion = tracking.TrueMotion(affine, {"lv_endocardium": before}, {"lv_endocardium": after.vertices[nearest]})
    monkeypatch.setattr(tracking.TrueMotion, "of", lambda *arguments: motion)
    table = tracking.track_all(volumes, {"linear": "linear"}, seed=0).set_index("who")
    assert table.loc["high_resolution", "to_high_resolution"] == pytest.approx(0.0, abs=1e-9)
    still = float((before.vertices - after.vertices[nearest]).norm(dim=1).mean())
    assert still > 4.0
    assert table["surface_to_truth"].max() < 0.4 * still  # the shrinking ball was followed
    assert table.loc["linear", "to_high_resolution"] < 0.3 * still and list(table["subject"]) == ["00000"] * 2


@pytest.mark.slow
def test_a_beat_is_followed_from_frame_to_frame() -> None:
    found, true = tracking.film(0, (0.0, 0.5, 1.0), "linear", 0)
    assert len(found) == len(true) == 3 and found[0] is true[0]
    for frame in (1, 2):
        for name, mesh in true[frame].items():
            still = mesh_distance(true[0][name], mesh)
            assert mesh_distance(found[frame][name], mesh) < 0.6 * still


@pytest.mark.slow
def test_no_voxel_folds_between_end_diastole_and_end_systole() -> None:
    drawn = draw_volume(0, "test")
    heart = (drawn.label[0, 0] > 0) & (drawn.label[0, 0] <= 3)
    field, piece = tracking.follow(drawn.image[0].float(), np.diag([*SPACING, 1.0]), heart)
    assert field.jacobian(grid_places(piece.data.shape, piece.spacing[::-1])).min() > 0.0
