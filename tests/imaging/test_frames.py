r"""Frames stored as slices, and slices stored as frames: told by the pictures themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cardiolearn.errors import InputError, InputWarning
from cardiolearn.imaging.frames import are_frames
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.reading import read_image, write_image

AFFINE = np.diag([1.5, 1.5, 8.0, 1.0])


def cine(n_frames: int = 10, n_slices: int = 8) -> np.ndarray:
    r"""`(T, Z, Y, X)`: a chest that changes from slice to slice, in which a disc beats; with noise."""
    rng = np.random.default_rng(0)
    chest = rng.normal(size=(n_slices, 40, 48)).cumsum(axis=1).cumsum(axis=2) / 40
    y, x = np.indices((40, 48))
    radius = 8 - 3 * np.sin(np.pi * np.arange(n_frames) / n_frames) ** 2
    disc = 2.0 * (np.hypot(y - 20, x - 24) < radius[:, None, None])
    return (chest + disc[:, None] + 0.3 * rng.normal(size=(n_frames, n_slices, 40, 48))).astype(np.float32)


def test_frames_and_slices_are_told_apart() -> None:
    film = cine()
    assert are_frames(film[:, 3]) is True
    assert are_frames(film[0]) is False
    assert are_frames(film[:5, 3]) is None  # too few
    assert are_frames(np.repeat(film[:1, 3], 8, axis=0)) is None  # one picture, repeated
    assert are_frames(np.random.default_rng(0).random((8, 30, 30))) is None  # nothing in common
    assert are_frames(np.zeros((8, 30, 30))) is None
    assert are_frames(film[:6, 3]) is False  # half a beat: its ends are not alike, and it may be a thin-slice volume


def test_a_cine_of_one_slice_stored_as_a_volume_is_read_as_a_cine(tmp_path: Path) -> None:
    film = cine()[:, 3]
    write_image(tmp_path / "a.nii.gz", Image(torch.from_numpy(film), AFFINE))
    with pytest.warns(InputWarning, match=r"a\.nii\.gz: its 10 slices follow each other like frames of a film; read"):
        image = read_image(tmp_path / "a.nii.gz")
    assert torch.equal(image.data, torch.from_numpy(film[:, None]))
    write_image(tmp_path / "b.nii.gz", Image(torch.from_numpy(cine()[0]), AFFINE))
    assert read_image(tmp_path / "b.nii.gz").data.shape == (8, 40, 48)


def test_exchanged_axes_are_refused(tmp_path: Path) -> None:
    right, exchanged = cine(), cine().swapaxes(0, 1)
    one_slice = cine()[0][:, None]  # slices, stored as frames of one slice
    for values, message in ((exchanged, "its 10 slices follow"), (one_slice, "its 8 frames differ like slices")):
        write_image(tmp_path / "a.nii.gz", Image(torch.from_numpy(values.copy()), AFFINE, 0.03))
        with pytest.raises(InputError, match=rf"a\.nii\.gz: expected a cine .* {message}.*: exchange the third and"):
            read_image(tmp_path / "a.nii.gz")
    write_image(tmp_path / "a.nii.gz", Image(torch.from_numpy(right), AFFINE, 0.03))
    assert read_image(tmp_path / "a.nii.gz").data.shape == right.shape


def test_real_films_and_stacks_are_told_apart(real_scans: Path) -> None:
    films = [read_image(real_scans / "bivme" / series).data[:, 0].numpy() for series in ("Se2", "Se6")]
    patient = read_image(real_scans / "sunnybrook" / "SCD0000101").data.numpy()
    assert all(are_frames(film) for film in (*films, *patient.swapaxes(0, 1)))
    stacks = [read_image(real_scans / "imperial_autofd" / name / "sa_ED.nii.gz").data.numpy() for name in "AD"]
    assert not any(are_frames(stack) for stack in (*stacks, *patient))
    assert are_frames(read_image(real_scans / "totalsegmentator_ct" / "example_ct_sm.nii.gz").data.numpy()) is False
