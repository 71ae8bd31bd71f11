r"""Volumes, ejection fraction and mass: counted by hand, and on grids that lean or are mirrored."""

from __future__ import annotations

import math

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nibabel.imagestats import mask_volume
from scipy.spatial.transform import Rotation

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.measures.clinical import (
    clinical_indices,
    ejection_fraction,
    mass_g,
    volume_curve,
    volumes_line,
    volumes_ml,
)

AFFINE = np.array([[0, -1.8, 0, 30], [1.8, 0, 0, -50], [0, 0, 8, -20], [0, 0, 0, 1.0]])
TURN = Rotation.from_euler("xyz", [20, -40, 70], degrees=True).as_matrix()


def random_labels(seed: int) -> torch.Tensor:
    return torch.randint(0, 6, (4, 9, 7), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def leaning(shear_y: float, shear_z: float) -> np.ndarray:
    r"""A grid of 1.5 x 1.6 x 9 mm whose rows and slices are shifted against each other along x, turned in space."""
    affine = np.eye(4)
    affine[:3, :3] = TURN @ np.array([[1.5, shear_y, shear_z], [0, 1.6, 0], [0, 0, 9.0]])
    affine[:3, 3] = -40, 20, 10
    return affine


def test_volumes_by_hand() -> None:
    data = torch.zeros(2, 10, 10, dtype=torch.uint8)
    data[0, :5] = 1  # 50 voxels
    data[1, :2] = 2  # 20
    data[1, 9, :3] = 3  # 3
    volumes = volumes_ml(Image(data, AFFINE))  # a voxel is 1.8 x 1.8 x 8 mm, in a mirrored frame too
    voxel = 1.8 * 1.8 * 8 / 1000
    assert volumes == pytest.approx({"lv": 50 * voxel, "myocardium": 20 * voxel, "rv": 3 * voxel, "la": 0, "ra": 0})
    assert volumes_ml(Image(data, AFFINE @ np.diag([1, -1, 1, 1]))) == pytest.approx(volumes)
    with pytest.raises(InputError, match="one frame"):
        volumes_ml(Image(data[None], AFFINE))


@given(st.integers(0, 1000))
def test_volumes_are_nibabels(seed: int) -> None:
    labels = Image(random_labels(seed), AFFINE)
    expected = [
        mask_volume(nib.Nifti1Image((labels.data == label).numpy().T.astype(np.uint8), AFFINE)) / 1000
        for label in range(1, 6)
    ]
    assert list(volumes_ml(labels).values()) == pytest.approx(expected)


@given(st.floats(-2, 2), st.floats(-6, 6), st.integers(0, 1000))
def test_volumes_on_a_leaning_grid_are_those_of_the_upright_one(shear_y: float, shear_z: float, seed: int) -> None:
    r"""Slices moved past each other enclose as much as before (Cavalieri), while voxel edges grow longer."""
    upright, sheared = (Image(random_labels(seed), leaning(*shear)) for shear in ((0, 0), (shear_y, shear_z)))
    assert volumes_ml(sheared) == pytest.approx(volumes_ml(upright))
    voxel = float(abs(np.linalg.det(sheared.affine))) / 1000
    assert volumes_ml(sheared)["lv"] == pytest.approx(int((sheared.data == 1).sum()) * voxel)
    if abs(shear_z) > 1:
        assert volumes_ml(sheared)["lv"] < 0.995 * int((sheared.data == 1).sum()) * np.prod(sheared.spacing) / 1000


@pytest.mark.parametrize("shear", [(0.0, 0.0), (0.7, 4.0)])
def test_a_ball_has_the_volume_of_a_ball_on_any_grid(shear: tuple[float, float]) -> None:
    affine, radius, shape = leaning(*shear), 30.0, (9, 51, 81)
    centre = affine[:3] @ np.array([40, 25, 4, 1])
    z, y, x = np.indices(shape)
    places = np.stack([x, y, z, np.ones(shape)], -1) @ affine[:3].T
    ball = np.linalg.norm(places - centre, axis=-1) < radius
    volumes = volumes_ml(Image(torch.from_numpy(3 * ball.astype(np.uint8)), affine))
    assert volumes["rv"] == pytest.approx(4 / 3 * math.pi * radius**3 / 1000, rel=0.01)
    assert volumes["lv"] == volumes["myocardium"] == 0


def test_clinical_indices_by_hand() -> None:
    def heart(lv: int, wall: int, rv: int) -> Image:
        data = torch.tensor([1] * lv + [2] * wall + [3] * rv + [0] * (500 - lv - wall - rv)).reshape(1, 1, -1)
        return Image(data, np.diag([10.0, 10, 10, 1]))  # 1 mL each

    indices = clinical_indices(heart(150, 100, 160), heart(60, 101, 80))
    assert indices == pytest.approx(
        {
            "lv_edv": 150, "lv_esv": 60, "lv_sv": 90, "lv_ef": 60, "lv_mass": 105, "lv_mass_es": 106.05,
            "rv_edv": 160, "rv_esv": 80, "rv_sv": 80, "rv_ef": 50,
        }
    )  # fmt: skip
    assert math.isnan(clinical_indices(heart(0, 100, 160), heart(0, 100, 80))["lv_ef"])


@given(st.floats(1, 500), st.floats(0, 100))
def test_an_ejection_fraction_is_in_percent(edv: float, percent: float) -> None:
    assert ejection_fraction(edv, edv * (1 - percent / 100)) == pytest.approx(percent, abs=1e-9)
    assert math.isnan(ejection_fraction(0.0, 0.0))


def test_muscle_weighs_five_percent_more_than_water() -> None:
    assert mass_g(100.0) == pytest.approx(105.0)


def test_what_a_report_says() -> None:
    assert volumes_line(151.4, 60.6) == "EDV 151 mL, ESV 61 mL, EF 60 %"
    assert volumes_line(100.0, 120.0) == "EDV 100 mL, ESV 120 mL, EF -20 %"
    assert volumes_line(0.0, 12.0) == "no cavity found"


def test_the_volume_curve_counts_each_frame() -> None:
    data = torch.zeros(3, 2, 10, 10, dtype=torch.uint8)
    data[1, :, :5], data[2, 0, 0, 0] = 1, 1
    cine = Image(data, np.diag([2.0, 2.0, 10.0, 1.0]))
    assert volume_curve(cine) == pytest.approx([0.0, 100 * 0.04, 0.04])
    assert volume_curve(cine, "rv") == [0.0, 0.0, 0.0]
