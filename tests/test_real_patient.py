r"""The one real patient of the kit: readable, small, nothing identifying, and what the script makes of the source."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from cardiolearn.imaging.reading import read_image
from cardiolearn.imaging.study import Study, find_studies
from cardiolearn.measures import tables
from cardiolearn.measures.clinical import clinical_indices
from cardiolearn.phantom.cohorts.studies import outline_all

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "course" / "real_patient"
MANIFEST = tomllib.loads((ROOT / "data_scripts" / "manifest.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def patient() -> Study:
    (study,) = find_studies(FOLDER)
    return study


def test_it_is_small_and_says_where_it_comes_from() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 5e6
    assert "CC0 1.0 Universal" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for words in (MANIFEST["sunnybrook"]["source"], "Radau", "Nothing in this kit was trained on it", "One case shows"):
        assert words in text
    for name in ("sunnybrook.py", "manifest.toml"):
        assert f"data_scripts/{name}" in text and (ROOT / "data_scripts" / name).is_file()


def test_its_phases_are_frames_of_its_cine(patient: Study) -> None:
    cine = patient.image("sa", None)
    assert cine.data.shape[:2] == (20, 12)
    assert cine.frame_duration == pytest.approx(0.038, abs=1e-3)
    for phase in ("ED", "ES"):
        frame = patient.image("sa", phase)
        assert torch.equal(frame.data, cine.data[patient.info[f"{phase.lower()}_frame"]])
        np.testing.assert_array_equal(frame.affine, cine.affine)


def test_its_outlines_lie_on_its_blood_and_muscle(patient: Study) -> None:
    r"""Flipped or shifted outlines would mix the two: in the middle slices, blood is twice as bright as muscle."""
    image, labels = patient.image().data.numpy(), patient.labels().data.numpy()
    for z in range(3, 9):
        blood, muscle = (float(np.median(image[z][labels[z] == k])) for k in (1, 2))
        assert blood > 2 * muscle
    assert nib.aff2axcodes(patient.image().affine)[:2] == ("L", "I")  # the usual view: the right ventricle on the left
    assert (patient.outlined("ED"), patient.outlined("ES")) == (("lv", "myocardium"), ("lv",))
    assert set(patient.labels("sa", "ES").data.unique().tolist()) == {0, 1}


def test_its_files_say_nothing_of_a_person(patient: Study) -> None:
    assert set(patient.info) == {"subject", "source", "licence", "ed_frame", "es_frame", "outlined"}
    for path in patient.folder.glob("*.nii.gz"):
        image = nib.load(path)
        assert not any(image.header[name].item() for name in ("descrip", "aux_file", "intent_name", "db_name"))
        assert not image.header.extensions
    assert {path.name for path in patient.folder.iterdir()} == {
        "info.toml", "sa.nii.gz", "sa_ED.nii.gz", "sa_ES.nii.gz", "label_sa_ED.nii.gz", "label_sa_ES.nii.gz",
    }  # fmt: skip


def test_a_lessons_tables_leave_out_what_nobody_outlined(patient: Study) -> None:
    outlined = outline_all([patient])
    found = {key: people["annotator"] for key, people in outlined.items()}
    full = {key: labels.with_data(labels.data.clone()) for key, labels in found.items()}
    for labels in full.values():  # as a network would: a wall at end-systole and a right ventricle too
        labels.data[labels.data == 0] = 3
        labels.data[labels.data.roll(3, -1) == 1] = 2
    table = tables.only_outlined(tables.versus_annotators(full, outlined), [patient]).set_index("phase")
    assert table["dice.lv"].notna().all() and table["dice.rv"].isna().all()
    assert table["dice.myocardium"].notna().to_dict() == {"ED": True, "ES": False}
    theirs = tables.only_outlined(tables.annotators_indices(outlined), [patient])
    bias = tables.bias(tables.indices(full), theirs)
    assert not np.isinf(bias.to_numpy()).any()  # nothing is divided by a wall of 0 mL
    assert bias.columns[bias.notna().all()].to_list() == ["lv_edv", "lv_esv", "lv_mass", "lv_ef"]


def enclosed_ml(contours: Path, border: str, frame: int) -> float:
    r"""The volume that Sunnybrook's contours of a frame enclose, by the shoelace formula."""
    total = 0.0
    for path in contours.rglob(f"*{border}contour-manual.txt"):
        if (int(path.name.split("-")[2]) - 1) % 20 == frame:
            x, y = np.loadtxt(path).T
            total += 0.5 * abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))
    return total * 1.367188**2 * 10 / 1000


def test_its_volumes_are_those_its_contours_enclose(patient: Study, real_scans: Path) -> None:
    contours = real_scans / "sunnybrook" / "SCD0000101"
    found = clinical_indices(patient.labels(), patient.labels("sa", "ES"))
    assert found["lv_edv"] == pytest.approx(enclosed_ml(contours, "i", 18), rel=0.005)
    assert found["lv_esv"] == pytest.approx(enclosed_ml(contours, "i", 7), rel=0.005)


@pytest.mark.slow
def test_it_is_what_the_script_makes_of_the_source(patient: Study, real_scans: Path, tmp_path: Path) -> None:
    images = real_scans / "sunnybrook" / "SCD0000101"
    source = MANIFEST["sunnybrook"]["SCD0000101"]
    files = sorted((p for p in images.rglob("*") if p.suffix in (".dcm", ".txt")), key=lambda p: p.name)
    lines = "".join(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in files)
    assert (len(files), hashlib.sha256(lines.encode()).hexdigest()) == (source["files"], source["sha256"])
    given = {
        "IMAGES": images,
        "CONTOURS": images / "SC-HF-I-1",
        "course/real_patient/SCD0000101": tmp_path / "SCD0000101",
    }
    command = [str(given.get(word, word)) for word in source["command"].split()]
    subprocess.run([sys.executable, *command[1:]], cwd=ROOT, check=True, capture_output=True)
    (made,) = find_studies(tmp_path)
    assert made.info == patient.info
    for path in patient.folder.glob("*.nii.gz"):
        here, there = read_image(path), read_image(made.folder / path.name)
        assert torch.equal(here.data, there.data)
        np.testing.assert_array_equal(here.affine, there.affine)
        assert here.frame_duration == there.frame_duration
