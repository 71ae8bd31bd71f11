r"""One file as its pictures: Enhanced MR in every arrangement, and multi-frame files that say too little."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicoms import cine, enhanced, pixels, save
from pydicom.dataset import Dataset, FileDataset
from pydicom.tag import Tag

from cardiolearn.errors import InputError, InputWarning
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.reading import read_image

PICTURES = [(t, z) for z in range(3) for t in range(4)]
TRUTH = np.stack([np.stack([pixels(t, z) for z in range(3)]) for t in range(4)]) * 2.0 - 5.0


def read(folder: Path, files: list[FileDataset]) -> Image:
    return read_image(save(folder, {(0, i): ds for i, ds in enumerate(files)}))


ARRANGEMENTS: dict[str, list[list[tuple[int, int]]]] = {
    "all in one": [PICTURES],
    "in no order": [random.Random(0).sample(PICTURES, len(PICTURES))],
    "a file for each slice": [[(t, z) for t in range(4)] for z in range(3)],
    "a file for each frame": [[(t, z) for z in range(3)] for t in range(4)],
    "a file for each picture": [[picture] for picture in PICTURES],
}


@pytest.mark.parametrize("name", ARRANGEMENTS)
@pytest.mark.parametrize("order", ["times", "indices", "dimensions"])
def test_enhanced_mr_in_any_arrangement(tmp_path: Path, name: str, order: str) -> None:
    files = [enhanced(pictures) for pictures in ARRANGEMENTS[name]]
    for ds in files:
        take_away(ds, {"times": [], "indices": ["times"], "dimensions": ["times", "indices"]}[order])
    image = read(tmp_path, files)
    np.testing.assert_array_equal(image.data.numpy(), TRUTH)
    assert image.frame_duration == pytest.approx(0.04 if order == "times" else 0.16 / 4)
    (tmp_path / "classic").mkdir()
    np.testing.assert_allclose(image.affine, read_image(save(tmp_path / "classic", cine())).affine, atol=1e-12)


def take_away(ds: FileDataset, what: list[str]) -> None:
    r"""Leave out what orders frames; without indices, dimensions say it."""
    index = Dataset()
    index.DimensionIndexPointer = Tag("TemporalPositionIndex")
    stack = Dataset()
    stack.DimensionIndexPointer = Tag("InStackPositionNumber")
    for item in ds.PerFrameFunctionalGroupsSequence:
        content = item.FrameContentSequence[0]
        if "times" in what:
            del item.CardiacSynchronizationSequence[0].NominalCardiacTriggerDelayTime
        if "indices" in what:
            ds.DimensionIndexSequence = [stack, index]
            content.DimensionIndexValues = [content.InStackPositionNumber, content.TemporalPositionIndex]
            del content.TemporalPositionIndex


def test_frames_without_any_order_are_taken_as_they_come(tmp_path: Path) -> None:
    ds = enhanced(PICTURES)
    take_away(ds, ["times"])
    for item in ds.PerFrameFunctionalGroupsSequence:
        del item.FrameContentSequence
    np.testing.assert_array_equal(read(tmp_path, [ds]).data.numpy(), TRUTH)


@pytest.mark.parametrize("said_by", ["ComplexImageComponent", "FrameType"])
def test_magnitude_frames_are_taken_out_of_a_flow_scan(tmp_path: Path, said_by: str) -> None:
    ds = enhanced(PICTURES + PICTURES)
    for item in list(ds.PerFrameFunctionalGroupsSequence)[len(PICTURES) :]:
        kind = item.MRImageFrameTypeSequence[0]
        if said_by == "FrameType":
            del kind.ComplexImageComponent
            kind.FrameType = ["ORIGINAL", "PRIMARY", "VELOCITY", "NONE"]
        else:
            kind.ComplexImageComponent = "PHASE"
    save(tmp_path, {(0, 0): ds})
    with pytest.warns(InputWarning, match="12 phase pictures were passed over, 12 magnitude pictures taken"):
        np.testing.assert_array_equal(read_image(tmp_path).data.numpy(), TRUTH)


def test_velocity_beside_magnitude_names_the_kind_of_scan(tmp_path: Path) -> None:
    ds = enhanced(PICTURES)
    for item in ds.PerFrameFunctionalGroupsSequence:
        item.MRImageFrameTypeSequence[0].FrameType = ["ORIGINAL", "PRIMARY", "VELOCITY", "NONE"]
    np.testing.assert_array_equal(read(tmp_path, [ds]).data.numpy(), TRUTH)


def in_frame(group: str, keyword: str, value: object) -> Callable[[FileDataset], None]:
    def change(ds: FileDataset) -> None:
        inner = getattr(ds.PerFrameFunctionalGroupsSequence[2], group)[0]
        if value is None:
            delattr(inner, keyword)
        else:
            setattr(inner, keyword, value)

    return change


def without(keyword: str) -> Callable[[FileDataset], None]:
    return lambda ds: delattr(ds, keyword)


def one_group_less(ds: FileDataset) -> None:
    ds.PerFrameFunctionalGroupsSequence = list(ds.PerFrameFunctionalGroupsSequence)[:-1]


REFUSED: dict[str, tuple[Callable[[FileDataset], None], str]] = {
    "no groups": (without("PerFrameFunctionalGroupsSequence"), "got none: export it as single pictures or as Enhanced"),
    "too few groups": (one_group_less, "each of its 12 frames in a PerFrameFunctionalGroupsSequence, got 11 items"),
    "no shared groups": (without("SharedFunctionalGroupsSequence"), "frame 1: .* lacks ImageOrientationPatient"),
    "no place": (in_frame("PlanePositionSequence", "ImagePositionPatient", None), "frame 3: .* ImagePositionPatient"),
    "another place": (in_frame("PlanePositionSequence", "ImagePositionPatient", [0, 0, 0]), "equally many frames"),
    "a slope of zero": (in_frame("PixelValueTransformationSequence", "RescaleSlope", 0), "frame 3: .* RescaleSlope"),
    "one frame less": (lambda ds: setattr(ds, "NumberOfFrames", 11), "each of its 11 frames .* got 12 items"),
    "contradicting kinds": (
        in_frame("MRImageFrameTypeSequence", "FrameType", ["ORIGINAL", "PRIMARY", "P", "NONE"]),
        r"frame 3: ImageType and ComplexImageComponent contradict each other: magnitude, phase",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_multi_frame_files_that_are_refused(tmp_path: Path, name: str) -> None:
    change, message = REFUSED[name]
    ds = enhanced(PICTURES)
    change(ds)
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, [ds])
    assert "\n" not in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_empty_groups_in_a_classic_file_mean_nothing(tmp_path: Path) -> None:
    datasets = cine(2, 2)
    expected = read_image(save(tmp_path, datasets)).data
    for ds in datasets.values():
        ds.PerFrameFunctionalGroupsSequence = [Dataset()]
    assert (read_image(save(tmp_path, datasets)).data == expected).all()
