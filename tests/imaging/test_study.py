r"""Study folders: written whole, read back, labels brought to their image; and what is refused."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.numbering import check_numbering
from cardiolearn.imaging.reading import read_image, read_labels, write_image
from cardiolearn.imaging.study import find_studies, match_labels, open_study, write_study

AFFINE = np.array([[0, -1.8, 0, 30], [1.8, 0, 0, -50], [0, 0, 8, -20], [0, 0, 0, 1.0]])


def image(shape: tuple[int, ...] = (4, 9, 7), seed: int = 0) -> Image:
    data = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return Image(data, AFFINE, 0.03 if len(shape) == 4 else None)


def label_map(shape: tuple[int, ...] = (4, 9, 7), seed: int = 0, affine: np.ndarray = AFFINE) -> Image:
    data = torch.randint(0, 6, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Image(data, affine)


def heart(rv: int = 0) -> Image:
    r"""Labels of a cavity in a wall, in all slices, and of a right ventricle of `rv` rows beside it."""
    data = torch.zeros((4, 9, 7), dtype=torch.uint8)
    data[:, 2:7, 2:7], data[:, 3:6, 3:6], data[:, 3 : 3 + rv, :2] = 2, 1, 3
    return Image(data, AFFINE)


def write(folder: Path, **info: object) -> None:
    images = {"sa": image((5, 4, 9, 7)), "sa_ED": image(), "sa_ES": image(seed=1), "la_4ch_ED": image((1, 9, 7))}
    write_study(folder, images, {"sa_ED": heart(), "sa_ES": heart(rv=3)}, info)


# --- folders ---


def test_a_study_comes_back_as_it_was_written(tmp_path: Path) -> None:
    info = {
        "subject": "p007",
        "group": 'dilated "DCM"\n\t\\ é \x7f',
        "height_cm": 171.5,
        "age": 61,
        "tiny": 1e-20,
        "synthetic": True,
        "landmarks": {"apex": np.array([1.5, -2.0]), "mitral valve": torch.tensor([1, 2])},
        "empty": [],
        "a key": np.float32(0.5),
    }
    write(tmp_path / "s1", **info)
    (study,) = find_studies(tmp_path)
    assert study.subject == "p007"
    expected = info | {"landmarks": {"apex": [1.5, -2.0], "mitral valve": [1, 2]}}
    assert study.info == expected | {"outlined": ["lv", "myocardium", "rv"]}
    assert torch.equal(study.image().data, image().data)
    assert torch.equal(study.image("sa", "ES").data, image(seed=1).data)
    cine = study.image("sa", None)
    assert cine.data.shape == (5, 4, 9, 7)
    assert cine.frame_duration == pytest.approx(0.03)
    assert study.image("la_4ch", "ED").data.shape == (1, 9, 7)
    assert torch.equal(study.labels("sa", "ES").data, heart(rv=3).data)
    assert study.has("sa", "ED", label=True)
    assert not study.has("la_4ch", "ED", label=True)
    assert sorted(os.listdir(tmp_path)) == ["s1"]
    assert sorted(p.name for p in (tmp_path / "s1").iterdir()) == [
        "info.toml", "la_4ch_ED.nii.gz", "label_sa_ED.nii.gz", "label_sa_ES.nii.gz", "sa.nii.gz", "sa_ED.nii.gz",
        "sa_ES.nii.gz",
    ]  # fmt: skip


def test_studies_are_found_by_name(tmp_path: Path) -> None:
    for name in ("b", "a", "c10"):
        write(tmp_path / name)
    (tmp_path / "notes").mkdir()
    (tmp_path / ".b.99.part").mkdir()
    write_image(tmp_path / ".b.99.part" / "sa_ED.nii.gz", image())
    assert [s.subject for s in find_studies(tmp_path)] == ["a", "b", "c10"]
    assert [s.folder for s in find_studies(tmp_path / "a")] == [tmp_path / "a"]
    assert open_study(tmp_path / "c10").info == {"outlined": ["lv", "myocardium", "rv"]}


def test_missing_things_are_named(tmp_path: Path) -> None:
    write_study(tmp_path / "s", {"sa_ED": image()}, {}, {})
    study = open_study(tmp_path / "s")
    with pytest.raises(InputError, match=r"s: expected sa_ES\.nii\.gz, found sa_ED\.nii\.gz$"):
        study.image("sa", "ES")
    with pytest.raises(InputError, match=r"expected label_sa_ED\.nii\.gz, found"):
        study.labels()
    with pytest.raises(InputError, match=r"expected a view and phase of sa, .*, got 'sa_systole'"):
        study.image("sa", "systole")
    with pytest.raises(InputError, match="got 'axial_ED'"):
        study.has("axial")
    for function, end in ((open_study, "found none"), (find_studies, "there is no such folder")):
        with pytest.raises(InputError, match=rf"none: expected a .*, {end}"):
            function(tmp_path / "none")
    with pytest.raises(InputError, match=r"got a file; for one scan: cardiolearn segment"):
        find_studies(tmp_path / "s" / "sa_ED.nii.gz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: expected one folder per subject"):
        find_studies(tmp_path / "empty")
    with pytest.raises(InputError, match="empty: expected a study folder with files such as"):
        open_study(tmp_path / "empty")
    (tmp_path / "empty" / "1.dcm").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(InputError, match="it holds DICOM files: cardiolearn segment reads them"):
        find_studies(tmp_path / "empty")


def test_another_numbering_of_the_right_ventricle_is_named(tmp_path: Path) -> None:
    scan, outlined = image(), heart(rv=3)
    outlined.data[outlined.data == 3] = 4
    study = write_study(
        tmp_path / "s", {"sa_ED": scan, "la_4ch_ED": scan}, {"sa_ED": outlined, "la_4ch_ED": outlined}, {}
    )
    with pytest.raises(InputError, match=r"label_sa_ED\.nii\.gz: expected the right ventricle as label 3, got label 4"):
        study.labels()
    assert study.labels("la_4ch").data.max() == 4


NUMBERINGS = [order for order in itertools.permutations((1, 2, 3)) if order != (1, 2, 3)]


@pytest.mark.parametrize("present", [(1, 2, 3), (1, 2)])
def test_labels_in_another_numbering_are_refused(tmp_path: Path, present: tuple[int, ...]) -> None:
    r"""ACDC's (1 RV, 2 wall, 3 LV) and every other; also where the right ventricle was not outlined."""
    labels = heart(rv=3 if 3 in present else 0)
    write_study(tmp_path / "s", {"sa_ED": image()}, {"sa_ED": labels}, {})
    assert torch.equal(open_study(tmp_path / "s").labels().data, labels.data)
    (tmp_path / "s" / "info.toml").unlink()
    for order in NUMBERINGS:
        renumbered = torch.tensor([0, *order], dtype=torch.uint8)[labels.data.long()]
        write_image(tmp_path / "s" / "label_sa_ED.nii.gz", Image(renumbered, AFFINE))
        with pytest.raises(
            InputError, match=r"label_sa_ED\.nii\.gz: expected labels numbered 1 LV cavity, .*, but "
        ) as no:
            open_study(tmp_path / "s").labels()
        assert "\n" not in str(no.value)


