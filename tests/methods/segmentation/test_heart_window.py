r"""The window around a heart: seen from several sides, and the way back to the scan's slices."""

from __future__ import annotations

import pytest
import torch
from hearts import ReadsGrey, ringed_heart, seeded

from cardiolearn.imaging.image import Image
from cardiolearn.imaging.slices import PIXEL, Stack, unwindow
from cardiolearn.methods.segmentation import heart_window
from cardiolearn.methods.segmentation.heart_place import ONE_SIDE, WINDOW, probabilities
from cardiolearn.methods.segmentation.heart_window import MANY_SLICES, HeartWindow, likeliest
from cardiolearn.methods.segmentation.whole_scan import segment


@pytest.mark.parametrize("shape", [(3, 1, 4, 5), (2, 4, 7, 6), (1, 6, 1, 1), (0, 4, 3, 3)])
def test_the_likeliest_class_is_the_first_of_the_largest_values(shape: tuple[int, ...]) -> None:
    values = torch.randint(0, 3, shape, generator=seeded()).float()  # many ties
    found = likeliest(values)
    expected = torch.from_numpy(values.numpy().argmax(1))  # numpy's takes the first
    assert found.dtype == torch.uint8 and torch.equal(found.long(), expected)


class Lopsided(ReadsGrey):
    r"""Believes in cavity towards the upper right corner of what it is shown."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = super().forward(x)
        logits[:, 1] += 9.0 * torch.linspace(1.0, 0.0, x.shape[-2])[:, None] * torch.linspace(0.0, 1.0, x.shape[-1])
        return logits


def test_seen_from_all_sides_a_window_tells_the_same_however_it_is_turned() -> None:
    window = torch.rand(3, 1, WINDOW, WINDOW, generator=seeded())

    def seen(pictures: torch.Tensor) -> torch.Tensor:
        whole = Stack(pictures[None, :, 0], (PIXEL, PIXEL), lambda labels: labels)  # the window is all there is
        seen = HeartWindow(whole, pictures, ((WINDOW - 1) / 2,) * 2, 1.0)
        return seen.frame(0, Lopsided(sharp=5.0))

    straight = seen(window)
    for turns in range(4):
        turned = seen(window.rot90(turns, (-2, -1)))
        torch.testing.assert_close(turned, straight.rot90(turns, (-2, -1)), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen(window.flip(-1)), straight.flip(-1), atol=1e-5, rtol=0)
    alone = Lopsided(sharp=5.0)(window).softmax(1)
    assert (alone - straight).abs().mean() > 0.1  # from one side it would not


@pytest.mark.parametrize(("slices", "sides"), [(4, 8), (MANY_SLICES, 8), (MANY_SLICES + 4, 2)])
def test_a_long_scan_is_seen_from_fewer_sides(slices: int, sides: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counted(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return probabilities(network, images)

    monkeypatch.setattr(heart_window, "probabilities", counted)
    image, _ = ringed_heart()
    long = Image(image.data.repeat(slices // 4, 1, 1), image.affine)
    segment(long, ReadsGrey())
    assert seen == [slices] * sides
    seen.clear()
    segment(long, ReadsGrey(), ONE_SIDE)
    assert seen == [slices]


def test_from_one_side_a_scan_is_seen_as_it_lies() -> None:
    window = torch.rand(3, 1, WINDOW, WINDOW, generator=seeded())
    whole = Stack(window[None, :, 0], (PIXEL, PIXEL), lambda labels: labels)
    seen = HeartWindow(whole, window, ((WINDOW - 1) / 2,) * 2, 1.0, ONE_SIDE.one_side)
    network = Lopsided(sharp=5.0)
    torch.testing.assert_close(seen.frame(0, network), network(window).softmax(1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("shape", "centre", "pixel", "zoom"),
    [
        ((300, 280), (150.0, 140.0), (1.5, 1.5), 1.0),
        ((300, 280), (10.3, 270.2), (1.1, 1.8), 0.7),  # over two edges
        ((20, 31), (9.0, 40.0), (1.5, 1.5), 1.6),  # a picture far smaller than the window
        ((300, 280), (150.0, 500.0), (1.5, 1.5), 0.5),  # the heart is held to be off the picture
        ((5, 4), (2.0, 1.0), (90.0, 80.0), 0.4),  # few huge pixels
    ],
)
def test_off_the_box_the_window_has_nothing_to_say(
    shape: tuple[int, int], centre: tuple[float, float], pixel: tuple[float, float], zoom: float
) -> None:
    whole = Stack(torch.zeros(1, 2, *shape), pixel, lambda labels: labels[0])
    seen = HeartWindow(whole, torch.rand(2, 1, WINDOW, WINDOW, generator=seeded()), centre, zoom)
    alone = torch.ones(2, 1, WINDOW, WINDOW)
    expected = unwindow(alone, pixel, centre, shape, zoom)[:, 0]
    back = seen.restore(torch.ones(2, *(side.stop - side.start for side in seen.box)))
    assert back.shape == expected.shape and not expected[back == 0].any()
    found = seen.restore(seen.frame(0, ReadsGrey()).sum(1))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    if expected.any():  # and it is no larger than what the window reaches
        for side, axis in zip(seen.box, (0, 1), strict=True):
            reached = int((expected > 0).any(0).any(1 - axis).sum())
            assert side.stop - side.start <= reached + 2
