r"""Places held against each other: what the rest decides is told, what nothing decides is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicoms import DIRECTIONS, Datasets, cine, save

from cardiolearn.errors import InputError, InputWarning
from cardiolearn.imaging.reading import read_image

Change = Callable[[Datasets], None]


def everywhere(**values: object) -> Change:
    def change(datasets: Datasets) -> None:
        for ds in datasets.values():
            for keyword, value in values.items():
                setattr(ds, keyword, value)

    return change


def once(**values: object) -> Change:
    return lambda datasets: everywhere(**values)({(0, 0): datasets[1, 1]})


def moved(along: int, mm: float, slices: tuple[int, ...] = (1,), frames: range = range(9)) -> Change:
    r"""Slices moved along the rows (0), the columns (1) or the normal (2)."""

    def change(datasets: Datasets) -> None:
        for (t, z), ds in datasets.items():
            if z in slices and t in frames:
                ds.ImagePositionPatient = list(np.array(ds.ImagePositionPatient, float) + mm * DIRECTIONS[:, along])

    return change


def located(datasets: Datasets) -> None:
    r"""All pictures in one place, but SliceLocation remembers where they were."""
    for (_, z), ds in datasets.items():
        ds.ImagePositionPatient, ds.SliceLocation = [0, 0, 0], 9.0 * z


TOLD: dict[str, tuple[Change, str]] = {
    "a thickness far above the step": (everywhere(SliceThickness=40), "steps by 9.00 mm, SliceThickness is 40"),
    "a thickness far below the step": (everywhere(SliceThickness=1), "steps by 9.00 mm, SliceThickness is 1: pos"),
    "another thickness once": (once(SliceThickness=7), "SliceThickness is not the same in all pictures; 6 was taken"),
    "another distance": (everywhere(SpacingBetweenSlices=10), "steps by 9.00 mm, SpacingBetweenSlices is 10: pos"),
    "steps not quite even": (moved(2, 0.3), "steps between slices differ by 0.60 mm: 9.00 mm taken for all"),
    "directions not quite of unit length": (
        everywhere(ImageOrientationPatient=[*(DIRECTIONS[:, 0] * 1.002), *DIRECTIONS[:, 1]]),
        r"ImageOrientationPatient is off orthogonal unit vectors by 0.0040",
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_the_rest_decides_is_told(tmp_path: Path, name: str) -> None:
    change, message = TOLD[name]
    datasets = cine(3, 4)
    expected = read_image(save(tmp_path, datasets))
    change(datasets)
    save(tmp_path, datasets)
    with pytest.warns(InputWarning, match=message) as caught:
        image = read_image(tmp_path)
    assert len(caught) == 1
    assert (image.data == expected.data).all()
    np.testing.assert_allclose(image.affine[:3, :3], expected.affine[:3, :3], atol=0.25)


@pytest.mark.parametrize("said", [9.0, 3.0])
def test_a_distance_or_a_gap_between_slices_passes(tmp_path: Path, said: float) -> None:
    r"""Slices 6 mm thick, 9 mm apart: some scanners write the gap of 3 mm instead."""
    datasets = cine(1, 3)
    everywhere(SpacingBetweenSlices=said)(datasets)
    assert read_image(save(tmp_path, datasets)).spacing[2] == pytest.approx(9)


def test_a_very_thick_slice_is_told(tmp_path: Path) -> None:
    datasets = cine(3, 1)
    everywhere(SliceThickness=60)(datasets)
    with pytest.warns(InputWarning, match="a slice 60 mm thick"):
        assert read_image(save(tmp_path, datasets)).spacing[2] == pytest.approx(60)


REFUSED: dict[str, tuple[Change, str]] = {
    "a frame moved within its slice": (moved(0, 3.0, frames=range(1)), "ImagePositionPatient that differ by 2"),
    "slices in one place": (located, "SliceLocation that differ by 27.00 mm"),
    "a slice aside": (moved(1, 3.0), "a slice is missing or out of line"),
    "two slices one beside the other": (moved(0, 30.0, (2, 3)), "missing or out of line"),
    "out of reach": (everywhere(ImagePositionPatient=[0, 0, 1e5]), "ImagePositionPatient within 10000 mm"),
    "wider than any scanner": (everywhere(PixelSpacing=[90, 90], Rows=12, Columns=4), "a picture within 1000 mm"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_nothing_decides_is_refused(tmp_path: Path, name: str) -> None:
    change, message = REFUSED[name]
    datasets = cine(3, 4)
    change(datasets)
    with pytest.raises(InputError, match=message):
        read_image(save(tmp_path, datasets))


def test_two_slices_beside_each_other_are_no_stack(tmp_path: Path) -> None:
    datasets = cine(3, 2)
    moved(0, 20.0)(datasets)
    with pytest.raises(InputError, match=r"slices in line, got steps of 9.00 mm across and 20.00 mm along them"):
        read_image(save(tmp_path, datasets))