def test_a_cavity_beside_its_wall_is_refused() -> None:
    apart = heart().data.clone()
    apart[apart == 1] = 0
    apart[:, 0, :4] = 1
    with pytest.raises(InputError, match="but only over 0% of its edge"):
        check_numbering(Image(apart, AFFINE))


def test_the_numbering_is_judged_within_slices_however_they_are_stored() -> None:
    r"""A heart of one slice has nothing above and below; its slices may run along any axis."""
    for order in itertools.permutations(range(3)):
        columns = [2 - order[2 - axis] for axis in range(3)]
        check_numbering(Image(heart(rv=3).data.permute(order), np.c_[AFFINE[:, columns], AFFINE[:, 3]]))


def test_only_what_a_study_declares_may_be_outlined(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", {"sa_ED": image()}, {"sa_ED": heart(rv=3)}, {"outlined": ["lv", "myocardium"]})
    assert study.outlined() == ("lv", "myocardium")
    with pytest.raises(InputError, match=r"ED\.nii\.gz: expected lv, myocardium as info\.toml declares, got also rv"):
        study.labels()
    (tmp_path / "s" / "info.toml").write_text('outlined = "lv"')
    with pytest.raises(InputError, match=r"info\.toml: expected outlined to list some of lv, .*, got lv"):
        open_study(tmp_path / "s").labels()
    (tmp_path / "s" / "info.toml").unlink()
    assert open_study(tmp_path / "s").outlined() is None


def test_what_was_outlined_may_differ_between_the_phases(tmp_path: Path) -> None:
    scans, walls = {"sa_ED": image(), "sa_ES": image()}, {"sa_ED": heart(), "sa_ES": heart()}
    walls["sa_ES"].data[walls["sa_ES"].data == 2] = 0
    declared = {"outlined": {"ED": ["myocardium", "lv"], "ES": ["lv"]}}
    study = write_study(tmp_path / "s", scans, walls, declared)
    assert (study.outlined("ED"), study.outlined("ES")) == (("lv", "myocardium"), ("lv",))
    assert study.outlined(None) == ("lv", "myocardium")
    assert torch.equal(study.labels("sa", "ES").data, walls["sa_ES"].data)
    study = write_study(tmp_path / "t", scans, {"sa_ED": heart(), "sa_ES": heart()}, declared)
    study.labels("sa", "ED")
    with pytest.raises(InputError, match=r"ES\.nii\.gz: expected lv as info\.toml declares, got also myocardium"):
        study.labels("sa", "ES")
    with pytest.raises(InputError, match=r"ES\.nii\.gz: expected nothing as info\.toml declares, got also lv, myo"):
        write_study(tmp_path / "u", scans, walls | {"sa_ES": heart()}, {"outlined": {"ED": ["lv"]}}).labels("sa", "ES")
    for wrong in ({"diastole": ["lv"]}, {"ED": "lv"}, {"ES": ["aorta"]}):
        with pytest.raises(InputError, match=r"expected outlined to list some of lv, .* or such lists by ED and ES"):
            write_study(tmp_path / str(wrong)[2:8], scans, walls, {"outlined": wrong}).labels()


def test_two_folders_of_one_subject_are_refused(tmp_path: Path) -> None:
    for name, subject in (("p0", "same"), ("p1", "same"), ("p2", "other")):
        write(tmp_path / name, subject=subject)
    with pytest.raises(InputError, match=r"expected each subject once, but p0 and p1 both are subject 'same'"):
        find_studies(tmp_path)
    (tmp_path / "p1" / "info.toml").write_text('subject = "p2"')
    (tmp_path / "p2" / "info.toml").unlink()  # its name is its folder's
    with pytest.raises(InputError, match="p1 and p2 both are subject 'p2'"):
        find_studies(tmp_path)
    for wrong in ('""', "[1]"):
        (tmp_path / "p1" / "info.toml").write_text(f"subject = {wrong}")
        with pytest.raises(InputError, match=r"info\.toml: expected the subject's identifier as text, got"):
            open_study(tmp_path / "p1")


def test_a_broken_info_is_named(tmp_path: Path) -> None:
    write(tmp_path / "s")
    for content in (b"group = ", b"\xff\xfe"):
        (tmp_path / "s" / "info.toml").write_bytes(content)
        with pytest.raises(InputError, match=r"info\.toml: expected TOML, got: ") as caught:
            find_studies(tmp_path)
        assert "\n" not in str(caught.value)


def test_labels_that_do_not_fit_are_named(tmp_path: Path) -> None:
    write(tmp_path / "s")
    path = tmp_path / "s" / "label_sa_ED.nii.gz"
    study = open_study(tmp_path / "s")
    write_image(path, Image(torch.full((4, 9, 7), 7), AFFINE))
    with pytest.raises(InputError, match=r"label_sa_ED\.nii\.gz: expected labels .*, got also \[7"):
        study.labels()
    write_image(path, Image(heart().data, np.diag([1.0, 1, 1, 1])))
    with pytest.raises(InputError, match=r"label_sa_ED\.nii\.gz: labels: expected the voxels of the image, 7 x 9 x 4"):
        study.labels()
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"label_sa_ED\.nii\.gz: expected a whole gzip file"):
        study.labels()


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    good = {"sa_ED": image()}
    cases: list[tuple[Path, Mapping[str, Image], Mapping[str, Image], Mapping[str, Any], str]] = [
        (tmp_path / "s", {}, {}, {}, "at least one image"),
        (tmp_path / "s", {"sa_MID": image()}, {}, {}, "got 'sa_MID'"),
        (tmp_path / "s", good, {"sa_ED": Image(torch.full((4, 9, 7), 9), AFFINE)}, {}, r"in sa_ED, got also \[9\]"),
        (tmp_path / "s", good, {}, {"born": object()}, "got object"),
        (tmp_path / "s", {"sa_ED": image().with_data(torch.full((4, 9, 7), torch.nan))}, {}, {}, "finite"),
        (tmp_path / "no" / "s", good, {}, {}, "expected an existing folder"),
    ]
    for folder, images, labels, info, message in cases:
        with pytest.raises(InputError, match=message):
            write_study(folder, images, labels, info)
        assert not list(tmp_path.iterdir())
    write(tmp_path / "s")
    with pytest.raises(InputError, match="it exists already"):
        write(tmp_path / "s")


