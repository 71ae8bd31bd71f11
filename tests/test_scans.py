r"""What the command line says about a scan, with stand-ins for the networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.path import Path as MaskPath
from scipy.spatial import ConvexHull
from torch import nn

from cardiolearn import scans
from cardiolearn.errors import InputError
from cardiolearn.image import Image, read_image, read_labels
from cardiolearn.metrics import dice
from cardiolearn.scans import read_scan, segment_file, what_to_check


class Levels(nn.Module):
    r"""Reads the grey value: bright is cavity, half bright the wall, a third the right ventricle; `sharp` or not."""

    def __init__(self, sharp: float, n_classes: int = 4) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.tensor([0.0, 1.0, 0.6, 0.3, 5.0, 5.0][:n_classes]), requires_grad=False)
        self.sharp = sharp

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -self.sharp * (x - self.centres[None, :, None, None]) ** 2


@pytest.fixture
def heart() -> Image:
    _, y, x = np.indices((4, 80, 90))
    away = np.hypot(y - 40, x - 45) * 1.5
    level = np.where(away < 20, 100.0, np.where(away < 30, 60.0, np.where((away < 45) & (x < 45), 30.0, 1.0)))
    return Image(torch.from_numpy(level).float(), np.diag([1.5, 1.5, 9.0, 1.0]))


def test_a_sure_network_has_nothing_to_look_at(heart: Image) -> None:
    assert what_to_check(heart, Levels(3000.0)) == []


def test_an_unsure_network_names_structures_and_slices(heart: Image) -> None:
    said = what_to_check(heart, Levels(12.0))
    assert said[0].startswith("look at: ") and "expected Dice 0." in said[0]
    assert said[1].startswith("unsure in slices")


def test_what_was_not_found_is_said_first(heart: Image) -> None:
    (said,) = what_to_check(heart.with_data(torch.zeros_like(heart.data)), Levels(300.0))
    assert said == "warning: no LV, myocardium, RV found; is this a short-axis cardiac MR scan?"
    (said,) = what_to_check(heart.with_data(torch.zeros_like(heart.data)), Levels(300.0, 6), "la")
    assert said == "warning: no heart found; is this a long-axis cardiac MR scan?"


def test_a_folder_of_several_subjects_is_named(tmp_path: Path) -> None:
    for name in ("A", "D"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sa_ED.nii.gz").touch()
    with pytest.raises(InputError, match=r"found the subjects A, D; name one of them"):
        read_scan(tmp_path)


def test_volumes_need_a_stack_and_a_ventricle_in_every_frame(heart: Image) -> None:
    labels = torch.zeros((2, 4, 80, 90), dtype=torch.uint8)
    labels[:, :, 20:30, 20:30], labels[0, :, 40:60, 40:60] = 3, 1  # no LV in the second frame
    said = scans._volumes(Image(labels, heart.affine))
    assert "LV ejection fraction: none, there is no LV in frame 1; is this a short-axis stack?" in said
    assert "RV ejection fraction: 0.0 %" in said
    one = scans._volumes(Image(labels[0, :1], heart.affine))
    assert one == ["one slice: areas, and no volumes", "area: LV 9.0 cm2, RV 2.2 cm2"]


def test_an_unknown_view_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected sa or la, got 'coronal'"):
        segment_file(tmp_path, tmp_path / "out.nii.gz", "cpu", "coronal")


def mesh_points(path: Path) -> np.ndarray:
    r"""Vertices `(N, 3)` of a legacy VTK file, from the scanner's LPS to RAS, mm."""
    words = path.read_text().split()
    start = words.index("POINTS")
    n = int(words[start + 1])
    return np.array(words[start + 3 : start + 3 + 3 * n], float).reshape(n, 3) * [-1.0, -1.0, 1.0]


@pytest.mark.slow
def test_real_four_chamber_view(real_scans: Path, tmp_path: Path) -> None:
    r"""End-diastole of the biv-me cine beside the LV its authors fitted: a mesh, cut by the plane of the picture."""
    said = segment_file(real_scans / "bivme" / "Se6", tmp_path / "out.nii.gz", "cpu", "la")
    assert "left atrium" in said and "ED (frame 0)" in said
    image, found = read_image(real_scans / "bivme" / "Se6"), read_labels(tmp_path / "out.nii.gz")
    assert set(found.data.unique().tolist()) == {0, 1, 2, 3, 4, 5}
    mesh = mesh_points(real_scans / "bivme" / "patient1_LV_ENDOCARDIAL_000.vtk")
    voxels = (np.linalg.inv(image.affine) @ np.c_[mesh, np.ones(len(mesh))].T)[:3].T
    near = voxels[np.abs(voxels[:, 2]) < 0.5][:, :2]  # half a slice thickness either way
    border = near[ConvexHull(near).vertices]  # an LV cut along its axis is convex
    x, y = np.meshgrid(*(np.arange(n) for n in image.data.shape[:-3:-1]))
    fitted = MaskPath(border).contains_points(np.c_[x.ravel(), y.ravel()]).reshape(x.shape)
    assert dice(found.data[0, 0] == 1, torch.from_numpy(fitted)) > 0.85
    areas = [(found.data[:, 0] == k).flatten(1).sum(1) for k in (1, 4)]
    assert areas[0].argmax() < 3 and 5 < areas[0].argmin() < 14  # frames of 25
    assert areas[1].argmax() > 5  # the atrium fills while the ventricle empties
