r"""A heart in its chest: reproducible, the same however it is cut into pieces, and placed as radiologists know it."""

from __future__ import annotations

import math

import pytest
import torch
from hearts import scene_of, seeded

from cardiolearn.phantom.body import scene as scene_module
from cardiolearn.phantom.body.landmarks import displacement
from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.body.subject import sample_subject
from cardiolearn.phantom.body.tissue import Tissue


@pytest.fixture
def scene() -> Scene:
    return scene_of(2, "train")


def short_axis(scene: Scene, depth: float, a: float, step: float = 2.0, half: float = 120.0) -> torch.Tensor:
    r"""Points `(Y, X, 3)` of a picture seen from the apex: lateral wall to the right, anterior wall up."""
    line = torch.arange(-half, half, step)
    y, x = torch.meshgrid(-line, line, indexing="ij")
    z = (1 - scene.heart.stretch(a)) * scene.heart.height + depth
    return torch.stack((x, y, torch.full_like(x, z)), -1) @ scene.frame.T + scene.origin


def cloud(scene: Scene, n: int = 20_000) -> torch.Tensor:
    return scene.origin + 60.0 * torch.randn((n, 3), generator=seeded(1))


def test_the_same_seed_gives_identical_arrays(scene: Scene) -> None:
    again = Scene(sample_subject(2, cohort="train"))
    points = cloud(scene)
    assert torch.equal(scene.at(points, 0.3).tissue, again.at(points, 0.3).tissue)
    assert torch.equal(scene.at(points, 0.3).label, again.at(points, 0.3).label)
    other = scene_of(3, "train")
    assert not torch.equal(scene.at(points, 0.3).tissue, other.at(points, 0.3).tissue)


def test_global_random_state_plays_no_part(scene: Scene) -> None:
    points = cloud(scene, 4000)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = Scene(sample_subject(2, cohort="train")).at(points, 0.3).tissue
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(first, scene.at(points, 0.3).tissue)


def test_frames_drawn_together_are_those_drawn_alone() -> None:
    r"""The trunk is shared, and shown anew where the heart bares it or touches it no longer."""
    changed = 0
    for index in (0, 1, 5):
        scene, activations = Scene(sample_subject(index, cohort="train")), (0.0, 1.0, 0.4, 0.0)
        scene.thorax._anterior_fat = 14.0  # the most there is: the trunk shows how near the heart is
        points = cloud(scene)
        together = scene.over(points, activations)
        for a, found in zip(activations, together, strict=True):
            alone = scene.at(points, a)
            assert torch.equal(found.tissue, alone.tissue) and torch.equal(found.label, alone.label)
        fat = [found.tissue == Tissue.MEDIASTINAL_FAT for found in together]
        changed += int((fat[0] & (together[1].tissue == Tissue.LUNG)).sum())
    assert changed > 10