# --- labels on the image's grid ---


@given(shift=st.tuples(*[st.integers(-3, 3)] * 3), extra=st.tuples(*[st.integers(0, 4)] * 3), seed=st.integers(0, 9))
@settings(max_examples=40)
def test_labels_of_another_extent(shift: tuple[int, ...], extra: tuple[int, ...], seed: int) -> None:
    wanted = image()
    affine = AFFINE.copy()
    affine[:3, 3] = (AFFINE @ (*shift, 1))[:3]
    affine[:3] += np.random.default_rng(seed).normal(0, 1e-5, (3, 4))  # float32 headers are not exact
    labels = label_map((4 + extra[0], 9 + extra[1], 7 + extra[2]), seed, affine)
    result = match_labels(labels, wanted)
    assert result.data.dtype == torch.uint8
    expected = torch.zeros(4, 9, 7, dtype=torch.uint8)
    for z, y, x in np.ndindex(4, 9, 7):
        k, j, i = z - shift[2], y - shift[1], x - shift[0]
        if 0 <= k < labels.data.shape[0] and 0 <= j < labels.data.shape[1] and 0 <= i < labels.data.shape[2]:
            expected[z, y, x] = labels.data[k, j, i]
    assert torch.equal(result.data, expected)
    np.testing.assert_array_equal(result.affine, wanted.affine)


