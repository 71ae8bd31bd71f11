r"""What the command line makes of a scan and says of it: with stand-ins for the networks, and on real scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from hearts import ReadsGrey, ringed_heart
from matplotlib.path import Path as MaskPath
from scipy.spatial import ConvexHull

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image, resample
from cardiolearn.imaging.reading import read_image, read_labels, write_image
from cardiolearn.imaging.study import write_study
from cardiolearn.measures.metrics import dice
from cardiolearn.methods.segmentation import command
from cardiolearn.methods.segmentation.command import read_scan, segment_file, warning, what_to_check
from cardiolearn.methods.segmentation.heart_place import LONG_AXIS, SHORT_AXIS, ViewPlan
from cardiolearn.methods.segmentation.whole_scan import segment_softly

LEVELS = (0.0, 1.0, 0.6, 0.3, 5.0, 5.0)


def judged(image: Image, sharp: float, plan: ViewPlan = SHORT_AXIS) -> list[str]:
    labels, soft = segment_softly(image, ReadsGrey(LEVELS[: plan.n_classes], sharp), plan)
    return what_to_check(labels, soft, plan)


def test_a_sure_network_has_nothing_to_look_at() -> None:
    assert judged(ringed_heart()[0], 3000.0) == []


def test_an_unsure_network_names_structures_and_slices() -> None:
    said = judged(ringed_heart()[0], 12.0)
    assert said[0].startswith("look at: ") and "expected Dice 0." in said[0]
    assert said[1].startswith("unsure in slices")
    long = judged(ringed_heart()[0], 12.0, LONG_AXIS)
    assert len(long) == 1 and long[0].startswith("look at: ")  # of a long-axis picture no slices are named


def test_what_was_not_found_is_said() -> None:
    _, labels = ringed_heart()
    nothing = labels.with_data(torch.zeros_like(labels.data))
    assert warning(labels) is None and warning(labels, LONG_AXIS) is None
    expected = "warning: no LV cavity, LV myocardium, RV cavity found; is this a short-axis cardiac MR scan?"
    assert warning(nothing) == expected
    assert warning(nothing, LONG_AXIS) == "warning: no heart found; is this a long-axis cardiac MR scan?"
    without = labels.with_data(torch.where(labels.data == 3, 0, labels.data))
    assert warning(without) == "warning: no RV cavity found; is this a short-axis cardiac MR scan?"
    assert warning(without, LONG_AXIS) is None  # a two-chamber picture has none
    one = Image(without.data[:1], without.affine)
    assert warning(one) == f"{warning(without)}; for a long-axis picture: --view la"


def test_volumes_that_no_heart_has_are_said() -> None:
    r"""A third of the voxel size is a 27th of the volume; areas of a single slice are not judged."""
    _, labels = ringed_heart()
    small = Image(labels.data, labels.affine @ np.diag([1 / 3, 1 / 3, 1 / 3, 1]))
    expected = "warning: no adult heart has LV 1.7 mL, RV 2.3 mL, LV mass 2.2 g; is the voxel size right (0.5 x 0.5 x 3"
    assert (warning(small) or "").startswith(expected)
    assert what_to_check(small, torch.zeros(4, *labels.data.shape)) == [warning(small)]
    large = Image(labels.data, labels.affine @ np.diag([3, 3, 3, 1]))
    assert "no adult heart has LV 1" in (warning(large) or "")
    assert warning(small, LONG_AXIS) is None and warning(Image(small.data[:1], small.affine)) is None


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    r"""Networks that read grey values in the place of the shipped ones; the names of the weights asked for."""
    asked: list[str] = []
    monkeypatch.setattr(command, "load_weights", lambda network, name: asked.append(name))
    monkeypatch.setattr(
        command, "ready", lambda network, device: ReadsGrey(LEVELS[: network.classify.out_channels], 3000.0)
    )
    return asked


def test_a_stack_is_segmented_into_a_file_and_its_volumes_are_said(tmp_path: Path, shipped: list[str]) -> None:
    image, truth = ringed_heart()
    write_image(tmp_path / "scan.nii.gz", image)
    said = segment_file(tmp_path / "scan.nii.gz", tmp_path / "out.nii.gz", "cpu").splitlines()
    found = read_labels(tmp_path / "out.nii.gz")
    assert shipped == ["fcn_sax"]
    assert all(dice(found.data == k, truth.data == k) > 0.95 for k in (1, 2, 3))
    lv, wall, rv = (int((found.data == k).sum()) * 1.5 * 1.5 * 9.0 / 1000 for k in (1, 2, 3))
    assert said[0] == f"volume: LV {lv:.1f} mL, RV {rv:.1f} mL, LV mass {1.05 * wall:.1f} g"
    assert said[-1].startswith(f"labels written to {tmp_path / 'out.nii.gz'} (1 LV cavity, 2 LV myocardium, 3 RV")
    assert "left atrium" not in said[-1]


def test_of_a_cine_the_fullest_and_the_emptiest_frame_and_what_is_ejected_are_said(
    tmp_path: Path, shipped: list[str]
) -> None:
    image, labels = ringed_heart()
    _, y, x = np.indices((4, 80, 90))
    small = torch.from_numpy(np.hypot(y - 40, x - 45) * 1.5 < 12)
    emptied = torch.where((labels.data == 1) & ~small, 60.0, image.data)  # its wall thickens inward
    write_image(tmp_path / "scan.nii.gz", Image(torch.stack([emptied, image.data, emptied]), image.affine, 0.04))
    said = segment_file(tmp_path / "scan.nii.gz", tmp_path / "out.nii.gz", "cpu").splitlines()
    found = read_labels(tmp_path / "out.nii.gz")
    size = [int((frame == 1).sum()) for frame in found.data]
    assert found.data.shape == (3, 4, 80, 90) and size[1] > 2 * size[0]
    assert said[0].startswith("ED (frame 1): LV ") and said[1].startswith("ES (frame ")
    share = 100 * (1 - min(size) / max(size))
    assert f"LV ejection fraction: {share:.1f} %" in said
    assert any(line.startswith("RV ejection fraction: ") for line in said)


def test_of_a_cine_the_fullest_frame_is_judged(tmp_path: Path, shipped: list[str]) -> None:
    image, _ = ringed_heart()
    write_image(tmp_path / "scan.nii.gz", Image(torch.stack([image.data, 0.0 * image.data]), image.affine, 0.04))
    said = segment_file(tmp_path / "scan.nii.gz", tmp_path / "out.nii.gz", "cpu").splitlines()
    assert "LV ejection fraction: none, there is no LV in frame 1; is this a short-axis stack?" in said
    assert not any(line.startswith("warning") for line in said)


def test_of_a_long_axis_picture_areas_are_said(tmp_path: Path, shipped: list[str]) -> None:
    image, _ = ringed_heart()
    write_image(tmp_path / "scan.nii.gz", Image(image.data[:1], image.affine))
    said = segment_file(tmp_path / "scan.nii.gz", tmp_path / "out.nii.gz", "cpu", "la").splitlines()
    assert shipped == ["fcn_lax"] and "5 right atrium" in said[-1]
    areas = {k: int((read_labels(tmp_path / "out.nii.gz").data == k).sum()) * 0.0225 for k in (1, 2, 3)}
    expected = f"area: LV cavity {areas[1]:.1f} cm2, LV myocardium {areas[2]:.1f} cm2, RV cavity {areas[3]:.1f} cm2"
    assert said[0] == expected


def test_a_scan_without_a_heart_is_warned_of_first(tmp_path: Path, shipped: list[str]) -> None:
    write_image(tmp_path / "scan.nii.gz", Image(torch.zeros(4, 60, 60), np.diag([1.5, 1.5, 9.0, 1.0])))
    said = segment_file(tmp_path / "scan.nii.gz", tmp_path / "out.nii.gz", "cpu").splitlines()
    assert said[0].startswith("warning: no LV cavity, LV myocardium, RV cavity found")


def test_volumes_need_a_stack_and_a_ventricle_in_every_frame() -> None:
    _, heart = ringed_heart()
    labels = torch.zeros((2, 4, 80, 90), dtype=torch.uint8)
    labels[:, :, 20:30, 20:30], labels[0, :, 40:60, 40:60] = 3, 1  # no LV in the second frame
    said = command._found(Image(labels, heart.affine), SHORT_AXIS)
    assert "LV ejection fraction: none, there is no LV in frame 1; is this a short-axis stack?" in said
    assert "RV ejection fraction: 0.0 %" in said
    one = command._found(Image(labels[0, :1], heart.affine), SHORT_AXIS)
    assert one == ["one slice: areas, and no volumes", "area: LV cavity 9.0 cm2, RV cavity 2.2 cm2"]


# ---------------------------------------------------------------------- what is refused
def test_a_folder_of_several_subjects_is_named(tmp_path: Path) -> None:
    for name in ("A", "D"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sa_ED.nii.gz").touch()
    with pytest.raises(InputError, match=r"found the subjects A, D; name one of them"):
        read_scan(tmp_path)


def test_study_folder_with_both_phases_becomes_two_frames(tmp_path: Path) -> None:
    image, _ = ringed_heart()
    for phase, brightness in (("ED", 1.0), ("ES", 2.0)):
        write_image(tmp_path / f"sa_{phase}.nii.gz", image.with_data(brightness * image.data))
    both = read_scan(tmp_path)
    assert both.n_frames == 2
    torch.testing.assert_close(both.data[1], 2.0 * both.data[0])


def test_an_unknown_view_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected sa or la, got 'coronal'"):
        segment_file(tmp_path, tmp_path / "out.nii.gz", "cpu", "coronal")


@pytest.mark.parametrize("name", ["missing/labels.nii.gz", "labels.png"])
def test_unusable_output_is_refused_before_any_work(tmp_path: Path, name: str) -> None:
    scan = tmp_path / "scan.nii.gz"
    write_image(scan, ringed_heart()[0])
    with pytest.raises(InputError, match="expected a"):
        segment_file(scan, tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["scan.nii.gz"]


# ---------------------------------------------------------------------- real scans, by the shipped networks
def autofd(real_scans: Path, subject: str) -> tuple[Image, torch.Tensor]:
    folder = real_scans / "imperial_autofd" / subject
    image = read_image(folder / "sa_ED.nii.gz")
    given = resample(read_labels(folder / "seg_sa_ED.nii.gz"), image.affine, image.data.shape, order=0).data
    return image, torch.where(given == 4, 3, given)  # their right ventricle is 4


def real_dice(real_scans: Path, folder: Path, subject: str) -> list[float]:
    r"""Dice of LV cavity, myocardium and RV cavity on a real stack, by the shipped network."""
    image, given = autofd(real_scans, subject)
    segment_file(real_scans / "imperial_autofd" / subject / "sa_ED.nii.gz", folder / "out.nii.gz", "cpu")
    found = read_labels(folder / "out.nii.gz")
    assert np.allclose(found.affine, image.affine, atol=1e-4)
    return [float(dice(found.data == c, given == c)) for c in (1, 2, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("subject", ["A", "D"])
def test_real_patients(real_scans: Path, tmp_path: Path, subject: str) -> None:
    assert all(np.array(real_dice(real_scans, tmp_path, subject)) >= (0.90, 0.70, 0.75))


def contoured(folder: Path) -> dict[int, torch.Tensor]:
    r"""The cavity an annotator outlined, `(Y, X)`, by file number; contours count pixels from 1."""
    masks = {}
    pixels = np.stack(np.meshgrid(np.arange(256), np.arange(256)), -1).reshape(-1, 2)
    for file in folder.rglob("*icontour-manual.txt"):
        inside = MaskPath(np.loadtxt(file) - 1.0).contains_points(pixels).reshape(256, 256)
        masks[int(file.name.split("-")[2])] = torch.from_numpy(inside)
    return masks


@pytest.mark.slow
def test_real_cine(real_scans: Path, tmp_path: Path) -> None:
    r"""LV Dice on the slices with contours, mean of both phases; file numbers run over the 20 phases first."""
    folder, out = real_scans / "sunnybrook" / "SCD0000101", tmp_path / "out.nii.gz"
    segment_file(folder, out, "cpu")
    found, outlined = read_labels(out), contoured(folder)
    scores = []
    for phase in sorted({n % 20 for n in outlined}):
        numbers = [n for n in outlined if n % 20 == phase]
        planes = torch.stack([plane_of(found, folder / f"{n}.dcm", (phase - 1) % 20) for n in numbers])
        scores.append(dice(planes == 1, torch.stack([outlined[n] for n in numbers])))
    assert len(scores) == 2  # end-diastole and end-systole
    assert np.mean(scores) >= 0.90


def plane_of(labels: Image, file: Path, frame: int) -> torch.Tensor:
    r"""The labels `(Y, X)` of the slice of `file`, found by its position."""
    header = pydicom.dcmread(file, stop_before_pixels=True)
    corner = np.array(header.ImagePositionPatient, float) * (-1, -1, 1)  # LPS to RAS
    x, y, z = np.linalg.solve(labels.affine, [*corner, 1.0])[:3]
    assert np.allclose((x, y), 0.0, atol=1e-2)  # rows and columns are the file's
    return labels.data[frame, round(float(z))]


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


def test_advice_names_the_study_and_what_to_look_at(tmp_path: Path) -> None:
    image, truth = ringed_heart()
    study = write_study(tmp_path / "s", {"sa_ED": image}, {"sa_ED": truth}, {"subject": "s"})
    first, *lines = command.advice(study, ReadsGrey()).split("\n  ")
    told = what_to_check(*segment_softly(study.image(phase="ED"), ReadsGrey()))
    assert first == "s" and lines == (told or ["nothing stands out; look at it all the same"])
