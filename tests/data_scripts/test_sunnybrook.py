r"""Sunnybrook's pictures and contours as a study: made-up patients with a known answer, and what is refused."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pytest
import torch
from dicoms import DIRECTIONS, ORIGIN, one_file, pixels, save
from matplotlib.path import Path as Polygon

from cardiolearn.errors import InputError, InputWarning
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.reading import read_image

SIZE, SLICES, FRAMES = (24, 20), 3, 4
#: Shapes that neither a flip nor a turn leaves as they are, column and row in pixels from 0: the wall's outer border,
#: and the cavity in both phases.
WALL = np.array([[1, 2], [15, 2], [15, 9], [8, 9], [8, 20], [1, 20]]) + 0.5
FULL = np.array([[3, 4], [13, 4], [13, 7], [6, 7], [6, 18], [3, 18]]) + 0.5
EMPTIED = np.array([[3, 4], [10, 4], [10, 6], [5, 6], [5, 14], [3, 14]]) + 0.5


def load() -> ModuleType:
    path = Path(__file__).parents[2] / "data_scripts" / "sunnybrook.py"
    spec = importlib.util.spec_from_file_location("sunnybrook", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sunnybrook"] = module  # where its dataclass looks for its types
    spec.loader.exec_module(module)
    return module


sunnybrook = load()


def number(t: int, z: int) -> int:
    r"""InstanceNumber of frame `t` of slice `z`, as `dicoms.one_file` gives it."""
    return 1 + 20 * z + t


def contour(folder: Path, number: int, points: np.ndarray, border: str = "i") -> Path:
    path = folder / f"IM-0001-{number:04d}-{border}contour-manual.txt"
    path.write_text("".join(f"{x:.2f} {y:.2f}\n" for x, y in points + 1.0))
    return path


def inside(points: np.ndarray) -> np.ndarray:
    r"""Pixels `(Y, X)` whose centre matplotlib finds within a contour."""
    y, x = np.indices(SIZE)
    return Polygon(points).contains_points(np.stack([x, y], -1).reshape(-1, 2)).reshape(SIZE)


def same_in_space(image: Image, expected: np.ndarray) -> None:
    r"""Every voxel of the image has the value that `expected` `(.., Z, Y, X)`, on the grid of `dicoms`, has there."""
    grid = np.eye(4)
    grid[:3] = np.diag([-1, -1, 1]) @ np.c_[DIRECTIONS * (1.5, 1.5, 9.0), ORIGIN]
    z, y, x = np.indices(image.data.shape[-3:]).reshape(3, -1)
    voxel = np.linalg.inv(grid) @ image.affine @ np.stack([x, y, z, np.ones_like(x)])
    np.testing.assert_allclose(voxel, np.rint(voxel), atol=1e-3)
    column, row, through, _ = np.rint(voxel).astype(int)
    np.testing.assert_array_equal(image.data.numpy()[..., z, y, x], expected[..., through, row, column])
    assert image.data.numel() == expected.size


@pytest.fixture
def patient(tmp_path: Path) -> tuple[Path, Path]:
    r"""Pictures and contours: frame 3 is the fullest, with a wall; frame 1 has the cavity alone."""
    images, contours = tmp_path / "images", tmp_path / "contours"
    for folder in (images, contours / "i-contours", contours / "o-contours"):
        folder.mkdir(parents=True)
    save(images, {(t, z): one_file(t, z, size=SIZE) for t in range(FRAMES) for z in range(SLICES)})
    for z in (1, 2):
        contour(contours / "i-contours", number(3, z), FULL)
        contour(contours / "o-contours", number(3, z), WALL, "o")
        contour(contours / "i-contours", number(1, z), EMPTIED)
    (contours / "i-contours" / f"IM-0001-{number(3, 1):04d}-p1contour-manual.txt").write_text("a papillary muscle")
    return images, contours


def test_pictures_and_contours_become_a_study(patient: tuple[Path, Path], tmp_path: Path) -> None:
    study = sunnybrook.convert(*patient, tmp_path / "SCD1")
    assert (study.subject, study.info["ed_frame"], study.info["es_frame"]) == ("SCD1", 3, 1)
    assert (study.outlined("ED"), study.outlined("ES")) == (("lv", "myocardium"), ("lv",))
    cine = study.image("sa", None)
    expected = np.stack([np.stack([pixels(t, z, SIZE) for z in range(SLICES)]) for t in range(FRAMES)])
    same_in_space(cine, expected)
    assert cine.frame_duration == pytest.approx(0.04)
    for phase, t, drawn in (("ED", 3, FULL), ("ES", 1, EMPTIED)):
        same_in_space(study.image("sa", phase), expected[t])
        wanted = np.where(inside(drawn), 1, np.where(inside(WALL) & (phase == "ED"), 2, 0))
        same_in_space(study.labels("sa", phase), np.stack([0 * wanted, wanted, wanted]))


def test_pictures_are_found_by_their_number_whatever_their_order_in_space(
    patient: tuple[Path, Path], tmp_path: Path
) -> None:
    images, contours = patient
    for path in images.iterdir():
        path.unlink()
    save(images, {(t, z): one_file(t, z, step=-9.0, size=SIZE) for t in range(FRAMES) for z in range(SLICES)})
    labels = sunnybrook.convert(images, contours, tmp_path / "s").labels().data
    assert (labels > 0).flatten(1).any(1).tolist() == [True, True, False]  # the slices lie the other way round


def test_what_is_cut_off_moves_nothing(patient: tuple[Path, Path], tmp_path: Path) -> None:
    whole = sunnybrook.convert(*patient, tmp_path / "whole")
    part = sunnybrook.convert(*patient, tmp_path / "part", margin=1.5)
    for image, cut in ((whole.image("sa", None), part.image("sa", None)), (whole.labels(), part.labels())):
        shift = np.rint(np.linalg.inv(image.affine) @ cut.affine[:, 3]).astype(int)
        np.testing.assert_allclose(cut.affine[:3, 3], (image.affine @ shift)[:3], atol=1e-4)
        (x, y, z, _), (height, width) = shift, cut.data.shape[-2:]
        assert z == 0 and x > 0 and y > 0
        assert torch.equal(cut.data, image.data[..., y : y + height, x : x + width])
    drawn = np.argwhere(part.labels().data.numpy().any(0))  # a pixel, 1.5 mm, is left on every side
    assert drawn.min(0).tolist() == [1, 1] and drawn.max(0).tolist() == [height - 2, width - 2]
    assert (part.labels().data > 0).sum() == (whole.labels().data > 0).sum()


@pytest.mark.parametrize("turns", range(4))
def test_pictures_are_turned_to_the_usual_view_and_not_mirrored(turns: int) -> None:
    usual = np.array([[-1.4, 0.1, 0.2, 30], [0.1, 0.3, -8, 20], [0.2, -1.4, 0.4, 10], [0, 0, 0, 1]])
    data = torch.arange(2 * 5 * 7).reshape(2, 5, 7)
    # as numpy turns it, and its affine by where three corners of the picture come to lie
    stored = np.rot90(data.numpy(), turns, (1, 2)).copy()
    where = [[np.argwhere(stored == data[z, y, x].item())[0][::-1], (x, y, z)] for z, y, x in np.ndindex(2, 5, 7)]
    before, after = (np.array([[*one[k], 1] for one in where]) for k in (0, 1))
    affine = usual @ np.linalg.lstsq(before, after, rcond=None)[0].T
    found = sunnybrook.upright(Image(torch.from_numpy(stored), affine))
    assert torch.equal(found.data, data)
    np.testing.assert_allclose(found.affine, usual, atol=1e-9)


def staircase(seed: int) -> np.ndarray:
    r"""A contour as Sunnybrook's: round, and at every half pixel."""
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    radius = rng.uniform(8, 14) * (1 + 0.1 * np.cos(2 * angle + rng.uniform(0, 6)))
    points = np.stack([20 + radius * np.cos(angle), 22 + radius * np.sin(angle)], -1)
    return np.round(2 * points) / 2


