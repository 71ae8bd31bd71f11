r"""Distances between surfaces against MONAI and medpy; meshes against spheres, boxes and real ventricles."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from medpy.metric import binary
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from scipy.spatial.transform import Rotation

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.reading import read_labels
from cardiolearn.measures.surfaces import (
    SurfaceDistances,
    label_meshes,
    mask_mesh,
    mesh_volume_ml,
    summarise,
    surface_distances,
)


def blobs(seed: int, shape: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    noise = torch.nn.functional.avg_pool3d(torch.rand(2, *shape, generator=rng), 3, 1, 1, count_include_pad=False)
    return noise[0] > 0.5, noise[1] > 0.5


def ball(radius_mm: float, spacing: tuple[float, float, float], shape: tuple[int, int, int]) -> torch.Tensor:
    axes = [(torch.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing[::-1], strict=True)]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return x**2 + y**2 + z**2 <= radius_mm**2


@pytest.mark.filterwarnings("ignore::FutureWarning")  # MONAI's, about itself
@given(
    seed=st.integers(0, 1000),
    shape=st.sampled_from([(5, 9, 7), (3, 12, 8)]),
    spacing=st.sampled_from([(1.0, 1.0, 1.0), (1.8, 1.3, 10.0)]),
)
@settings(max_examples=30)
def test_surface_distances_equal_monai_and_medpy(
    seed: int, shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    a, b = blobs(seed, shape)
    if not (a.any() and b.any()):
        return
    result = surface_distances(a, b, spacing)
    zyx = spacing[::-1]
    batch = a[None, None], b[None, None]
    options = {"include_background": True, "spacing": zyx}
    assert result.hausdorff == pytest.approx(float(compute_hausdorff_distance(*batch, **options)), rel=1e-5)
    assert result.hausdorff95 == pytest.approx(
        float(compute_hausdorff_distance(*batch, percentile=95, **options)), rel=1e-5, abs=1e-6
    )
    assert result.mean == pytest.approx(
        float(compute_average_surface_distance(*batch, symmetric=True, **options)), rel=1e-5, abs=1e-6
    )
    assert result.hausdorff == pytest.approx(binary.hd(a.numpy(), b.numpy(), zyx))
    assert surface_distances(b, a, spacing) == pytest.approx(result)
    assert surface_distances(a, a, spacing) == (0, 0, 0)


def test_single_voxels_by_hand() -> None:
    a, b = torch.zeros(2, 3, 5, 6, dtype=torch.bool)
    a[0, 0, 0] = b[2, 3, 4] = True
    expected = math.sqrt((4 * 1.5) ** 2 + (3 * 2) ** 2 + (2 * 8) ** 2)
    assert surface_distances(a, b, (1.5, 2.0, 8.0)) == pytest.approx((expected,) * 3)


def test_concentric_balls() -> None:
    spacing, shape = (1.0, 1.0, 2.0), (31, 61, 61)
    result = surface_distances(ball(15, spacing, shape), ball(25, spacing, shape), spacing)
    assert result.mean == pytest.approx(10, abs=0.6)  # voxel centres lie within the balls
    assert result.hausdorff == pytest.approx(10, abs=1.5)


def test_the_95th_percentile_forgives_a_speck_that_the_maximum_does_not() -> None:
    a = ball(10, (1, 1, 1), (31, 31, 61))
    b = a.clone()
    b[15, 15, 58] = True
    result = surface_distances(a, b, (1.0, 1.0, 1.0))
    assert result.hausdorff == 18
    assert result.hausdorff95 == 0
    core = torch.nn.functional.avg_pool3d(a[None].float(), (1, 1, 3), 1, (0, 0, 1)) == 1  # three in a row along x ...
    core &= torch.nn.functional.avg_pool3d(a[None].float(), (1, 3, 1), 1, (0, 1, 0)) == 1
    core &= torch.nn.functional.avg_pool3d(a[None].float(), (3, 1, 1), 1, (1, 0, 0)) == 1
    n_surface = int(a.sum() - core.sum())
    assert result.mean == pytest.approx(18 / (2 * n_surface + 1))  # one of all points is off, by 18 mm


def test_a_missed_structure_is_counted() -> None:
    there, empty = ball(3, (1, 1, 1), (9, 9, 9)), torch.zeros(9, 9, 9)
    missed = surface_distances(there, empty, (1, 1, 1))
    assert missed.missed
    assert missed == surface_distances(empty, there, (1, 1, 1)) == (math.inf,) * 3
    absent = surface_distances(empty, empty, (1, 1, 1))
    assert not absent.missed
    assert absent == (0, 0, 0)
    summary = summarise([SurfaceDistances(1, 5, 3), missed, SurfaceDistances(2, 7, 4), missed])
    assert summary == (1.5, 6, 3.5, 2, 2)
    nothing = summarise([missed])
    assert nothing.n == 0
    assert nothing.n_missed == 1
    assert math.isnan(nothing.mean)


def test_surface_distances_refuse() -> None:
    mask = torch.ones(2, 3, 4)
    for a, b, spacing in [(mask, mask[:1], (1, 1, 1)), (mask[0], mask[0], (1, 1, 1)), (mask, mask, (1, 1, 0))]:
        with pytest.raises(InputError, match="surfaces: expected"):
            surface_distances(a, b, spacing)


# --- meshes ---


def oblique(spacing: tuple[float, float, float], mirrored: bool) -> np.ndarray:
    affine = np.eye(4)
    directions = Rotation.from_euler("xyz", [20, -40, 70], degrees=True).as_matrix()
    affine[:3, :3] = directions * spacing * ([-1, 1, 1] if mirrored else [1, 1, 1])
    affine[:3, 3] = [-120, 300, 80]
    return affine


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_ball_in_millimetres(mirrored: bool) -> None:
    spacing, shape, radius = (1.0, 1.2, 1.5), (37, 45, 51), 20.0
    affine = oblique(spacing, mirrored)
    mesh = mask_mesh(Image(ball(radius, spacing, shape), affine))
    centre = (affine @ (25, 22, 18, 1))[:3]
    distance = (mesh.vertices - torch.from_numpy(centre)).norm(dim=1)
    assert (distance - radius).abs().max() < 1.0
    assert mesh_volume_ml(*mesh) == pytest.approx(4 / 3 * math.pi * radius**3 / 1000, rel=0.01)
    corners = mesh.vertices[mesh.faces]
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outward = ((corners.mean(1) - torch.from_numpy(centre)) * normals).sum(1)
    assert (outward > 0).all()


def test_a_structure_at_the_border_is_closed() -> None:
    mask = Image(torch.ones(3, 4, 5, dtype=torch.uint8), np.diag([2.0, 3.0, 8.0, 1.0]))
    mesh = mask_mesh(mask)
    # The surface runs half a voxel outside the outermost centres, with its edges cut off.
    assert mesh.vertices.min(0).values.tolist() == [-1, -1.5, -4]
    assert mesh.vertices.max(0).values.tolist() == [9, 10.5, 20]
    assert mesh_volume_ml(*mesh) == pytest.approx(3 * 4 * 5 * 48 / 1000, rel=0.1)


def test_the_volume_of_a_box_is_exact_wherever_it_lies() -> None:
    corners = torch.tensor([[x, y, z] for x in (0, 2) for y in (0, 3) for z in (0, 5)], dtype=torch.float64)
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = torch.tensor([triangle for a, b, c, d in quads for triangle in ([a, b, c], [a, c, d])])
    for shift in (0.0, 1e6):
        assert mesh_volume_ml(corners + shift, faces) == pytest.approx(0.030)
        assert mesh_volume_ml(corners + shift, faces.flip(1)) == pytest.approx(-0.030)
    with pytest.raises(InputError, match="closed surface, got one of 11 triangles with 3 open edges"):
        mesh_volume_ml(corners, faces[1:])
    with pytest.raises(InputError, match="closed surface"):
        mesh_volume_ml(corners, faces[:0])


def test_meshes_refuse() -> None:
    for data in (torch.zeros(3, 4, 5), torch.ones(2, 3, 4, 5)):
        with pytest.raises(InputError, match="non-empty mask"):
            mask_mesh(Image(data, np.eye(4)))


def test_structures_that_labels_lack_have_no_mesh() -> None:
    data = torch.zeros(4, 6, 6, dtype=torch.uint8)
    data[1:3, 1:4, 1:5], data[1:3, 4:, 4:] = 1, 3
    meshes = label_meshes(Image(data, np.diag([1.0, 2.0, 5.0, 1.0])), ("lv", "rv", "la"))
    assert list(meshes) == ["lv", "rv"]
    alone = mask_mesh(Image(data == 3, np.diag([1.0, 2.0, 5.0, 1.0])))
    assert torch.equal(meshes["rv"].vertices, alone.vertices)


# --- real scans ---


def test_a_real_cavity(real_scans: Path) -> None:
    labels = read_labels(real_scans / "imperial_autofd" / "A" / "seg_sa_ED.nii.gz", allowed=(0, 1, 2, 4))
    cavity = labels.with_data(labels.data == 1)
    counted = int(cavity.data.sum()) * float(np.prod(cavity.spacing)) / 1000
    assert mesh_volume_ml(*mask_mesh(cavity)) == pytest.approx(counted, rel=0.02)


@pytest.mark.parametrize(("name", "n_open"), [("LV_ENDOCARDIAL", 72), ("RV_ENDOCARDIAL", 232), ("EPICARDIAL", 144)])
def test_real_meshes_are_open_and_refused(real_scans: Path, name: str, n_open: int) -> None:
    words = (real_scans / "bivme" / f"patient1_{name}_000.vtk").read_text().split()
    start, cells = words.index("POINTS"), words.index("CONNECTIVITY")
    count = int(words[start + 1])
    points = torch.tensor([float(w) for w in words[start + 3 : start + 3 + 3 * count]]).reshape(-1, 3)
    n_indices = int(words[words.index("POLYGONS") + 2])
    faces = torch.tensor([int(w) for w in words[cells + 2 : cells + 2 + n_indices]]).reshape(-1, 3)
    with pytest.raises(InputError, match=f"got one of {len(faces)} triangles with {n_open} open edges"):
        mesh_volume_ml(points, faces)
