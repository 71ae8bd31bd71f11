r"""Sunnybrook Cardiac Data to the kit's study layout: a DICOM cine and its contour files become one study folder.

    python data_scripts/sunnybrook.py IMAGES CONTOURS OUT

for example

    python data_scripts/sunnybrook.py SCD0000101 SCD0000101/SC-HF-I-1 studies/SCD0000101

A contour file is named after the picture it belongs to: `IM-0001-0059-icontour-manual.txt` holds the endocardium
(`icontour`) in the picture with InstanceNumber 59, `ocontour` the epicardium. Each line is one point, column and row,
in pixels; the centre of the first pixel is (1, 1). Papillary muscles and trabeculae lie within the endocardium, as in
the kit's own labels; contours of their own (`p1contour`, `p2contour`) are therefore not read.

Contours exist at two frames. The one whose cavities are larger is end-diastole (ED), the other end-systole (ES). The
wall is labelled where every slice of a phase has both contours; in most patients that is ED alone. Nobody outlined the
right ventricle. `info.toml` says under `outlined` what was drawn in which phase.

Pictures are turned by quarter turns to the usual view, the right ventricle on the left; the affine turns along. Nothing
but pixels, their place in space and the time between frames is taken from the DICOM files.

Source: Radau P, Lu Y, Connelly K, Paul G, Dick AJ, Wright GA. Evaluation Framework for Algorithms Segmenting Short Axis
Cardiac MRI. The MIDAS Journal, Cardiac MR Left Ventricle Segmentation Challenge, 2009.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from skimage.draw import polygon2mask

from cardiolearn.cli import main
from cardiolearn.errors import InputError
from cardiolearn.imaging.dicom_file import is_dicom, read_pictures
from cardiolearn.imaging.files import named, warn
from cardiolearn.imaging.image import Image, box_around
from cardiolearn.imaging.reading import read_image
from cardiolearn.imaging.structures import LV_CAVITY, MYOCARDIUM
from cardiolearn.imaging.study import Study, write_study

SOURCE = "Sunnybrook Cardiac Data, http://cardiacatlas.org/standards/sunnybrook-cardiac-data"
LICENCE = "CC0-1.0"
#: A contour file's name: the picture's number, and which border it holds.
_NAME = re.compile(r"IM-\d+-(\d+)-([io])contour-manual\.txt", re.IGNORECASE)
_BORDERS = {"i": "endocardium", "o": "epicardium"}
_BESIDE = np.array([1e-3, 2e-3])  # pixels, down and across: no point of a contour is a pixel's centre then


@dataclass(frozen=True)
class Contour:
    r"""One border in one picture.

    Args:
        path: the file.
        number: InstanceNumber of the picture.
        border: `endocardium` or `epicardium`.
        points: `(N, 2)`, column and row in pixels, the centre of the first pixel being (0, 0).
    """

    path: Path
    number: int
    border: str
    points: np.ndarray


def read_contours(folder: Path) -> list[Contour]:
    r"""The endocardial and epicardial contours in a folder and the folders inside it, by name.

    Raises:
        InputError: there is none; a file is no list of at least three points; two files say the same.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder of contour files, there is no such folder")
    found: dict[tuple[int, str], Contour] = {}
    for path in sorted(folder.rglob("*.txt")):
        if (name := _NAME.fullmatch(path.name)) is None:
            continue
        number, border = int(name[1]), _BORDERS[name[2].lower()]
        if (other := found.get((number, border))) is not None:
            raise InputError(f"{path}: expected one {border} for picture {number}, found {other.path} too")
        found[number, border] = Contour(path, number, border, _points(path))
    if not any(border == "endocardium" for _, border in found):
        raise InputError(f"{folder}: expected files such as IM-0001-0059-icontour-manual.txt, found none")
    return list(found.values())


def _points(path: Path) -> np.ndarray:
    with named(path):
        rows = [
            line.split() for line in path.read_text(encoding="ascii", errors="replace").splitlines() if line.strip()
        ]
        try:
            points = np.array(rows, dtype=np.float64)
        except ValueError:
            points = np.empty(0)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
            raise InputError(
                f"expected a column and a row in each of 3 or more lines, found other text in {len(rows)} lines"
            )
        return points - 1.0  # the files count pixels from 1