def distance(points: np.ndarray, contour: np.ndarray) -> np.ndarray:
    r"""Of points `(N, 2)` from a closed contour, in pixels."""
    start, step = contour, np.roll(contour, -1, axis=0) - contour
    length = np.maximum((step**2).sum(1), 1e-12)
    along = np.clip(((points[:, None] - start) * step).sum(-1) / length, 0, 1)
    return np.linalg.norm(points[:, None] - start - along[..., None] * step, axis=-1).min(1)


def test_contours_are_filled_as_another_library_does_and_with_the_area_they_enclose() -> None:
    y, x = np.indices((44, 42))
    centres = np.stack([x, y], -1).reshape(-1, 2)
    areas = []
    for seed in range(30):
        points = staircase(seed)
        found = sunnybrook.filled(points, (44, 42)).ravel()
        off = distance(centres, points) > 0.01
        assert (~off).sum() > 20  # pixels on the line, about which libraries differ
        np.testing.assert_array_equal(found[off], Polygon(points).contains_points(centres)[off])
        a, b = points.T
        areas.append((found.sum(), 0.5 * abs(np.sum(a * np.roll(b, -1) - b * np.roll(a, -1)))))
    counted, enclosed = np.array(areas).sum(0)
    assert counted == pytest.approx(enclosed, rel=0.003)