@pytest.mark.parametrize("codes", ["RAS", "SPL", "ILA"])
def test_labels_with_other_axes(codes: str) -> None:
    nifti = nib.Nifti1Image(label_map().data.numpy().T, AFFINE)
    turn = nib.orientations.ornt_transform(nib.io_orientation(AFFINE), nib.orientations.axcodes2ornt(codes))
    other = nifti.as_reoriented(turn)
    turned = Image(torch.from_numpy(np.asarray(other.dataobj).T.copy()), other.affine)
    assert turned.data.shape != label_map().data.shape or not torch.equal(turned.data, label_map().data)
    assert torch.equal(match_labels(turned, image()).data, label_map().data)


def test_labels_of_a_cine() -> None:
    cine = image((5, 4, 9, 7))
    labels = label_map((5, 6, 9, 7), affine=AFFINE @ [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -1], [0, 0, 0, 1]])
    assert torch.equal(match_labels(labels, cine).data, labels.data[:, 1:5])
    with pytest.raises(InputError, match="expected 5 frames as in the image, got 3"):
        match_labels(Image(labels.data[:3], labels.affine), cine)


def moved(**changes: float) -> np.ndarray:
    affine = AFFINE.copy()
    for key, value in changes.items():
        affine[int(key[1]), int(key[2])] += value
    return affine


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (moved(a23=4.0), "more than whole voxels"),
        (moved(a01=0.2), "more than whole voxels"),
        (moved(a02=2.0), "more than whole voxels"),
        (np.diag([3.6, 3.6, 8, 1]), "more than whole voxels"),
        (moved(a23=80.0), "expected to overlap the image"),
    ],
)
def test_labels_elsewhere_are_refused(affine: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        match_labels(label_map(affine=affine), image())


# --- real scans ---


@pytest.mark.parametrize(("subject", "shape"), [("A", (12, 123, 123)), ("D", (12, 127, 116))])
def test_imperial_labels_have_three_slices_more_at_each_end(
    real_scans: Path, subject: str, shape: tuple[int, int, int]
) -> None:
    folder = real_scans / "imperial_autofd" / subject
    labels = read_labels(folder / "seg_sa_ED.nii.gz", allowed=(0, 1, 2, 4))
    assert len(labels.data) == 18
    scan = read_image(folder / "sa_ED.nii.gz")
    matched = match_labels(labels, scan)
    assert matched.data.shape == shape
    assert torch.equal(matched.data, labels.data[3:15])
    blood, muscle = (scan.data[matched.data == k].mean() for k in (1, 2))
    assert blood > 1.5 * muscle