def filled(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    r"""The pixels `(Y, X)` whose centre lies within a closed contour.

    Contours run through pixel centres. Of those on the line only the ones on the upper and left side count, so that the
    area is neither too large nor too small on average.

    Args:
        points: `(N, 2)`, column and row, pixel centres being whole numbers.
        shape: of the picture, `(Y, X)`.

    >>> filled(np.array([[1, 1], [4, 1], [4, 3], [1, 3]]), (4, 5)).astype(int)
    array([[0, 0, 0, 0, 0],
           [0, 1, 1, 1, 0],
           [0, 1, 1, 1, 0],
           [0, 0, 0, 0, 0]])
    """
    inside: np.ndarray = polygon2mask(shape, points[:, ::-1] - _BESIDE)
    return inside


def places(folder: Path, cine: Image, numbers: set[int]) -> dict[int, tuple[int, int]]:
    r"""Frame and slice `(t, z)` of the cine `(T, Z, Y, X)` at which each picture with one of the `numbers` stands.

    Raises:
        InputError: a number that no picture has, or that several have; a picture that is not in the cine just once.
    """
    found: dict[int, tuple[int, int]] = {}
    to_voxel = np.linalg.inv(cine.affine)
    for path in sorted(p for p in folder.iterdir() if p.is_file() and is_dicom(p)):
        for picture in read_pictures(path):
            if (number := int(np.nan_to_num(picture.number, nan=-1))) not in numbers:
                continue
            if number in found:
                raise InputError(f"{path}: expected InstanceNumber {number} once in the folder, found it twice")
            z = round(float((to_voxel @ [*(picture.position * (-1, -1, 1)), 1.0])[2]))  # LPS to RAS
            same = _frames_like(torch.from_numpy(picture.pixels.grey()), cine, z)
            if len(same) != 1:
                raise InputError(f"{path}: expected to be one frame of the cine, found it in {len(same)}")
            found[number] = same[0], z
    if missing := sorted(numbers - set(found)):
        raise InputError(f"{folder}: expected pictures with InstanceNumber {missing} for the contours, found none")
    return found


def _frames_like(grey: torch.Tensor, cine: Image, z: int) -> list[int]:
    r"""The frames of slice `z` of the cine that show the picture `(Y, X)`; none where the cine has no such slice."""
    if not 0 <= z < cine.data.shape[1] or grey.shape != cine.data.shape[-2:]:  # a picture of another series
        return []
    return (cine.data[:, z] == grey).flatten(1).all(1).nonzero().flatten().tolist()


def label_maps(contours: list[Contour], at: Mapping[int, tuple[int, int]], cine: Image) -> Iterator[tuple[int, Image]]:
    r"""For each outlined frame its number and its label map `(Z, Y, X)`, uint8.

    Raises:
        InputError: an epicardium without an endocardium in the same picture.
    """
    drawn: dict[int, dict[str, np.ndarray]] = defaultdict(dict)
    height, width = cine.data.shape[-2:]
    for contour in contours:
        drawn[contour.number][contour.border] = filled(contour.points, (height, width))
    for contour in contours:
        if "endocardium" not in drawn[contour.number]:
            raise InputError(f"{contour.path}: expected an icontour file for the same picture, found none")
    for t in sorted({at[number][0] for number in drawn}):
        slices = {at[number][1]: borders for number, borders in drawn.items() if at[number][0] == t}
        n_walls = sum("epicardium" in borders for borders in slices.values())
        if 0 < n_walls < len(slices):
            where = contours[0].path.parent
            warn(where, f"frame {t} has the epicardium in {n_walls} of {len(slices)} slices; its wall is left out")
        labels = np.zeros(cine.data.shape[-3:], dtype=np.uint8)
        for z, borders in slices.items():
            if n_walls == len(slices):
                labels[z][borders["epicardium"]] = MYOCARDIUM
            labels[z][borders["endocardium"]] = LV_CAVITY
        yield t, Image(torch.from_numpy(labels), cine.affine)


def cropped(image: Image, box: tuple[slice, ...]) -> Image:
    r"""The part of an image within `box`, `(Z, Y, X)` slices; the affine moves along."""
    affine = image.affine.copy()
    affine[:3, 3] = (image.affine @ [*(part.start for part in reversed(box)), 1.0])[:3]
    z, y, x = box
    return Image(image.data[..., z, y, x].contiguous(), affine, image.frame_duration)


def upright(image: Image) -> Image:
    r"""The image by quarter turns within the slice as textbooks show it: rows run to the patient's left, columns to the
    feet, as nearly as they can. Nothing is mirrored, and the affine turns along."""
    left, down = np.array([-1.0, 0.0, 0.0]), np.array([0.0, 0.0, -1.0])
    turned = [image]
    for _ in range(3):
        last = turned[-1]
        back = np.array([[0, -1, 0, last.data.shape[-1] - 1], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        turned.append(Image(torch.rot90(last.data, 1, (-2, -1)).contiguous(), last.affine @ back, last.frame_duration))
    return max(turned, key=lambda one: left @ one.affine[:3, 0] + down @ one.affine[:3, 1])


def convert(images: Path, contours: Path, out: Path, margin: float | None = None) -> Study:
    r"""Write the study of one patient.

    Args:
        images: folder with the DICOM files of the short-axis cine.
        contours: folder with its contour files; folders inside it count too.
        out: the study folder to write; its name is the subject's identifier.
        margin: mm that are kept around what was outlined, within the slices; `None` keeps whole pictures.

    Raises:
        InputError: one line naming the file or folder, what was expected and what was found.
    """
    drawn = read_contours(contours)
    cine = read_image(images)
    if cine.data.ndim != 4:
        raise InputError(f"{images}: expected a cine, found a single frame")
    maps = dict(label_maps(drawn, places(images, cine, {contour.number for contour in drawn}), cine))
    if len(maps) != 2:
        found = ", ".join(map(str, maps))
        raise InputError(f"{contours}: expected contours in two frames, end-diastole and end-systole, found {found}")
    es, ed = sorted(maps, key=lambda t: int((maps[t].data == LV_CAVITY).sum()))
    frames = {"ED": ed, "ES": es}
    stored = cine.with_data(cine.data.to(torch.int16)) if _fits_16_bits(cine.data) else cine
    if margin is not None:
        stored, maps = _around_the_heart(stored, maps, margin)
    stored, maps = upright(stored), {t: upright(labels) for t, labels in maps.items()}
    outlined = {
        phase: ["lv", "myocardium"] if (maps[t].data == MYOCARDIUM).any() else ["lv"] for phase, t in frames.items()
    }
    facts = {"subject": out.name, "source": SOURCE, "licence": LICENCE, "ed_frame": ed, "es_frame": es}
    phases = {f"sa_{phase}": stored.frame(t) for phase, t in frames.items()}
    labels = {f"sa_{phase}": maps[t] for phase, t in frames.items()}
    return write_study(out, {"sa": stored} | phases, labels, facts | {"outlined": outlined})


def _fits_16_bits(values: torch.Tensor) -> bool:
    return bool((values == values.round()).all()) and float(values.min()) >= -(2**15) and float(values.max()) < 2**15


def _around_the_heart(cine: Image, maps: dict[int, Image], margin: float) -> tuple[Image, dict[int, Image]]:
    r"""All slices, and of each what lies within `margin` mm of anything outlined in any of them."""
    marked = torch.stack([labels.data for labels in maps.values()]).amax(0) > 0
    across, down, _ = (round(margin / side) for side in cine.spacing)
    box = box_around(marked, (len(marked), down, across))
    if box is None:
        raise InputError("contours: expected some that hold at least one pixel, found none")
    return cropped(cine, box), {t: cropped(labels, box) for t, labels in maps.items()}


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def _command(
    images: Annotated[Path, typer.Argument(help="Folder with the DICOM files of one short-axis cine.")],
    contours: Annotated[Path, typer.Argument(help="Folder with its contour files, IM-0001-0059-icontour-manual.txt.")],
    out: Annotated[Path, typer.Argument(help="Study folder to write; its name is the subject's identifier.")],
    margin: Annotated[float | None, typer.Option(min=0, help="mm to keep around the outlines; default: all.")] = None,
) -> None:
    r"""One patient of the Sunnybrook Cardiac Data as a study folder: cine, end-diastole, end-systole and labels."""
    study = convert(images, contours, out, margin)
    print(f"{study.folder}: ED is frame {study.info['ed_frame']}, ES frame {study.info['es_frame']} (counted from 0)")


if __name__ == "__main__":
    main(app)