def test_pieces_do_not_matter(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    points = cloud(scene)
    whole = scene.at(points, 0.6)
    monkeypatch.setattr(scene_module, "PIECE", 777)
    parts = scene.at(points, 0.6)
    # Vectorised and leftover elements may differ in the last bit; a boundary could tip over there, nothing else.
    assert (whole.tissue != parts.tissue).float().mean() < 1e-3
    assert (whole.label != parts.label).float().mean() < 1e-3


def test_shape_of_the_grid_does_not_matter(scene: Scene) -> None:
    points = short_axis(scene, 40.0, 0.0, step=4.0)
    flat = scene.at(points.reshape(-1, 3), 0.0)
    grid = scene.at(points, 0.0)
    assert grid.tissue.shape == grid.label.shape == points.shape[:-1]
    assert torch.equal(grid.tissue.flatten(), flat.tissue)
    assert torch.equal(scene.labels_at(points, 0.0), grid.label)


@pytest.mark.parametrize("a", [0.0, 0.5, 1.0])
def test_labels_alone_are_the_labels_of_the_whole(scene: Scene, a: float) -> None:
    points = cloud(scene)
    found = scene.labels_at(points, a)
    assert found.dtype == torch.uint8
    assert torch.equal(found, scene.at(points, a).label)
    assert set(found.tolist()) == {0, 1, 2, 3, 4, 5}


def test_every_point_has_a_tissue(scene: Scene) -> None:
    tissue = scene.at(cloud(scene), 0.0).tissue
    codes = set(tissue.tolist())
    assert codes <= {int(t) for t in Tissue}
    assert int(Tissue.AIR) not in codes  # 0 means "not decided yet" while drawing
    assert {Tissue.LUNG, Tissue.LIVER, Tissue.SUBCUTANEOUS_FAT, Tissue.MARROW, Tissue.ARTERY} <= codes


@pytest.mark.parametrize("index", range(4))
def test_frame_is_a_proper_rotation(index: int) -> None:
    frame = scene_of(index, "test").frame
    torch.testing.assert_close(frame.T @ frame, torch.eye(3), atol=1e-5, rtol=0)
    assert torch.linalg.det(frame).item() == pytest.approx(1.0, abs=1e-5)
    axis = frame[:, 2]  # base to apex: to the patient's left, forward, down (RAS+)
    assert axis[0] < 0
    assert axis[1] > 0
    assert axis[2] < 0


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("a", [0.0, 1.0])
def test_a_short_axis_picture_shows_the_right_heart_on_the_left(index: int, a: float) -> None:
    scene = scene_of(index, "train")
    label = scene.labels_at(short_axis(scene, 0.4 * scene.heart.length, a), a)
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in label.shape), indexing="ij")
    left, right = label == 1, label == 3
    assert left.sum() > 20
    assert right.sum() > 20
    assert columns[right].mean() < columns[left].mean() - 8  # pixels of 2 mm
    ring = label == 2
    centre = torch.tensor([rows[left].mean(), columns[left].mean()])
    assert (torch.tensor([rows[ring].mean(), columns[ring].mean()]) - centre).norm() < 4  # muscle all round


@pytest.mark.parametrize("index", range(3))
def test_the_heart_lies_inside_the_chest(index: int) -> None:
    scene = scene_of(index, "test")
    points = scene.origin + 50.0 * torch.randn((8000, 3), generator=seeded(index))
    ventricles = points[scene.labels_at(points, 0.0) > 0]
    around = scene.thorax.at(ventricles, torch.zeros(len(ventricles), dtype=torch.uint8))
    outer = torch.tensor([Tissue.OUTER_AIR, Tissue.SKIN, Tissue.SUBCUTANEOUS_FAT])
    assert torch.isin(around, outer).float().mean() < 0.01
    bone = torch.tensor([Tissue.CORTICAL_BONE, Tissue.MARROW, Tissue.CSF, Tissue.CORD])
    assert torch.isin(around, bone).float().mean() < 0.03


def test_the_heart_beats_in_place(scene: Scene) -> None:
    r"""The picture's surroundings stand still; only what the heart covers changes."""
    points = short_axis(scene, 30.0, 0.0, step=3.0)
    diastole, systole = scene.at(points, 0.0), scene.at(points, 1.0)
    changed = diastole.tissue != systole.tissue
    far = (points - scene.origin).norm(dim=-1) > scene.heart.length * 1.25 + 48.0
    assert changed.any()
    assert not changed[far].any()
    assert math.isclose(scene.heart.stretch(0.0), 1.0)


def test_material_points_are_followed_back_to_rest() -> None:
    scene = scene_of(3, "train")
    depth, theta = torch.linspace(8.0, 0.8 * scene.heart.length, 9), torch.linspace(0.0, 6.0, 9)
    middle = 0.5 * (scene.heart.endo_radius(depth, theta) + scene.heart.epi_radius(depth, theta))
    first, last = (scene.heart.to_space(middle, theta, depth, a) for a in (0.0, 1.0))
    moved = scene.origin + last @ scene.frame.T
    torch.testing.assert_close(scene.at_rest(moved, 1.0), scene.origin + first @ scene.frame.T, atol=2e-2, rtol=0)
    material = scene.heart.to_material(first, 0.0)
    torch.testing.assert_close(last - first, displacement(scene.heart, material, 0.0, 1.0), atol=2e-2, rtol=0)
    far = torch.tensor([[300.0, 0.0, 0.0]])
    assert torch.equal(scene.at_rest(far, 1.0), far)