def test_a_wall_that_is_not_complete_is_left_out(patient: tuple[Path, Path], tmp_path: Path) -> None:
    contour(patient[1], number(1, 1), WALL, "o")
    with pytest.warns(InputWarning, match="frame 1 has the epicardium in 1 of 2 slices; its wall is left out"):
        study = sunnybrook.convert(*patient, tmp_path / "s")
    assert study.outlined("ES") == ("lv",)
    assert set(study.labels("sa", "ES").data.unique().tolist()) == {0, 1}


def test_nothing_of_the_headers_but_place_and_time_is_written(patient: tuple[Path, Path], tmp_path: Path) -> None:
    study = sunnybrook.convert(*patient, tmp_path / "s")
    assert b"SECRET" in next(patient[0].iterdir()).read_bytes()
    assert set(study.info) == {"subject", "source", "licence", "ed_frame", "es_frame", "outlined"}
    for path in study.folder.glob("*.nii.gz"):
        image = nib.load(path)
        assert not any(image.header[name].item() for name in ("descrip", "aux_file", "intent_name", "db_name"))
        assert not image.header.extensions


def remove(*numbers: int) -> Callable[[Path, Path], None]:
    def change(images: Path, contours: Path) -> None:
        for n in numbers:
            for path in contours.rglob(f"IM-0001-{n:04d}-*contour-manual.txt"):
                path.unlink()

    return change


def empty(images: Path, contours: Path) -> None:
    remove(*(number(t, z) for t in (1, 3) for z in (1, 2)))(images, contours)


def of_no_picture(images: Path, contours: Path) -> None:
    contour(contours, 777, WALL)


def twice(images: Path, contours: Path) -> None:
    contour(contours, number(3, 1), WALL)


def epicardium_alone(images: Path, contours: Path) -> None:
    contour(contours, number(3, 0), WALL, "o")


def three_frames(images: Path, contours: Path) -> None:
    contour(contours, number(2, 1), WALL)


def text(content: str) -> Callable[[Path, Path], None]:
    def change(images: Path, contours: Path) -> None:
        contour(contours, number(3, 0), WALL).write_text(content)

    return change


def one_frame(images: Path, contours: Path) -> None:
    for path in images.iterdir():
        path.unlink()
    save(images, {(0, z): one_file(3, z, size=SIZE) for z in range(SLICES)})


