r"""Segmenting a whole scan, with networks that read grey values: any grid, any pixel size, one heart."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hearts import ReadsGrey, ringed_heart, seeded
from scipy import ndimage

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.slices import unwindow
from cardiolearn.imaging.study import write_study
from cardiolearn.measures.metrics import dice
from cardiolearn.methods.segmentation.heart_place import LONG_AXIS, SHORT_AXIS, ViewPlan
from cardiolearn.methods.segmentation.heart_window import HeartWindow
from cardiolearn.methods.segmentation.whole_scan import segment, segment_all, segment_fullest, segment_softly

AFFINE = np.array([[-1.5, 0.3, -4.0, 60.0], [0.2, -1.1, 6.0, -20.0], [0.4, -1.2, -6.0, 35.0], [0.0, 0.0, 0.0, 1.0]])
#: Bright is cavity, middle is wall, dark is background; no right ventricle is ever found.
LEFT = (0.0, 1.0, 0.5, 9.0)


def target(shape: tuple[int, int, int] = (7, 90, 101)) -> Image:
    r"""A bright disc in a grey ring, off the centre, 25 mm in radius at most."""
    z, y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in shape), indexing="ij")
    radius = ((y - 50.0) ** 2 * 1.65**2 + (x - 40.0) ** 2 * 1.56**2).sqrt() + (z - 3.0).abs()
    data = torch.where(radius < 16, 100.0, torch.where(radius < 27, 50.0, 0.01 * torch.ones(())))
    return Image(data, AFFINE)


def truth(image: Image) -> torch.Tensor:
    return torch.where(image.data > 75, 1, torch.where(image.data > 25, 2, 0))


def test_finds_the_ring_and_returns_its_own_grid() -> None:
    image = target()
    labels = segment(image, ReadsGrey(LEFT))
    assert labels.data.shape == image.data.shape
    assert np.array_equal(labels.affine, image.affine)
    assert labels.data.dtype == torch.uint8
    for c in (1, 2):
        assert dice(labels.data == c, truth(image) == c) > 0.93


def rearranged(image: Image, order: tuple[int, ...], flips: tuple[int, ...]) -> Image:
    r"""The same picture stored with other axes: `order` of (z, y, x), `flips` of the new axes."""
    data = image.data.permute(*order).flip(flips)
    matrix = np.eye(4)
    old = [2 - axis for axis in order][::-1]  # new x, y, z axes are these old ones (0 is x)
    matrix[:3, :3] = np.eye(3)[:, old]
    flip = np.eye(4)
    for axis in flips:
        k = 2 - axis
        flip[k, k], flip[k, 3] = -1.0, data.shape[axis] - 1
    return Image(data, image.affine @ matrix @ flip)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(), (0,), (1, 2), (0, 1, 2)])
def test_storage_order_does_not_matter(order: tuple[int, ...], flips: tuple[int, ...]) -> None:
    image = target()
    other = rearranged(image, order, flips)
    corner = other.affine @ np.array([*(np.array(other.data.shape[::-1]) - 1), 1.0])
    assert any(
        np.allclose(corner, image.affine @ np.array([x, y, z, 1.0]))
        for x, y, z in itertools.product((0, 100), (0, 89), (0, 6))
    )
    expected = segment(image, ReadsGrey(LEFT)).data.permute(*order).flip(flips)
    found = segment(other, ReadsGrey(LEFT)).data
    for c in (1, 2):
        assert dice(found == c, expected == c) >= 0.98


@pytest.mark.parametrize("wrong", [1 / 1.6, 1 / 1.3, 1.15, 1.3])
def test_a_wrong_pixel_size_does_not_matter(wrong: float) -> None:
    image = target()
    stated = image.affine.copy()
    stated[:3, :2] *= wrong
    expected, found = (segment(one, ReadsGrey(LEFT)).data for one in (image, Image(image.data, stated)))
    for c in (1, 2):
        assert dice(found == c, expected == c) >= 0.97


def test_cine_frames_are_segmented_each() -> None:
    image = target()
    cine = Image(torch.stack([image.data, image.data.roll(3, dims=2)]), image.affine, 0.03)
    labels = segment(cine, ReadsGrey(LEFT))
    assert labels.data.shape == cine.data.shape
    assert dice(labels.data[1] == 1, truth(image).roll(3, dims=2) == 1) > 0.9


def test_islands_go_and_holes_in_the_cavity_are_filled() -> None:
    image, labels = ringed_heart()
    spoilt = image.data.clone()
    spoilt[1, 38:42, 43:47] = 1.0  # a papillary muscle, as dark as the ground
    spoilt[2, 70:76, 80:86] = 100.0  # as bright as blood, off the heart
    spoilt[0, 4:9, 4:9] = 30.0
    found = segment(image.with_data(spoilt), ReadsGrey(sharp=2000.0)).data
    for c in (1, 2, 3):
        assert dice(found == c, labels.data == c) > 0.93
    assert (found[1, 38:42, 43:47] == 1).all()
    for part in ((1, 2), (3,)):
        assert ndimage.label(np.isin(found, part), np.ones((3, 3, 3)))[1] == 1


# ---------------------------------------------------------------------- beside the plain computation on whole pictures
def plainly(image: Image, network: torch.nn.Module, plan: ViewPlan) -> tuple[np.ndarray, np.ndarray]:
    r"""Labels `(T, Z, Y, X)` and probabilities `(T, C, Z, Y, X)`: these brought back to whole slices, then argmax, the
    largest pieces and every hole, slice by slice, by numpy and scipy on whole pictures."""
    seen = HeartWindow.of(image, network, plan)
    assert seen is not None
    n, (_, n_slices, height, width) = image.n_frames, seen.pictures.data.shape
    sides = [(turns, mirrored) for mirrored in (False, True) for turns in range(4)]
    pictures, total = seen.window, torch.zeros(1)
    for turns, mirrored in sides:
        shown = (pictures.flip(-1) if mirrored else pictures).rot90(turns, (-2, -1))
        back = network(shown).softmax(1).rot90(-turns, (-2, -1))
        total = total + (back.flip(-1) if mirrored else back)
    whole = unwindow(total / len(sides), seen.pictures.pixel, seen.centre, (height, width), seen.zoom)
    soft = whole.unflatten(0, (n, n_slices)).transpose(1, 2)  # (T, C, Z, Y, X)
    labels = np.stack([cleaned(frame.argmax(0).numpy(), plan) for frame in soft])
    grid = [seen.pictures.restore(torch.from_numpy(frame)[None]).numpy() for frame in labels]
    return np.stack(grid), np.stack([[seen.pictures.restore(c[None]).numpy() for c in frame] for frame in soft])


def cleaned(labels: np.ndarray, plan: ViewPlan) -> np.ndarray:
    for part in plan.parts:
        pieces, n = ndimage.label(np.isin(labels, part), np.ones((3, 3, 3)))
        if n > 1:
            largest = 1 + int(np.argmax(ndimage.sum_labels(np.ones(labels.shape), pieces, np.arange(1, n + 1))))
            labels = np.where((pieces > 0) & (pieces != largest), 0, labels)
    for z in range(len(labels)):
        for c in (5, 4, 3, 1):
            labels[z][ndimage.binary_fill_holes(labels[z] == c)] = c
    return labels


def grainy(image: Image, frames: int, columns: slice = slice(None), seed: int = 0) -> Image:
    r"""A beating heart in so much noise that islands, holes and near-ties abound."""
    noise = 14.0 * torch.randn((frames, *image.data.shape), generator=seeded(seed))
    shifted = torch.stack([image.data.roll(2 * t, -1) for t in range(frames)])
    return Image((shifted + noise).abs()[..., columns], image.affine)


@pytest.mark.parametrize("plan", [SHORT_AXIS, LONG_AXIS])
@pytest.mark.parametrize(
    ("frames", "columns", "pixel"),
    [
        (1, slice(None), (1.0, 1.0)),
        (4, slice(None), (1.0, 1.0)),
        (3, slice(None), (1.7, 0.8)),  # oblong pixels
        (2, slice(30, 62), (1.0, 1.0)),  # smaller than the window, and the heart is cut
        (3, slice(None), (0.3, 0.3)),  # a pixel size that was lost: the window is a part of the picture
    ],
)
def test_labels_and_probabilities_are_those_of_whole_pictures(
    plan: ViewPlan, frames: int, columns: slice, pixel: tuple[float, float]
) -> None:
    image = grainy(ringed_heart()[0], frames, columns)
    image = Image(image.data, image.affine @ np.diag([*pixel, 1.0, 1.0]))
    network = ReadsGrey((0.0, 1.0, 0.6, 0.3, 0.45, 0.8)[: plan.n_classes], 60.0)
    expected, probabilities = plainly(image, network, plan)
    labels, fullest, soft = segment_fullest(image, network, plan)
    assert len(np.unique(expected)) == plan.n_classes and (expected != labels.data.numpy()).sum() <= 2  # of near-ties
    sizes = (expected == 1).sum((1, 2, 3))
    assert fullest == sizes.argmax()
    np.testing.assert_allclose(soft[1:], probabilities[fullest, 1:], atol=1e-4)
    torch.testing.assert_close(soft.sum(0), torch.ones(soft.shape[1:]), atol=1e-5, rtol=0)


def test_the_fullest_frame_is_the_first_of_those_with_most_cavity() -> None:
    image, _ = ringed_heart()
    dark = image.data.clamp(max=60.0)  # no cavity, all wall
    for order, expected in (([dark, image.data, image.data], 1), ([image.data, dark, image.data], 0)):
        labels, fullest, soft = segment_fullest(Image(torch.stack(order), image.affine), ReadsGrey())
        assert fullest == expected and (soft.argmax(0) == labels.data[expected]).float().mean() > 0.99
    nothing = Image(torch.zeros(3, 2, 20, 31), AFFINE)
    labels, fullest, soft = segment_fullest(nothing, ReadsGrey())
    assert fullest == 0 and not labels.data.any() and (soft[0] == 1).all() and not soft[1:].any()


def test_every_slice_of_a_cine_is_shown_once_from_each_side() -> None:
    seen: list[int] = []

    class Counts(ReadsGrey):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(len(x) if x.shape[-2:] == size else 0)
            return super().forward(x)

    image = grainy(ringed_heart()[0], 20)  # 80 slices, whose whole pictures are smaller than a window
    found = HeartWindow.of(image, ReadsGrey(), SHORT_AXIS)
    assert found is not None
    size = found.window.shape[-2:]
    segment_fullest(image, Counts())
    assert sum(seen) == 2 * 20 * 4


def test_softly_gives_the_same_labels_and_their_probabilities() -> None:
    image = target()
    labels, soft = segment_softly(image, ReadsGrey(LEFT))
    assert torch.equal(labels.data, segment(image, ReadsGrey(LEFT)).data)
    assert soft.shape == (4, *image.data.shape)
    assert torch.allclose(soft.sum(0), torch.ones(image.data.shape), atol=1e-5)
    assert (soft.argmax(0) == labels.data).float().mean() > 0.999
    turned = rearranged(image, (2, 0, 1), (1,))
    assert torch.allclose(segment_softly(turned, ReadsGrey(LEFT))[1], soft.permute(0, 3, 1, 2).flip(2), atol=1e-4)


@pytest.mark.parametrize("plan", ["sa", "la"])
@pytest.mark.parametrize("frames", [0, 1])
def test_softly_and_hardly_agree_whatever_the_view_and_the_form(plan: str, frames: int) -> None:
    image, _ = ringed_heart()
    scan = Image(image.data[None], image.affine) if frames else image
    network = ReadsGrey((0.0, 1.0, 0.6, 0.3, 5.0, 5.0)[: 4 if plan == "sa" else 6])
    given = (LONG_AXIS,) if plan == "la" else ()
    labels, soft = segment_softly(scan, network, *given)
    assert torch.equal(labels.data, segment(scan, network, *given).data)
    assert labels.data.shape == scan.data.shape and len(soft) == (4 if plan == "sa" else 6)
    assert labels.data.unique().tolist() == [0, 1, 2, 3]


def test_softly_takes_one_frame_and_is_certain_of_nothing_where_nothing_is() -> None:
    image = target()
    with pytest.raises(InputError, match="expected one frame"):
        segment_softly(Image(torch.stack([image.data] * 2), AFFINE), ReadsGrey(LEFT))
    labels, soft = segment_softly(image.with_data(torch.zeros_like(image.data)), ReadsGrey(LEFT))
    assert not labels.data.any() and (soft[0] == 1).all() and not soft[1:].any()


def test_long_axis_keeps_one_piece_of_each_chamber() -> None:
    data = torch.zeros(1, 120, 130)
    places = {
        100: ((30, 60), (50, 70)),
        20: ((30, 60), (70, 76)),
        40: ((30, 58), (34, 50)),
        60: ((12, 30), (52, 70)),
        80: ((14, 30), (34, 50)),
    }
    for level, (rows, columns) in places.items():
        data[0, slice(*rows), slice(*columns)] = level
    data[0, 100:104, 100:104] = 60.0  # an island as bright as the left atrium
    affine = np.diag([-1.5, -1.5, 6.0, 1.0])
    labels = segment(Image(data, affine), ReadsGrey((0.0, 1.0, 0.2, 0.4, 0.6, 0.8), sharp=900.0), LONG_AXIS)
    levels = torch.tensor([0.0, 100.0, 20.0, 40.0, 60.0, 80.0])
    for k in range(1, 6):
        expected = data == levels[k]
        expected[0, 90:] = False
        assert dice(labels.data == k, expected) > 0.9, k
    assert not labels.data[0, 95:].any()


def test_all_scans_that_are_there_are_segmented_and_timed(tmp_path: Path) -> None:
    scan = target((5, 90, 101))  # of few slices, so that nobody takes these, which are all alike, for frames of a film
    studies = [write_study(tmp_path / name, images, {}, {}) for name, images in
               (("a", {"sa_ED": scan, "sa_ES": scan}), ("b", {"sa_ED": scan}))]  # fmt: skip
    found, seconds = segment_all(studies, ReadsGrey(LEFT))
    assert list(found) == [("a", "ED"), ("a", "ES"), ("b", "ED")]
    assert list(seconds["subject"]) == ["a", "b"] and (seconds["seconds"] > 0).all()
    assert segment_all(studies, ReadsGrey(LEFT), "la_2ch")[0] == {}


def test_all_scans_of_a_long_axis_view_are_segmented_with_its_plan(tmp_path: Path) -> None:
    flat = ringed_heart()[0]
    picture = Image(flat.data[:1], flat.affine)
    study = write_study(tmp_path / "a", {"sa_ED": flat, "la_4ch_ED": picture}, {}, {})
    network = ReadsGrey((0.0, 5.0, 0.6, 0.3, 1.0, 5.0))  # the bright disc is a left atrium
    found, _ = segment_all([study], network, "la_4ch")
    assert torch.equal(found["a", "ED"].data, segment(study.image("la_4ch"), network, LONG_AXIS).data)
    assert found["a", "ED"].data.unique().tolist() == [0, 2, 3, 4]


def test_nothing_to_find_gives_no_labels() -> None:
    assert segment(Image(torch.zeros(3, 20, 31), AFFINE), ReadsGrey(LEFT)).data.max() == 0


def test_labels_lie_on_their_picture_in_space() -> None:
    r"""Resampled by nibabel's affine, the labels' middle is the disc's."""
    image = target()
    labels = segment(image, ReadsGrey(LEFT))
    z, y, x = ndimage.center_of_mass(labels.data.numpy() == 1)
    found = nib.affines.apply_affine(labels.affine, (x, y, z))
    np.testing.assert_allclose(found, nib.affines.apply_affine(AFFINE, (40.0, 50.0, 3.0)), atol=1.0)
