r"""A cohort on disk: whole, resumable, the same for the same seed, and outlined by annotators who differ."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hearts import COARSE, here, ringed_heart

from cardiolearn.errors import InputError
from cardiolearn.imaging.study import Study, find_studies, write_study
from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.body.subject import Subject, sample_subject
from cardiolearn.phantom.cohorts import studies
from cardiolearn.phantom.cohorts.observers import OBSERVERS, outline
from cardiolearn.phantom.cohorts.studies import Examination, outline_all, outlines, write_studies
from cardiolearn.phantom.scanners.acquisition import Scan, frame_activations, scan_short_axis
from cardiolearn.phantom.scanners.long_axis import scan_long_axis
from cardiolearn.phantom.scanners.mri import TRAINING_VENDORS, UNSEEN_VENDOR

SHAPE = (80, 88)
SMALL = Examination(shape=SHAPE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache") / "test"
    write_studies(folder, 2, SMALL, seed=3)  # by processes, as a user's are; below it is done here
    return folder


@pytest.mark.slow
def test_studies_are_in_the_layout_of_real_ones(folder: Path) -> None:
    found = find_studies(folder)
    assert [s.subject for s in found] == ["test-00000", "test-00001"]
    for study in found:
        assert not study.has(phase=None)
        assert study.info["phantom"] is True
        for phase in ("ED", "ES"):
            assert study.image(phase=phase).data.shape[1:] == SHAPE
        cavity = {phase: int((study.labels(phase=phase).data == 1).sum()) for phase in ("ED", "ES")}
        assert 0 < cavity["ES"] < cavity["ED"]


@pytest.mark.slow
def test_what_is_known_of_a_subject_is_written_and_fits_its_labels(folder: Path) -> None:
    for index, study in enumerate(find_studies(folder)):
        subject, info = sample_subject(index, cohort="test", seed=3), study.info
        for name in ("group", "sex", "age", "heart_rate", "body_surface_area"):
            assert info[name] == pytest.approx(getattr(subject, name)), name
        assert info["cohort"] == "test" and info["seed"] == 3 and info["vendor"] == "unseen"
        assert (info["frames"], info["shape"], info["views"], info["visit"]) == (0, list(SHAPE), ["sa"], 0)
        for phase, volume in (("ED", "lv_edv_ml"), ("ES", "lv_esv_ml")):
            labels = study.labels(phase=phase)
            counted = float((labels.data == 1).sum()) * labels.voxel_volume * 1e-3
            assert counted == pytest.approx(info[volume], rel=0.2)  # few thick slices


@pytest.mark.slow
def test_a_process_writes_what_one_scan_gives(folder: Path) -> None:
    subject = sample_subject(1, cohort="test", seed=3)
    scan = scan_short_axis(Scene(subject), UNSEEN_VENDOR, (0.0, 1.0), seed=subject.seed, shape=SHAPE)
    study = find_studies(folder)[1]
    for t, phase in enumerate(("ED", "ES")):
        assert torch.equal(study.image(phase=phase).data, scan.image.data[t])
        assert torch.equal(study.labels(phase=phase).data, scan.labels.data[t])
    assert np.allclose(study.image().affine, scan.image.affine, atol=1e-4)


@pytest.mark.slow
def test_an_interrupted_call_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "in_processes", here)
    kept = (folder / "test-00000" / "sa_ED.nii.gz").stat().st_mtime_ns
    before = find_studies(folder)[1].image(phase="ES").data
    shutil.rmtree(folder / "test-00001")
    again = write_studies(folder, 2, SMALL, seed=3)
    assert (folder / "test-00000" / "sa_ED.nii.gz").stat().st_mtime_ns == kept
    assert torch.equal(again[1].image(phase="ES").data, before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("examination", "seed", "message"),
    [
        (SMALL, 4, "expected a subject of seed 4, found 3"),
        (Examination(shape=SHAPE, vendor=TRAINING_VENDORS[0]), 3, "expected a subject of vendor A, found unseen"),
        (Examination(shape=SHAPE, frames=3), 3, "expected a subject of frames 3, found 0"),
        (Examination(shape=(64, 73)), 3, r"expected a subject of shape \[64, 73\], found \[80, 88\]"),
        (Examination(shape=SHAPE, visit=1), 3, "expected a subject of visit 1, found 0"),
        (Examination(shape=SHAPE, views=("sa", "la_2ch")), 3, "expected a subject of views"),
    ],
)
def test_another_cohort_in_the_same_folder_is_refused(
    folder: Path, examination: Examination, seed: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write_studies(folder, 1, examination, seed=seed)


@pytest.mark.slow
def test_a_cine_has_frames_phases_and_a_duration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "in_processes", here)
    (study,) = write_studies(tmp_path / "new", 1, Examination(frames=3, shape=(32, 32), vendor=COARSE))
    cine, labels = study.image(phase=None), study.labels(phase=None)
    assert cine.data.shape[0] == labels.data.shape[0] == 3
    assert cine.frame_duration == pytest.approx(60 / study.info["heart_rate"] / 3, rel=1e-4)
    for phase in ("ED", "ES"):
        t = study.info[f"frame_{phase}"]
        assert torch.equal(cine.data[t], study.image(phase=phase).data)
        assert torch.equal(labels.data[t], study.labels(phase=phase).data)
    sizes = [int((frame == 1).sum()) for frame in labels.data]
    assert (study.info["frame_ED"], study.info["frame_ES"]) == (int(np.argmax(sizes)), int(np.argmin(sizes)))


@pytest.mark.slow
def test_long_axis_views_are_written_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "in_processes", here)
    how = Examination(frames=3, shape=(84, 80), views=("la_4ch", "sa", "la_2ch"))
    (study,) = write_studies(tmp_path / "all", 1, how, seed=3)
    subject = sample_subject(0, cohort="test", seed=3)
    for view in ("la_2ch", "la_4ch"):
        scan = scan_long_axis(
            Scene(subject), UNSEEN_VENDOR, view, frame_activations(3), seed=subject.seed, shape=(84, 80)
        )
        assert torch.equal(study.image(view, None).data, scan.image.data)
        assert torch.equal(study.labels(view, None).data, scan.labels.data)
        assert np.allclose(study.image(view).affine, scan.image.affine, atol=1e-4)
        for phase in ("ED", "ES"):
            t = study.info[f"frame_{phase}"]
            assert torch.equal(study.image(view, phase).data, scan.image.data[t])
            assert torch.equal(study.labels(view, phase).data, scan.labels.data[t])
    with pytest.raises(InputError, match="views"):  # the folder has more than a call without views asks for
        write_studies(tmp_path / "all", 1, Examination(frames=3, shape=(84, 80)), seed=3)


@pytest.mark.slow
def test_short_axis_alone_by_default(folder: Path) -> None:
    assert sorted(p.name for p in (folder / "test-00000").glob("*la_*")) == []


@pytest.mark.parametrize("views", [(), ("sa", "la_3ch"), ("sa", "sa")])
def test_unknown_views_are_refused(views: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="views: expected some of sa, la_2ch, la_4ch, each once, got"):
        Examination(views=views)


def test_an_examination_without_frames_is_end_diastole_and_end_systole() -> None:
    assert Examination().activations == (0.0, 1.0)
    assert Examination(frames=20).activations == frame_activations(20)


@pytest.mark.slow
def test_annotators_differ_and_repeat_themselves(folder: Path) -> None:
    study = find_studies(folder)[0]
    outlined, again = (outlines(study, "ED") for _ in range(2))
    assert list(outlined) == ["O1", "O2", "O3"]
    assert all(torch.equal(outlined[name].data, again[name].data) for name in outlined)
    assert not torch.equal(outlined["O1"].data, outlined["O2"].data)
    assert max(int(image.data.max()) for image in outlined.values()) <= 3
    # The seed of a visit's end-diastole, and one more at end-systole: the pen trembles anew.
    truth, seed = study.labels(phase="ES"), study.info["annotators_seed"]
    expected = outline(truth.data, truth.spacing, OBSERVERS[1], seed + 1)
    assert torch.equal(outlines(study, "ES")["O2"].data, expected)


@pytest.fixture
def patient(tmp_path: Path) -> Study:
    r"""A real one: outlined at end-diastole alone."""
    image, labels = ringed_heart()
    return write_study(tmp_path / "patient", {"sa_ED": image, "sa_ES": image}, {"sa_ED": labels}, {})


def test_a_real_study_has_the_annotator_it_came_with(patient: Study) -> None:
    assert torch.equal(outlines(patient, "ED")["annotator"].data, ringed_heart()[1].data)
    assert outlines(patient, "ES") == {}


def test_a_phantom_that_does_not_say_what_seeds_its_annotators_is_refused(tmp_path: Path) -> None:
    image, labels = ringed_heart()
    old = write_study(tmp_path / "old", {"sa_ED": image}, {"sa_ED": labels}, {"phantom": True, "hand": 5})
    with pytest.raises(InputError, match=r"old: expected annotators_seed in info.toml, found none"):
        outlines(old, "ED")
    assert outlines(old, "ES") == {}


def test_all_outlines_go_by_subject_and_phase_and_scans_without_are_passed_over(patient: Study, tmp_path: Path) -> None:
    image, labels = ringed_heart()
    other = write_study(tmp_path / "b", {"sa_ES": image}, {"sa_ES": labels}, {"phantom": True, "annotators_seed": 5})
    found = outline_all([patient, other])
    assert {key: list(people) for key, people in found.items()} == {
        ("patient", "ED"): ["annotator"], ("b", "ES"): ["O1", "O2", "O3"],
    }  # fmt: skip
    assert torch.equal(found["b", "ES"]["O3"].data, outlines(other, "ES")["O3"].data)


@pytest.mark.slow
def test_a_second_visit_is_the_same_heart_in_another_scan(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies, "in_processes", here)
    first = find_studies(folder)[0]
    (again,) = write_studies(tmp_path / "again", 1, Examination(shape=SHAPE, visit=1), seed=3)
    volumes = ("subject", "lv_edv_ml", "lv_esv_ml", "rv_edv_ml", "lv_mass_g", "heart_rate")
    assert [first.info[name] for name in volumes] == [again.info[name] for name in volumes]
    assert not np.allclose(first.image().affine, again.image().affine)
    assert first.info["annotators_seed"] != again.info["annotators_seed"]


def test_two_runs_that_scan_the_same_hearts_both_end_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    r"""A second run scans all of them while the first scans its first; then the first finds them there."""
    image, labels = (part.with_data(part.data[None]) for part in ringed_heart())
    second: list[list[Study]] = []

    def scan(subject: Subject, how: Examination, view: str, frames: range) -> Scan:
        if not second:
            second.append([])
            second[0] = write_studies(tmp_path, 2, SMALL, seed=3)
        numbers = torch.tensor(frames)[:, None, None, None]
        both = labels.with_data(labels.data.expand(len(frames), *labels.data.shape[1:]))
        return Scan(image.with_data(image.data + subject.seed % 97 + numbers), both, (0.0, 1.0))

    monkeypatch.setattr(studies, "in_processes", here)
    monkeypatch.setattr(studies, "_scan_part", scan)
    first = write_studies(tmp_path, 2, SMALL, seed=3)
    assert first == second[0] and sorted(path.name for path in tmp_path.iterdir()) == ["test-00000", "test-00001"]
    assert not torch.equal(first[0].image().data, first[1].image().data)
    with pytest.raises(InputError, match="test-00000: expected a subject of seed 4, found 3"):
        write_studies(tmp_path, 1, SMALL, seed=4)