def equal_frames(images: Path, contours: Path) -> None:
    for t, z in ((2, 1), (3, 1)):
        ds = one_file(t, z, size=SIZE)
        ds.PixelData = pixels(0, 0, SIZE).tobytes()
        next(p for p in images.iterdir() if number_in(p) == number(t, z)).unlink()
        ds.save_as(images / f"other{t}.dcm", enforce_file_format=False)


def number_in(path: Path) -> int:
    import pydicom

    return int(pydicom.dcmread(path, stop_before_pixels=True).InstanceNumber)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (empty, r"contours: expected files such as IM-0001-0059-icontour-manual\.txt, found none$"),
        (of_no_picture, r"images: expected pictures with InstanceNumber \[777\] for the contours, found none$"),
        (twice, r"IM-0001-0024-icontour-manual\.txt: expected one endocardium for picture 24, found .* too$"),
        (epicardium_alone, r"IM-0001-0004-ocontour-manual\.txt: expected an icontour file .* picture, found none$"),
        (three_frames, r"contours: expected contours in two frames, end-diastole and end-systole, found 1, 2, 3$"),
        (remove(number(1, 1), number(1, 2)), r"expected contours in two frames, .*, found 3$"),
        (text("1 2\n3 4\n"), r"0004-icontour-manual\.txt: expected a column and a row in each of 3 or more lines"),
        (text("1 2\n3 4\n5\n"), r"expected a column and a row in each of 3 or more lines, found .* in 3 lines$"),
        (text("1 2\n3 x\n5 6\n"), r"expected a column and a row in each of 3 or more lines"),
        (text("1 2\n3 nan\n5 6\n"), r"expected a column and a row in each of 3 or more lines"),
        (one_frame, r"images: expected a cine, found a single frame$"),
        (equal_frames, r"other3\.dcm: expected to be one frame of the cine, found it in 2$"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_patient_is_refused_in_one_line(
    patient: tuple[Path, Path], tmp_path: Path, change: Callable[[Path, Path], None], said: str
) -> None:
    change(*patient)
    with pytest.raises(InputError, match=said) as error:
        sunnybrook.convert(*patient, tmp_path / "s")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "s").exists()


def test_a_picture_that_is_there_twice_is_refused(patient: tuple[Path, Path], tmp_path: Path) -> None:
    images, _ = patient
    cine = read_image(images)
    one_file(3, 1, size=SIZE).save_as(images / "again.dcm", enforce_file_format=False)
    with pytest.raises(InputError, match="expected InstanceNumber 24 once in the folder, found it twice"):
        sunnybrook.places(images, cine, {24})


@pytest.mark.parametrize("size", [SIZE, (16, 16)])
def test_a_picture_that_is_not_of_the_cine_is_refused(patient: tuple[Path, Path], size: tuple[int, int]) -> None:
    images, _ = patient
    cine = read_image(images)
    other = one_file(0, 1, step=90.0, size=size)  # beyond the last slice, or of another size
    other.InstanceNumber = 777
    other.save_as(images / "other.dcm", enforce_file_format=False)
    with pytest.raises(InputError, match=r"other\.dcm: expected to be one frame of the cine, found it in 0"):
        sunnybrook.places(images, cine, {777})


def test_the_command(
    patient: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def called(*arguments: object) -> Mapping[str, object]:
        monkeypatch.setattr(sys, "argv", ["sunnybrook.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            sunnybrook.main(sunnybrook.app)
        out, err = capsys.readouterr()
        return {"code": end.value.code, "out": out, "err": err}

    out = tmp_path / "SCD1"
    assert called(*patient, out, "--margin", 3) == {
        "code": 0, "out": f"{out}: ED is frame 3, ES frame 1 (counted from 0)\n", "err": "",
    }  # fmt: skip
    again = called(*patient, out)
    assert again == {"code": 2, "out": "", "err": f"cardiolearn: {out}: expected a new folder, it exists already\n"}
    missing = called(patient[0], tmp_path / "nowhere", tmp_path / "other")
    assert missing["err"] == (
        f"cardiolearn: {tmp_path / 'nowhere'}: expected a folder of contour files, there is no such folder\n"
    )
