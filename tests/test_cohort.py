r"""A cohort on disk: whole, resumable, the same for the same seed, and drawn by annotators who differ."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cardiolearn.errors import InputError
from cardiolearn.phantom import cohort
from cardiolearn.phantom.acquisition import frame_activations, scan_short_axis
from cardiolearn.phantom.long_axis import scan_long_axis
from cardiolearn.phantom.mri import UNSEEN_VENDOR
from cardiolearn.phantom.scene import Scene
from cardiolearn.phantom.subject import sample_subject
from cardiolearn.study import find_studies

SHAPE = (64, 72)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache") / "test"
    cohort.write_cohort(folder, 2, seed=3, shape=SHAPE)
    return folder


@pytest.mark.slow
def test_studies_are_in_the_layout_of_real_ones(folder: Path) -> None:
    studies = find_studies(folder)
    assert [s.subject for s in studies] == ["test-00000", "test-00001"]
    for study in studies:
        assert not study.has(phase=None)
        assert study.info["phantom"] is True
        for phase in ("ED", "ES"):
            assert study.image(phase=phase).data.shape[1:] == SHAPE
        cavity = {phase: int((study.labels(phase=phase).data == 1).sum()) for phase in ("ED", "ES")}
        assert 0 < cavity["ES"] < cavity["ED"]


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
def test_an_interrupted_call_goes_on(folder: Path) -> None:
    kept = (folder / "test-00000" / "sa_ED.nii.gz").stat().st_mtime_ns
    before = find_studies(folder)[1].image(phase="ES").data
    shutil.rmtree(folder / "test-00001")
    studies = cohort.write_cohort(folder, 2, seed=3, shape=SHAPE)
    assert (folder / "test-00000" / "sa_ED.nii.gz").stat().st_mtime_ns == kept
    assert torch.equal(studies[1].image(phase="ES").data, before)


@pytest.mark.slow
def test_another_cohort_in_the_same_folder_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="expected a subject of seed 4, found 3"):
        cohort.write_cohort(folder, 1, seed=4, shape=SHAPE)


@pytest.mark.slow
def test_a_cine_has_frames_phases_and_a_duration(tmp_path: Path) -> None:
    (study,) = cohort.write_cohort(tmp_path / "new", 1, frames=3, shape=(32, 32))
    cine, labels = study.image(phase=None), study.labels(phase=None)
    assert cine.data.shape[0] == labels.data.shape[0] == 3
    assert cine.frame_duration == pytest.approx(60 / study.info["heart_rate"] / 3, rel=1e-4)
    for phase in ("ED", "ES"):
        t = study.info[f"frame_{phase}"]
        assert torch.equal(cine.data[t], study.image(phase=phase).data)
        assert torch.equal(labels.data[t], study.labels(phase=phase).data)


@pytest.mark.slow
def test_long_axis_views_are_written_where_asked(tmp_path: Path) -> None:
    views = ("la_4ch", "sa", "la_2ch")
    (study,) = cohort.write_cohort(tmp_path / "all", 1, seed=3, frames=3, shape=(65, 60), views=views)
    subject = sample_subject(0, cohort="test", seed=3)
    for view in ("la_2ch", "la_4ch"):
        scan = scan_long_axis(
            Scene(subject), UNSEEN_VENDOR, view, frame_activations(3), seed=subject.seed, shape=(65, 60)
        )
        assert torch.equal(study.image(view, None).data, scan.image.data)
        assert torch.equal(study.labels(view, None).data, scan.labels.data)
        assert np.allclose(study.image(view).affine, scan.image.affine, atol=1e-4)
        for phase in ("ED", "ES"):
            t = study.info[f"frame_{phase}"]
            assert torch.equal(study.image(view, phase).data, scan.image.data[t])
            assert torch.equal(study.labels(view, phase).data, scan.labels.data[t])
    with pytest.raises(InputError, match="views"):  # the folder has more than a call without views asks for
        cohort.write_cohort(tmp_path / "all", 1, seed=3, frames=3, shape=(65, 60))


@pytest.mark.slow
def test_short_axis_alone_by_default(folder: Path) -> None:
    assert sorted(p.name for p in (folder / "test-00000").glob("*la_*")) == []


@pytest.mark.parametrize("views", [(), ("sa", "la_3ch"), ("sa", "sa")])
def test_unknown_views_are_refused(tmp_path: Path, views: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="views: expected some of sa, la_2ch, la_4ch, each once, got"):
        cohort.write_cohort(tmp_path / "new", 1, views=views)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_annotators_differ_and_repeat_themselves(folder: Path) -> None:
    study = find_studies(folder)[0]
    drawn, again = (cohort.drawings(study, "ED") for _ in range(2))
    assert list(drawn) == ["O1", "O2", "O3"]
    assert all(torch.equal(drawn[name].data, again[name].data) for name in drawn)
    assert not torch.equal(drawn["O1"].data, drawn["O2"].data)
    assert max(int(image.data.max()) for image in drawn.values()) <= 3


def test_a_real_study_has_the_annotator_it_came_with(tmp_path: Path) -> None:
    from cardiolearn.image import Image
    from cardiolearn.study import write_study

    image = Image(torch.rand(3, 8, 8), np.diag([1.4, 1.4, 10.0, 1.0]))
    labels = Image(torch.randint(0, 4, (3, 8, 8), dtype=torch.uint8), image.affine)
    study = write_study(tmp_path / "patient", {"sa_ED": image, "sa_ES": image}, {"sa_ED": labels}, {})
    assert torch.equal(cohort.drawings(study, "ED")["annotator"].data, labels.data)
    assert cohort.drawings(study, "ES") == {}


def test_the_cache_is_named_after_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cohort.CACHE_VARIABLE, str(tmp_path))
    assert cohort.cache_folder() == tmp_path / f"phantom-{cohort.phantom_version()}"
    versions = []
    sources = ("x = 1\n", 'r"""About."""\n\nx = 1  # a remark\n', "x = 2\n")
    for i, source in enumerate(sources):
        (tmp_path / str(i)).mkdir()
        (tmp_path / str(i) / "heart.py").write_text(source)
        (tmp_path / str(i) / "unused.py").write_text(f"x = {i}\n")
        for name in ("batches", "cohort", "long_axis_batches", "volumes"):
            (tmp_path / str(i) / f"{name}.py").write_text("from cardiolearn.phantom.heart import x\n")
        monkeypatch.setattr(cohort, "__file__", str(tmp_path / str(i) / "cohort.py"))
        cohort.phantom_version.cache_clear()
        versions.append(cohort.phantom_version())
    cohort.phantom_version.cache_clear()
    assert versions[0] == versions[1] != versions[2]


@pytest.mark.slow
def test_a_second_visit_is_the_same_heart_in_another_scan(folder: Path, tmp_path: Path) -> None:
    (first, _), (again,) = (
        find_studies(folder),
        cohort.write_cohort(tmp_path / "again", 1, seed=3, shape=SHAPE, visit=1),
    )
    volumes = ("subject", "lv_edv_ml", "lv_esv_ml", "rv_edv_ml", "lv_mass_g", "heart_rate")
    assert [first.info[name] for name in volumes] == [again.info[name] for name in volumes]
    assert not np.allclose(first.image().affine, again.image().affine)
    assert first.info["hand"] != again.info["hand"]
    with pytest.raises(InputError, match="visit"):
        cohort.write_cohort(folder, 1, seed=3, shape=SHAPE, visit=1)
